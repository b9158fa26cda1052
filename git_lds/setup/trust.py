"""The stores that the user trusts: the values of `lds.trust` in git's configuration."""

from __future__ import annotations

import os

from git_lds.consent import TRUST, normalized
from git_lds.errors import LdsError, UsageError
from git_lds.git import config, repository
from git_lds.git.run import Git
from git_lds.repo import Repo
from git_lds.store.backends.by_url import open_backend


def trusted(git: Git) -> list[tuple[str, str]]:
    """Return the trusted URLs, each with the place in git's configuration that it comes from."""
    return [(value, origin) for origin, key, value in config.matching(git, r"^lds\.trust$") if key == TRUST]


def add(git: Git, url: str, *, for_all: bool = False) -> None:
    """Trust the stores at or below `url`, in this repository or, `for_all`, in all of the user's.

    Raises UsageError if `url` is not the URL of a store, and LdsError outside a repository.
    """
    url = _checked(url)
    if not any(normalized(value) == url for value, _ in trusted(git)):
        config.add(git, TRUST, url, scope=_scope(git, for_all=for_all))


def add_here(repo: Repo, url: str) -> None:
    """Trust the stores at or below `url` in this repository, as `add` does, by what its settings have of trust already.

    Raises UsageError if `url` is not the URL of a store.
    """
    url = _checked(url)
    if not any(normalized(value) == url for value, _ in repo.settings.config.get(TRUST, ())):
        repo.settings.add(TRUST, url)


def remove(git: Git, url: str, *, for_all: bool = False) -> None:
    """Stop trusting `url`. Raises LdsError if it was not trusted in that configuration, or outside a repository."""
    scope = _scope(git, for_all=for_all)
    forms = {normalized(url), normalized(_absolute(url))}
    values = [value for value in config.get_all(git, TRUST, scope=scope) if value and normalized(value) in forms]
    if not values:
        raise LdsError(
            f"{url} is not trusted in git's {scope} configuration", hint="to list trusted stores: git lds trust"
        )
    for value in values:
        config.unset_all(git, TRUST, value=value, scope=scope)


def _scope(git: Git, *, for_all: bool) -> str:
    if not for_all and not repository.is_inside(git):
        raise LdsError("not inside a git repository", hint="for all your repositories: git lds trust --global URL")
    return "global" if for_all else "local"


def _checked(url: str) -> str:
    if "://" not in url and (not url or url.startswith("-") or not url.isprintable()):
        raise UsageError(f"{url!r} is not the URL of a store", hint="git lds trust https://… (or a directory)")
    url = _absolute(url)
    open_backend(url).close()
    return normalized(url)


def _absolute(url: str) -> str:
    """Return the absolute path of a directory, and any other URL unchanged."""
    return url if not url or "://" in url else os.path.abspath(os.path.expanduser(url))

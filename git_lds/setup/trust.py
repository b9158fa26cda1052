"""The stores that the user trusts: the values of `lds.trust` in git's configuration."""

from __future__ import annotations

import os

from git_lds.consent import TRUST, tidied
from git_lds.errors import LdsError, UsageError
from git_lds.git.run import Git, GitFailed
from git_lds.store.backends.by_url import open_backend


def trusted(git: Git) -> list[tuple[str, str]]:
    """Return the trusted addresses, each with where git's configuration says it."""
    try:
        parts = git.names("config", "-z", "--show-origin", "--get-all", TRUST)
    except GitFailed:
        return []
    return [(os.fsdecode(value), os.fsdecode(origin)) for origin, value in zip(parts[::2], parts[1::2], strict=True)]


def add(git: Git, address: str, *, for_all: bool = False) -> None:
    """Trust the stores at or below `address`, in this repository or, `for_all`, in all of the user's.

    Raises UsageError for what is not the address of a store.
    """
    address = _checked(address)
    if not any(tidied(said) == address for said, _ in trusted(git)):
        git.bytes("config", _scope(git, for_all=for_all), "--add", TRUST, address)


def remove(git: Git, address: str, *, for_all: bool = False) -> None:
    """No longer trust `address`. Raises LdsError where it was not trusted there."""
    scope = _scope(git, for_all=for_all)
    said = (git.maybe("config", scope, "-z", "--get-all", TRUST) or "").split("\0")
    meant = {tidied(address), tidied(_absolute(address))}
    same = [each for each in said if each and tidied(each) in meant]
    if not same:
        raise LdsError(f"{address} is not trusted in git's {scope[2:]} configuration", hint="git lds trust lists them")
    for each in same:
        git.bytes("config", scope, "--fixed-value", "--unset-all", TRUST, each)


def _scope(git: Git, *, for_all: bool) -> str:
    if not for_all and not git.ok("rev-parse", "--git-dir"):
        raise LdsError("not inside a git repository", hint="for all your repositories: git lds trust --global ADDRESS")
    return "--global" if for_all else "--local"


def _checked(address: str) -> str:
    if "://" not in address and (not address or address.startswith("-") or not address.isprintable()):
        raise UsageError(f"{address!r} is not the address of a store", hint="git lds trust https://… (or a directory)")
    address = _absolute(address)
    open_backend(address).close()
    return tidied(address)


def _absolute(address: str) -> str:
    """Return the absolute path of a directory, and any other address as it is."""
    return address if not address or "://" in address else os.path.abspath(os.path.expanduser(address))

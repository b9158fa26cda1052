"""The user's consent: which stores may be read from, which may be copied from, and where a push may send objects.

Anyone who can commit to a repository can name a store in `.ldsconfig` and `.ldsdeps`, and can commit a pointer to any object.
A store that only these files name is therefore used as far as that can do no harm, and beyond that only with the user's
consent: the user typed its URL (`git lds init --store`, git's configuration, the environment) or trusted it (`git lds trust`,
kept as `lds.trust`).
"""

from __future__ import annotations

import os
import posixpath
import re
from functools import cached_property

from git_lds.config.settings import Settings, StoreSetting
from git_lds.errors import ConsentNeeded
from git_lds.fast_typing import TYPE_CHECKING
from git_lds.git import remotes
from git_lds.hosts import is_private

if TYPE_CHECKING:
    from pathlib import Path

TRUST = "lds.trust"
"""The key of git's configuration that lists trusted URLs; each stands for all stores at or below it."""

_HOST = re.compile(r"[a-z][a-z0-9+.-]*://(?:[^/?#@]*@)?(\[[^\]]*\]|[^/:?#]*)", re.IGNORECASE)
_BUCKETS = ("s3", "gs", "az")
_HOSTED = ("http", "https", "ssh", "git")
_SCP_LIKE = re.compile(r"(?:[^/:]*@)?(\[[^\]]*\]|[^/:]+):")


class Consent:
    """The consent of the user of one repository, as its settings record it."""

    def __init__(self, settings: Settings, git_dir: Path) -> None:
        self._settings = settings
        self._git_dir = git_dir

    def trusts(self, url: str) -> bool:
        """Return whether the user trusts the store at `url`: by its URL, or by one above it."""
        wanted = normalized(url)
        trusted = (normalized(value) for value, _ in self._settings.config.get(TRUST, ()) if value)
        return any(wanted == base or wanted.startswith(base.rstrip("/") + "/") for base in trusted)

    def may_ask(self, setting: StoreSetting) -> bool:
        """Return whether the store may be read from.

        A directory, and a host of this machine or of a private network, may not if only a committed file names it, unless
        a git remote of the repository is local or private as well.
        """
        return setting.trusted or not is_inside(setting.url) or self.trusts(setting.url) or self._has_inside_remote

    def may_copy(self, setting: StoreSetting) -> bool:
        """Return whether a push may copy objects from the store to another one, also with the user's credentials."""
        own = setting.trusted or setting.url == self._settings.committed.store or self.trusts(setting.url)
        return own and self.may_ask(setting)

    def may_copy_what_is_public(self, setting: StoreSetting, target: str) -> bool:
        """Return whether a push to the store at `target` may copy objects that the store of `setting` gives to everybody.

        Objects that a server of a private network gives to everybody there are not public elsewhere.
        """
        if not setting.url.lower().startswith(("http://", "https://")) or not self.may_ask(setting):
            return False
        return not is_inside(setting.url) or is_inside(target)

    @cached_property
    def _has_inside_remote(self) -> bool:
        names = self._settings.remotes()
        if not names:
            # without a remote only `git pull URL` brings files of others
            fetched = remotes.fetched_urls(self._git_dir)
            return not fetched or any(map(is_inside, fetched))
        urls = [self._settings.config[f"remote.{name}.url"][-1][0] for name in names]
        if any(map(is_inside, urls)):
            return True
        # the user's `url.<base>.insteadOf` may rewrite them
        rewritten = [remotes.fetch_url(self._settings.git, name) for name in names]
        return any(is_inside(url) for url in rewritten if url and url not in urls)


def not_asked(setting: StoreSetting) -> ConsentNeeded:
    """Return the error for a store that may not be read from."""
    return ConsentNeeded(
        f"{setting.url} is on this machine or a private network, and only {setting.origin} names it: it was not asked",
        setting.url,
    )


def is_inside(url: str) -> bool:
    """Return whether a store or repository is a directory, or on a host of this machine or of a private network."""
    scheme = url.partition(":")[0].lower()
    if scheme in _BUCKETS and "://" in url:
        return False
    if (named := _HOST.match(url)) is not None:
        return scheme not in _HOSTED or is_private(named[1])
    if "://" not in url and (named := _SCP_LIKE.match(url)) is not None and not os.path.exists(url):
        return is_private(named[1])
    return True


def is_directory(url: str) -> bool:
    """Return whether the URL of a store is a directory of this machine."""
    return "://" not in url or url.lower().startswith("file:")


def normalized(url: str) -> str:
    """Return the URL of a store in the form in which it is compared: a directory as a path, no slash at the end."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme.lower() != "file":
        host, slash, path = rest.partition("/")
        # a client may follow dots before the server sees them
        path = posixpath.normpath("/" + path.replace("%2e", ".").replace("%2E", ".")) if slash else ""
        return f"{scheme.lower()}://{host.lower()}{path}".rstrip("/")
    return os.path.normpath("/" + (rest.removeprefix("localhost") if separator else url).lstrip("/"))

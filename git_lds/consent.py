"""What the user agreed to: which stores may be asked, which may be copied from, and where a push may send objects.

Anyone who can commit to a repository can name a store in `.ldsconfig` and `.ldsdeps`, and can commit a pointer to any object.
So what these files name is used only as far as it can do no harm, and beyond that only with the user's consent: what the user
typed (`git lds init --store`, git's configuration, the environment) or trusted (`git lds trust`, kept as `lds.trust`).
"""

from __future__ import annotations

import os
import posixpath
import re
from functools import cached_property

from git_lds.config.settings import Settings, StoreSetting
from git_lds.errors import ConsentNeeded
from git_lds.git.run import Git
from git_lds.hosts import is_private

TRUST = "lds.trust"
"""The key of git's configuration that lists trusted addresses; each stands for all stores at or below it."""

_HOST = re.compile(r"[a-z][a-z0-9+.-]*://(?:[^/?#@]*@)?(\[[^\]]*\]|[^/:?#]*)", re.IGNORECASE)
_BUCKETS = ("s3", "gs", "az")
_HOSTED = ("http", "https", "ssh", "git")
_SCP_LIKE = re.compile(r"(?:[^/:]*@)?(\[[^\]]*\]|[^/:]+):")


class Consent:
    """The consent of one repository's user, as its settings say it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def trusts(self, url: str) -> bool:
        """Return whether the user trusts the store at `url`: by its address, or by one above it."""
        asked = tidied(url)
        trusted = (tidied(said) for said, _ in self._settings.config.get(TRUST, ()) if said)
        return any(asked == each or asked.startswith(each.rstrip("/") + "/") for each in trusted)

    def may_ask(self, setting: StoreSetting) -> bool:
        """Return whether the store may be read from.

        A directory, and a host of this machine or of a private network, may not if only a committed file names it, unless
        a git remote of the repository is at such a place as well.
        """
        return setting.trusted or not is_inside(setting.url) or self.trusts(setting.url) or self._has_inside_remote

    def may_copy(self, setting: StoreSetting) -> bool:
        """Return whether a push may copy objects from the store to another one, with the user's credentials if need be."""
        own = setting.trusted or setting.url == self._settings.committed.store or self.trusts(setting.url)
        return own and self.may_ask(setting)

    def may_copy_what_is_public(self, setting: StoreSetting, target: str) -> bool:
        """Return whether a push to the store at `target` may copy what the store of `setting` gives without credentials.

        What a server of a private network gives to everybody there is not public elsewhere.
        """
        if not setting.url.lower().startswith(("http://", "https://")) or not self.may_ask(setting):
            return False
        return not is_inside(setting.url) or is_inside(target)

    @cached_property
    def _has_inside_remote(self) -> bool:
        remotes = self._settings.remotes()
        if not remotes:
            # then nobody else's files are here, but for what `git pull URL` brought
            fetched = _fetched_from(self._settings.git)
            return not fetched or any(map(is_inside, fetched))
        urls = [self._settings.config[f"remote.{name}.url"][-1][0] for name in remotes]
        if any(map(is_inside, urls)):
            return True
        # what the user's `url.<base>.insteadOf` makes of them
        real = [self._settings.git.maybe("ls-remote", "--get-url", "--", name) for name in remotes]
        return any(is_inside(url) for url in real if url and url not in urls)


def _fetched_from(git: Git) -> list[str]:
    """Return the addresses that the last `git fetch` was from, as FETCH_HEAD names them: "<id> <tab> <notes> of <address>"."""
    path = git.maybe("rev-parse", "--git-path", "FETCH_HEAD")
    try:
        with open(
            os.path.join(os.fsdecode(git.cwd or ""), path or ""), encoding="utf-8", errors="surrogateescape"
        ) as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    return [line.rpartition(" of ")[2] for line in lines if "\t" in line]


def not_asked(setting: StoreSetting) -> ConsentNeeded:
    """Return the error for a store that `may_ask` says no to."""
    return ConsentNeeded(
        f"{setting.url} is on this machine or a private network, and only {setting.origin} names it: it was not asked",
        setting.url,
    )


def is_inside(url: str) -> bool:
    """Return whether the address of a store or repository is a directory, or on a host that not everybody can reach."""
    scheme = url.partition(":")[0].lower()
    if scheme in _BUCKETS and "://" in url:
        return False
    if (named := _HOST.match(url)) is not None:
        return scheme not in _HOSTED or is_private(named[1])
    if "://" not in url and (named := _SCP_LIKE.match(url)) is not None and not os.path.exists(url):
        return is_private(named[1])
    return True


def is_directory(url: str) -> bool:
    """Return whether the address of a store is a directory of this machine."""
    return "://" not in url or url.lower().startswith("file:")


def tidied(url: str) -> str:
    """Return the address of a store in the form in which it is compared: a directory as a path, no slash at the end."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme.lower() != "file":
        host, slash, path = rest.partition("/")
        # dots lead elsewhere, and a client may follow them before the server sees them
        path = posixpath.normpath("/" + path.replace("%2e", ".").replace("%2E", ".")) if slash else ""
        return f"{scheme.lower()}://{host.lower()}{path}".rstrip("/")
    return os.path.normpath("/" + (rest.removeprefix("localhost") if separator else url).lstrip("/"))

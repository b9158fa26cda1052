"""The URLs of git repositories that may be used: https, ssh, git, http on loopback, and local paths that the user allowed.

A URL may come from `.ldsdeps`, which anyone who can change the repository can change. So there is a list of what is allowed;
`ext::`, `fd::` and all other helpers of git are not on it, and GIT_ALLOW_PROTOCOL holds git itself to it.

This applies to all communication with upstream. git commands in the user's own repository use only the user's own remotes,
and are not restricted.

A local path in a hostile clone's `.ldsdeps` could name any directory of the user's machine. It is used only if the user
named it as the argument of their own `import`, which records it in the repository's own git configuration (`lds.allowlocal`,
one value for each path). No clone can write that.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from git_lds.errors import LdsError
from git_lds.repo import Repo
from git_lds.urls import has_control_character

ALLOW_LOCAL = "lds.allowlocal"
SUPPORTED = "supported are https://…, ssh://…, user@host:path, git://…, and http:// on this machine"

_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<authority>[^/]*)(?P<path>/.*)?", re.DOTALL)
_HOST = r"(?P<host>[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])"
_AUTHORITY = re.compile(rf"(?:(?P<user>[A-Za-z0-9_.~+%][A-Za-z0-9_.~+%-]*)@)?{_HOST}(?P<port>:[0-9]{{1,5}})?")
_SCP_LIKE = re.compile(rf"(?:[A-Za-z0-9_.~+][A-Za-z0-9_.~+-]*@)?{_HOST}:(?P<path>[^-:].*)", re.DOTALL)
_LOOPBACK = re.compile(r"localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]")
_UNSAFE = re.compile(r"[\x00-\x20\x7f\"<>\\^`{|}]")
"""Characters that are not allowed in a URL, and that programs treat differently."""


@dataclass(frozen=True, slots=True)
class Transport:
    """A URL that may be used, with git's name of its protocol; `directory` is that of a local repository."""

    url: str
    protocol: str
    directory: Path | None = None


def parse(url: str) -> Transport:
    """Return the transport for the repository at `url`. Raises LdsError, in one line, for a URL that is not allowed."""
    if not url or len(url) > 4096 or url.startswith("-") or not all(c == " " or c.isprintable() for c in url):
        raise LdsError(f"{without_credentials(url)} is not the URL of a repository", SUPPORTED)
    if has_password(url):
        raise LdsError(
            f"{without_credentials(url)}: the URL of a repository must not hold a password",
            "leave it out: git's credential helpers are asked, see git help credentials",
        )
    if re.match(r"[A-Za-z0-9+.-]*::", url):
        raise LdsError(
            f"{without_credentials(url)} would start a helper program of git, which is not allowed", SUPPORTED
        )
    if os.path.isabs(url):
        return Transport(url, "file", Path(url))
    if "://" in url:
        return _of_url(url)
    if _is_scp_like(url) and _SCP_LIKE.fullmatch(url) and not _UNSAFE.search(url):
        return Transport(url, "ssh")
    raise LdsError(f"{without_credentials(url)} is not the URL of a repository", SUPPORTED)


def _of_url(url: str) -> Transport:
    found = _URL.fullmatch(url)
    scheme = found["scheme"] if found else ""
    if found is None or scheme not in ("https", "ssh", "git", "http", "file"):
        raise LdsError(
            f"{without_credentials(url)}: {scheme or 'this'} is not a transport that git-lds uses", SUPPORTED
        )
    if scheme == "file":
        if found["authority"] or not found["path"] or has_control_character(url):
            raise LdsError(f"{without_credentials(url)}: a file URL is written file:///path")
        return Transport(url, "file", Path(unquote(found["path"])))
    authority = _AUTHORITY.fullmatch(found["authority"])
    if authority is None or not found["path"] or _UNSAFE.search(url) or has_control_character(url):
        raise LdsError(f"{without_credentials(url)} is not the URL of a repository", SUPPORTED)
    if scheme == "http" and not _LOOPBACK.fullmatch(authority["host"]):
        raise LdsError(
            f"{without_credentials(url)}: http is used only on this machine, for anyone on the way can change what it brings",
            "use https",
        )
    return Transport(url, scheme)


def _is_scp_like(url: str) -> bool:
    """Return whether a URL is host:path, as git decides (connect.c, url_is_local_not_ssh): a colon before the first slash."""
    return ":" in url.split("/")[0]


def named_by_user(url: str, cwd: Path) -> str:
    """Return the URL that the user's own command names. A path, which is relative to `cwd`, is made absolute."""
    if "://" in url or "::" in url or _is_scp_like(url) or url.startswith("-") or not url:
        return url
    return os.path.abspath(os.path.join(cwd, url))


def has_password(url: str) -> bool:
    """Return whether a URL holds a password, which would end up in files, messages and logs."""
    found = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)@", url)
    return found is not None and ":" in unquote(found[1])


def without_credentials(url: str) -> str:
    """Return a URL for a message: one short line without a password."""
    plain = "".join(c if c.isprintable() else "?" for c in re.sub(r"//[^/?#]*@", "//", url))
    return plain if len(plain) <= 200 else plain[:197] + "…"


def check_allowed(transport: Transport, repo: Repo) -> None:
    """Raise LdsError if the URL is a local path that the user of the repository never allowed."""
    if transport.directory is not None and not _is_allowed(transport, repo):
        raise LdsError(
            f"the local path {without_credentials(transport.url)} was not named by you but by .ldsdeps, so it is not used",
            f"if you trust it: git config --add {ALLOW_LOCAL} {shlex.quote(transport.url)}",
        )


def allow(transport: Transport, repo: Repo) -> None:
    """Record in the repository's own git configuration that its user named this local path.

    Raises GitFailed if the configuration cannot be written.
    """
    if transport.directory is not None and not _is_allowed(transport, repo):
        repo.settings.add(ALLOW_LOCAL, transport.url)


def _is_allowed(transport: Transport, repo: Repo) -> bool:
    return any(url == transport.url for url, _ in repo.settings.config.get(ALLOW_LOCAL, ()))


def environment(transport: Transport, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that hold git to this transport, also in redirects. Raises LdsError if the user forbids it."""
    before = inherited.get("GIT_ALLOW_PROTOCOL")
    if before is not None and transport.protocol not in before.split(":"):
        raise LdsError(f"{without_credentials(transport.url)}: GIT_ALLOW_PROTOCOL does not allow {transport.protocol}")
    return {"GIT_ALLOW_PROTOCOL": transport.protocol}

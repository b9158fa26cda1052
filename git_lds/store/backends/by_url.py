"""Opens the backend that an address names: http(s)://…, a bucket, or a directory, as file:///… or an absolute path.

What a kind of store needs is loaded when one is opened: who only names a store, as `git lds status` does, pays for none.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from git_lds.errors import UsageError
from git_lds.fast_typing import TYPE_CHECKING
from git_lds.urls import has_control_character

if TYPE_CHECKING:
    from git_lds.store.backends.contract import Backend, CredentialSource

SUPPORTED = "a store is https://…, http://…, s3://…, gs://…, az://…, file:///… or the absolute path of a directory"


def open_backend(url: str, authorise: CredentialSource | None = None) -> Backend:
    """Return the backend for the store at `url`; nothing is asked of it yet.

    Raises UsageError for any other kind of address, and for one that holds a user or password: those would end up in
    configuration files, messages and logs.
    """
    if Path(url).is_absolute():
        return _open_directory(Path(url))
    if " " in url or has_control_character(url):
        raise UsageError(
            f"{url!r} is not the address of a store: it holds spaces or control characters", hint=SUPPORTED
        )
    try:
        parts = urlsplit(url)
        _ = parts.port  # parsed, and refused, on demand
    except ValueError as error:
        raise UsageError(f"{without_secrets(url)} is not the address of a store: {error}", hint=SUPPORTED) from None
    if parts.scheme in ("http", "https"):
        _check_plain(url, parts, "git's credential helpers are asked, see `git help credentials`")
        return _open_http(url, authorise)
    if parts.scheme in ("s3", "gs", "az"):
        _check_plain(url, parts, "they are asked of the environment")
        return _open_cloud(url)
    if parts.scheme == "file":
        return _open_file(url, parts)
    raise UsageError(f"{without_secrets(url)} is not the address of a store", hint=SUPPORTED)


def without_secrets(url: str) -> str:
    """Return `url` for a message: without the user and password that it may hold."""
    return re.sub(r"//[^/?#]*@", "//", url)


def _check_plain(url: str, parts: SplitResult, asked: str) -> None:
    """Raise UsageError for an address that is more than a host and a path; `asked` says who is asked for credentials."""
    if "@" in parts.netloc:
        raise UsageError(
            f"{without_secrets(url)}: the address of a store must not hold a user or password",
            hint=f"leave them out: {asked}",
        )
    if not parts.hostname:
        raise UsageError(f"{url} names no host", hint=SUPPORTED)
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise UsageError(f"{url}: the address of a store ends with its path, without ? or #")


def _open_directory(path: Path) -> Backend:
    from git_lds.store.backends.directory import Directory

    return Directory(path)


def _open_http(url: str, authorise: CredentialSource | None) -> Backend:
    from git_lds.store.backends.http import Http  # late: 25 ms, for ssl and email come with it

    return Http(url, authorise)


def _open_cloud(url: str) -> Backend:
    from git_lds.store.backends.bucket import BucketBackend

    return BucketBackend(url)


def _open_file(url: str, parts: SplitResult) -> Backend:
    if parts.netloc not in ("", "localhost"):
        raise UsageError(f"{without_secrets(url)}: a file:// address names no host", hint="write file:///path")
    from urllib.request import url2pathname  # late: 25 ms, for ssl and email come with it

    path = Path(url2pathname(parts.path))
    if not path.is_absolute() or parts.query or parts.fragment or "\0" in str(path):
        raise UsageError(f"{url} is not an absolute path", hint="write file:///path")
    return _open_directory(path)

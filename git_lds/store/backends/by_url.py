"""Opens the backend for a URL: http(s)://…, a bucket, or a directory, as file:///… or an absolute path.

The libraries of a kind of store are loaded when one is opened: `git lds status`, which only names stores, loads none.
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
    """Return the backend for the store at `url`, without any request yet.

    Raises UsageError for any other kind of URL, and for one with a user or password, which would end up in configuration files,
    messages and logs.
    """
    if Path(url).is_absolute():
        return _open_directory(Path(url))
    if " " in url or has_control_character(url):
        raise UsageError(f"{url!r} is not the URL of a store: it contains spaces or control characters", hint=SUPPORTED)
    try:
        parts = urlsplit(url)
        _ = parts.port  # parsed, and refused, on demand
    except ValueError as error:
        raise UsageError(f"{without_secrets(url)} is not the URL of a store: {error}", hint=SUPPORTED) from None
    if parts.scheme in ("http", "https"):
        _check_plain(url, parts, "credentials come from git's credential helpers, see `git help credentials`")
        return _open_http(url, authorise)
    if parts.scheme in ("s3", "gs", "az"):
        _check_plain(url, parts, "credentials come from the environment")
        return _open_cloud(url)
    if parts.scheme == "file":
        return _open_file(url, parts)
    raise UsageError(f"{without_secrets(url)} is not the URL of a store", hint=SUPPORTED)


def without_secrets(url: str) -> str:
    """Return `url` for a message, without user and password."""
    return re.sub(r"//[^/?#]*@", "//", url)


def _check_plain(url: str, parts: SplitResult, asked: str) -> None:
    """Raise UsageError for a URL that is more than host and path; `asked` says where credentials come from."""
    if "@" in parts.netloc:
        raise UsageError(
            f"{without_secrets(url)}: the URL of a store must not contain a user or password",
            hint=f"leave them out: {asked}",
        )
    if not parts.hostname:
        raise UsageError(f"{url} has no host", hint=SUPPORTED)
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise UsageError(f"{url}: the URL of a store ends with its path, without ? or #")


def _open_directory(path: Path) -> Backend:
    from git_lds.store.backends.directory import Directory

    return Directory(path)


def _open_http(url: str, authorise: CredentialSource | None) -> Backend:
    from git_lds.store.backends.http import Http  # late: 25 ms, as it loads ssl and email

    return Http(url, authorise)


def _open_cloud(url: str) -> Backend:
    from git_lds.store.backends.bucket import BucketBackend

    return BucketBackend(url)


def _open_file(url: str, parts: SplitResult) -> Backend:
    if parts.netloc not in ("", "localhost"):
        raise UsageError(f"{without_secrets(url)}: a file:// URL has no host", hint="write file:///path")
    from urllib.request import url2pathname  # late: 25 ms, as it loads ssl and email

    path = Path(url2pathname(parts.path))
    if not path.is_absolute() or parts.query or parts.fragment or "\0" in str(path):
        raise UsageError(f"{url} is not an absolute path", hint="write file:///path")
    return _open_directory(path)

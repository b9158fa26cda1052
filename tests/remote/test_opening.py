"""Which addresses open which backend, and which none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from git_lds.errors import UsageError
from git_lds.remote.directory import Directory
from git_lds.remote.http import Http
from git_lds.remote.opening import open_backend


@pytest.mark.parametrize("url", ["http://127.0.0.1:8420/grogu", "https://example.org/a/b", "http://[::1]:1/x/"])
def test_http_addresses(url: str) -> None:
    backend = open_backend(url)
    assert isinstance(backend, Http)
    assert backend.url == url.rstrip("/")
    backend.close()


def test_folders(tmp_path: Path) -> None:
    folder = tmp_path / "a store %41"
    for url in (str(folder), folder.as_uri(), f"file://localhost{folder.as_uri()[7:]}"):
        backend = open_backend(url)
        assert isinstance(backend, Directory)
        assert backend.root == folder


@pytest.mark.parametrize(
    "url",
    ["", "store", "./store", "-x", "s3://bucket/x", "ssh://host/x", "git@host:x", "ext::sh -c touch", "file:relative",
     "file://host/share", "http://", "http:///x", "https://example.org/?x", "https://example.org/#x",
     "https://example.org/?", "https://example.org:port/", "https://example.org:99999/", "https://exa mple.org/",
     "https://example.org/\n", "https://example.org\r\nX: y/", "file:///a%00b", "http://[::1/", "https://\\example.org@h"],
)  # fmt: skip
def test_everything_else_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        open_backend(url)


@pytest.mark.parametrize("url", ["https://ada:secret@example.org/x", "http://secret@127.0.0.1/", "ftp://a:secret@h/x"])
def test_secrets_in_an_address_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_backend(url)
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"


def test_httpx_loads_only_for_http() -> None:
    code = (
        "import sys; from git_lds.remote.opening import open_backend; open_backend('/tmp/x');"
        "assert 'httpx' not in sys.modules; open_backend('http://127.0.0.1/x'); assert 'httpx' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

"""Which addresses open which backend, and which none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from git_lds.errors import UsageError
from git_lds.store.backends.bucket import BucketBackend
from git_lds.store.backends.by_url import open_backend
from git_lds.store.backends.directory import Directory
from git_lds.store.backends.http import Http


@pytest.mark.parametrize("url", ["http://127.0.0.1:8420/grogu", "https://example.org/a/b", "http://[::1]:1/x/"])
def test_http_addresses(url: str) -> None:
    backend = open_backend(url)
    assert isinstance(backend, Http)
    assert backend.url == url.rstrip("/")
    backend.close()


def test_directories(tmp_path: Path) -> None:
    directory = tmp_path / "a store %41"
    for url in (str(directory), directory.as_uri(), f"file://localhost{directory.as_uri()[7:]}"):
        backend = open_backend(url)
        assert isinstance(backend, Directory)
        assert backend.root == directory


@pytest.mark.parametrize(
    "url",
    ["", "store", "./store", "-x", "s3:bucket", "s3a://bucket/x", "ssh://host/x", "git@host:x", "ext::sh -c touch",
     "file:relative", "file://host/share", "http://", "http:///x", "https://example.org/?x", "https://example.org/#x",
     "https://example.org/?", "https://example.org:port/", "https://example.org:99999/", "https://exa mple.org/",
     "https://example.org/\n", "https://example.org\r\nX: y/", "file:///a%00b", "http://[::1/", "https://\\example.org@h",
     "s3://", "s3:///x", "s3://b/x", "s3://bucket/?x", "s3://bucket/x#y", "gs://bucket/?", "az://box/a//b", "s3://bucket:80/x",
     "s3://bucket/../x", "s3://bucket/./x", "s3://bucket/%2e%2e/x", "s3://bucket/a b", "s3://bucket/é", "s3://buck%65t/x"],
)  # fmt: skip
def test_everything_else_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        open_backend(url)


@pytest.mark.parametrize(
    "url",
    ["https://ada:secret@example.org/x", "http://secret@127.0.0.1/", "ftp://a:secret@h/x", "s3://ada:secret@bucket/x"],
)
def test_secrets_in_an_address_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_backend(url)
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("url", ["s3://my-bucket/a/b", "s3://my.bucket", "gs://bucket/team_1/x~y+z=1", "az://box/x/"])
def test_addresses_of_buckets(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "someone")
    backend = open_backend(url)
    assert isinstance(backend, BucketBackend)
    assert (backend.url, backend.requests) == (url.rstrip("/"), 0)
    backend.close()


@pytest.mark.parametrize(("module", "url"), [("httpx", "http://127.0.0.1/x"), ("obstore", "s3://bucket/x")])
def test_backends_load_their_libraries_only_when_used(module: str, url: str) -> None:
    code = (
        "import sys; from git_lds.store.backends.by_url import open_backend; open_backend('/tmp/x');"
        f"assert {module!r} not in sys.modules; open_backend({url!r}); assert {module!r} in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

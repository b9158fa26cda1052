"""Addresses: the few kinds that are used, and all others refused in one line before git hears of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.work import Work

from git_lds.deps.manifest import transports
from git_lds.errors import LdsError
from git_lds.repo import Repo


@pytest.mark.parametrize(
    ("url", "protocol"),
    [
        ("https://example.org/a.git", "https"),
        ("https://user@example.org:8443/org/a%20b.git", "https"),
        ("https://[2001:db8::1]/a", "https"),
        ("ssh://git@example.org:22/~me/a.git", "ssh"),
        ("git@example.org:org/a.git", "ssh"),
        ("example.org:a", "ssh"),
        ("[::1]:a", "ssh"),
        ("git://example.org/a", "git"),
        ("http://127.0.0.1:8000/a", "http"),
        ("http://localhost/a", "http"),
        ("http://[::1]:80/a", "http"),
        ("/srv/a b.git", "file"),
        ("file:///srv/a%20b.git", "file"),
    ],
)
def test_allowed(url: str, protocol: str) -> None:
    assert transports.parse(url).protocol == protocol


@pytest.mark.parametrize(
    "url",
    [
        "",
        "-oProxyCommand=touch x",
        "--upload-pack=touch x",
        "ext::sh -c 'touch x'",
        "fd::3",
        "file::/srv/a",
        "EXT::sh",
        "a+b::c",
        "::x",
        "http://example.org/a",
        "http://127.0.0.1.example.org/a",
        "http://localhost.example.org/a",
        "http://127.0.0.1@example.org/a",
        "http://example.org\\@127.0.0.1/a",
        "http://example.org#@127.0.0.1/a",
        "http://0x7f.1/a",
        "ftp://example.org/a",
        "ftps://example.org/a",
        "HTTPS://example.org/a",
        "rsync://example.org/a",
        "git+ssh://example.org/a",
        "ssh://-oProxyCommand=x/a",
        "ssh://-x@example.org/a",
        "-x@example.org:a",
        "example.org:-x",
        "ssh://example.org",
        "https:///a",
        "https://user:password@example.org/a",
        "https://user%3Apassword@example.org/a",
        "https://example.org/a%0ahost=evil",
        "https://example.org/a%0D%0A",
        "https://example.org/a%00",
        "https://exa%0ample.org/a",
        "https://example.org/a\nb",
        "https://example.org/a b",
        "https://example.org:99999999/a",
        "file://host/a",
        "file:///srv/a%0ab",
        "file://",
        "../a",
        "a",
        "a/b:c",
        "~/a",
        "/srv/a\nb",
        "/srv/\x1b[31m",
        "https://" + "a" * 5000 + "/",
    ],
)
def test_refused_in_one_line(url: str) -> None:
    with pytest.raises(LdsError) as refused:
        transports.parse(url)
    assert "\n" not in refused.value.message and "\x1b" not in refused.value.message
    assert "password@" not in refused.value.message and ":password" not in refused.value.message


@given(st.text(max_size=60) | st.text("htps:/@-.[]1a%0\\#?~ ", max_size=40))
def test_any_text_is_a_transport_or_an_error_of_ours(url: str) -> None:
    try:
        found = transports.parse(url)
    except LdsError as error:
        assert "\n" not in error.message
    else:
        assert not url.startswith("-") and "::" not in url.split("/")[0].split("[")[0]
        assert found.protocol in ("https", "ssh", "git", "http", "file")


def test_a_path_that_the_user_names_is_relative_to_where_they_are() -> None:
    here = Path("/home/ada/b")
    assert transports.named_by_user("../a", here) == "/home/ada/a"
    assert transports.named_by_user("/a", here) == "/a"
    for url in ("https://h/a", "git@h:a", "ext::sh", "-x"):
        assert transports.named_by_user(url, here) == url


def test_a_local_path_is_used_only_when_the_user_allowed_it(work: Work) -> None:
    local = transports.parse("/srv/it's here.git")
    with Repo.here(work.path) as repo:
        with pytest.raises(LdsError) as refused:
            transports.check_allowed(local, repo)
        assert refused.value.hint is not None and "git config --add lds.allowlocal" in refused.value.hint
        transports.allow(local, repo)
        transports.allow(local, repo)
        transports.allow(transports.parse("file:///srv/b"), repo)
        transports.check_allowed(local, repo)
        transports.check_allowed(transports.parse("file:///srv/b"), repo)
        assert work.git("config", "--get-all", "lds.allowlocal").splitlines() == ["/srv/it's here.git", "file:///srv/b"]
        with pytest.raises(LdsError):
            transports.check_allowed(transports.parse("/srv/it's here.git/"), repo)
        transports.check_allowed(transports.parse("https://example.org/a"), repo)


def test_git_is_held_to_the_transport_and_to_what_the_user_allows() -> None:
    https = transports.parse("https://example.org/a")
    assert transports.environment(https, {}) == {"GIT_ALLOW_PROTOCOL": "https"}
    assert transports.environment(https, {"GIT_ALLOW_PROTOCOL": "ssh:https"}) == {"GIT_ALLOW_PROTOCOL": "https"}
    with pytest.raises(LdsError, match="GIT_ALLOW_PROTOCOL"):
        transports.environment(https, {"GIT_ALLOW_PROTOCOL": "ssh"})

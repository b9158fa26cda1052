"""Settings: the environment over git's config over the committed file, and what an untrusted file may say."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.work import Work

from git_lds import toml
from git_lds.config.settings import (
    LdsConfig,
    Settings,
    StoreSetting,
    dependency_stores,
    parse_config,
    store_directory_of,
)
from git_lds.errors import LdsError
from git_lds.git.run import Git


def settings_of(work: Work, committed: LdsConfig | None = None, **environment: str) -> Settings:
    return Settings(Git(work.path), environment, lambda: committed or LdsConfig())


@pytest.fixture
def plain(tmp_path: Path, world: Path) -> Work:
    work = Work(tmp_path / "plain")
    work.path.mkdir()
    work.git("init", "-q")
    return work


def test_the_environment_is_over_git_s_config_and_that_over_the_committed_file(plain: Work) -> None:
    committed = LdsConfig(store="https://example.org/committed")
    plain.git("remote", "add", "origin", "https://example.org/git")
    assert settings_of(plain, committed).store_for("origin") == StoreSetting(
        "https://example.org/committed", ".ldsconfig", trusted=False
    )
    plain.git("config", "lds.store", "https://example.org/all")
    found = settings_of(plain, committed).store_for("origin")
    assert found is not None and found.url == "https://example.org/all" and found.trusted and "config" in found.origin
    plain.git("config", "remote.origin.ldsstore", "https://example.org/origin")
    found = settings_of(plain, committed).store_for("origin")
    assert found is not None and found.url == "https://example.org/origin"
    other = settings_of(plain, committed).store_for("https://example.org/elsewhere")
    assert other is not None and other.url == "https://example.org/all"
    found = settings_of(plain, committed, GIT_LDS_STORE="https://example.org/now").store_for("origin")
    assert found == StoreSetting("https://example.org/now", "GIT_LDS_STORE", trusted=True)


def test_further_stores_are_read_in_order_and_each_once(plain: Work) -> None:
    plain.git("config", "lds.store", "https://example.org/mine")
    committed = LdsConfig(
        store="https://example.org/ours", read=("https://example.org/old", "https://example.org/mine")
    )
    urls = [setting.url for setting in settings_of(plain, committed).read_stores(None)]
    assert urls == ["https://example.org/mine", "https://example.org/ours", "https://example.org/old"]
    assert settings_of(plain).read_stores("unknown") != []


def test_without_any_setting_there_is_no_store(plain: Work) -> None:
    assert settings_of(plain).store_for(None) is None and settings_of(plain).read_stores(None) == []
    plain.git("remote", "add", "origin", "https://example.org/git")
    assert settings_of(plain).store_for(None) is None


@pytest.mark.parametrize("form", ["{}", "file://{}", "relative", "without .git", "working tree"])
def test_a_remote_that_is_a_local_path_has_its_store_in_its_directory_lds(
    plain: Work, tmp_path: Path, form: str
) -> None:
    bare = tmp_path / "remote.git"
    plain.git("init", "-q", "--bare", str(bare))
    url, directory = form.format(bare), bare / "lds"
    if form == "relative":
        url = "../remote.git"
    elif form == "without .git":
        url = str(tmp_path / "remote")
    elif form == "working tree":
        plain.git("init", "-q", str(tmp_path / "other"))
        url, directory = str(tmp_path / "other"), tmp_path / "other" / ".git" / "lds"
    plain.git("remote", "add", "origin", url)
    found = settings_of(plain).store_for("origin")
    assert found is not None and Path(found.url).resolve() == directory and found.trusted


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/x",
        "ssh://host/x",
        "host:path",
        "user@host:path/x.git",
        "ext::sh -c x",
        "",
        "/does/not/exist",
        "-x",
    ],
)
def test_a_remote_that_is_no_local_path_has_no_directory(url: str) -> None:
    assert store_directory_of(url, base="/") is None


def test_the_default_remote_is_the_branch_s_then_origin_then_the_only_one(plain: Work) -> None:
    assert settings_of(plain).default_remote() is None
    plain.git("remote", "add", "only", "https://example.org/only")
    assert settings_of(plain).default_remote() == "only"
    plain.git("remote", "add", "other", "https://example.org/other")
    assert settings_of(plain).default_remote() is None
    plain.git("remote", "add", "origin", "https://example.org/origin")
    assert settings_of(plain).default_remote() == "origin"
    plain.git("config", "branch.main.remote", "other")
    assert settings_of(plain).default_remote() == "other"
    plain.git("config", "branch.main.remote", ".")
    assert settings_of(plain).default_remote() == "origin"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1", True),
        ("true", True),
        ("yes", True),
        ("0", False),
        ("false", False),
        ("No", False),
        ("off", False),
        ("", False),
    ],
)
def test_skip_smudge_is_a_flag_in_any_of_git_s_spellings(plain: Work, value: str, expected: bool) -> None:
    """Behaviour 8."""
    assert settings_of(plain, GIT_LDS_SKIP_SMUDGE=value).skip_smudge is expected
    plain.git("config", "lds.skipsmudge", value)
    assert settings_of(plain).skip_smudge is expected
    plain.git("config", "lds.skipSmudge", "true")
    assert settings_of(plain, GIT_LDS_SKIP_SMUDGE="0").skip_smudge is False


def test_a_key_without_a_value_is_true(plain: Work) -> None:
    with open(plain.path / ".git" / "config", "a") as config:
        config.write("[lds]\n\tskipsmudge\n")
    assert settings_of(plain).skip_smudge is True


def test_patterns_come_from_one_source_alone(plain: Work) -> None:
    """Behaviour 7."""
    committed = LdsConfig(include=("a", "b"), exclude=("c",))
    assert (settings_of(plain, committed).include, settings_of(plain, committed).exclude) == (("a", "b"), ("c",))
    plain.git("config", "lds.fetchinclude", "x/**, y z ,,")
    assert settings_of(plain, committed).include == ("x/**", "y z")
    assert settings_of(plain, committed, GIT_LDS_EXCLUDE="*").exclude == ("*",)


def test_the_cache_is_where_the_user_says(plain: Work, world: Path) -> None:
    assert settings_of(plain, GIT_LDS_CACHE="/some/where").cache_dir == Path("/some/where")
    plain.git("config", "lds.cache", "~/mine")
    assert settings_of(plain).cache_dir == world / "mine"
    plain.git("config", "--unset", "lds.cache")
    assert settings_of(plain).cache_dir.name == "git-lds" and world in settings_of(plain).cache_dir.parents


@pytest.mark.parametrize(
    "said", [{}, {"XDG_CACHE_HOME": ""}, {"XDG_CACHE_HOME": "/else where"}, {"XDG_CACHE_HOME": "else"}, {"HOME": ""}]
)
def test_the_cache_is_where_the_platform_has_caches(
    said: dict[str, str], plain: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    assert settings_of(plain).cache_dir == platformdirs.user_cache_path("git-lds", appauthor=False)


@pytest.mark.parametrize(
    "text",
    [
        b"not toml",
        b"\xff\xfe",
        b'[store]\nurl = ""\n',
        b'[store]\nurl = "-oProxyCommand=x"\n',
        b'[store]\nurl = "https://example.org/\\u0000"\n',
        b'[store]\nurl = "https://example.org/\\nhost=evil"\n',
        b"[store]\nurl = 5\n",
        b'[store]\nread = "https://example.org"\n',
        b"[store]\nread = [1]\n",
        b'[store]\nread = ["--upload-pack=x"]\n',
        b"[fetch]\ninclude = true\n",
        b"[fetch]\nexclude = [[]]\n",
        b"a = " + b"[" * 5000,
        b"#" * (toml.MAX_SIZE + 1),
    ],
)
def test_a_committed_file_that_is_wrong_is_one_line_with_a_hint(text: bytes) -> None:
    """Behaviours 37 and 38."""
    with pytest.raises(LdsError) as raised:
        parse_config(text)
    assert raised.value.message.startswith(".ldsconfig") and "\n" not in raised.value.message and raised.value.hint


def test_only_listed_keys_of_a_committed_file_count() -> None:
    found = parse_config(
        b'top = 1\n[store]\nurl = "https://example.org"\ncommand = "rm -rf"\n[filter]\nprocess = "x"\n[fetch]\ninclude = ["a"]\n'
    )
    assert (found.store, found.include) == ("https://example.org", ("a",))
    assert sorted(found.ignored) == ["filter.process", "store.command", "top"]


@given(st.binary(max_size=300))
def test_any_committed_file_is_settings_or_one_error(data: bytes) -> None:
    try:
        parse_config(data)
    except LdsError:
        pass
    assert all(isinstance(url, str) for url in dependency_stores(data))


def test_the_stores_of_dependencies_are_listed_once_and_never_look_like_options() -> None:
    text = b"""
[deps.a]
store = "https://example.org/a"
read = ["https://example.org/b", "-x", "", 5, "line\\nbreak", "https://example.org/c%0ahost=evil"]
[deps."b c"]
store = "https://example.org/a"
[deps]
d = 5
"""
    assert dependency_stores(text.replace(b"[deps]\nd = 5\n", b"")) == [
        "https://example.org/a",
        "https://example.org/b",
    ]
    assert (
        dependency_stores(b"deps = 5") == []
        and dependency_stores(None) == []
        and dependency_stores(b"[deps.a]\nread = 5") == []
    )

"""`git lds init`: a store for the repository, the filter, the hook."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from kit.work import Work, pointer_of

from git_lds.git.run import Git
from git_lds.setup import hooks
from git_lds.setup.hooks import State


@pytest.fixture
def fresh(tmp_path: Path) -> Work:
    """A repository in a home where git-lds is not installed."""
    path = tmp_path / "fresh"
    path.mkdir()
    work = Work(path)
    work.git("init", "-q")
    return work


def store_of(work: Work) -> object:
    return tomllib.loads(work.read(".ldsconfig").decode())["store"]["url"]


def test_init_with_a_directory_makes_the_store_and_writes_its_address(fresh: Work, tmp_path: Path) -> None:
    fresh.lds("init", "--store", str(tmp_path / "store"))
    assert (tmp_path / "store/lds.toml").exists()
    assert fresh.read(".ldsconfig").decode() == f'[store]\nurl = "{tmp_path}/store"\n'
    assert "filter-process" in fresh.git("config", "--local", "filter.lds.process")
    assert hooks.look(Git(fresh.path)).state is State.OURS


def test_a_relative_directory_is_written_so_that_it_holds_from_anywhere(fresh: Work, tmp_path: Path) -> None:
    fresh.lds("init", "--store", "../a store")
    assert store_of(fresh) == f"{tmp_path}/a store"


def test_init_leaves_the_configuration_alone_where_git_lds_is_installed(fresh: Work, world: Path) -> None:
    fresh.lds("install")
    before = fresh.read(".git/config")
    fresh.lds("init")
    assert fresh.read(".git/config") == before


def test_init_again_changes_nothing_and_another_store_is_refused(fresh: Work, tmp_path: Path) -> None:
    fresh.lds("init", "--store", str(tmp_path / "one"))
    before = fresh.read(".ldsconfig")
    fresh.lds("init", "--store", str(tmp_path / "one"))
    fresh.lds("init")
    done = fresh.try_lds("init", "--store", str(tmp_path / "two"))
    assert done.returncode == 1 and f"{tmp_path}/one" in done.stderr and "hint: " in done.stderr
    assert fresh.read(".ldsconfig") == before


@pytest.mark.parametrize(
    "text",
    [
        "# about us\n[fetch]\ninclude = ['a/**'] # these\n",
        '[store] # where\nread = ["https://example.org/old"]\n\n[fetch]\n',
        "# no newline at the end",
        '[fetch]\nexclude = ["[store]"]',
        "[ store ]",
    ],
)
def test_what_else_is_in_ldsconfig_stays(fresh: Work, tmp_path: Path, text: str) -> None:
    fresh.write(".ldsconfig", text)
    fresh.lds("init", "--store", str(tmp_path / "store"))
    new = fresh.read(".ldsconfig").decode()
    assert all(line in new for line in text.splitlines())
    assert store_of(fresh) == str(tmp_path / "store")
    before = tomllib.loads(text)
    assert tomllib.loads(new) == {**before, "store": {**before.get("store", {}), "url": f"{tmp_path}/store"}}


def test_an_ldsconfig_that_cannot_be_added_to_is_left_and_the_line_is_said(fresh: Work, tmp_path: Path) -> None:
    text = 'store = {read = ["https://example.org/old"]}\n'
    fresh.write(".ldsconfig", text)
    done = fresh.try_lds("init", "--store", str(tmp_path / "store"))
    assert done.returncode == 1 and "url = " in done.stderr and "Traceback" not in done.stderr
    assert fresh.read(".ldsconfig").decode() == text


@pytest.mark.parametrize(
    "url", ["ftp://example.org/x", "http://u:p@example.org/x", "-x", "a\nb", "http://", "s3://b/x"]
)
def test_an_address_that_is_none_is_refused_and_nothing_is_written(fresh: Work, url: str) -> None:
    done = fresh.try_lds("init", f"--store={url}")
    assert done.returncode == 2 and done.stderr.startswith("git-lds: ")
    assert "u:p" not in done.stderr
    assert not (fresh.path / ".ldsconfig").exists()


def test_a_store_out_of_reach_is_a_warning(fresh: Work) -> None:
    done = fresh.try_lds("init", "--store", "http://127.0.0.1:9/x")
    assert done.returncode == 0 and "warning: " in done.stderr
    assert store_of(fresh) == "http://127.0.0.1:9/x"


def test_a_store_that_the_first_push_will_make_is_no_warning(fresh: Work, server: str) -> None:
    done = fresh.try_lds("init", "--store", f"{server}/new")
    assert done.returncode == 0 and "warning" not in done.stderr


def test_init_says_when_a_foreign_hook_is_in_the_way(fresh: Work, tmp_path: Path) -> None:
    fresh.write(".git/hooks/pre-push", "#!/bin/sh\n").chmod(0o755)
    fresh.write(".git/hooks/pre-push", "#!/bin/sh\nexit 0\n")
    done = fresh.try_lds("init", "--store", str(tmp_path / "store"))
    assert done.returncode == 1 and hooks.LINE in done.stderr
    assert fresh.read(".git/hooks/pre-push") == b"#!/bin/sh\nexit 0\n"


def test_init_outside_a_repository_says_so(tmp_path: Path) -> None:
    done = Work(tmp_path).try_lds("init")
    assert done.returncode == 1 and "hint: " in done.stderr


@pytest.mark.parametrize("bad", ["%0a", "%0A", "%0d", "%0D%0Ahost=evil", "%00", "%1b", "%7f", "\n", "\r"])
@pytest.mark.parametrize("place", ["http://127.0.0.1:9/x", "s3://bucket/x", "file://{directory}/x"])
def test_a_control_character_in_an_address_is_refused_by_every_way_in_and_nothing_is_written(
    fresh: Work, tmp_path: Path, place: str, bad: str
) -> None:
    (tmp_path / "stores").mkdir()
    url = place.format(directory=tmp_path / "stores") + bad + "y"
    before = sorted(path for path in tmp_path.rglob("*"))
    done = fresh.try_lds("init", "--store", url)
    assert done.returncode == 2 and "control characters" in done.stderr and done.stderr.count("\n") == 2, done.stderr
    assert sorted(path for path in tmp_path.rglob("*")) == before, "neither a file, a hook nor a store"
    assert fresh.try_git("config", "--local", "--get-regexp", "lds").stdout == ""

    fresh.write("a.txt", "a")
    fresh.write(".gitattributes", "*.bin filter=lds diff=lds merge=lds -text\n")
    fresh.write("a.bin", pointer_of(b"lost"))
    fresh.git("-c", "filter.lds.clean=cat", "add", ".")
    fresh.git("commit", "-qm", "pointer")
    for command, environment in ((("fetch",), {"GIT_LDS_STORE": url}), (("push",), {"GIT_LDS_STORE": url})):
        done = fresh.try_lds(*command, **environment)
        assert done.returncode in (1, 2) and "control characters" in done.stderr, done.stderr
    fresh.git("config", "lds.store", url)
    done = fresh.try_lds("push")
    assert done.returncode in (1, 2) and "control characters" in done.stderr, done.stderr
    fresh.git("config", "--unset", "lds.store")
    fresh.write(".ldsconfig", f"[store]\nurl = {json.dumps(url)}\n")
    done = fresh.try_lds("push")
    assert done.returncode == 1 and "store.url is not the URL of a store" in done.stderr, done.stderr
    assert list((tmp_path / "stores").iterdir()) == []


def test_a_directory_may_have_a_percent_sign_in_its_name(fresh: Work, tmp_path: Path) -> None:
    fresh.lds("init", "--store", str(tmp_path / "a%0ab"))
    assert store_of(fresh) == str(tmp_path / "a%0ab")

"""The commands that move objects and import paths: their wiring, their answers, their JSON. What they do is tested below."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.work import Work, random_bytes

from git_lds import hashing

SMALL, LARGE = random_bytes(1, 1_000), random_bytes(2, 400_000)


def oid(data: bytes) -> str:
    return f"blake3:{hashing.of_bytes(data).hex()}"


@pytest.fixture
def dataset(served: Work) -> Work:
    """Two files committed, nothing pushed."""
    served.write("images/a b.png", SMALL)
    served.write("large.bin", LARGE)
    served.commit("first")
    return served


@pytest.fixture
def pushed(dataset: Work) -> Work:
    dataset.git("push", "-q", "-u", "origin", "main")
    return dataset


@pytest.fixture
def pointers(pushed: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    """A clone that was made without its contents, and a cache that has none."""
    pushed.git("clone", "-q", str(tmp_path / "origin.git"), str(tmp_path / "clone"), GIT_LDS_SKIP_SMUDGE="1")
    monkeypatch.setenv("GIT_LDS_CACHE", str(tmp_path / "empty cache"))
    return Work(tmp_path / "clone")


def test_git_push_says_once_what_it_uploaded(dataset: Work) -> None:
    done = dataset.try_git("push", "-q", "origin", "main")
    assert re.search(r"git-lds: uploaded 2 files \(401\.0 kB\) to http://", done.stderr)
    dataset.write("plain.txt", "x")
    dataset.commit()
    assert "git-lds" not in dataset.try_git("push", "-q", "origin", "main").stderr


def test_push_dry_run_names_the_files_and_uploads_nothing(dataset: Work) -> None:
    before = json.loads(dataset.lds("push", "--dry-run", "--json"))
    assert sorted(before["paths"]) == ["images/a b.png", "large.bin"]
    assert (before["objects"], before["uploaded"], before["size"], before["sent"]) == (2, 0, 401_000, 0)
    assert sorted(dataset.lds("push", "--dry-run").splitlines()) == ["images/a b.png", "large.bin"]

    after = json.loads(dataset.lds("push", "--json"))
    assert after["uploaded"] == 2 and after["sent"] > 400_000
    assert "Everything is in " in dataset.try_lds("push").stderr
    assert dataset.try_lds("push", "-q").stderr == ""


def test_progress_goes_to_the_file_that_the_environment_names(dataset: Work, tmp_path: Path) -> None:
    dataset.git("push", "-q", "origin", "main", GIT_LFS_PROGRESS=str(tmp_path / "progress"))
    lines = (tmp_path / "progress").read_text().splitlines()
    assert len(lines) == 2
    assert re.fullmatch(r"upload 2/2 \d+/401000 .+", lines[-1])


def test_fetch_then_checkout_is_pull(pointers: Work) -> None:
    assert pointers.read("large.bin").startswith(b"version git-lds/v1\n")
    came = json.loads(pointers.lds("fetch", "--json"))
    assert came["objects"] == 2 and came["size"] >= 401_000
    assert pointers.read("large.bin").startswith(b"version git-lds/v1\n")
    assert json.loads(pointers.lds("checkout", "--json")) == {"written": 2, "absent": []}
    assert pointers.read("large.bin") == LARGE and pointers.is_clean()
    assert "Already up to date." in pointers.try_lds("fetch").stderr


def test_pull_with_include_and_exclude(pointers: Work) -> None:
    pointers.lds("pull", "-I", "*.txt,images", "-X", "*.jpg")
    assert pointers.read("images/a b.png") == SMALL
    assert pointers.read("large.bin").startswith(b"version git-lds/v1\n")
    assert json.loads(pointers.lds("pull", "--json"))["written"] == 1
    assert pointers.is_clean()


def test_pull_brings_the_rest_when_one_object_is_missing(pointers: Work, tmp_path: Path) -> None:
    origin = Work(tmp_path / "dataset")
    origin.write("lost.bin", b"never pushed")
    origin.commit("second")
    origin.git("push", "-q", "--no-verify", "origin", "main")
    pointers.git("pull", "-q", GIT_LDS_SKIP_SMUDGE="1")
    done = pointers.try_lds("pull")
    assert done.returncode == 1
    assert "lost.bin" in done.stderr and "hint: " in done.stderr
    assert pointers.read("images/a b.png") == SMALL and pointers.read("large.bin") == LARGE


def test_checkout_takes_paths_from_the_current_directory(pointers: Work) -> None:
    pointers.lds("fetch")
    Work(pointers.path / "images").lds("checkout", "a b.png")
    assert pointers.read("images/a b.png") == SMALL
    assert pointers.read("large.bin").startswith(b"version git-lds/v1\n")


def test_ls_files_lists_paths_oids_and_what_is_here(pointers: Work) -> None:
    pointers.lds("pull", "-I", "images")
    short = hashing.of_bytes(SMALL).hex()[:10], hashing.of_bytes(LARGE).hex()[:10]
    assert pointers.lds("ls-files", "-s").splitlines() == [
        f"{short[0]} * images/a b.png (1.0 kB)",
        f"{short[1]} - large.bin (400.0 kB)",
    ]
    assert pointers.lds("ls-files", "-n", "HEAD").splitlines() == ["images/a b.png", "large.bin"]
    assert json.loads(pointers.lds("ls-files", "--json"))[1] == {
        "path": "large.bin",
        "oid": oid(LARGE),
        "size": 400_000,
        "present": False,
    }


def test_status_says_what_is_staged_changed_and_not_pushed(dataset: Work) -> None:
    dataset.write("new.bin", b"new")
    dataset.git("add", "new.bin")
    dataset.write("large.bin", b"edited")
    said = dataset.lds("status")
    assert said.startswith("Store: http://")
    assert "To be committed:\n  A new.bin" in said and "Changed but not staged:\n  M large.bin" in said
    assert "Committed but not pushed:\n" in said
    found = json.loads(dataset.lds("status", "--json"))
    assert [change["path"] for change in found["staged"]] == ["new.bin"]
    assert sorted(file["path"] for file in found["unpushed"]) == ["images/a b.png", "large.bin"]


@pytest.fixture
def consumer(pushed: Work, new_work: Callable[..., Work], tmp_path: Path) -> Work:
    work = new_work("consumer", track=())
    work.lds("import", "../origin.git", "images", "-o", "data/raw", "-q")
    work.commit("depend")
    return work


def test_import_and_deps_say_what_is_where_from(consumer: Work, tmp_path: Path) -> None:
    assert consumer.read("data/raw/a b.png") == SMALL
    (found,) = json.loads(consumer.lds("deps", "--json"))
    assert (found["output"], found["path"], found["rev"]) == ("data/raw", "images", "main")
    assert found["url"] == str(tmp_path / "origin.git")
    assert consumer.lds("deps").splitlines()[0] == "data/raw"


def test_import_takes_paths_from_the_current_directory(consumer: Work, tmp_path: Path) -> None:
    (consumer.path / "sub").mkdir()
    done = Work(consumer.path / "sub").lds("import", "../../origin.git", "large.bin", "-o", "large.bin", "--json")
    assert json.loads(done)["output"] == "sub/large.bin"
    assert consumer.read("sub/large.bin") == LARGE
    assert Work(consumer.path / "sub").lds("update", "large.bin") == "sub/large.bin: up to date"


def test_update_says_what_changed(consumer: Work, tmp_path: Path) -> None:
    assert consumer.lds("update") == "data/raw: up to date"
    upstream = Work(tmp_path / "dataset")
    upstream.write("images/a b.png", b"fixed")
    upstream.write("images/c.png", b"new")
    upstream.commit("fix")
    upstream.git("push", "-q")
    wanted = consumer.lds("update", "--dry-run").splitlines()
    assert re.fullmatch(r"data/raw: \w{10} -> \w{10}, 1 added, 1 changed, 8 B", wanted[0])
    assert wanted[1:] == ["  added data/raw/c.png", "  changed data/raw/a b.png"]
    assert consumer.is_clean()
    (found,) = json.loads(consumer.lds("update", "--json"))
    assert found["written"] and found["added"] == ["data/raw/c.png"] and found["deleted"] == []
    assert consumer.read("data/raw/a b.png") == b"fixed"


@pytest.mark.parametrize(
    "words", [("import", "x", "y"), ("update",), ("outdated",), ("deps",), ("status",), ("push",), ("pull",)]
)
def test_outside_a_repository_each_says_so_in_one_line(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = Work(tmp_path).try_lds(*words)
    assert done.returncode == 1 and "hint: " in done.stderr and len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize(
    "words", [("update",), ("outdated",), ("deps",), ("status",), ("pull",), ("checkout",), ("track", "*.bin")]
)
def test_in_a_bare_repository_what_needs_a_work_tree_says_so(
    pushed: Work, tmp_path: Path, words: tuple[str, ...]
) -> None:
    done = Work(tmp_path / "origin.git").try_lds(*words)
    assert done.returncode == 1 and "hint: " in done.stderr and "bug" not in done.stderr, done.stderr


def test_deps_without_any_says_how_to_begin(work: Work) -> None:
    done = work.try_lds("deps")
    assert done.returncode == 0 and "git lds import" in done.stderr
    assert work.lds("deps", "--json") == "[]"


def test_serve_says_where_it_listens_and_ends_in_order(tmp_path: Path) -> None:
    import signal
    import subprocess

    from kit.work import LAUNCHER

    command = [str(LAUNCHER), "serve", "--root", str(tmp_path / "new" / "stores"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert re.fullmatch(r"listening on http://127\.0\.0\.1:\d+\n", process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr is not None and "Traceback" not in process.stderr.read()


def test_keys_of_ldsconfig_that_mean_nothing_are_warned_of(work: Work) -> None:
    work.write(".ldsconfig", '[store]\nurl = "http://127.0.0.1:9/x"\ncommand = "rm"\n[core]\nhook = "x"\n')
    said = work.try_lds("status").stderr
    assert "ignored" in said and "store.command" in said and "core.hook" in said

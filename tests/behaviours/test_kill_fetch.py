"""A download that is killed, or that loses its server, at random points: no file is half there, nothing that came is lost or
comes again, and the same command completes it."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.kills import dice, files_in, kill, start, timed, wait_for_a_moment, without_locks
from kit.published import Published, with_store
from kit.work import LAUNCHER, Work, pointer_of, random_bytes, running_server

from git_lds import hashing
from git_lds.local.objects import ObjectDirectory

KILLS = 3
SIZES = [7 << 20, 5 << 20, 5 << 20, 300_000, *[20_000] * 150]
CONTENTS = {f"{n:03}.bin": random_bytes(n, size) for n, size in enumerate(SIZES)}


@pytest.fixture
def filled(dataset: Published) -> Published:
    """A dataset on a server, pushed."""
    fill(dataset)
    return dataset


def fill(dataset: Published) -> None:
    for name, data in CONTENTS.items():
        dataset.work.write(name, data)
    dataset.work.commit()
    dataset.work.git("push", "-q", "origin", "main")


def cached(work: Work) -> set[str]:
    """Return the objects in the cache; each is verified."""
    assert work.cache is not None
    directory = ObjectDirectory(work.cache / "objects")
    found = set()
    for oid in directory:
        stream = directory.open(oid)
        assert stream is not None and hashing.of_stream(stream)[0] == oid
        found.add(oid.hex())
    directory.close()
    return found


def assert_no_file_is_half_there(work: Work) -> None:
    for name, data in CONTENTS.items():
        if (work.path / name).exists():
            found = work.read(name)
            assert found in (data, pointer_of(data)), f"{name}: {len(found)} bytes"


def assert_complete(work: Work) -> None:
    assert {name: work.read(name) for name in CONTENTS} == CONTENTS
    assert work.is_clean() and work.leftovers() == []


def arrivals(work: Work, *command: str | Path) -> int:
    """Run a command that works; return how many objects it downloaded, by the lines that a window would read."""
    lines = work.path.with_name("progress")
    lines.unlink(missing_ok=True)
    done = work.try_run(*command, GIT_LDS_PROGRESS=str(lines))
    assert done.returncode == 0, done.stderr
    return lines.read_text().count("download ") if lines.exists() else 0


def machine(dataset: Published, name: str) -> Work:
    """A machine that has nothing yet; the directory of its working tree is not there."""
    return Work(dataset.work.path.with_name(name), dataset.work.path.with_name(f"{name}.cache"))


def clone_rounds(dataset: Published, kills: int, number: int = 0) -> None:
    random = dice(f"clone {number}")
    first = machine(dataset, "first")
    above = Work(first.path.parent, first.cache)
    took = timed(above, "git", "clone", "-q", dataset.bare, first.path)
    clone = machine(dataset, "clone")
    assert clone.cache is not None
    above = Work(clone.path.parent, clone.cache)
    before: set[str] = set()
    for _ in range(kills):
        process = start(above, "git", "clone", "-q", dataset.bare, clone.path)
        wait_for_a_moment(random, took, lambda: files_in(above.path / "clone.cache" / "objects"), process)
        kill(process)
        now = cached(clone)
        assert before <= now
        before = now
        shutil.rmtree(clone.path, ignore_errors=True)
    came = arrivals(above, "git", "clone", "-q", dataset.bare, clone.path)
    assert came == len(CONTENTS) - len(before)
    assert_complete(clone)


def test_a_clone_that_is_killed_anywhere_is_begun_again_with_what_came(filled: Published) -> None:
    """Behaviour 21, for downloads."""
    clone_rounds(filled, KILLS)


def verb_rounds(dataset: Published, verb: str, kills: int, number: int = 0) -> None:
    random = dice(f"{verb} {number}")
    first, clone = machine(dataset, "first"), machine(dataset, "clone")
    for work in (first, clone):
        Work(work.path.parent, work.cache).git(
            "clone", "-q", str(dataset.bare), str(work.path), GIT_LDS_SKIP_SMUDGE="1"
        )
    command = ("git", "checkout", "-f", "-q", "HEAD~0", "--", ".") if verb == "checkout" else (LAUNCHER, verb, "-q")
    if verb == "checkout":
        for work in (first, clone):
            for name in CONTENTS:
                (work.path / name).unlink()
    took = timed(first, *command)
    before: set[str] = set()
    assert clone.cache is not None
    watched = (clone.cache / "objects", clone.path / ".git" / "lds")
    for _ in range(kills):
        process = start(clone, *command)
        wait_for_a_moment(random, took, lambda: files_in(*watched), process)
        kill(process)
        now = cached(clone)
        assert before <= now
        before = now
        if verb != "checkout":  # where git itself writes the files, it may be killed in the midst of one
            assert_no_file_is_half_there(clone)
        without_locks(clone.path / ".git")
    came = arrivals(clone, *command)
    assert came == len(CONTENTS) - len(before)
    if verb == "fetch":
        assert clone.read("000.bin") == pointer_of(CONTENTS["000.bin"]) and clone.is_clean()
        clone.lds("checkout")
    assert_complete(clone)


@pytest.mark.parametrize("verb", ["pull", "checkout"])
def test_a_download_that_is_killed_anywhere_is_completed_by_the_next(filled: Published, verb: str) -> None:
    """Behaviour 21, for `git lds pull` and git's own checkout; `--all` tries `git lds fetch` too."""
    verb_rounds(filled, verb, KILLS)


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["clone", "fetch", "pull", "checkout"])
@pytest.mark.parametrize("number", range(10))
def test_a_download_that_is_killed_very_often_is_completed_by_the_next(
    filled: Published, verb: str, number: int
) -> None:
    """Behaviour 21, for downloads."""
    if verb == "clone":
        clone_rounds(filled, 12, number)
    else:
        verb_rounds(filled, verb, 12, number)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_a_clone_whose_server_dies_says_so_and_is_completed_when_it_is_back(
    new_work: Callable[..., Work], tmp_path: Path
) -> None:
    """Behaviour 21, for downloads."""
    random = dice("server")
    port = free_port()
    made = with_store(new_work("dataset"), tmp_path / "stores" / "dataset", f"http://127.0.0.1:{port}/dataset")
    with running_server(tmp_path / "stores", "--port", str(port)):
        fill(made)
        first = machine(made, "first")
        above = Work(first.path.parent, first.cache)
        took = timed(above, "git", "clone", "-q", made.bare, first.path)
    clone = machine(made, "clone")
    above = Work(clone.path.parent, clone.cache)
    server = running_server(tmp_path / "stores", "--port", str(port))
    with server:
        process = start(above, "git", "clone", "-q", made.bare, clone.path)
        wait_for_a_moment(random, took, lambda: files_in(above.path / "clone.cache"), process)
        server.process.kill()
        _, said = process.communicate(timeout=120)
    before = cached(clone)
    assert "Traceback" not in said
    assert (process.returncode == 0) == (len(before) == len(CONTENTS)), said
    if process.returncode:
        assert f"http://127.0.0.1:{port}/dataset could not be reached" in said and "hint: " in said
    with running_server(tmp_path / "stores", "--port", str(port)):
        left = len(CONTENTS) - len(before)
        if not (clone.path / ".git" / "index").exists():
            # git says "Clone succeeded, but checkout failed", and leaves no index: there is nothing to complete
            assert clone.try_lds("pull", "-q").stderr.endswith("hint: git reset --hard\n")
            clone.git("reset", "-q", "--hard")
            left = 0
        assert arrivals(clone, LAUNCHER, "pull", "-q") == left
    assert_complete(clone)

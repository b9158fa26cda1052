"""Killed at any point, or out of space: whatever git refers to afterwards has its contents, and a second run completes it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.kills import dice, kill, kill_ours, start, timed, without_locks
from kit.matrix import some_of, some_rows
from kit.work import Work, pointer_of, random_bytes

LARGE = (4 << 20) + 1

Contents = dict[str, bytes]


def some_files(seed: int) -> Contents:
    """Small files, some of one pack's size, and large ones; all of them new."""
    found = {f"images/{seed}-{n:03}.png": random_bytes(seed * 1000 + n, 200 + 97 * n) for n in range(80)}
    found |= {f"mid {seed} {n}.bin": random_bytes(seed * 1000 + 500 + n, 150_000 + n) for n in range(6)}
    return found | {f"large {seed} {n}.bin": random_bytes(seed * 1000 + 600 + n, LARGE + n) for n in range(3)}


def write(work: Work, contents: Contents) -> None:
    for name, data in contents.items():
        work.write(name, data)


def whole(work: Work, contents: Contents) -> None:
    for name, data in contents.items():
        assert work.read(name) == data, name
        assert work.committed(name, "") == pointer_of(data), name
    assert work.is_clean() and work.unreadable("HEAD") == []
    assert work.leftovers() == []


@pytest.mark.parametrize("rounds", some_of([4, 7]))
@pytest.mark.parametrize("victim", ["git add and its filter", "the filter alone"])
def test_git_add_killed_again_and_again_refers_to_nothing_that_is_lost(work: Work, victim: str, rounds: int) -> None:
    chance = dice(victim)
    contents = some_files(0)
    write(work, contents)
    took = timed(work, "git", "add", "-A")
    work.git("commit", "-qm", "first")
    for n in range(1, rounds):
        new = some_files(n)
        contents |= new
        write(work, new)
        process = start(work, "git", "add", "-A")
        time.sleep(chance.uniform(0, took))
        if victim == "the filter alone":
            kill_ours(process)
            _, said = process.communicate(timeout=120)
            assert "Traceback" not in said
        kill(process)
        without_locks(work.path / ".git")
        assert work.unreadable("HEAD") == [], f"round {n}"
        if n % 3 == 0:
            work.git("add", "-A")
            work.git("commit", "-qm", f"round {n}")
            assert work.unreadable("HEAD") == [], f"round {n}"
    work.write("last.bin", random_bytes(1, LARGE))
    work.commit()
    whole(work, contents)


@pytest.mark.parametrize("files", some_of([10, 25]))
def test_one_file_after_the_other_killed_with_its_filter(work: Work, files: int) -> None:
    """Packs that one killed process began and another went on with, and was killed as well."""
    chance = dice("one after the other")
    contents: Contents = {}
    for n in range(files):
        name, data = f"{n}.bin", random_bytes(n, chance.choice([10, 5000, 130_000, 131_073]))
        contents[name] = data
        work.write(name, data)
        process = start(work, "git", "add", name)
        time.sleep(chance.uniform(0.05, 0.2))
        kill(process)
        without_locks(work.path / ".git")
        assert work.unreadable() == [], f"round {n}"
    work.write("large.bin", random_bytes(99, 200_000))
    work.commit()
    whole(work, contents)


@pytest.mark.parametrize(
    ("verb", "victim", "rounds"),
    some_rows(
        [
            (verb, victim, rounds)
            for rounds in (2, 5)
            for verb in ("checkout", "clone")
            for victim in ("git", "the filter alone")
        ],
        ("checkout", "git", 2),
        ("checkout", "the filter alone", 2),
        ("clone", "git", 2),
    ),
)
def test_filling_a_work_tree_killed_again_and_again_is_completed_by_a_second_run(
    work: Work, verb: str, victim: str, rounds: int
) -> None:
    chance = dice(f"{verb} {victim}")
    contents = some_files(0)
    work.git("commit", "-q", "--allow-empty", "-m", "nothing")
    work.git("switch", "-qc", "filled")
    write(work, contents)
    work.commit()
    bare = work.publish()
    for n in range(rounds):
        if verb == "clone":
            there = Work(work.path.parent / f"clone{n}")
            process = start(work, "git", "clone", "-q", bare, there.path)
            time.sleep(chance.uniform(0.05, 0.6))
        else:
            there = work
            work.git("checkout", "-q", "-f", "main")
            process = start(work, "git", "checkout", "-q", "filled")
            time.sleep(chance.uniform(0, 0.4))
        if victim == "the filter alone":
            kill_ours(process)
            _, said = process.communicate(timeout=120)
            assert "Traceback" not in said
        kill(process)
        if not (there.path / ".git" / "HEAD").exists():
            continue  # the clone cleaned up after itself, or had not begun
        without_locks(there.path / ".git")
        # nothing but the contents, or their pointers, or nothing
        for name, data in contents.items():
            path = there.path / name
            assert (
                not path.exists()
                or path.read_bytes() in (data, pointer_of(data), b"")
                or data.startswith(path.read_bytes())
            ), name
        if there.try_git(
            "rev-parse", "--verify", "-q", "refs/remotes/origin/filled" if verb == "clone" else "filled"
        ).returncode:
            continue
        there.git("checkout", "-q", "-f", "-B", "again", "origin/filled" if verb == "clone" else "filled")
        there.lds("checkout")
        for name, data in contents.items():
            assert there.read(name) == data, name
        assert there.is_clean() and there.unreadable("HEAD") == []


@pytest.mark.parametrize("rounds", some_of([3, 6]))
def test_large_files_put_in_place_by_a_filter_that_is_killed_are_clean_or_pointers(work: Work, rounds: int) -> None:
    """The last moments of a checkout, when git has written its index and waits for us."""
    chance = dice("in place")
    contents = {f"{n}.bin": random_bytes(n, LARGE * 2) for n in range(6)}
    write(work, contents)
    work.commit()
    times = []
    for _ in range(rounds):
        for name in contents:
            (work.path / name).unlink()
        process = start(work, "git", "checkout", "-q", ".")
        began = time.monotonic()
        while process.poll() is None and not (work.path / "5.bin").exists():
            time.sleep(0.002)
        time.sleep(chance.uniform(0, sum(times) / len(times) if times else 0.1))
        kill_ours(process)
        process.communicate(timeout=120)
        times.append(time.monotonic() - began)
        without_locks(work.path / ".git")
        assert work.is_clean()
        for name, data in contents.items():
            assert work.read(name) in (data, pointer_of(data))
        work.lds("checkout")
        assert {name: work.read(name) for name in contents} == contents
        assert work.is_clean()
    (work.path / "0.bin").unlink()
    work.lds("checkout")
    whole(work, contents)


# no space


@contextlib.contextmanager
def small_disk(directory: Path, size: int) -> Iterator[Path]:
    directory.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(directory)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a file system can be mounted by root alone")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def grow(directory: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(directory)], check=True)


@pytest.mark.parametrize("size", some_of([64 << 10, 1 << 20, 5 << 20], 1 << 20))
def test_a_full_disk_is_an_error_and_nothing_refers_to_what_was_not_kept(work: Work, size: int) -> None:
    contents = some_files(0)
    with small_disk(work.path / ".git" / "lds", size) as disk:
        write(work, contents)
        for _ in range(3):
            done = work.try_git("add", "-A")
            assert done.returncode != 0 and "No space left on device" in done.stderr and "Traceback" not in done.stderr
            assert work.unreadable() == []
            work.try_git("add", "--ignore-errors", "-A")
            assert work.unreadable() == []
        grow(disk, 100 << 20)
        work.commit()
        whole(work, contents)


def test_a_limit_on_the_size_of_files_is_an_error_and_nothing_refers_to_what_was_not_kept(work: Work) -> None:
    """As a quota: writing fails in the midst of a file."""
    contents = some_files(0)
    write(work, contents)
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))"
    code = f"import resource, os, sys; {limit}; os.execvp('git', sys.argv[1:])"
    for _ in range(3):
        done = work.try_run(sys.executable, "-c", code, "git", "add", "-A")
        assert done.returncode != 0 and "File too large" in done.stderr and "Traceback" not in done.stderr
        assert work.unreadable() == []
    work.commit()
    whole(work, contents)


def test_a_full_disk_under_the_work_tree_leaves_a_pointer_that_checkout_fills_later(work: Work) -> None:
    data = random_bytes(1, 20 << 20)
    work.write("large.bin", data)
    work.write("small.bin", b"small")
    work.commit()
    with small_disk(work.path.parent / "disk", 10 << 20) as disk:
        there = Work(disk / "tree")
        done = work.try_git("worktree", "add", "-q", str(there.path), "-b", "beside")
        assert (
            "large.bin: still a pointer: No space left on device" in done.stderr
            and "hint: git lds checkout" in done.stderr
        )
        assert there.read("large.bin") == pointer_of(data) and there.read("small.bin") == b"small"
        assert there.is_clean() and there.leftovers() == []
        failed = there.try_lds("checkout")
        assert failed.returncode == 1 and "large.bin" in failed.stderr and "Traceback" not in failed.stderr
        assert there.is_clean()
        grow(disk, 100 << 20)
        there.lds("checkout")
        assert there.read("large.bin") == data and there.is_clean()
        assert sorted(p.name for p in there.path.iterdir()) == [".git", ".gitattributes", "large.bin", "small.bin"]


def test_a_full_disk_under_the_cache_is_an_error_and_a_second_run_goes_on(work: Work, world: Path) -> None:
    contents = some_files(0)
    write(work, contents)
    work.commit()
    bare = work.publish()
    with small_disk(world / "small cache", 6 << 20) as disk:
        clone = work.clone("clone", source=bare, GIT_LDS_SKIP_SMUDGE="1")
        for command in (("git", "clone", bare, "../again"), ("git", "lds", "pull")):
            done = clone.try_run(*command, GIT_LDS_CACHE=str(disk))
            assert done.returncode in (1, 128) and "No space left on device" in done.stderr, done.stderr
            assert "Traceback" not in done.stderr and "bug" not in done.stderr
        for name, data in contents.items():
            assert clone.read(name) in (data, pointer_of(data))
        grow(disk, 100 << 20)
        clone.lds("pull", GIT_LDS_CACHE=str(disk))
        assert {name: clone.read(name) for name in contents} == contents and clone.is_clean()

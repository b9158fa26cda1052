"""Pointers in a working tree are replaced by their contents, and git's index records it."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.work import Work, pointer_of, random_bytes

from git_lds import hashing
from git_lds.errors import CorruptData, LdsError
from git_lds.git import index_file
from git_lds.git.objects import blob_id
from git_lds.pointer import Pointer
from git_lds.repo import Repo
from git_lds.worktree.place import Placement, WorkTree

CONTENTS = {
    "small.bin": b"a small file",
    "large.bin": random_bytes(1, 300_000),
    "images/deep/c.png": random_bytes(2, 20_000),
}


@pytest.fixture
def skipped(work: Work) -> Work:
    """A clone whose files are pointers, and whose objects are on this machine."""
    for name, data in CONTENTS.items():
        work.write(name, data)
    work.commit()
    return work.clone("clone", "--shared", GIT_LDS_SKIP_SMUDGE="1")


@pytest.fixture
def tree(skipped: Work) -> Iterator[WorkTree]:
    with Repo.here(skipped.path) as repo:
        yield WorkTree.of(repo)


def item(name: str, data: bytes | None = None, *, executable: bool = False) -> Placement:
    data = CONTENTS[name] if data is None else data
    return Placement(os.fsencode(name), Pointer(hashing.of_bytes(data), len(data)), executable)


def test_pointers_are_replaced_and_clean_for_git(skipped: Work, tree: WorkTree) -> None:
    items = [item(name) for name in CONTENTS]
    tree.announce(items)
    assert all(tree.place(placement) for placement in items)
    tree.tell_git()
    assert {name: skipped.read(name) for name in CONTENTS} == CONTENTS
    assert not skipped.starts_filter("status") and skipped.is_clean() and skipped.leftovers() == []


def test_status_is_right_at_every_moment(skipped: Work, tree: WorkTree) -> None:
    """After the announcement, after each file, and if the index never records more."""
    items = [item(name) for name in CONTENTS]
    tree.announce(items)
    copy = (skipped.path / ".git" / "index").read_bytes()
    assert skipped.is_clean()
    for placement in items:
        skipped.write(".git/index", copy)
        assert tree.place(placement)
        assert skipped.is_clean()


def test_a_status_between_the_announcement_and_the_file_does_no_harm(skipped: Work, tree: WorkTree) -> None:
    """An editor runs it in the background: git then records the pointer again."""
    tree.announce([item("large.bin")])
    assert skipped.is_clean()
    tree.place(item("large.bin"))
    tree.tell_git()
    assert skipped.is_clean()


def test_a_file_is_replaced_only_once(skipped: Work, tree: WorkTree) -> None:
    assert tree.place(item("small.bin")) is True
    assert tree.place(item("small.bin")) is False
    assert tree.place(item("small.bin"), create=True) is False


@pytest.mark.parametrize("create", [False, True])
def test_a_missing_file_is_made_only_with_create(skipped: Work, tree: WorkTree, create: bool) -> None:
    (skipped.path / "images" / "deep" / "c.png").unlink()
    (skipped.path / "images" / "deep").rmdir()
    assert tree.place(item("images/deep/c.png"), create=create) is create
    assert (skipped.path / "images" / "deep").exists() is create


def test_a_file_keeps_its_mode_and_a_new_one_gets_the_usual(skipped: Work, tree: WorkTree) -> None:
    (skipped.path / "small.bin").chmod(0o751)
    tree.place(item("small.bin"))
    assert stat.S_IMODE((skipped.path / "small.bin").stat().st_mode) == 0o751
    for executable in (True, False):
        (skipped.path / "large.bin").unlink()
        tree.place(item("large.bin", executable=executable), create=True)
        mode = stat.S_IMODE((skipped.path / "large.bin").stat().st_mode)
        assert bool(mode & 0o100) is executable and not mode & 0o022


@pytest.mark.parametrize(
    "path",
    [
        b".git/config",
        b"../outside",
        b"/etc/passwd",
        b"a/../../b",
        b".GIT/hooks/x",
        b"git~1/x",
        b".git /x",
        b"",
        b"a\0b",
        b"x/.git/config",
    ],
)
def test_a_path_outside_the_working_tree_is_never_written(skipped: Work, tree: WorkTree, path: bytes) -> None:
    before = (skipped.path / ".git" / "config").read_bytes()
    placement = Placement(path, item("small.bin").pointer)
    assert tree.place(placement) is False and tree.place(placement, create=True) is False
    assert (skipped.path / ".git" / "config").read_bytes() == before
    assert not (skipped.path.parent / "outside").exists()


def test_the_pointer_stays_if_its_object_is_missing_or_damaged(skipped: Work, tree: WorkTree) -> None:
    lost = b"in no store"
    skipped.write("lost.bin", pointer_of(lost))
    with pytest.raises(CorruptData) as raised:
        tree.place(item("lost.bin", lost))
    assert "lost.bin" in raised.value.message and raised.value.hint
    (path,) = (p for p in (skipped.path.parent / "work" / ".git" / "lds" / "objects").rglob("*") if p.is_file())
    path.chmod(0o644)
    for damaged in (CONTENTS["large.bin"][:-1], CONTENTS["large.bin"][:-1] + b"\0", b""):
        path.write_bytes(damaged)
        with pytest.raises(CorruptData):
            tree.place(item("large.bin"))
        assert skipped.read("large.bin") == pointer_of(CONTENTS["large.bin"])
    assert skipped.read("lost.bin") == pointer_of(lost)
    assert skipped.leftovers() == []


def test_a_locked_index_stops_the_announcement_if_it_has_the_file(skipped: Work, tree: WorkTree) -> None:
    skipped.write(".git/index.lock", b"")
    with pytest.raises(LdsError) as raised:
        tree.announce([item("large.bin")])
    assert "locked" in raised.value.message and raised.value.hint == "git lds checkout"
    tree.announce([item("unknown.bin", b"not in the index")])
    (skipped.path / ".git" / "index").unlink()
    tree.announce([item("large.bin")])


def test_git_itself_updates_a_split_index(skipped: Work, tree: WorkTree) -> None:
    skipped.git("update-index", "--split-index")
    items = [item(name) for name in CONTENTS]
    tree.announce(items)
    assert skipped.is_clean()
    assert all(tree.place(placement) for placement in items)
    tree.tell_git()
    assert skipped.is_clean()


def test_a_young_file_gets_older_only_if_it_is_as_git_recorded_it(skipped: Work, tree: WorkTree) -> None:
    index = skipped.path / ".git" / "index"
    skipped.write("plain.txt", "plain")
    skipped.git("add", "plain.txt")
    now = index.stat().st_mtime_ns
    for name in ("small.bin", "plain.txt"):
        os.utime(skipped.path / name, ns=(now, now))
    skipped.git("update-index", "-q", "--refresh")
    os.utime(index, ns=(now, now))
    skipped.write("plain.txt", "PLAIN")
    before = {name: (skipped.path / name).stat().st_mtime_ns for name in ("large.bin", "plain.txt")}
    tree.tell_git({b"small.bin", b"plain.txt"})
    assert (skipped.path / "small.bin").stat().st_mtime_ns < now - now % 10**9
    assert {name: (skipped.path / name).stat().st_mtime_ns for name in before} == before
    assert skipped.git("status", "--porcelain") == "AM plain.txt"
    recorded = {entry.path: entry.mtime_ns for entry in index_file.read(index)}
    assert recorded[b"small.bin"] == (skipped.path / "small.bin").stat().st_mtime_ns


def test_scratch_files_of_a_killed_process_are_deleted(skipped: Work, tree: WorkTree) -> None:
    skipped.write(".git/lds/tmp/0123456789abcdef", b"half a file")
    tree.place(item("small.bin"))
    assert skipped.leftovers() == []


@pytest.mark.parametrize("form", ["sha1", "sha256"])
def test_blob_ids_are_git_s(tmp_path: Path, world: Path, form: str) -> None:
    work = Work(tmp_path)
    work.git("init", "-q", f"--object-format={form}")
    for data in (b"", b"x", pointer_of(b"x")):
        said = subprocess.run(
            ["git", "hash-object", "--stdin"], cwd=work.path, input=data, capture_output=True, check=True
        ).stdout
        assert blob_id(data, 20 if form == "sha1" else 32).hex() == said.decode().strip()

"""The working tree compared with git's index, by as few git processes as possible."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kit.git_count import counted_git
from kit.work import Work, new_repository

from git_lds.errors import LdsError
from git_lds.git import index
from git_lds.repo import Repo
from git_lds.worktree import state
from git_lds.worktree.state import Stamp, View

NAMES = ("a.txt", "data/b.txt", "data/deep/c.txt", "data/empty", "database", "other/d.txt")


@pytest.fixture
def work(tmp_path: Path) -> Work:
    work = new_repository(tmp_path / "work")
    for name in NAMES:
        work.write(name, "" if name == "data/empty" else name)
    os.symlink("b.txt", work.path / "data/link")
    work.commit()
    for path in work.path.glob("**/*"):  # older than the index
        if ".git" not in path.parts:
            os.utime(path, (1_700_000_000, 1_700_000_000), follow_symlinks=False)
    work.git("status")
    return work


def look(work: Work, *paths: str) -> tuple[View, int]:
    """Return what the index has, and the number of git processes."""
    with Repo.here(work.path) as repo, counted_git() as processes:
        return state.look(repo, paths, work.path / ".git/lds/copy"), len(processes)


def edited(work: Work, *paths: str) -> set[bytes]:
    view, _ = look(work, *paths)
    return set(view.edited)


def test_unchanged_files_take_one_process(work: Work) -> None:
    view, processes = look(work, "data", "a.txt")
    assert processes == 1
    assert set(view.files) == {b"a.txt", b"data/b.txt", b"data/deep/c.txt", b"data/empty", b"data/link"}
    assert not view.edited and not view.skip_worktree
    assert view.files[b"data/link"].mode == b"120000"
    assert view.files[b"a.txt"].blob.decode() == work.git("rev-parse", ":a.txt")
    assert view.stamps[b"a.txt"] == Stamp.of((work.path / "a.txt").stat())


@pytest.mark.parametrize("index_version", [2, 3, 4])
def test_every_edit_is_seen(work: Work, index_version: int) -> None:
    work.git("update-index", "--index-version", str(index_version))
    assert edited(work, "data") == set()
    work.write("data/b.txt", "DATA/B.TXT")  # of the same size
    (work.path / "data/deep/c.txt").unlink()
    (work.path / "data/empty").chmod(0o755)
    (work.path / "data/link").unlink()
    work.write("data/link", "b.txt")
    work.write("other/d.txt", "not asked about")
    assert edited(work, "data") == {b"data/b.txt", b"data/deep/c.txt", b"data/empty", b"data/link"}
    with Repo.here(work.path) as repo:
        assert state.edited_files(repo, work.path / ".git/lds/copy") == edited(work, *NAMES, "data/link")


def test_an_edit_in_the_same_moment_is_seen(work: Work) -> None:
    """The file has the size and the time stamps that git recorded, and the index is as young as they are."""
    for number in range(20):
        work.write("data/b.txt", f"staged {number:03}")
        work.git("add", "data/b.txt")
        work.write("data/b.txt", f"edited {number:03}")
        assert edited(work, "data") == {b"data/b.txt"}


def test_a_touched_file_is_not_edited(work: Work) -> None:
    os.utime(work.path / "data/b.txt", (1_600_000_000, 1_600_000_000))
    view, processes = look(work, "data")
    assert not view.edited and processes == 1
    assert view.stamps[b"data/b.txt"] == Stamp.of((work.path / "data/b.txt").stat())


def test_files_behind_a_link_are_deleted_ones(work: Work) -> None:
    """They are the same files: a move and a link leave all their stat data as they were."""
    (work.path / "data/deep").rename(work.path / "elsewhere")
    (work.path / "data/deep").symlink_to(work.path / "elsewhere")
    assert edited(work, "data") == {b"data/deep/c.txt"}


def test_files_outside_of_a_sparse_checkout_are_not_edited(work: Work) -> None:
    work.git("sparse-checkout", "set", "--no-cone", "/*", "!/data/deep/")
    view, _ = look(work, "data")
    assert view.skip_worktree == {b"data/deep/c.txt"} and not view.edited
    work.write("data/deep/c.txt", "there again, and other")
    view, _ = look(work, "data")
    assert not view.skip_worktree and view.edited == {b"data/deep/c.txt"}


@pytest.mark.parametrize("option", ["--split-index", "--untracked-cache", "--fsmonitor"])
def test_an_index_of_any_kind(work: Work, option: str) -> None:
    work.git("update-index", option)
    work.write("data/b.txt", "edited")
    assert edited(work, "data", "a.txt") == {b"data/b.txt"}


def test_a_conflict_is_refused_and_listed(work: Work) -> None:
    blobs = [work.git("rev-parse", f":{name}") for name in NAMES[:3]]
    lines = "".join(f"100644 {blob} {stage}\ta.txt\n" for stage, blob in enumerate(blobs, 1))
    work.git("update-index", "--force-remove", "a.txt")
    work.git("update-index", "--index-info", input=lines)
    with pytest.raises(LdsError, match=r"a\.txt is in conflict"):
        look(work, "a.txt")
    with Repo.here(work.path) as repo:
        conflict = state.index_states(repo, [b"a.txt"])[b"a.txt"]
        assert isinstance(conflict, tuple)
        assert [file.blob.decode() for file in conflict if file is not None] == blobs


@pytest.mark.parametrize("kind", ["plain", "split"])
def test_entries_are_those_of_ls_files(work: Work, kind: str) -> None:
    if kind == "split":
        work.git("update-index", "--split-index")
    work.git("update-index", "--skip-worktree", "other/d.txt")
    with Repo.here(work.path) as repo:
        entries = state.index_entries(repo)
        assert entries == (list(index.entries(repo.git)) if kind == "plain" else None)


def test_a_repository_without_an_index(tmp_path: Path, world: Path) -> None:
    work = Work(tmp_path)
    work.git("init", "-q")
    view, _ = look(work, "data")
    assert not view.files and not view.edited
    with Repo.here(work.path) as repo:
        assert state.index_states(repo, [b"a.txt"]) == {}

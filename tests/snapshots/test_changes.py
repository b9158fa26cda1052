"""Which files differ, as real git says, and their contents from wherever they are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.work import Work, pointer_of, random_bytes

from git_lds import hashing
from git_lds.errors import LdsError
from git_lds.progress import SILENT
from git_lds.repo import Repo
from git_lds.snapshots.changes import Changed, Place, changed
from git_lds.snapshots.contents import Contents
from git_lds.snapshots.version import Version

LARGE = random_bytes(1, 300_000)


def oid(data: bytes) -> str:
    return hashing.of_bytes(data).hex()


def differing(work: Work, base: str | Place, head: str | Place, *paths: str) -> dict[str, Changed]:
    with Repo.here(work.path) as repo:
        return {os.fsdecode(each.path): each for each in changed(repo, base, head, paths)}


def sizes(found: Changed) -> tuple[int | None, int | None]:
    return found.before and found.before.size, found.after and found.after.size


@pytest.fixture
def history(work: Work) -> Work:
    """Two commits."""
    for name, data in {
        "a.bin": b"a",
        "old.bin": b"moves",
        "gone.bin": LARGE,
        "plain.txt": b"1\n",
        "same.bin": b"s",
    }.items():
        work.write(name, data)
    work.commit("first")
    work.git("mv", "old.bin", "new name.bin")
    (work.path / "gone.bin").unlink()
    for name, data in {"a.bin": b"aa", "plain.txt": b"2\n3\n", "images/x.png": LARGE[:-1], "empty.bin": b""}.items():
        work.write(name, data)
    work.commit("second")
    return work


def test_between_commits_pointers_stand_for_their_contents(history: Work) -> None:
    found = differing(history, "HEAD~", "HEAD")
    assert {path: sizes(each) for path, each in found.items()} == {
        "a.bin": (1, 2),
        "empty.bin": (None, 0),
        "gone.bin": (300_000, None),
        "images/x.png": (None, 299_999),
        "new name.bin": (5, 5),
        "plain.txt": (2, 4),
    }
    assert found["new name.bin"].old_path == b"old.bin"
    after = found["a.bin"].after
    assert after is not None and (after.oid, after.mode) == (oid(b"aa"), b"100644")
    assert found["plain.txt"].after is not None and found["plain.txt"].after.oid is None
    assert set(differing(history, "HEAD~", "HEAD", "images", "*.txt")) == {"images/x.png", "plain.txt"}
    with pytest.raises(LdsError, match="nope: no such revision"):
        differing(history, "nope", "HEAD")


def test_the_index_and_the_working_tree_can_be_compared(history: Work) -> None:
    history.write("a.bin", b"staged")
    history.git("add", "a.bin")
    history.write("a.bin", b"edited!")
    history.write("plain.txt", b"longer\n")
    (history.path / "same.bin").touch()
    (history.path / "new name.bin").unlink()
    assert {p: sizes(c) for p, c in differing(history, "HEAD", Place.INDEX).items()} == {"a.bin": (2, 6)}
    unstaged = differing(history, Place.INDEX, Place.WORK_TREE)
    assert {p: sizes(c) for p, c in unstaged.items()} == {
        "a.bin": (6, 7),
        "new name.bin": (5, None),
        "plain.txt": (4, 7),
    }
    assert unstaged["a.bin"].after is not None and unstaged["a.bin"].after.oid == oid(b"edited!")
    assert sizes(differing(history, "HEAD~", Place.WORK_TREE)["a.bin"]) == (1, 7)


def test_links_modes_and_conflicts(work: Work) -> None:
    work.write("run.bin", b"#!")
    (work.path / "link").symlink_to("run.bin")
    work.commit("first")
    (work.path / "run.bin").chmod(0o755)
    (work.path / "link").unlink()
    (work.path / "link").symlink_to("elsewhere")
    found = differing(work, "HEAD", Place.WORK_TREE)
    assert {p: (c.before.mode, c.after.mode) for p, c in found.items() if c.before and c.after} == {
        "link": (b"120000", b"120000"),
        "run.bin": (b"100644", b"100755"),
    }
    blob = work.git("rev-parse", "HEAD:run.bin")
    stages = "".join(f"100644 {blob} {stage}\tboth.bin\n" for stage in (1, 2, 3))
    work.git("update-index", "--index-info", input=stages)
    assert "both.bin" not in differing(work, "HEAD", Place.INDEX)


def test_contents_come_from_git_the_local_store_and_the_working_tree(history: Work) -> None:
    with Repo.here(history.path) as repo:
        contents = Contents(repo)
        found = {c.path: c for c in changed(repo, "HEAD~", "HEAD")}

        def before(path: bytes) -> Version:
            version = found[path].before
            assert version is not None
            return version

        assert contents.read(before(b"gone.bin"), 1 << 20) == LARGE
        assert contents.head(before(b"gone.bin"), 10) == LARGE[:10]
        assert contents.read(before(b"plain.txt"), 100) == b"1\n"
        with pytest.raises(LdsError, match=r"gone\.bin: too large"):
            contents.read(before(b"gone.bin"), 299_999)
        history.write("a.bin", b"in the working tree")
        (edited,) = changed(repo, "HEAD", Place.WORK_TREE)
        assert edited.after is not None and contents.read(edited.after, 100) == b"in the working tree"


def test_missing_contents_are_none_until_they_are_fetched(
    history: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.publish()
    history.lds("push", "--all")
    monkeypatch.setenv("GIT_LDS_CACHE", str(tmp_path / "another cache"))
    clone = history.clone("clone", source=tmp_path / "origin.git", GIT_LDS_SKIP_SMUDGE="1")
    with Repo.here(clone.path) as repo:
        contents = Contents(repo)
        versions = [v for c in changed(repo, "HEAD~", "HEAD") for v in (c.before, c.after) if v is not None]
        objects = [v for v in versions if v.oid is not None]
        assert not any(map(contents.is_here, objects)) and contents.read(objects[0], 10) is None
        assert contents.fetch(versions, SILENT) == []
        assert all(oid(contents.read(v, 1 << 20) or b"") == v.oid for v in objects)
    assert differing(clone, "HEAD", Place.WORK_TREE) == {}


def test_a_claim_of_ten_gigabytes_is_only_a_number(new_work: Callable[..., Work]) -> None:
    work = new_work()
    work.write("a.bin", pointer_of(b"nowhere").replace(b"size 7", b"size 10000000000"))
    work.commit()
    empty = work.git("hash-object", "-t", "tree", "--stdin", input="")
    found = differing(work, empty, "HEAD")["a.bin"]
    assert sizes(found) == (None, 10_000_000_000)
    with Repo.here(work.path) as repo:
        contents = Contents(repo)
        assert found.after is not None and contents.read(found.after, 100) is None

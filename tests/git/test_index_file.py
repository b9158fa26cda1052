"""git's index: read as git writes it, in each of its forms, and changed in nothing but stat data."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.work import Work

from git_lds.git import index_file
from git_lds.git.index_file import FORGET, IndexRecord, Refreshed

NAMES = [
    "a",
    "b with space",
    "dir/deeper/c",
    "dir/deeper/cd",
    "dir/e",
    "é",
    "new\nline",
    "/".join(["x" * 200] * 3),
    "z",
]


@pytest.fixture
def make(tmp_path: Path, world: Path) -> Callable[..., Work]:
    """A repository with the files of NAMES, without our filter."""

    def make(*init: str, **config: str) -> Work:
        work = Work(tmp_path / "work")
        work.path.mkdir()
        work.git("init", "-q", *init)
        for key, value in config.items():
            work.git("config", key.replace("_", "."), value)
        for n, name in enumerate(NAMES):
            work.write(name, f"contents {n}")
        work.git("add", "-A")
        work.git("commit", "-qm", "all")
        return work

    return make


def index_of(work: Work) -> Path:
    return work.path / ".git" / "index"


def told_by_git(work: Work) -> dict[bytes, tuple[str, int, int]]:
    """Path -> (blob, mtime in ns, size), as git itself reads its index."""
    listed = work.git("ls-files", "-z", "--stage").split("\0")[:-1]
    said = work.git("ls-files", "--debug").splitlines()
    mtimes = [line.removeprefix("  mtime: ").split(":") for line in said if line.startswith("  mtime: ")]
    sizes = [line.removeprefix("  size: ").split("\t")[0] for line in said if line.startswith("  size: ")]
    return {
        os.fsencode(entry.partition("\t")[2]): (entry.split(" ")[1], int(seconds) * 10**9 + int(rest), int(size))
        for entry, (seconds, rest), size in zip(listed, mtimes, sizes, strict=True)
    }


FORMS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "version 2": ((), {"index_version": "2"}),
    "version 4": ((), {"index_version": "4"}),
    "sha256": (("--object-format=sha256",), {}),
    "sha256, version 4": (("--object-format=sha256",), {"index_version": "4"}),
    "untracked cache": ((), {"core_untrackedCache": "true"}),
    "threads": ((), {"index_threads": "3"}),
}


@pytest.mark.parametrize("form", FORMS)
def test_entries_are_read_as_git_reads_them(make: Callable[..., Work], form: str) -> None:
    init, config = FORMS[form]
    work = make(*init, **config)
    found = {entry.path: (entry.blob.hex(), entry.mtime_ns, entry.size) for entry in index_file.read(index_of(work))}
    assert found == told_by_git(work)
    assert set(found) == {name.encode() for name in NAMES}


def test_version_3_is_read_with_its_longer_entries(make: Callable[..., Work]) -> None:
    work = make()
    work.write("soon", "later")
    work.git("add", "--intent-to-add", "soon")
    work.git("update-index", "--skip-worktree", "dir/e")
    assert index_of(work).read_bytes()[4:8] == b"\0\0\0\3"
    assert {entry.path for entry in index_file.read(index_of(work))} == {name.encode() for name in (*NAMES, "soon")}


@pytest.mark.parametrize("form", [*FORMS, "version 3"])
def test_a_refresh_changes_stat_data_and_nothing_else(make: Callable[..., Work], form: str) -> None:
    init, config = FORMS.get(form, ((), {}))
    work = make(*init, **config)
    if form == "version 3":
        work.git("update-index", "--skip-worktree", "a")
    index = index_of(work)
    os.utime(index, ns=(10**18, 10**18 + 5))
    index.chmod(0o640)
    before, staged = index.read_bytes(), work.git("ls-files", "-s", "-t")
    for name in NAMES:
        os.utime(work.path / name, ns=(7 * 10**17, 7 * 10**17 + 123))
    (work.path / "z").chmod(0o755)
    asked = []

    def renew(entry: IndexRecord) -> os.stat_result | None:
        asked.append(entry.path)
        assert index.with_name("index.lock").exists()
        return os.stat(os.path.join(os.fsencode(work.path), entry.path)) if entry.path != b"dir/e" else None

    assert index_file.refresh(index, renew) is Refreshed.DONE
    after = index.read_bytes()
    assert sorted(asked) == sorted(name.encode() for name in NAMES)
    assert len(after) == len(before) and not index.with_name("index.lock").exists()
    assert index.stat().st_mtime_ns == 10**18 + 5 and index.stat().st_mode & 0o777 == 0o640
    hash_size = 32 if init else 20
    digest = (hashlib.sha256 if init else hashlib.sha1)(after[:-hash_size]).digest()
    assert after[-hash_size:] == digest
    assert work.git("ls-files", "-s", "-t") == staged, "the modes and blobs are git's own"
    renewed = told_by_git(work)
    assert {path for path, (_, mtime, _) in renewed.items() if mtime == 7 * 10**17 + 123} == {
        name.encode() for name in NAMES if name != "dir/e"
    }
    work.git("fsck")


def test_a_forgotten_entry_makes_git_look_at_the_file(make: Callable[..., Work]) -> None:
    work = make()
    assert index_file.refresh(index_of(work), lambda entry: FORGET if entry.path == b"a" else None) is Refreshed.DONE
    assert told_by_git(work)[b"a"][2] == 0
    assert work.is_clean()
    index_file.refresh(index_of(work), lambda entry: FORGET if entry.path == b"a" else None)
    work.write("a", "changed")
    assert work.git("status", "--porcelain") == " M a"


def test_nothing_to_renew_leaves_the_index_alone(make: Callable[..., Work]) -> None:
    work = make()
    before = index_of(work).stat()
    assert index_file.refresh(index_of(work), lambda entry: None) is Refreshed.DONE
    assert (index_of(work).stat().st_ino, index_of(work).stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not (work.path / ".git" / "index.lock").exists()


def test_a_taken_lock_is_respected(make: Callable[..., Work]) -> None:
    work = make()
    lock = work.write(".git/index.lock", "theirs")
    assert index_file.refresh(index_of(work), lambda entry: FORGET) is Refreshed.LOCKED
    assert lock.read_text() == "theirs" and told_by_git(work)[b"a"][2] != 0


def test_unmerged_entries_are_neither_read_nor_changed(make: Callable[..., Work]) -> None:
    work = make()
    work.git("switch", "-qc", "other")
    work.write("a", "theirs")
    work.commit()
    work.git("switch", "-q", "main")
    work.write("a", "ours")
    work.commit()
    assert work.try_git("merge", "other").returncode == 1
    unmerged = work.git("ls-files", "-u")
    assert b"a" not in {entry.path for entry in index_file.read(index_of(work))}
    assert index_file.refresh(index_of(work), lambda entry: FORGET) is Refreshed.DONE
    assert work.git("ls-files", "-u") == unmerged


def test_an_index_that_is_split_or_none_is_left_alone(make: Callable[..., Work], tmp_path: Path) -> None:
    work = make()
    work.git("update-index", "--split-index")
    before = index_of(work).read_bytes()
    assert index_file.refresh(index_of(work), lambda entry: FORGET) is Refreshed.NOT_OURS
    assert index_of(work).read_bytes() == before and not (work.path / ".git" / "index.lock").exists()
    assert index_file.refresh(tmp_path / "none", lambda entry: FORGET) is Refreshed.NOT_OURS
    assert list(tmp_path.glob("none*")) == [] and index_file.read(tmp_path / "none") == []
    assert index_file.refresh(tmp_path / "no directory" / "index", lambda entry: FORGET) is Refreshed.LOCKED


def test_the_checksum_of_zeros_of_index_skiphash_stays(make: Callable[..., Work]) -> None:
    work = make()
    data = index_of(work).read_bytes()
    index_of(work).write_bytes(data[:-20] + bytes(20))
    assert len(index_file.read(index_of(work))) == len(NAMES)
    assert index_file.refresh(index_of(work), lambda entry: FORGET) is Refreshed.DONE
    assert index_of(work).read_bytes()[-20:] == bytes(20)


def test_a_link_to_an_index_stays_one(make: Callable[..., Work], tmp_path: Path) -> None:
    """As git-new-workdir made them."""
    work = make()
    elsewhere = tmp_path / "elsewhere"
    index_of(work).rename(elsewhere)
    index_of(work).symlink_to(elsewhere)
    assert index_file.refresh(index_of(work), lambda entry: FORGET) is Refreshed.DONE
    assert index_of(work).is_symlink() and told_by_git(work)[b"a"][2] == 0


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_index_is_never_rewritten(data: st.DataObject) -> None:
    """Flipped, cut or made up: with a checksum that is wrong, or one that somebody made right for it."""
    import tempfile

    name = b"name"
    entry = bytes(40) + b"\x11" * 20 + b"\0\4" + name + b"\0" * 6
    good = b"DIRC" + b"\0\0\0\2" + b"\0\0\0\1" + entry + b"TREE\0\0\0\2ab"
    bad = bytearray(good)
    for _ in range(data.draw(st.integers(0, 3))):
        bad[data.draw(st.integers(0, len(bad) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(bad[: data.draw(st.integers(0, len(bad)))])
    body = cut + hashlib.sha1(cut).digest() if data.draw(st.booleans()) else cut
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "index"
        path.write_bytes(body)
        outcome = index_file.refresh(path, lambda entry: None)
        assert outcome in (Refreshed.DONE, Refreshed.NOT_OURS)
        assert path.read_bytes() == body and os.listdir(directory) == ["index"]
        for found in index_file.read(path):
            assert len(found.blob) in (20, 32)


def test_a_count_that_is_far_too_large_costs_nothing(tmp_path: Path) -> None:
    body = b"DIRC" + b"\0\0\0\2" + b"\xff\xff\xff\xff"
    (tmp_path / "index").write_bytes(body + hashlib.sha1(body).digest())
    assert index_file.read(tmp_path / "index") == []
    assert index_file.refresh(tmp_path / "index", lambda entry: FORGET) is Refreshed.NOT_OURS

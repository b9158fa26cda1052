"""A repository on this machine is cloned, pulled and fetched from with contents that were never pushed to a store."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kit.matrix import some_of
from kit.work import Work, add_remote, flip_in_packs, random_bytes

from git_lds import hashing
from git_lds.hashing import Oid
from git_lds.local.lookup import belongs_to
from git_lds.local.objects import ObjectDirectory
from git_lds.maintenance.compact import compact
from git_lds.repo import Repo

SMALL, LARGE = b"a small file", random_bytes(1, 5 << 20)


@pytest.fixture
def source(work: Work) -> Work:
    """A repository whose contents are in no store."""
    work.write("small.bin", SMALL)
    work.write("large.bin", LARGE)
    work.commit()
    return work


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict[str, str]:
    """The environment of a user with an empty cache."""
    return {"GIT_LDS_CACHE": str(tmp_path / "other cache")}


def assert_whole(clone: Work) -> None:
    assert clone.read("small.bin") == SMALL and clone.read("large.bin") == LARGE
    assert clone.is_clean()


def entries(directory: Path) -> dict[str, tuple[int, int]]:
    """What is in a directory: each path with its size and time stamp."""
    return {
        str(path.relative_to(directory)): (path.lstat().st_size if path.is_file() else 0, path.lstat().st_mtime_ns)
        for path in [directory, *sorted(directory.rglob("*"))]
    }


@pytest.mark.parametrize("form", some_of(["{0}", "file://{0}", "../work", "{0}/.git"], "file://{0}", "../work"))
def test_a_clone_has_what_was_not_pushed(source: Work, tmp_path: Path, elsewhere: dict[str, str], form: str) -> None:
    before = entries(source.path / ".git" / "lds")
    here = Work(tmp_path / "here")
    here.path.mkdir()
    here.git("clone", "-q", form.format(source.path), str(tmp_path / "clone"), **elsewhere)
    assert_whole(Work(tmp_path / "clone"))
    assert entries(source.path / ".git" / "lds") == before


def test_a_clone_works_where_the_store_lacks_the_objects(
    source: Work, tmp_path: Path, elsewhere: dict[str, str]
) -> None:
    source.lds("init", "--store", str(tmp_path / "store"))
    source.commit()
    assert_whole(source.clone("clone", **elsewhere))


def test_a_clone_works_where_the_store_is_dead(source: Work, elsewhere: dict[str, str]) -> None:
    source.write(".ldsconfig", '[store]\nurl = "http://127.0.0.1:9/store"\n')
    source.commit()
    assert_whole(source.clone("clone", **elsewhere))


def test_a_url_that_git_rewrites_is_followed(source: Work, tmp_path: Path, elsewhere: dict[str, str]) -> None:
    source.git("config", "--global", f"url.{tmp_path}/.insteadOf", "https://data.example.org/")
    source.clone("clone", source="https://data.example.org/work", **elsewhere)
    assert_whole(Work(tmp_path / "clone"))


def test_a_directory_whose_name_needs_escapes_in_a_url(
    new_work: Callable[..., Work], tmp_path: Path, elsewhere: dict[str, str]
) -> None:
    spaced = new_work("with a space")
    spaced.write("a.bin", SMALL)
    spaced.commit()
    clone = spaced.clone("clone", source=f"file://{tmp_path}/with%20a%20space", **elsewhere)
    assert clone.read("a.bin") == SMALL


def test_a_linked_worktree_is_cloned_from(source: Work, tmp_path: Path, elsewhere: dict[str, str]) -> None:
    source.git("worktree", "add", "-q", "-b", "linked", str(tmp_path / "linked"))
    assert_whole(source.clone("clone", source=tmp_path / "linked", **elsewhere))


def test_a_repository_whose_git_directory_is_elsewhere_is_cloned_from(
    new_work: Callable[..., Work], source: Work, tmp_path: Path, elsewhere: dict[str, str]
) -> None:
    source.git("init", "-q", "--separate-git-dir", str(tmp_path / "apart"))
    assert (source.path / ".git").is_file()
    assert_whole(source.clone("clone", **elsewhere))


def test_a_linked_worktree_of_the_clone_is_filled(source: Work, tmp_path: Path, elsewhere: dict[str, str]) -> None:
    clone = source.clone("clone", "--bare", **elsewhere)
    clone.git("worktree", "add", "-q", str(tmp_path / "linked"), "main", **elsewhere)
    assert_whole(Work(tmp_path / "linked"))


def test_later_commits_come_with_a_pull(source: Work, elsewhere: dict[str, str]) -> None:
    clone = source.clone("clone", **elsewhere)
    source.write("later.bin", b"later")
    source.commit()
    clone.git("pull", "-q", **elsewhere)
    assert clone.read("later.bin") == b"later"
    source.write("later.bin", b"later still")
    source.commit()
    clone.git("fetch", "-q")
    clone.git("checkout", "-q", "origin/main", **elsewhere)
    assert clone.read("later.bin") == b"later still"


def test_a_pull_from_a_path_needs_no_remote(
    new_work: Callable[..., Work], source: Work, elsewhere: dict[str, str]
) -> None:
    other = new_work("other", track=())
    other.git("pull", "-q", str(source.path), "main", **elsewhere)
    assert_whole(other)


def test_what_came_stays_when_the_remote_is_deleted(source: Work, elsewhere: dict[str, str]) -> None:
    source.write("small.bin", b"another version")
    source.commit()
    clone = source.clone("clone", **elsewhere)
    said = clone.try_lds("fetch", "--all", **elsewhere).stderr
    assert "Downloaded 1 file (" in said and "(0 B)" not in said
    shutil.rmtree(source.path)
    clone.git("checkout", "-q", "HEAD~1", **elsewhere)
    assert_whole(clone)


def test_objects_that_are_kept_as_chunks_are_read(source: Work, elsewhere: dict[str, str]) -> None:
    with Repo.here(source.path) as repo:
        assert compact(repo.own, list(repo.own.large())).objects == 1
    assert not list((source.path / ".git/lds/objects").rglob("*/*"))
    assert_whole(source.clone("clone", **elsewhere))


def test_a_damaged_object_of_a_remote_is_not_checked_out(source: Work, elsewhere: dict[str, str]) -> None:
    kept = next(path for path in (source.path / ".git/lds/objects").rglob("*") if path.is_file())
    data = bytearray(LARGE)
    data[len(data) // 2] ^= 1
    kept.chmod(0o644)
    kept.write_bytes(data)
    assert flip_in_packs(source.path / ".git/lds", SMALL) == 1
    done = source.try_git("clone", "-q", str(source.path), str(source.path.parent / "clone"), **elsewhere)
    assert done.returncode != 0 and "the contents of 2 files could not be fetched" in done.stderr
    assert kept.read_bytes() == data


def test_a_damaged_object_of_a_remote_comes_from_the_store(source: Work, elsewhere: dict[str, str]) -> None:
    bare = source.publish()
    assert flip_in_packs(source.path / ".git/lds", SMALL) == 1
    clone = source.clone("clone", "--no-checkout", **elsewhere)
    add_remote(clone, bare, "bare")
    clone.git("checkout", "-q", "main", **elsewhere)
    assert_whole(clone)


def _no_packs(lds: Path) -> None:
    shutil.rmtree(lds / "packs")
    (lds / "packs").write_text("a file")


def _pipe(lds: Path) -> None:
    kept = next(path for path in (lds / "objects").rglob("*") if path.is_file())
    kept.unlink()
    os.mkfifo(kept)


def _garbage(lds: Path) -> None:
    for path in [path for path in lds.rglob("*") if path.is_file()]:
        path.chmod(0o644)
        path.write_bytes(b"garbage" * 9)


@pytest.mark.parametrize("harm", [shutil.rmtree, _no_packs, _pipe, _garbage])
def test_a_broken_local_store_of_a_remote_breaks_nothing(
    source: Work, elsewhere: dict[str, str], harm: Callable[[Path], object]
) -> None:
    source.publish("store.git")
    source.lds("init", "--store", str(source.path.parent / "store.git" / "lds"))
    source.commit()
    harm(source.path / ".git" / "lds")
    assert_whole(source.clone("clone", **elsewhere))


@contextlib.contextmanager
def another_user() -> Iterator[None]:
    """Be a user who may write nowhere and read only what everybody may. Only root can do that."""
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_a_local_store_that_may_not_be_read_has_nothing(tmp_path: Path) -> None:
    from git_lds.transfer import nearby

    directory, target = ObjectDirectory(tmp_path / "theirs"), ObjectDirectory(tmp_path / "ours")
    oid = hashing.of_bytes(SMALL)
    directory.put(oid, SMALL)
    directory.close()
    for part in (tmp_path / "theirs" / "packs").iterdir():
        part.chmod(0o600)
    (tmp_path / "theirs").chmod(0o755)
    came: list[bytes] = []
    with another_user():
        nearby.take([directory], target, {oid: len(SMALL), hashing.of_bytes(LARGE): len(LARGE)}, came.append)
    assert came == []
    nearby.take([directory], target, {oid: len(SMALL)}, came.append)
    assert came == [oid]
    target.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files to another user")
def test_a_link_in_somebody_elses_repository_does_not_lead_to_our_files(
    source: Work, new_work: Callable[..., Work], tmp_path: Path, elsewhere: dict[str, str]
) -> None:
    """A stranger who knows an oid must not get us to take the object from where only we may read it."""
    bait = tmp_path / "bait.git"
    source.git("clone", "-q", "--bare", str(source.path), str(bait))
    (bait / "lds").symlink_to(source.path / ".git" / "lds")
    with Repo.here(source.clone("ours", "--no-checkout", source=bait, **elsewhere).path) as repo:
        assert len(repo.objects.remotes) == 1  # one user may link to directories of theirs
    os.chown(bait, 65534, 65534)
    source.git("config", "--global", "safe.directory", "*")
    with Repo.here(source.clone("theirs", "--no-checkout", source=bait, **elsewhere).path) as repo:
        assert repo.objects.remotes == []
    assert belongs_to(bait / "HEAD", bait)


def test_a_store_and_a_local_store_live_in_one_directory(
    source: Work, tmp_path: Path, elsewhere: dict[str, str]
) -> None:
    """The directory lds in a bare repository is its local store, and the store of who pushes there."""
    bare = tmp_path / "backup.git"
    source.git("clone", "-q", "--mirror", str(source.path), str(bare))
    Work(bare).lds("fetch", "--all")
    own = entries(bare / "lds")
    clone = source.clone("clone", source=bare, **elsewhere)
    assert_whole(clone)
    clone.write("more.bin", b"more")
    clone.commit()
    clone.git("push", "-q", **elsewhere)
    assert (bare / "lds" / "lds.toml").exists()
    after = entries(bare / "lds")
    assert {name: after[name] for name in own if (bare / "lds" / name).is_file()} == {
        name: own[name] for name in own if (bare / "lds" / name).is_file()
    }
    again = source.clone("again", source=bare, GIT_LDS_CACHE=tmp_path / "third cache")
    assert again.read("more.bin") == b"more" and again.read("large.bin") == LARGE

    assert "Already up to date" in Work(bare).try_lds("fetch", "--all").stderr


def test_what_was_pushed_into_a_repository_is_read_there(source: Work, elsewhere: dict[str, str]) -> None:
    clone = source.clone("clone", **elsewhere)
    clone.write("pushed.bin", b"pushed")
    clone.commit()
    clone.git("push", "-q", "origin", "main:side", **elsewhere)
    source.git("merge", "-q", "side")
    assert source.read("pushed.bin") == b"pushed"


def test_nothing_looks_for_remotes_while_nothing_is_missing(source: Work, elsewhere: dict[str, str]) -> None:
    clone = source.clone("clone", **elsewhere)
    (clone.path / "large.bin").unlink()
    trace = clone.path.parent / "trace"
    clone.git("checkout", "-q", "--", "large.bin", GIT_TRACE=trace, **elsewhere)
    assert clone.read("large.bin") == LARGE
    assert "insteadof" not in trace.read_text() and "--get-url" not in trace.read_text()


def test_a_push_to_a_linked_worktree_goes_to_the_store_of_its_repository(source: Work, tmp_path: Path) -> None:
    source.git("worktree", "add", "-q", "-b", "linked", str(tmp_path / "linked"))
    clone = source.clone("clone", source=tmp_path / "linked")
    clone.write("pushed.bin", b"pushed")
    clone.commit()
    clone.git("push", "-q", "origin", "HEAD:side")
    assert (source.path / ".git" / "lds" / "lds.toml").exists()
    source.git("merge", "-q", "side")
    assert source.read("pushed.bin") == b"pushed"


def test_a_remote_that_vanishes_while_it_is_read_gives_what_it_gave(tmp_path: Path) -> None:
    from git_lds.transfer import nearby

    theirs, ours = (
        ObjectDirectory(tmp_path / "theirs", lasting=False),
        ObjectDirectory(tmp_path / "ours", lasting=False),
    )
    contents = {hashing.of_bytes(data): data for data in (random_bytes(n, 200_000) for n in range(40))}
    for oid, data in contents.items():
        with theirs.scratch() as scratch:
            os.write(scratch.fd, data)
            theirs.adopt(oid, scratch)
    came = set()

    def arrived(oid: Oid) -> None:
        came.add(oid)
        shutil.rmtree(tmp_path / "theirs", ignore_errors=True)

    nearby.take([theirs], ours, {oid: len(data) for oid, data in contents.items()}, arrived)
    assert came and came == set(ours) and len(came) < len(contents)
    for oid in came:
        stream = ours.open(oid)
        assert stream is not None and stream.read() == contents[oid]
        stream.close()
    assert not list((tmp_path / "ours" / "tmp").iterdir())

"""Large files go around git's memory: the right bytes, nothing written where it must not be, nothing cleaned again."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3
from kit.scripted_git import Ended, ScriptedGit
from kit.work import Work, pointer_of, random_bytes

LARGE = (4 << 20) + 1
"""The smallest size that does not go through git."""

_MEASURE = (
    "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
)


def peak(work: Work, *command: str, **environment: object) -> float:
    """Run a command; return the MiB of memory that the hungriest process below it had at its peak."""
    done = work.try_run(sys.executable, "-c", _MEASURE, *command, **environment)
    assert done.returncode == 0, done.stderr
    return int(done.stdout) / 1024


def write_huge(work: Work, name: str, mebibytes: int, *, salt: int = 0) -> str:
    """Write a file without holding it; return its oid in hex."""
    hasher = blake3()
    with open(work.path / name, "wb") as file:
        for n in range(mebibytes):
            block = random_bytes(n * 1000 + salt, 1 << 20)
            hasher.update(block)
            file.write(block)
    return hasher.hexdigest()


def oid_of(path: Path) -> str:
    with open(path, "rb") as file:
        hasher = blake3()
        while block := file.read(1 << 20):
            hasher.update(block)
    return hasher.hexdigest()


@pytest.mark.parametrize(("mebibytes", "limit"), [(200, 64), pytest.param(1024, 100, marks=pytest.mark.slow)])
def test_no_process_needs_memory_for_a_large_file(work: Work, world: Path, mebibytes: int, limit: int) -> None:
    """Add, commit, checkout, reset, stash, merge and clone, git itself included."""
    needed = {}
    old = write_huge(work, "huge.bin", mebibytes)
    needed["add"] = peak(work, "git", "add", "-A")
    work.git("commit", "-qm", "first")
    work.git("switch", "-qc", "other")
    new = write_huge(work, "huge.bin", mebibytes, salt=1)
    needed["commit -a"] = peak(work, "git", "commit", "-qam", "second")
    needed["checkout"] = peak(work, "git", "checkout", "-q", "main")
    assert oid_of(work.path / "huge.bin") == old and work.is_clean()
    needed["merge"] = peak(work, "git", "merge", "-q", "other")
    assert oid_of(work.path / "huge.bin") == new
    needed["reset"] = peak(work, "git", "reset", "-q", "--hard", "HEAD~1")
    assert oid_of(work.path / "huge.bin") == old
    needed["touched status"] = (os.utime(work.path / "huge.bin"), peak(work, "git", "status"))[1]
    needed["rebase"] = peak(work, "git", "rebase", "-q", "other")
    assert oid_of(work.path / "huge.bin") == new
    with open(work.path / "huge.bin", "ab") as file:
        file.write(b"!")
    needed["stash"] = peak(work, "git", "stash", "-q")
    assert oid_of(work.path / "huge.bin") == new
    (work.path / "huge.bin").unlink()
    needed["lds checkout"] = peak(work, "git", "lds", "checkout")
    assert oid_of(work.path / "huge.bin") == new
    needed["clone --shared"] = peak(work, "git", "clone", "-q", "--shared", str(work.path), "../clone")
    clone = Work(work.path.parent / "clone")
    assert oid_of(clone.path / "huge.bin") == new
    assert not clone.starts_filter("status")
    print({verb: f"{mib:.0f} MiB" for verb, mib in needed.items()})
    assert max(needed.values()) < limit, needed
    assert work.is_clean() and work.leftovers() == [] and clone.leftovers() == []


@pytest.mark.parametrize(("mebibytes", "limit"), [(200, 100), pytest.param(1024, 100, marks=pytest.mark.slow)])
def test_no_process_needs_memory_to_push_and_clone_a_large_file(work: Work, mebibytes: int, limit: int) -> None:
    oid = write_huge(work, "huge.bin", mebibytes)
    work.commit()
    bare = work.path.parent / "origin.git"
    work.git("init", "-q", "--bare", str(bare))
    work.git("remote", "add", "origin", str(bare))
    work.lds("init")
    needed = {"push": peak(work, "git", "push", "-q", "origin", "main")}
    shutil.rmtree(work.path / ".git" / "lds")
    needed["clone"] = peak(work, "git", "clone", "-q", str(bare), "../clone")
    clone = Work(work.path.parent / "clone")
    assert oid_of(clone.path / "huge.bin") == oid
    assert not clone.starts_filter("status") and clone.is_clean() and clone.leftovers() == []
    print({verb: f"{mib:.0f} MiB" for verb, mib in needed.items()})
    assert max(needed.values()) < limit, needed


# the first status


def fresh(work: Work, count: int = 20) -> dict[str, bytes]:
    contents = {f"images/{n:03}.png": random_bytes(n, 5000 + n) for n in range(count)}
    contents |= {f"large {n}.bin": random_bytes(1000 + n, LARGE + n) for n in range(2)}
    contents |= {"empty.bin": b"", "plain.txt": b"plain\n"}
    for name, data in contents.items():
        path = work.write(name, data)
        # git itself looks again at what its user wrote in the second of its index; here it is about what git filled
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 10))
    return contents


def check(work: Work, contents: dict[str, bytes]) -> None:
    """Nothing is cleaned again by the next status, and by no later one; the files are right."""
    assert not work.starts_filter("status", "--porcelain")
    assert not work.starts_filter("diff", "--quiet")
    assert work.is_clean()
    assert {name: work.read(name) for name in contents} == contents
    # git agrees when it is made to look at every byte
    work.git("update-index", "--really-refresh")
    for name in contents:
        os.utime(work.path / name)
    assert work.is_clean()


@pytest.mark.parametrize(
    "how",
    [
        "clone",
        "clone from a store",
        "switch",
        "reset",
        "worktree",
        "restore",
        "lds pull",
        "lds checkout",
        "merge",
        "stash",
    ],
)
def test_status_after_filling_a_work_tree_starts_no_filter(work: Work, how: str) -> None:
    contents = fresh(work)
    if how in ("switch", "reset", "merge"):
        work.git("commit", "-q", "--allow-empty", "-m", "root")
        work.git("switch", "-qc", "filled")
    work.commit()
    if how == "clone":
        work = work.clone("clone", "--shared")
    elif how == "clone from a store":
        work = work.clone("clone", source=work.publish())
    elif how == "switch":
        work.git("switch", "-q", "main")
        work.git("switch", "-q", "filled")
    elif how == "reset":
        work.git("reset", "-q", "--hard", "main")
        work.git("reset", "-q", "--hard", "ORIG_HEAD")
    elif how == "merge":
        work.git("switch", "-q", "main")
        work.git("merge", "-q", "filled")
    elif how == "stash":
        new = random_bytes(1, LARGE)
        work.write("large 0.bin", new)
        work.write("images/000.png", b"new")
        work.git("stash", "-q")
    elif how == "worktree":
        work.git("worktree", "add", "-q", "../clone", "-b", "beside")
        work = Work(work.path.parent / "clone")
    elif how == "restore":
        work = work.clone("clone", "--shared", "--no-checkout")
        work.git("reset", "-q")
        work.git("restore", ".")
    else:
        work = work.clone("clone", source=work.publish(), GIT_LDS_SKIP_SMUDGE="1")
        if how == "lds pull":
            work.lds("pull")
        else:
            work.lds("fetch")
            work.lds("checkout")
    check(work, contents)


def test_status_after_a_clone_that_takes_its_time_starts_no_filter(work: Work) -> None:
    """The files are older than the index, as young, and anything between."""
    contents = fresh(work, 2500)
    work.commit()
    clone = work.clone("clone", "--shared")
    check(clone, contents)


@pytest.mark.parametrize("version", ["2", "3", "4"])
def test_each_version_of_git_s_index_is_understood(work: Work, version: str) -> None:
    contents = fresh(work)
    work.commit()
    clone = work.clone("clone", "--shared", "-c", f"index.version={version}")
    if version == "3":
        clone.write("soon.txt", "later")
        clone.git("add", "--intent-to-add", "soon.txt")
        clone.git("read-tree", "--empty")
        clone.git("config", "index.version", "3")
        clone.git("reset", "-q", "--hard")
        clone.git("add", "--intent-to-add", "soon.txt")
        for name in contents:
            (clone.path / name).unlink()
        clone.git("checkout", "-q", ":/large*", ":/images", ":/plain.txt", ":/empty.bin")
        clone.git("rm", "-q", "--cached", "soon.txt")
        (clone.path / "soon.txt").unlink()
    assert int.from_bytes((clone.path / ".git" / "index").read_bytes()[4:8], "big") in (2, int(version))
    check(clone, contents)


@pytest.mark.parametrize(
    "config",
    [
        ("core.untrackedCache=true", "index.threads=4", "checkout.workers=4", "core.sharedRepository=group"),
        ("feature.manyFiles=true", "core.fileMode=false", "core.fsync=all"),
        ("core.checkStat=minimal", "core.trustctime=false"),
    ],
)
def test_other_settings_of_git_do_not_disturb(work: Work, config: tuple[str, ...]) -> None:
    contents = fresh(work)
    work.commit()
    check(work.clone("clone", "--shared", *(word for each in config for word in ("-c", each))), contents)


def test_a_split_index_is_left_to_git(work: Work) -> None:
    """git may clean once more then, and what it sees is right."""
    contents = fresh(work)
    work.commit()
    clone = work.clone("clone", "--shared", "-c", "core.splitIndex=true")
    assert clone.is_clean() and {name: clone.read(name) for name in contents} == contents
    for n in range(2):
        clone.git("rm", "-q", f"large {n}.bin", "images/000.png")
        clone.git("reset", "-q", "--hard")
        assert clone.is_clean() and {name: clone.read(name) for name in contents} == contents
    clone.write("large 0.bin", pointer_of(contents["large 0.bin"]))
    clone.git("add", "-A")
    clone.lds("checkout")
    assert clone.is_clean() and {name: clone.read(name) for name in contents} == contents
    assert clone.leftovers() == []


def test_a_sparse_index_is_told_as_well(work: Work) -> None:
    contents = fresh(work)
    work.write("out/large.bin", random_bytes(1, LARGE))
    work.commit()
    clone = work.clone("clone", "--shared", "--sparse")
    clone.git("sparse-checkout", "set", "--sparse-index", "images")
    check(clone, contents)
    assert b"sdir" in (clone.path / ".git" / "index").read_bytes() and not (clone.path / "out").exists()


def test_sha256_repositories_work(tmp_path: Path, new_work: Callable[..., Work]) -> None:
    new_work("other")
    work = Work(tmp_path / "work")
    work.path.mkdir()
    work.git("init", "-q", "--object-format=sha256")
    work.write(
        ".gitattributes", "*.bin filter=lds diff=lds merge=lds -text\nimages/** filter=lds diff=lds merge=lds -text\n"
    )
    contents = fresh(work)
    work.commit()
    assert work.committed("large 0.bin") == pointer_of(contents["large 0.bin"])
    bare = tmp_path / "origin.git"
    work.git("init", "-q", "--bare", "--object-format=sha256", str(bare))
    work.git("remote", "add", "origin", str(bare))
    work.publish_again()
    clone = work.clone("clone", source=bare)
    check(clone, contents)
    for name in contents:
        os.utime(clone.path / name)
    clone.git("status")
    assert clone.local_objects() == set(), "what was downloaded is not stored again"


# what is at the path instead of the pointer


def filled(work: Work, name: str = "large.bin") -> tuple[bytes, ScriptedGit]:
    """Let the filter promise to fill a pointer; the caller plays what happens before git is gone."""
    data = random_bytes(1, LARGE)
    work.write(name, data)
    work.commit()
    (work.path / name).unlink()
    git = ScriptedGit(work)
    git.shake_hands()
    answer = git.ask(b"smudge", os.fsencode(name), pointer_of(data), b"can-delay=1")
    assert answer.data == pointer_of(data), "the pointer, for now"
    return data, git


def test_the_filter_fills_the_pointer_that_git_wrote(work: Work) -> None:
    data, git = filled(work)
    work.write("large.bin", pointer_of(data)).chmod(0o755)
    done = git.end()
    assert (done.code, done.stderr) == (0, "")
    assert work.read("large.bin") == data
    assert stat.S_IMODE((work.path / "large.bin").stat().st_mode) == 0o755


@pytest.mark.parametrize(
    "place",
    [
        "modified",
        "other pointer",
        "longer",
        "link",
        "dangling link",
        "hard link",
        "directory",
        "fifo",
        "nothing",
        "parent is a link",
        "parent is gone",
    ],
)
def test_what_is_not_exactly_the_pointer_is_never_written_through_or_over(
    work: Work, place: str, tmp_path: Path
) -> None:
    """Behaviours 11 and 39: a program may change the working tree before git is gone."""
    name = "images/large.png" if place.startswith("parent") else "large.bin"
    data, git = filled(work, name)
    path, outside = work.path / name, tmp_path / "outside"
    outside.write_bytes(pointer_of(data))
    written: bytes | None = None
    if place == "modified":
        written = b"something of the user"
    elif place == "other pointer":
        written = pointer_of(b"another")
    elif place == "longer":
        written = pointer_of(data) + b"\n"
    elif place == "link":
        path.symlink_to(outside)
    elif place == "dangling link":
        path.symlink_to(tmp_path / "not there")
    elif place == "hard link":
        os.link(outside, path)
    elif place == "directory":
        path.mkdir()
        (path / "inside").write_bytes(b"mine")
    elif place == "fifo":
        os.mkfifo(path)
    elif place == "parent is a link":
        directory = tmp_path / "directory outside"
        directory.mkdir()
        (directory / "large.png").write_bytes(pointer_of(data))
        path.parent.rmdir()
        path.parent.symlink_to(directory)
    elif place == "parent is gone":
        path.parent.rmdir()
    if written is not None:
        path.write_bytes(written)
    before = path.lstat() if os.path.lexists(path) else None
    done = git.end()
    assert done.code == 0 and "Traceback" not in done.stderr
    assert outside.read_bytes() == pointer_of(data) and not (tmp_path / "not there").exists()
    if before is None:
        assert not os.path.lexists(path)
    else:
        after = path.lstat()
        assert (after.st_ino, after.st_mode, after.st_mtime_ns) == (before.st_ino, before.st_mode, before.st_mtime_ns)
    if written is not None:
        assert path.read_bytes() == written
    if place == "parent is a link":
        assert (tmp_path / "directory outside" / "large.png").read_bytes() == pointer_of(data)
    assert work.leftovers() == []


@pytest.mark.parametrize("verb", ["checkout", "pull"])
def test_lds_checkout_writes_through_no_link_either(work: Work, tmp_path: Path, verb: str) -> None:
    """Behaviours 11 and 39."""
    contents = {"a.bin": b"small", "large.bin": random_bytes(1, LARGE), "images/deep/b.png": b"deep"}
    for name, data in contents.items():
        work.write(name, data)
    work.commit()
    work.publish()
    outside = tmp_path / "outside"
    for name, data in contents.items():
        path = outside / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pointer_of(data))
        (work.path / name).unlink()
    (work.path / "a.bin").symlink_to(outside / "a.bin")
    os.link(outside / "large.bin", work.path / "large.bin")
    shutil.rmtree(work.path / "images")
    (work.path / "images").symlink_to(outside / "images")
    work.lds(verb)
    assert {name: (outside / name).read_bytes() for name in contents} == {
        name: pointer_of(data) for name, data in contents.items()
    }
    assert (work.path / "a.bin").is_symlink() and (work.path / "images").is_symlink()


def test_a_taken_index_lock_is_respected(work: Work) -> None:
    """git's index says of the file what the pointer was like, so without the index the pointer stays and is clean."""
    data, git = filled(work)
    work.write("large.bin", pointer_of(data))
    work.git("add", "large.bin")
    lock = work.write(".git/index.lock", b"somebody else's")
    before = (work.path / ".git" / "index").read_bytes()
    done = git.end()
    assert done.code == 0 and "locked" in done.stderr and "hint: git lds checkout" in done.stderr
    assert lock.read_bytes() == b"somebody else's" and (work.path / ".git" / "index").read_bytes() == before
    assert work.read("large.bin") == pointer_of(data)
    refused = work.try_lds("checkout")
    assert refused.returncode == 1 and "locked" in refused.stderr
    lock.unlink()
    assert work.is_clean()
    work.lds("checkout")
    assert work.read("large.bin") == data
    assert not work.starts_filter("status") and work.is_clean()


def test_an_index_lock_that_is_let_go_soon_is_waited_for(work: Work) -> None:
    """As a `git status` of an editor holds it."""
    data, git = filled(work)
    work.write("large.bin", pointer_of(data))
    work.git("add", "large.bin")
    lock = work.write(".git/index.lock", b"")
    threading.Timer(0.3, lock.unlink).start()
    assert git.end() == Ended(0, "")
    assert work.read("large.bin") == data and not work.starts_filter("status")


def test_large_files_are_clean_even_if_the_filter_is_killed_before_it_told_git(work: Work) -> None:
    """The moment between the last file and the index is played here by taking the index back to what it was."""
    data = random_bytes(1, LARGE)
    work.write("large.bin", data)
    work.commit()
    clone = work.clone("clone", "--shared", GIT_LDS_SKIP_SMUDGE="1")
    from git_lds.git.index_file import FORGET, refresh

    refresh(clone.path / ".git" / "index", lambda entry: FORGET if entry.path == b"large.bin" else None)
    announced = (clone.path / ".git" / "index").read_bytes()
    assert clone.is_clean(), "the pointer"
    clone.write(".git/index", announced)
    clone.write("large.bin", data)
    assert clone.is_clean(), "the contents"
    clone.write(".git/index", announced)
    clone.write("large.bin", data + b"!")
    assert clone.git("status", "--porcelain") == " M large.bin"


def test_a_large_file_without_can_delay_comes_through_the_pipe(work: Work) -> None:
    """archive, cat-file and external diffs write no file that could be filled later."""
    data = random_bytes(1, LARGE)
    work.write("large.bin", data)
    work.commit()
    with ScriptedGit(work) as git:
        assert git.ask(b"smudge", b"large.bin", pointer_of(data)).data == data
        assert git.ask(b"smudge", b"large.bin", pointer_of(data), b"can-delay=0").data == data
    done = subprocess.run(
        ["git", "cat-file", "--filters", "HEAD:large.bin"], cwd=work.path, capture_output=True, check=True
    )
    assert done.stdout == data


def test_a_large_file_that_is_changed_in_the_second_of_its_checkout_is_seen_as_changed(work: Work) -> None:
    """And its size is the same."""
    data = random_bytes(1, LARGE)
    work.write("large.bin", data)
    work.commit()
    (work.path / "large.bin").unlink()
    work.git("checkout", "-q", ".")
    with open(work.path / "large.bin", "r+b") as file:
        file.write(b"changed")
    assert work.git("status", "--porcelain") == " M large.bin"


def test_objects_shared_with_the_work_tree_cannot_be_changed_through_it(work: Work) -> None:
    """Filled files are copies or share blocks; they are never a second name of the object."""
    data = random_bytes(1, LARGE)
    work.write("large.bin", data)
    work.commit()
    (work.path / "large.bin").unlink()
    work.git("checkout", "-q", ".")
    with open(work.path / "large.bin", "r+b") as file:
        file.write(b"overwritten in place")
    assert work.unreadable("HEAD") == []
    assert os.stat(work.path / "large.bin").st_nlink == 1


def test_the_local_store_may_be_on_another_file_system_than_the_work_tree(work: Work) -> None:
    elsewhere = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    if elsewhere is None or elsewhere.stat().st_dev == work.path.stat().st_dev:
        pytest.skip("there is no second file system here")
    other = elsewhere / f"git-lds-test-{os.getpid()}"
    try:
        data = random_bytes(1, LARGE)
        work.write("large.bin", data)
        work.commit()
        work.git("worktree", "add", "-q", str(other), "-b", "beside")
        beside = Work(other)
        assert beside.read("large.bin") == data
        assert not beside.starts_filter("status") and beside.is_clean() and beside.leftovers() == []
        assert sorted(p.name for p in other.iterdir()) == [".git", ".gitattributes", "large.bin"]
    finally:
        shutil.rmtree(other, ignore_errors=True)

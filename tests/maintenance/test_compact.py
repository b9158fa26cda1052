"""The local store stays small: what no index names becomes chunks, when there is more of it than of what an index names."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kit.kills import dice
from kit.work import Work, pointer_of, random_bytes

import git_lds
from git_lds import files, hashing, locks
from git_lds.hashing import Oid
from git_lds.local.objects import SMALL, ObjectDirectory
from git_lds.maintenance import compact as module
from git_lds.maintenance.compact import NOTHING, compact, plan_compact
from git_lds.repo import Repo
from git_lds.snapshots import pointers

MIB = 1 << 20


def version(number: int, size: int) -> bytes:
    """Contents that differ from those of other numbers in a few places."""
    data = bytearray(random_bytes(1, size))
    for place in range(3):
        at = (number * 7919 + place * size // 3) % (size - 8)
        data[at : at + 8] = b"%08d" % number
    return bytes(data)


def put(directory: ObjectDirectory, data: bytes) -> Oid:
    oid = hashing.of_bytes(data)
    with directory.scratch() as scratch:
        files.write_all(scratch.fd, data)
        directory.adopt(oid, scratch)
    return oid


def is_whole(directory: ObjectDirectory, oid: Oid) -> bool:
    stream = directory.open(oid)
    if stream is None:
        return False
    with stream:
        return hashing.of_stream(stream)[0] == oid


def disk_size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def raw(work: Work) -> int:
    """How many objects of the local store have a file of their own."""
    return len(list(work.path.glob(".git/lds/objects/*/*")))


def compacted(work: Work) -> int:
    return len(list(work.path.glob(".git/lds/old/lists/*/*")))


def blob(work: Work, data: bytes) -> bytes:
    """The id of the blob of the pointer of `data`, as git tells it."""
    return work.git("hash-object", "--stdin", input=pointer_of(data).decode()).encode()


# the verb


def test_objects_become_chunks_and_read_as_before(tmp_path: Path) -> None:
    contents = [version(n, 2 * MIB) for n in range(10)]
    with closing(ObjectDirectory(tmp_path)) as directory:
        oids = [put(directory, data) for data in contents]
        done = compact(directory, list(directory.large()))
        assert (done.objects, done.size, done.damaged) == (10, 20 * MIB, ())
        assert done.written < 5 * MIB and disk_size(tmp_path) < 5 * MIB
        assert not list(directory.large()) and set(directory) == set(oids)
        for oid, data in zip(oids, contents, strict=True):
            assert directory.size(oid) == len(data) and is_whole(directory, oid)
    assert os.listdir(tmp_path / "tmp") == []


def test_an_object_that_is_added_again_is_a_file_again_and_then_chunks_without_new_ones(tmp_path: Path) -> None:
    with closing(ObjectDirectory(tmp_path)) as directory:
        oid = put(directory, version(1, MIB))
        compact(directory, list(directory.large()))
        put(directory, version(1, MIB))
        assert directory.path(oid) is not None
        done = compact(directory, list(directory.large()))
        assert (done.objects, done.written) == (1, 0) and directory.path(oid) is None and is_whole(directory, oid)


@pytest.mark.parametrize("damage", ["flipped", "truncated", "emptied"])
def test_a_damaged_file_is_left_alone_and_named(tmp_path: Path, damage: str) -> None:
    with closing(ObjectDirectory(tmp_path)) as directory:
        good, bad = put(directory, version(1, MIB)), put(directory, version(2, MIB))
        path = directory.path(bad)
        assert path is not None
        path.chmod(0o644)
        data = bytearray(path.read_bytes())
        data[MIB // 2] ^= 1
        path.write_bytes({"flipped": data, "truncated": data[:1000], "emptied": b""}[damage])
        done = compact(directory, list(directory.large()))
        assert done.objects == 1 and done.damaged == (path,) and path.exists()
        assert is_whole(directory, good) and directory.path(good) is None
        path.unlink()
        assert not directory.has(bad)
        put(directory, version(2, MIB))
        assert compact(directory, list(directory.large())).damaged == () and is_whole(directory, bad)


def test_a_damaged_chunk_is_written_anew_before_a_file_goes(tmp_path: Path) -> None:
    with closing(ObjectDirectory(tmp_path)) as directory:
        first = put(directory, version(1, MIB))
        compact(directory, list(directory.large()))
    (path,) = tmp_path.glob("old/packs/*.pack")
    data = bytearray(path.read_bytes())
    for at in range(1000, len(data), 100_000):
        data[at] ^= 1
    path.write_bytes(data)
    with closing(ObjectDirectory(tmp_path)) as directory:
        second = put(directory, version(2, MIB))
        assert compact(directory, list(directory.large())).objects == 1
        assert is_whole(directory, second)
        put(directory, version(1, MIB))
        assert compact(directory, list(directory.large())).objects == 1
    with closing(ObjectDirectory(tmp_path)) as directory:
        assert is_whole(directory, first) and is_whole(directory, second)


def test_one_at_a_time(tmp_path: Path) -> None:
    with closing(ObjectDirectory(tmp_path)) as directory:
        put(directory, version(1, MIB))
        (tmp_path / "old").mkdir()
        with open(tmp_path / "old" / "lock", "w") as lock:
            assert locks.try_lock(lock.fileno())
            assert compact(directory, list(directory.large())) == NOTHING
            assert len(list(directory.large())) == 1
        assert compact(directory, list(directory.large())).objects == 1


COMPACT = """
import re, sys, time
from pathlib import Path
from contextlib import closing
from git_lds.local.objects import ObjectDirectory
from git_lds.maintenance import compact
compact.BATCH = int(sys.argv[2])
with closing(ObjectDirectory(Path(sys.argv[1]))) as directory:
    compact.compact(directory, list(directory.large()))
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def compacting(directory: Path, batch: int = module.BATCH) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(git_lds.__file__).parents[1])}
    command = [sys.executable, "-c", COMPACT, str(directory), str(batch)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def work_done(directory: Path) -> list[tuple[str, int]]:
    """The files that a run writes and deletes: a sign that it is at work."""
    found = [path for part in ("old", "objects") for path in directory.joinpath(part).rglob("*")]
    with contextlib.suppress(FileNotFoundError):
        return [(str(path), path.stat().st_size) for path in found]
    return []


def test_killed_at_random_points_every_object_stays_and_the_next_run_uses_what_is_there(tmp_path: Path) -> None:
    chance = dice("compact")
    with closing(ObjectDirectory(tmp_path / "fresh")) as directory:
        for number in range(12):
            put(directory, version(number, MIB + number))
        compact(directory, list(directory.large()))
        uninterrupted = directory.old.chunks_size()
    with closing(ObjectDirectory(tmp_path / "killed")) as directory:
        oids = [put(directory, version(number, MIB + number)) for number in range(12)]
    root, kills = tmp_path / "killed", 0
    for _ in range(100):
        before = work_done(root)
        process = compacting(root, MIB * chance.choice([1, 3, 64]))
        while work_done(root) == before and process.poll() is None:
            time.sleep(0.0005)
        time.sleep(chance.uniform(0, 0.06))
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        assert process.communicate()[1] == ""
        with closing(ObjectDirectory(root)) as directory:
            assert all(is_whole(directory, oid) for oid in oids)
            assert set(directory) == set(oids)
            if not list(directory.large()):
                break
    print("kills", kills)
    process = compacting(root)
    assert process.communicate()[1] == "" and process.returncode == 0
    with closing(ObjectDirectory(root)) as directory:
        assert not list(directory.large()) and all(is_whole(directory, oid) for oid in oids)
        put(directory, version(0, MIB))
        compact(directory, list(directory.large()))
        # each kill may have torn one frame, of at most one chunk
        assert sum(p.stat().st_size for p in root.glob("old/packs/*.pack")) <= uninterrupted + kills * (129 << 10)
    assert os.listdir(root / "tmp") == []


def test_two_processes_compact_while_others_read_and_add(tmp_path: Path) -> None:
    contents = {hashing.of_bytes(data): data for data in (version(n, MIB) for n in range(16))}
    with closing(ObjectDirectory(tmp_path)) as directory:
        for data in contents.values():
            put(directory, data)
        failed: list[str] = []
        over = threading.Event()

        def reading(seed: int) -> None:
            chance = random.Random(seed)
            with closing(ObjectDirectory(tmp_path)) as mine:
                while not over.is_set():
                    oid = chance.choice(list(contents))
                    if not (mine.has(oid) and mine.size(oid) == MIB and is_whole(mine, oid)):
                        failed.append(oid.hex())
                    if chance.random() < 0.1:
                        put(mine, contents[oid])

        threads = [threading.Thread(target=reading, args=(seed,)) for seed in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            running = [compacting(tmp_path, MIB), compacting(tmp_path, 2 * MIB)]
            for process in running:
                said = process.communicate(timeout=60)[1]
                assert process.returncode == 0 and said == ""
        over.set()
        for thread in threads:
            thread.join()
        assert failed == []
        compact(directory, list(directory.large()))
        assert not list(directory.large()) and all(is_whole(directory, oid) for oid in contents)


def test_a_large_object_becomes_chunks_in_little_memory(tmp_path: Path) -> None:
    from blake3 import blake3

    stream = blake3(b"large")
    with closing(ObjectDirectory(tmp_path)) as directory, directory.scratch() as scratch:
        for at in range(256):
            files.write_all(scratch.fd, stream.digest(length=MIB, seek=at * MIB))
        with scratch.file() as file:
            file.seek(0)
            oid = hashing.of_stream(file)[0]
        directory.adopt(oid, scratch)
    process = compacting(tmp_path)
    peak, said = process.communicate()
    assert process.returncode == 0, said
    assert int(peak) < 100 << 10
    with closing(ObjectDirectory(tmp_path)) as directory:
        assert directory.path(oid) is None and is_whole(directory, oid)


def test_a_disk_that_fills_up_loses_nothing_and_gets_its_room_back(tmp_path: Path) -> None:
    with closing(ObjectDirectory(tmp_path)) as directory:
        oids = [put(directory, random_bytes(n, 2 * MIB)) for n in range(3)]
    before = disk_size(tmp_path)
    code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({MIB}, {MIB}))\n" + COMPACT
    environment = {**os.environ, "PYTHONPATH": str(Path(git_lds.__file__).parents[1])}
    command = [sys.executable, "-c", code, str(tmp_path), str(MIB)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "File too large" in done.stderr
    assert disk_size(tmp_path) == before
    with closing(ObjectDirectory(tmp_path)) as directory:
        assert len(list(directory.large())) == 3 and all(is_whole(directory, oid) for oid in oids)
        assert compact(directory, list(directory.large())).objects == 3
        assert all(is_whole(directory, oid) for oid in oids)


# when it is due


@pytest.fixture
def low_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLOOR", MIB)


def upkeep(work: Work) -> int:
    """Compact if that is due; return how many objects were."""
    with Repo.here(work.path) as repo:
        return compact(repo.own, plan_compact(repo).objects).objects


@pytest.mark.usefixtures("low_floor")
def test_old_objects_become_chunks_when_there_are_more_of_them_than_of_current_ones(work: Work) -> None:
    done = []
    for number in range(6):
        work.write("a.bin", version(number, 2 * MIB))
        work.commit()
        done.append(upkeep(work))
    assert done == [0, 0, 2, 1, 1, 1], (
        "chunks count as well: once they are more than what is current, the floor decides"
    )
    assert (raw(work), compacted(work)) == (1, 5)
    work.write("a.bin", b"small")
    work.commit()
    assert upkeep(work) == 1 and raw(work) == 0
    assert len(work.local_objects()) == 7 and work.unreadable(*(f"HEAD~{n}" for n in range(6))) == []


def test_below_the_floor_nothing_is_done(work: Work) -> None:
    for number in range(8):
        work.write("a.bin", version(number, MIB))
        work.commit()
        assert upkeep(work) == 0
    assert not (work.path / ".git/lds/old").exists()


@pytest.mark.usefixtures("low_floor")
def test_what_another_work_tree_or_a_conflict_has_in_its_index_is_current(work: Work, tmp_path: Path) -> None:
    data = [version(number, 2 * MIB) for number in range(5)]
    work.write("a.bin", data[0])
    work.commit()
    work.git("worktree", "add", "-q", str(tmp_path / "linked"), "-b", "linked")
    linked = Work(tmp_path / "linked")
    linked.write("a.bin", data[1])
    linked.commit()
    for number in (2, 3, 4):
        work.write("a.bin", data[number])
        work.commit()
    current = {blob(work, data[1]), blob(work, data[4])}
    plain = work.git("rev-parse", "HEAD:.gitattributes").encode()
    assert pointers.blobs_in_indexes(work.path / ".git") == {*current, plain}
    assert upkeep(linked) == 3
    with Repo.here(work.path) as repo:
        assert {file.oid for file in repo.own.large()} == {hashing.of_bytes(data[1]), hashing.of_bytes(data[4])}
    work.try_git("merge", "-q", "linked")
    assert work.git("diff", "--name-only", "--diff-filter=U") == "a.bin"
    assert pointers.blobs_in_indexes(work.path / ".git") == {*current, plain, blob(work, data[0])}


@pytest.mark.usefixtures("low_floor")
@pytest.mark.parametrize("index", ["--split-index", "--index-version=4"])
@pytest.mark.parametrize("form", ["sha1", "sha256"])
def test_current_is_what_git_reads_from_its_index_whatever_its_form(
    tmp_path: Path, installed: None, form: str, index: str
) -> None:
    (tmp_path / "here").mkdir()
    work = Work(tmp_path / "here")
    work.git("init", "-q", f"--object-format={form}")
    work.write(".gitattributes", "*.bin filter=lds\n")
    for number in range(3):
        work.write("a.bin", version(number, 2 * MIB))
        work.commit()
        work.git("update-index", index)
    assert upkeep(work) == 2
    with Repo.here(work.path) as repo:
        assert {file.oid for file in repo.own.large()} == {hashing.of_bytes(version(2, 2 * MIB))}


def test_a_repository_without_an_index_has_nothing_current(tmp_path: Path, work: Work) -> None:
    work.git("init", "-q", "--bare", str(tmp_path / "bare.git"))
    with Repo.here(tmp_path / "bare.git") as repo:
        assert pointers.blobs_in_indexes(repo.common_dir) == set()
        assert plan_compact(repo).objects == ()


# in a push, and what git does afterwards

SIZE = 9 * MIB
"""Of one version: two old ones are above the floor."""


def with_versions(work: Work, count: int, size: int = SIZE) -> list[bytes]:
    """Commit versions of a.bin, each tagged v<number>."""
    contents = [version(number, size) for number in range(count)]
    for number, data in enumerate(contents):
        work.write("a.bin", data)
        work.commit()
        work.git("tag", f"v{number}")
    return contents


def with_origin(work: Work) -> Path:
    bare = work.path.parent / "origin.git"
    work.git("init", "-q", "--bare", str(bare))
    work.git("remote", "add", "origin", str(bare))
    return bare


def test_git_push_compacts_what_is_old_and_says_so(work: Work) -> None:
    with_origin(work)
    contents = with_versions(work, 4)
    done = work.try_git("push", "-u", "origin", "main")
    assert done.returncode == 0
    assert re.search(r"git-lds: compacted 3 old objects of the local store: 28.3 MB of files became \d+", done.stderr)
    assert (raw(work), compacted(work)) == (1, 3)
    assert disk_size(work.path / ".git/lds") < 2.5 * SIZE
    assert len(work.local_objects()) == 4 and work.unreadable("v0", "v1", "v2") == []
    assert "compacted" not in work.try_git("push", "origin", "main").stderr
    assert work.leftovers() == []
    for number in (1, 3, 0):
        work.git("checkout", "-q", f"v{number}")
        assert work.read("a.bin") == contents[number] and work.is_clean()
    assert (raw(work), compacted(work)) == (1, 3), "what is checked out from chunks stays chunks"


def test_git_lds_push_compacts_as_well_and_a_dry_run_does_not(work: Work) -> None:
    with_origin(work)
    with_versions(work, 3)
    assert "compacted" not in work.try_lds("push", "--dry-run", "origin").stderr and raw(work) == 3
    done = work.try_lds("push", "--json", "origin")
    assert done.returncode == 0 and "compacted" not in done.stderr and '"uploaded": 3' in done.stdout
    assert raw(work) == 1 and work.unreadable("v0", "v1") == []


def test_progress_is_told(work: Work, tmp_path: Path) -> None:
    with_origin(work)
    with_versions(work, 3)
    work.git("push", "-q", "origin", "main", GIT_LDS_PROGRESS=str(tmp_path / "progress"))
    lines = [line for line in (tmp_path / "progress").read_text().splitlines() if line.startswith("compact ")]
    assert [line.rsplit(" ", 1)[0] for line in lines] == [
        f"compact 1/2 {SIZE}/{2 * SIZE}",
        f"compact 2/2 {2 * SIZE}/{2 * SIZE}",
    ]


def test_what_goes_wrong_is_a_warning_and_the_push_goes_on(work: Work) -> None:
    bare = with_origin(work)
    contents = with_versions(work, 3)
    (work.path / ".git/lds/old").write_bytes(b"in the way")
    done = work.try_git("push", "origin", "main")
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert "git-lds: warning: could not compact the local store: File exists" in done.stderr
    assert work.clone("clone", source=bare).read("a.bin") == contents[-1]
    assert work.unreadable("v0", "v1") == []


def test_a_damaged_file_is_named_by_the_push(work: Work) -> None:
    with_origin(work)
    with_versions(work, 2)
    work.git("push", "-q", "origin", "main")
    bad = next(p for p in work.path.glob(".git/lds/objects/*/*"))
    bad.chmod(0o644)
    with open(bad, "r+b") as file:
        file.seek(5)
        file.write(b"damage")
    for number in (7, 8):
        work.write("a.bin", version(number, SIZE))
        work.commit()
    done = work.try_git("push", "origin", "main")
    assert done.returncode == 0 and f"{bad} is damaged and was not compacted" in done.stderr and bad.exists()
    assert (raw(work), compacted(work)) == (2, 2)


@contextlib.contextmanager
def small_disk(directory: Path, size: int) -> Iterator[Path]:
    directory.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(directory)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a file system can be mounted by root alone")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def test_a_full_disk_is_one_warning_and_the_next_push_makes_up_for_it(work: Work) -> None:
    with_origin(work)
    with small_disk(work.path / ".git/lds", 6 * SIZE) as disk:
        for number in range(3):
            work.write("a.bin", random_bytes(number, SIZE))
            work.commit()
        (disk / "old").mkdir()
        with open(disk / "old" / "lock", "w") as lock:
            assert locks.try_lock(lock.fileno())
            work.lds("push", "origin")  # no time for it now
        assert raw(work) == 3
        (disk / "filler").write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - SIZE // 2))
        free = os.statvfs(disk).f_bavail
        done = work.try_lds("push", "origin")
        assert done.returncode == 0 and "Traceback" not in done.stderr
        said = "git-lds: warning: could not compact the local store: No space left on device"
        assert done.stderr.splitlines()[1:] == [said]
        assert raw(work) == 3 and compacted(work) == 0 and work.unreadable("HEAD~1", "HEAD~2") == []
        assert os.statvfs(disk).f_bavail >= free - 16
        (disk / "filler").unlink()
        work.lds("push", "origin")
        assert raw(work) == 1 and work.unreadable("HEAD~1", "HEAD~2") == []


def test_a_shared_clone_reads_what_its_source_has_compacted(work: Work) -> None:
    with_origin(work)
    contents = with_versions(work, 3)
    shared = work.clone("shared", "--shared")
    with Repo.here(shared.path) as repo:
        stream = repo.objects.open(hashing.of_bytes(contents[0]))
        assert stream is not None
        work.git("push", "-q", "origin", "main")
        assert raw(work) == 1
        with stream:
            assert stream.read() == contents[0]
        assert repo.objects.has(hashing.of_bytes(contents[1]))
    for number in (0, 1, 2):
        shared.git("checkout", "-q", f"v{number}", GIT_LDS_CACHE=str(shared.path / ".git/no cache"))
        assert shared.read("a.bin") == contents[number] and shared.is_clean()


def test_work_goes_on_upon_an_old_version(work: Work) -> None:
    """Status after a touch, an edit at the end, going back to what was: all compare with chunks."""
    with_origin(work)
    contents = with_versions(work, 3)
    work.git("push", "-q", "origin", "main")
    work.git("checkout", "-q", "-b", "again", "v0")
    before = disk_size(work.path / ".git/lds")
    os.utime(work.path / "a.bin", (1, 1))
    assert work.is_clean() and disk_size(work.path / ".git/lds") == before
    work.write("a.bin", contents[0] + b"appended")
    work.commit()
    assert work.unreadable("HEAD~1") == []
    work.write("a.bin", contents[0])
    work.commit()
    assert work.is_clean() and work.git("rev-parse", "HEAD:a.bin") == work.git("rev-parse", "v0:a.bin")
    work.git("push", "-q", "origin", "again")
    assert work.unreadable("v0", "v1", "v2", "HEAD~1", "HEAD") == []


def test_a_damaged_old_object_is_an_error_that_names_the_file_to_delete(work: Work) -> None:
    with_origin(work)
    contents = with_versions(work, 3)
    work.git("push", "-q", "origin", "main", "--tags")
    pack = max(work.path.glob(".git/lds/old/packs/*.pack"), key=lambda path: path.stat().st_size)
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.write_bytes(data)
    done = work.try_git("checkout", "-q", "v0")
    oid = hashing.of_bytes(contents[0]).hex()
    path = f"{work.path}/.git/lds/old/lists/{oid[:2]}/{oid[2:]}"
    assert f"the local copy {path} is damaged" in done.stderr and "Traceback" not in done.stderr
    assert work.read("a.bin") == pointer_of(contents[0])
    Path(path).unlink()
    work.lds("pull")
    assert work.read("a.bin") == contents[0] and work.is_clean()
    for edit in (contents[0] + b"more", b"other" + contents[0]):
        work.write("a.bin", edit)
        work.commit()
        assert work.unreadable() == []


def test_an_edit_of_a_damaged_old_object_is_added(work: Work) -> None:
    with_origin(work)
    contents = with_versions(work, 3)
    work.git("push", "-q", "origin", "main")
    work.git("checkout", "-q", "v0")
    for pack in work.path.glob(".git/lds/old/packs/*.pack"):
        data = bytearray(pack.read_bytes())
        data[len(data) // 2] ^= 1
        pack.write_bytes(data)
    work.write("a.bin", contents[0] + b"more")
    work.commit()
    assert work.unreadable() == [] and work.committed("a.bin") == pointer_of(contents[0] + b"more")


def test_what_is_sent_from_chunks_is_whole(work: Work, tmp_path: Path) -> None:
    """A second store gets old versions that are here as chunks alone."""
    with_origin(work)
    contents = with_versions(work, 3)
    work.git("push", "-q", "origin", "main", "--tags")
    assert compacted(work) == 2 and len(contents[0]) > SMALL
    other = tmp_path / "other.git"
    work.git("init", "-q", "--bare", str(other))
    work.git("remote", "add", "other", str(other))
    work.git("push", "-q", "other", "main", "--tags")
    clone = work.clone("clone", source=other, GIT_LDS_CACHE=str(tmp_path / "empty"))
    for number, data in enumerate(contents):
        clone.git("checkout", "-q", f"v{number}", GIT_LDS_CACHE=str(tmp_path / "empty"))
        assert clone.read("a.bin") == data

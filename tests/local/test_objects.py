"""The directory of objects: what was put in is there, for this process and the next, whatever is killed in between."""

from __future__ import annotations

import os
import random
import signal
import struct
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.work import random_bytes

from git_lds import files, hashing
from git_lds.local import objects as objects_module
from git_lds.local import pack_appender, pack_file
from git_lds.local.lookup import LocalObjects
from git_lds.local.objects import SMALL, ObjectDirectory


def put(directory: ObjectDirectory, data: bytes) -> hashing.Oid:
    oid = hashing.of_bytes(data)
    if len(data) <= SMALL:
        directory.put(oid, data)
    else:
        with directory.scratch() as scratch:
            files.write_all(scratch.fd, data)
            directory.adopt(oid, scratch)
    return oid


def contents(directory: ObjectDirectory | LocalObjects, oid: hashing.Oid) -> bytes | None:
    stream = directory.open(oid)
    if stream is None:
        return None
    with stream:
        return stream.read()


@pytest.mark.parametrize("size", [1, 1024, SMALL - 1, SMALL, SMALL + 1, 3_000_000])
def test_an_object_is_found_at_once_and_by_the_next_process(tmp_path: Path, size: int) -> None:
    data = random_bytes(size, size)
    with closing(ObjectDirectory(tmp_path)) as directory:
        oid = put(directory, data)
        assert directory.has(oid) and directory.size(oid) == size and contents(directory, oid) == data
    with closing(ObjectDirectory(tmp_path)) as directory:
        assert directory.has(oid) and directory.size(oid) == size and contents(directory, oid) == data
        assert list(directory) == [oid]
        assert (directory.path(oid) is not None) == (size > SMALL)
    assert not list((tmp_path / "tmp").iterdir()) if (tmp_path / "tmp").exists() else True


def test_an_existing_object_is_not_written_again(tmp_path: Path) -> None:
    for _ in range(3):
        with closing(ObjectDirectory(tmp_path)) as directory:
            put(directory, b"one")
            put(directory, b"one")
    (only,) = (tmp_path / "packs").glob("*.pack")
    assert only.stat().st_size == len(pack_file.MAGIC) + 48 + 3


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.binary(min_size=1, max_size=400), max_size=6), max_size=5), st.data())
def test_whatever_a_crash_leaves_behind_the_index_is_found_again(
    tmp_path_factory: pytest.TempPathFactory, sessions: list[list[bytes]], data: st.DataObject
) -> None:
    """Each session appends; then the index may be gone, and the pack's end torn or followed by rubbish."""
    root = tmp_path_factory.mktemp("directory")
    kept: set[bytes] = set()
    for session in sessions:
        with closing(ObjectDirectory(root)) as directory:
            for blob in session:
                put(directory, blob)
                kept.add(blob)
        for found in (root / "packs").glob("*.idx"):
            if data.draw(st.booleans()):
                found.unlink()
        for found in (root / "packs").glob("*.pack"):
            with open(found, "ab") as file:
                file.write(data.draw(st.sampled_from([b"", b"rubbish", b"LDSo", b"LDSo" + bytes(60), b"\0" * 100])))
    with closing(ObjectDirectory(root)) as directory:
        assert {contents(directory, oid) for oid in directory if directory.read(oid) is not None} >= kept
        for blob in kept:
            assert contents(directory, hashing.of_bytes(blob)) == blob


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_as_pack_and_index_are_read_without_an_exception(
    tmp_path_factory: pytest.TempPathFactory, body: bytes, index: bytes
) -> None:
    root = tmp_path_factory.mktemp("directory")
    (root / "packs").mkdir()
    (root / "packs" / "a.pack").write_bytes(body)
    (root / "packs" / "a.idx").write_bytes(b"LDSLIDX1" + index)
    with closing(ObjectDirectory(root)) as directory:
        assert all((data := directory.read(oid)) is None or hashing.of_bytes(data) == oid for oid in directory)
        oid = put(directory, b"new")
        assert contents(directory, oid) == b"new"


def test_a_flipped_bit_in_a_pack_is_not_an_object(tmp_path: Path) -> None:
    with closing(ObjectDirectory(tmp_path)) as directory:
        oid = put(directory, b"some contents that matter")
    (only,) = (tmp_path / "packs").glob("*.pack")
    damaged = bytearray(only.read_bytes())
    damaged[-3] ^= 1
    only.write_bytes(damaged)
    with closing(ObjectDirectory(tmp_path)) as directory:
        assert directory.read(oid) is None


def test_an_index_that_claims_four_billion_entries_allocates_nothing(tmp_path: Path) -> None:
    (tmp_path / "packs").mkdir()
    (tmp_path / "packs" / "a.pack").write_bytes(pack_file.MAGIC)
    (tmp_path / "packs" / "a.idx").write_bytes(b"LDSLIDX1" + (8).to_bytes(8, "little") + (2**32).to_bytes(8, "little"))
    with closing(ObjectDirectory(tmp_path)) as directory:
        assert not directory.has(hashing.of_bytes(b"x"))


def test_several_processes_write_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from git_lds import hashing; from git_lds.local.objects import ObjectDirectory\n"
        "directory = ObjectDirectory(Path(sys.argv[1])); who = int(sys.argv[2])\n"
        "for n in range(200):\n"
        "    data = b'%d/%d' % (who, n) * 50; directory.put(hashing.of_bytes(data), data)\n"
        "directory.close()"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(who)]) for who in range(4)]
    assert [process.wait(60) for process in running] == [0] * 4
    with closing(ObjectDirectory(tmp_path)) as directory:
        for who in range(4):
            for n in range(200):
                data = b"%d/%d" % (who, n) * 50
                assert directory.read(hashing.of_bytes(data)) == data


def test_threads_put_at_once(tmp_path: Path) -> None:
    blobs = [random_bytes(n, 500) for n in range(200)]
    with closing(ObjectDirectory(tmp_path)) as directory:
        threads = [
            threading.Thread(target=lambda part: [put(directory, b) for b in part], args=(blobs[n::4],))
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with closing(ObjectDirectory(tmp_path)) as directory:
        assert all(directory.read(hashing.of_bytes(b)) == b for b in blobs)


def test_a_process_killed_at_random_loses_no_acknowledged_object(tmp_path: Path) -> None:
    """The child prints a number when put() has returned; whatever was printed must be readable afterwards."""
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    code = (
        "import sys; from pathlib import Path; from git_lds import files, hashing\n"
        "from git_lds.local.objects import ObjectDirectory\n"
        "directory = ObjectDirectory(Path(sys.argv[1])); n = int(sys.argv[2])\n"
        "while True:\n"
        "    data = b'%d.' % n * (40000 if n % 7 == 0 else 100)\n"
        "    oid = hashing.of_bytes(data)\n"
        "    if len(data) <= 131072: directory.put(oid, data)\n"
        "    else:\n"
        "        with directory.scratch() as s: files.write_all(s.fd, data); directory.adopt(oid, s)\n"
        "    print(n, flush=True); n += 1\n"
        "    if n % 50 == 0: directory.close(); directory = ObjectDirectory(Path(sys.argv[1]))\n"
    )
    known = 0
    for _ in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), str(known)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(chance.randrange(1, 120)):
            known = int(process.stdout.readline()) + 1
        process.send_signal(signal.SIGKILL)
        rest = process.communicate()[0].split()
        known = max([known, *(int(n) + 1 for n in rest)])
        with closing(ObjectDirectory(tmp_path)) as directory:
            for n in range(known):
                data = b"%d." % n * (40000 if n % 7 == 0 else 100)
                assert contents(directory, hashing.of_bytes(data)) == data, (seed, n)


def test_files_of_a_killed_writer_in_tmp_are_swept(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp" / "dead").write_bytes(b"half a file")
    with closing(ObjectDirectory(tmp_path)) as directory:
        put(directory, random_bytes(1, SMALL + 1))
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_full_disk_is_an_error_and_the_next_object_goes_to_a_new_pack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(ObjectDirectory(tmp_path)) as directory:
        first = put(directory, b"first")
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        try:
            with pytest.raises(OSError):
                put(directory, b"x" * 400)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        second = put(directory, b"second")
        assert not directory.has(hashing.of_bytes(b"x" * 400))
    with closing(ObjectDirectory(tmp_path)) as directory:
        assert contents(directory, first) == b"first" and contents(directory, second) == b"second"
        assert not directory.has(hashing.of_bytes(b"x" * 400))


def test_a_full_pack_is_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_appender, "FULL", 2000)
    oids = []
    for n in range(6):
        with closing(ObjectDirectory(tmp_path)) as directory:
            oids += [put(directory, random_bytes(10 * n + m, 300)) for m in range(5)]
    assert len(list((tmp_path / "packs").glob("*.pack"))) > 2
    with closing(ObjectDirectory(tmp_path)) as directory:
        assert all(directory.read(oid) is not None for oid in oids)
        assert set(directory) == set(oids)


@pytest.mark.parametrize("size", [1000, SMALL + 1])
def test_a_damaged_object_is_repaired_by_putting_it_again(tmp_path: Path, size: int) -> None:
    data, other = random_bytes(1, size), random_bytes(2, 500)
    with closing(ObjectDirectory(tmp_path)) as directory:
        oid = put(directory, data)
        put(directory, other)
    path = directory.path(oid) or next(tmp_path.glob("packs/*.pack"))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(data[:100], b"?" * 100))
    with closing(ObjectDirectory(tmp_path)) as directory:
        assert contents(directory, oid) != data
        assert directory.has(oid) == (size > SMALL)  # a large one is not read for the question
        put(directory, data)
        assert directory.has(oid) and contents(directory, oid) == data
    with closing(ObjectDirectory(tmp_path)) as directory:
        assert contents(directory, oid) == data and contents(directory, hashing.of_bytes(other)) == other


def test_an_index_that_claims_a_place_outside_of_the_pack_allocates_nothing(tmp_path: Path) -> None:
    with closing(ObjectDirectory(tmp_path)) as directory:
        oid = put(directory, b"contents")
    path = next(tmp_path.glob("packs/*.idx"))
    for offset, stored, length in ((1 << 63, 8, 8), (0, (1 << 32) - 1, 8), (0, (1 << 32) - 1, (1 << 32) - 1)):
        entry = struct.pack("<32sQII", oid, offset, stored, length)
        path.write_bytes(path.read_bytes()[: -len(entry)] + entry)
        with closing(ObjectDirectory(tmp_path)) as directory:
            assert directory.read(oid) is None and not directory.has(oid)


def test_places_are_asked_in_order_and_a_damaged_copy_is_skipped(tmp_path: Path) -> None:
    own, cache = ObjectDirectory(tmp_path / "own"), ObjectDirectory(tmp_path / "cache")
    oid = put(own, b"twice")
    put(cache, b"twice")
    own.close()
    (only,) = (tmp_path / "own" / "packs").glob("*.pack")
    only.write_bytes(only.read_bytes()[:-1] + b"X")
    with closing(LocalObjects(ObjectDirectory(tmp_path / "own"), cache)) as layers:
        assert layers.has(oid) and contents(layers, oid) == b"twice"


def test_small_objects_are_those_in_packs() -> None:
    from git_lds.store.format import chunker

    assert objects_module.SMALL == chunker.SMALL
    assert os.path.basename(objects_module.__file__) == "objects.py"

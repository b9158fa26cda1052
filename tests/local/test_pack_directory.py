"""The local pack: what killed processes leave in it hides nothing that others add behind."""

from __future__ import annotations

import os
import struct
from contextlib import closing
from pathlib import Path

import pytest
from kit.work import random_bytes

from git_lds import hashing
from git_lds.hashing import Oid
from git_lds.local.objects import ObjectDirectory
from git_lds.local.pack_appender import Appender
from git_lds.local.pack_file import FRAME_MAGIC, MAGIC, LocalPack, walk


def killed(appender: Appender) -> None:
    """Let go of a pack as a killed process does: no index is written, the lock ends."""
    os.close(appender._fd)


def add(appender: Appender, *contents: bytes) -> None:
    for data in contents:
        appender.append([(hashing.of_bytes(data), data)])


def found(path: Path) -> set[bytes]:
    with closing(LocalPack(path)) as pack:
        return {pack.read(oid, frame) or b"" for oid, frame in pack}


@pytest.mark.parametrize("left", [1, 4, 47, 48, 49, 1000])
def test_a_torn_frame_does_not_hide_later_frames(tmp_path: Path, left: int) -> None:
    """The next process appends where the torn one ends, inside the length that it claims, and may be killed as well."""
    first = Appender.new(tmp_path)
    add(first, b"before")
    end = first.end
    add(first, random_bytes(1, 100_000))
    killed(first)
    os.truncate(first.path, end + left)
    second = Appender.resume(first.path)
    assert second is not None
    add(second, b"behind", b"and another")
    killed(second)
    assert found(first.path) == {b"before", b"behind", b"and another"}
    third = Appender.resume(first.path)
    assert third is not None
    add(third, b"last")
    third.close()
    assert found(first.path) == {b"before", b"behind", b"and another", b"last"}


def test_a_new_empty_pack_can_be_used_by_any_process(tmp_path: Path) -> None:
    """Its maker was killed, or found the disk full, before it wrote the first bytes."""
    for name, start in (("empty", b""), ("half", MAGIC[:3])):
        path = tmp_path / f"{name}.pack"
        path.write_bytes(start)
        appender = Appender.resume(path)
        assert appender is not None
        add(appender, b"first")
        killed(appender)
        assert found(path) == {b"first"}


def test_a_new_pack_that_another_process_locked_first_is_left_to_it(tmp_path: Path) -> None:
    one, two = Appender.new(tmp_path), Appender.new(tmp_path)
    assert one.path != two.path and Appender.resume(one.path) is None
    add(one, b"one")
    add(two, b"two")
    one.close()
    two.close()
    assert found(one.path) == {b"one"} and found(two.path) == {b"two"}


def test_a_frame_inside_the_contents_of_another_is_not_taken_for_one_of_ours(tmp_path: Path) -> None:
    """A tracked file may be a pack itself."""
    inner = Appender.new(tmp_path)
    add(inner, b"inner")
    inner.close()
    data = inner.path.read_bytes()
    outer = Appender.new(tmp_path)
    add(outer, data, FRAME_MAGIC * 100)
    killed(outer)
    assert found(outer.path) == {data, FRAME_MAGIC * 100}


def test_flipped_bits_cost_the_frames_that_they_are_in_alone(tmp_path: Path) -> None:
    contents = [random_bytes(n, 3000) for n in range(10)]
    appender = Appender.new(tmp_path)
    add(appender, *contents)
    killed(appender)
    data = bytearray(appender.path.read_bytes())
    data[8 + 3 * 3048 + 10] ^= 1  # the header of one
    data[8 + 6 * 3048 + 1000] ^= 1  # the contents of another
    appender.path.write_bytes(data)
    assert found(appender.path) == {c for n, c in enumerate(contents) if n not in (3, 6)}


def test_a_damaged_index_is_ignored(tmp_path: Path) -> None:
    appender = Appender.new(tmp_path)
    add(appender, b"one", b"two")
    appender.close()
    index = appender.path.with_suffix(".idx")
    whole = index.read_bytes()
    for damaged in (
        b"",
        whole[:10],
        whole[:-1],
        b"X" + whole[1:],
        whole[:16] + b"\xff" * 8 + whole[24:],
        whole + b"more",
    ):
        index.write_bytes(damaged)
        assert found(appender.path) == {b"one", b"two"}
        resumed = Appender.resume(appender.path)
        assert resumed is not None
        resumed.close()
        assert found(appender.path) == {b"one", b"two"}


def test_an_object_file_that_a_crash_of_the_machine_emptied_is_written_again(tmp_path: Path) -> None:
    data = random_bytes(1, 200_000)
    oid = hashing.of_bytes(data)
    for size in (0, 100, 200_001):
        with closing(ObjectDirectory(tmp_path)) as directory, directory.scratch() as scratch:
            scratch.file().write(data)
            os.pwrite(scratch.fd, data, 0)
            directory.adopt(oid, scratch)
            path = directory.path(oid)
            assert path is not None and path.read_bytes() == data
        path.chmod(0o644)
        os.truncate(path, size)


def test_walk_survives_anything(tmp_path: Path) -> None:
    path = tmp_path / "x.pack"
    for seed in range(30):
        path.write_bytes(MAGIC + random_bytes(seed, 500) + FRAME_MAGIC * (seed % 5) + random_bytes(seed + 1, 40))
        fd = os.open(path, os.O_RDONLY)
        try:
            assert list(walk(fd, 8, path.stat().st_size)) == []
        finally:
            os.close(fd)


def test_an_object_is_found_by_the_first_look_up_and_by_the_thousandth(tmp_path: Path) -> None:
    """After some look-ups a pack is asked in another way. Some oids here begin with the same 8 bytes."""
    start = b"\x7f" * 8
    oids = sorted({Oid(start + os.urandom(24)) for _ in range(5)} | {Oid(os.urandom(32)) for _ in range(300)})
    entries = b"".join(struct.pack("<32sQII", oid, 8 + number, 1, 1) for number, oid in enumerate(oids))
    (tmp_path / "a.pack").write_bytes(MAGIC)
    (tmp_path / "a.idx").write_bytes(struct.pack("<8sQQ", b"LDSLIDX1", len(MAGIC), len(oids)) + entries)
    absent = [Oid(bytes(32)), Oid(b"\xff" * 32), Oid(start + bytes(24)), Oid(start + b"\xff" * 24)]
    with closing(LocalPack(tmp_path / "a.pack")) as pack:
        for _ in range(3):
            assert [pack.find(oid) for oid in absent] == [None] * 4
            assert all(pack.find(oid) == (8 + number, 1, 1) for number, oid in enumerate(oids))


def test_many_objects_at_once_go_to_as_many_packs_as_they_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("git_lds.local.pack_appender.FULL_COUNT", 300)
    contents = [b"%d" % number for number in range(1700)]
    with closing(ObjectDirectory(tmp_path)) as directory:
        directory.put_all([(hashing.of_bytes(data), data) for data in contents + contents[:50]])
        assert all(directory.read(hashing.of_bytes(data)) == data for data in contents)
    packs = list((tmp_path / "packs").glob("*.pack"))
    assert len(packs) == 6
    assert set().union(*map(found, packs)) == set(contents)
    with closing(ObjectDirectory(tmp_path)) as directory:
        assert dict(directory.small(1700)) == {hashing.of_bytes(data): len(data) for data in contents}
        assert not list(directory.small(1699))

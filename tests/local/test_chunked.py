"""Old objects: whatever they were cut into, they read like the file that they were, and damage is never another object."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.work import random_bytes

from git_lds import files, hashing
from git_lds.errors import CorruptData
from git_lds.hashing import Oid
from git_lds.local import pack_appender
from git_lds.local.lookup import LocalObjects
from git_lds.local.objects import SMALL, ObjectDirectory, copy

TEXT = b"".join(b'{"id": %d, "bbox": [%d, 1, 2, 3]}, ' % (n, n * n) for n in range(10_000))


@contextmanager
def opened(root: Path) -> Iterator[ObjectDirectory]:
    with closing(ObjectDirectory(root)) as directory:
        yield directory


def keep(directory: ObjectDirectory, chunks: Iterable[bytes]) -> Oid:
    """Keep the object that `chunks` make, on the disk."""
    listed = list(chunks)
    oid = hashing.of_bytes(b"".join(listed))
    with directory.scratch() as scratch:
        directory.old.put(oid, listed, scratch)
    directory.old.sync()
    return oid


def pieces(data: bytes, size: int = 20_000) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def contents(directory: ObjectDirectory | LocalObjects, oid: Oid) -> bytes | None:
    stream = directory.open(oid)
    if stream is None:
        return None
    with stream:
        return stream.read()


def the(root: Path, pattern: str) -> Path:
    (only,) = root.glob(pattern)
    return only


def test_a_chunked_object_is_found_by_this_process_and_the_next(tmp_path: Path) -> None:
    with opened(tmp_path) as directory:
        oid = keep(directory, pieces(TEXT))
        assert contents(directory, oid) == TEXT
    with opened(tmp_path) as directory:
        assert directory.has(oid) and directory.size(oid) == len(TEXT) and contents(directory, oid) == TEXT
        assert list(directory) == [oid]
        assert directory.path(oid) is None and directory.read(oid) is None
        assert directory.data_path(oid) == the(tmp_path, "old/lists/*/*")
        absent = hashing.of_bytes(b"absent")
        assert not directory.has(absent) and directory.size(absent) is None and directory.open(absent) is None
    assert os.listdir(tmp_path / "tmp") == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=12), st.data())
def test_any_cutting_reads_like_a_file(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes], draw: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("directory")
    data = b"".join(chunks)
    with opened(root) as directory:
        stream, file = directory.old.open(keep(directory, chunks)), io.BytesIO(data)
        assert stream is not None
        with stream:
            for _ in range(draw.draw(st.integers(1, 8))):
                at, count = draw.draw(st.integers(0, len(data) + 5)), draw.draw(st.integers(0, len(data) + 5))
                whence = draw.draw(st.sampled_from([os.SEEK_SET, os.SEEK_CUR, os.SEEK_END]))
                assert stream.seek(at, whence) == file.seek(at, whence) and stream.tell() == file.tell()
                assert stream.read(count) == file.read(count)


def test_chunks_are_stored_once_and_compressed_if_that_saves_space(tmp_path: Path) -> None:
    with opened(tmp_path) as directory:
        keep(directory, pieces(TEXT))
        once = the(tmp_path, "old/packs/*.pack").stat().st_size
        assert once < len(TEXT) / 2
        keep(directory, [*pieces(TEXT), b"one more"])
        assert the(tmp_path, "old/packs/*.pack").stat().st_size == once + 48 + len(b"one more")
        noise = random_bytes(1, 200_000)
        keep(directory, pieces(noise))
        assert the(tmp_path, "old/packs/*.pack").stat().st_size > once + 200_000


def test_the_index_of_the_chunks_may_be_gone(tmp_path: Path) -> None:
    with opened(tmp_path) as directory:
        oid = keep(directory, [*pieces(TEXT), *pieces(random_bytes(1, 50_000))])
    the(tmp_path, "old/packs/*.idx").unlink()
    with opened(tmp_path) as directory:
        assert contents(directory, oid) == TEXT + random_bytes(1, 50_000)


def test_a_pack_of_small_objects_holds_nothing_compressed(tmp_path: Path) -> None:
    """The codec of the chunks is no part of other packs: there, the frame is damage."""
    with opened(tmp_path) as directory:
        keep(directory, pieces(TEXT))
    os.rename(tmp_path / "old" / "packs", tmp_path / "packs")
    for index in (*tmp_path.glob("packs/*.idx"), None):
        with opened(tmp_path) as directory:
            assert all(directory.read(oid) is None for oid in directory)
        if index is not None:
            index.unlink()


def test_a_file_takes_precedence_over_chunks_and_can_be_deleted(tmp_path: Path) -> None:
    with opened(tmp_path) as directory:
        oid = keep(directory, pieces(TEXT))
        with directory.scratch() as scratch:
            files.write_all(scratch.fd, TEXT)
            directory.adopt(oid, scratch)
        path = directory.path(oid)
        assert path is not None and directory.data_path(oid) == path and list(directory) == [oid]
        stream = directory.open(oid)
        assert stream is not None and stream.fileno()
        path.unlink()
        assert stream.read() == TEXT and contents(directory, oid) == TEXT and directory.size(oid) == len(TEXT)
        stream.close()


def test_a_process_that_opened_the_packs_before_finds_new_chunks(tmp_path: Path) -> None:
    with opened(tmp_path) as reader, opened(tmp_path) as writer:
        first = keep(writer, pieces(TEXT))
        assert contents(reader, first) == TEXT
        for number in range(3):
            data = random_bytes(number, 300_000)
            assert contents(reader, keep(writer, pieces(data))) == data
        stream = reader.open(first)
        assert stream is not None and stream.read(10) == TEXT[:10]
        contents(reader, keep(writer, pieces(random_bytes(9, 300_000))))
        assert stream.read() == TEXT[10:]
        stream.close()


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_damaged_list_is_no_object(tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject) -> None:
    root = tmp_path_factory.mktemp("directory")
    with opened(root) as directory:
        oid = keep(directory, [b"one", b"two", b"three"])
    path = the(root, "old/lists/*/*")
    damaged = bytearray(path.read_bytes())
    if draw.draw(st.booleans()):
        damaged[draw.draw(st.integers(0, len(damaged) - 1))] ^= 1 << draw.draw(st.integers(0, 7))
    elif draw.draw(st.booleans()):
        del damaged[draw.draw(st.integers(0, len(damaged) - 1)) :]
    else:
        damaged += draw.draw(st.binary(min_size=1, max_size=100))
    path.chmod(0o644)
    path.write_bytes(damaged)
    with opened(root) as directory:
        assert not directory.has(oid) and directory.size(oid) is None and directory.open(oid) is None
        assert keep(directory, [b"one", b"two", b"three"]) == oid
        assert directory.has(oid) and contents(directory, oid) == b"onetwothree"


def test_the_list_of_another_object_is_no_object(tmp_path: Path) -> None:
    with opened(tmp_path) as directory:
        one, other = keep(directory, [b"one"]), keep(directory, [b"other"])
        path = directory.data_path(one)
        assert path is not None
        os.replace(tmp_path / "old" / "lists" / other.hex()[:2] / other.hex()[2:], path)
        assert not directory.has(one) and contents(directory, one) is None


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_damaged_chunk_ends_the_object_early(tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject) -> None:
    root = tmp_path_factory.mktemp("directory")
    chunks = [TEXT[:500], b"raw", TEXT[500:900], bytes(400)]
    data = b"".join(chunks)
    with opened(root) as directory:
        oid = keep(directory, chunks)
    for path in root.glob("old/packs/*"):
        damaged = bytearray(path.read_bytes())
        if draw.draw(st.booleans()):
            damaged[draw.draw(st.integers(0, len(damaged) - 1))] ^= 1 << draw.draw(st.integers(0, 7))
        else:
            del damaged[draw.draw(st.integers(0, len(damaged) - 1)) :]
        path.write_bytes(damaged)
    with opened(root) as directory:
        assert directory.size(oid) == len(data)
        found = contents(directory, oid)
        assert found is not None and data.startswith(found)
        assert directory.has(oid) == (found == data), "what was found damaged is not here for this process"
        outcome = contextlib.nullcontext() if found == data else pytest.raises(CorruptData)
        with directory.scratch() as scratch, directory.open(oid) as stream, outcome:  # type: ignore[union-attr]
            copy(stream, scratch.fd, len(data))
        keep(directory, chunks)
        assert directory.has(oid) and contents(directory, oid) == data
    with opened(root) as directory:
        assert contents(directory, oid) == data


def test_an_index_that_claims_a_huge_chunk_allocates_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as directory:
        oid = keep(directory, pieces(TEXT)[:1])
    path = the(tmp_path, "old/packs/*.idx")
    data = bytearray(path.read_bytes())
    data[-4:] = b"\xff" * 4
    path.write_bytes(data)
    with opened(tmp_path) as directory:
        assert contents(directory, oid) == b""


def test_a_damaged_list_in_one_place_does_not_hide_the_next_place(tmp_path: Path) -> None:
    own, cache = ObjectDirectory(tmp_path / "own"), ObjectDirectory(tmp_path / "cache")
    with closing(LocalObjects(own, cache)) as layers:
        oid = keep(own, pieces(TEXT))
        keep(cache, pieces(TEXT))
        path = layers.data_path(oid)
        assert path is not None and path.is_relative_to(own.root)
        path.unlink()
        path.write_bytes(b"rubbish")
        assert layers.has(oid) and layers.size(oid) == len(TEXT) and contents(layers, oid) == TEXT


def test_contents_that_are_something_else_are_not_listed(tmp_path: Path) -> None:
    oid = hashing.of_bytes(TEXT)
    with opened(tmp_path) as directory, directory.scratch() as scratch:
        with pytest.raises(CorruptData):
            directory.old.put(oid, [TEXT[:-1]], scratch)
        assert not directory.has(oid)


@pytest.mark.parametrize("full", [1000, 1 << 30])
def test_a_roll_back_restores_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: int) -> None:
    monkeypatch.setattr(pack_appender, "FULL", full)

    def here() -> dict[str, int]:
        found = [
            path for path in (tmp_path / "old").rglob("*") if path.is_file() and path.suffix not in (".idx", ".owner")
        ]
        return {path.name: path.stat().st_size for path in found}

    with opened(tmp_path) as directory:
        kept = keep(directory, pieces(random_bytes(1, 700), 100))
        before = here()
        for _ in range(2):
            data = random_bytes(2, 5000)
            oid = hashing.of_bytes(data)
            with directory.scratch() as scratch:
                directory.old.put(oid, pieces(data, 100), scratch)
            assert here() != before and directory.has(oid)
            directory.old.roll_back()
            assert here() == before
            assert not directory.has(oid) and contents(directory, kept) == random_bytes(1, 700)
        assert contents(directory, keep(directory, pieces(data, 100))) == data
    with opened(tmp_path) as directory:
        assert contents(directory, kept) == random_bytes(1, 700) and contents(directory, oid) == data


def test_a_copy_of_a_file_or_of_chunks_has_so_many_bytes(tmp_path: Path) -> None:
    data = random_bytes(1, SMALL + 1)
    with opened(tmp_path) as directory, directory.scratch() as scratch:
        files.write_all(scratch.fd, data)
        directory.adopt(hashing.of_bytes(data), scratch)
        for oid in (hashing.of_bytes(data), keep(directory, pieces(TEXT))):
            with directory.open(oid) as stream, directory.scratch() as target:  # type: ignore[union-attr]
                stream.seek(5)
                copy(stream, target.fd, SMALL)
                assert target.path.read_bytes() == (data if oid == hashing.of_bytes(data) else TEXT)[:SMALL]

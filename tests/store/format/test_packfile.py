"""Packs: the writer's file is what the footer says it is."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.damage import damaged, reads_or_refuses, refused_cheaply

from git_lds import hashing
from git_lds.errors import CorruptData
from git_lds.store.format import frames, packfile
from git_lds.store.format.packfile import ChunkAt, PackInfo, PackWriter


def write_pack(path: Path, contents: list[bytes]) -> PackInfo:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        writer = PackWriter(fd)
        for data in contents:
            writer.add(hashing.of_bytes(data), data)
        return writer.finish()
    finally:
        os.close(fd)


def footer_of(lengths: list[int]) -> tuple[tuple[ChunkAt, ...], bytes, int]:
    chunks, offset, logical = [], packfile.HEADER_SIZE, 0
    for number, length in enumerate(lengths):
        chunks.append(ChunkAt(hashing.of_bytes(b"%d" % number), offset, 12 + length, logical, length))
        offset, logical = offset + 12 + length, logical + length
    footer = packfile.encode_footer(chunks)
    return tuple(chunks), footer, offset + len(footer)


@given(st.lists(st.binary(min_size=1, max_size=5000), max_size=20))
@settings(deadline=None)
def test_a_pack_is_named_by_its_bytes_and_holds_its_chunks(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]
) -> None:
    path = tmp_path_factory.getbasetemp() / "pack"
    info = write_pack(path, contents)
    data = path.read_bytes()
    assert bytes(info.id) == hashing.of_bytes(data) and info.size == len(data)
    assert data.startswith(b"LDSPACK1") and data.endswith(b"LDSPEND1")
    start, length = packfile.footer_range(data[-packfile.TRAILER_SIZE :], info.size)
    assert start + length == info.size
    assert packfile.decode_footer(data[start:], info.size) == info.chunks == packfile.decode_footer(data, info.size)
    assert [frames.decode(data[c.offset : c.offset + c.stored]) for c in info.chunks] == contents
    assert list(frames.read([data[packfile.HEADER_SIZE : start]])) == contents
    assert [c.logical for c in info.chunks] == [sum(map(len, contents[:n])) for n in range(len(contents))]
    assert [c.id for c in info.chunks] == [hashing.of_bytes(d) for d in contents]


def test_two_packs_of_the_same_chunks_have_different_names(tmp_path: Path) -> None:
    assert write_pack(tmp_path / "a", [b"same"]).id != write_pack(tmp_path / "b", [b"same"]).id


def test_size_returns_the_written_size(tmp_path: Path) -> None:
    with open(tmp_path / "pack", "wb") as file:
        writer = PackWriter(file.fileno())
        assert writer.size == packfile.HEADER_SIZE
        chunk = writer.add(hashing.of_bytes(b"abc"), b"abc")
        assert chunk == ChunkAt(hashing.of_bytes(b"abc"), 24, 15, 0, 3)
        assert writer.size == 24 + 15
        writer.finish()


def test_a_full_pack_refuses_more_chunks(tmp_path: Path) -> None:
    noise = os.urandom(frames.MAX_CHUNK)
    with open(tmp_path / "pack", "wb") as file:
        writer = PackWriter(file.fileno())
        while writer.has_room(len(noise)):
            writer.add(hashing.of_bytes(noise), noise)
        with pytest.raises(ValueError, match="full"):
            writer.add(hashing.of_bytes(noise), noise)
        info = writer.finish()
    assert packfile.MAX_SIZE - 200_000 < info.size <= packfile.MAX_SIZE
    assert (tmp_path / "pack").stat().st_size == info.size


def test_contents_stay_below_4_gib(tmp_path: Path) -> None:
    with open(tmp_path / "pack", "wb") as file:
        writer = PackWriter(file.fileno())
        writer._logical = packfile.MAX_LOGICAL - 10
        assert writer.has_room(10)
        assert not writer.has_room(11)


def test_a_recipe_of_any_allowed_size_fits_a_new_pack(tmp_path: Path) -> None:
    with open(tmp_path / "pack", "wb") as file:
        assert PackWriter(file.fileno()).has_room(frames.MAX_RECIPE)


@pytest.mark.parametrize(("new", "size"), [(0, 4), (32, 4), (80, 10), (256, 32), (10**6, 32)])
def test_target_size(new: int, size: int) -> None:
    assert packfile.target_size(new << 20) == size << 20


@given(st.data())
@settings(deadline=None)
def test_a_damaged_footer_is_refused(data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(1, 1000), max_size=6))
    chunks, footer, size = footer_of(lengths)
    assert packfile.decode_footer(footer, size) == chunks
    bad = data.draw(damaged(footer))
    if bad.endswith(footer):
        assert packfile.decode_footer(bad, size) == chunks
    else:
        with pytest.raises(CorruptData):
            packfile.decode_footer(bad, size)
    reads_or_refuses(lambda: packfile.footer_range(bad, size))
    reads_or_refuses(lambda: packfile.decode_footer(footer, data.draw(st.integers(-5, 2 * size))))


@pytest.mark.parametrize("count", [1, 2**16, 2**31, 2**32 - 1])
def test_hostile_counts_allocate_nothing(count: int) -> None:
    trailer = struct.pack("<II8s", count, 0, b"LDSPEND1")
    refused_cheaply(lambda: packfile.decode_footer(trailer, packfile.MAX_SIZE), 100_000)
    refused_cheaply(lambda: packfile.decode_footer(trailer, 40), 100_000)


@pytest.mark.parametrize(
    "change",
    [
        (0, {"offset": 25}),
        (1, {"offset": 24}),
        (1, {"logical": 0}),
        (2, {"stored": 12}),
        (2, {"stored": 2**32 - 1}),
        (2, {"length": 0}),
        (0, {"length": 2**32 - 1}),
    ],
)
def test_entries_that_do_not_lie_one_behind_the_other_are_refused(change: tuple[int, dict[str, int]]) -> None:
    chunks, footer, size = footer_of([10, 20, 30])
    number, fields = change
    bad = [c._replace(**fields) if n == number else c for n, c in enumerate(chunks)]  # type: ignore[arg-type]
    assert len(packfile.encode_footer(bad)) == len(footer)
    with pytest.raises(CorruptData):
        packfile.decode_footer(packfile.encode_footer(bad), size)


def test_a_footer_from_the_wrong_pack_is_refused() -> None:
    _, footer, size = footer_of([5, 6])
    for wrong in (size - 1, size + 1, 0, -size):
        with pytest.raises(CorruptData):
            packfile.decode_footer(footer, wrong)
    with pytest.raises(CorruptData):
        packfile.decode_footer(footer[1:], size)

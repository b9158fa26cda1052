"""Indexes: every object is found, nothing else is, and an enemy's index costs nothing to refuse."""

from __future__ import annotations

import os
import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.damage import damaged, reads_or_refuses, refused_cheaply

from git_lds import hashing
from git_lds.errors import CorruptData, LdsError
from git_lds.hashing import FileId, Oid
from git_lds.store.format import frames, keys
from git_lds.store.format.index import Index, IndexRow, encode

SIZES = {FileId(hashing.of_bytes(b"%d" % n)): 1_000_000 + n for n in range(4)}

# oids that share beginnings, as BLAKE3's do not, so that every bound of the bisection is met
oids = st.binary(min_size=1, max_size=3).map(lambda start: Oid(start.ljust(32, b"\0"))) | st.binary(
    min_size=32, max_size=32
).map(Oid)


@st.composite
def entries(draw: st.DrawFn) -> IndexRow:
    length = draw(st.integers(1, frames.MAX_CHUNK))
    stored = draw(st.integers(13, length + 12))
    offset = draw(st.integers(24, 1_000_000 - stored))
    return IndexRow(draw(oids), draw(st.sampled_from(list(SIZES))), offset, stored, length, draw(st.booleans()))


@given(st.lists(entries(), max_size=60), oids)
@settings(deadline=None)
def test_every_object_is_found_and_nothing_else(items: list[IndexRow], other: Oid) -> None:
    first: dict[Oid, IndexRow] = {}
    for entry in items:
        first.setdefault(entry.oid, entry)
    with Index.of(encode(items, SIZES)) as index:
        assert len(index) == len(first)
        assert list(index) == sorted(first.values(), key=lambda e: e.oid)
        assert all(index.get(oid) == entry and oid in index for oid, entry in first.items())
        assert index.get(other) == first.get(other) and (other in index) == (other in first)
        assert index.packs == {entry.pack: SIZES[entry.pack] for entry in first.values()}


@pytest.mark.parametrize("there", [0, 1, 3, 30, 300])
def test_look_ups_of_few_and_of_many_oids_find_the_same_rows(there: int) -> None:
    items = [IndexRow(hashing.of_bytes(b"%d" % n), list(SIZES)[n % 4], 24, 20, 8, False) for n in range(300)]
    wanted = {entry.oid for entry in items[:there]} | {hashing.of_bytes(b"not %d" % n) for n in range(3)}
    found = Index.of(encode(items, SIZES)).rows_of(wanted)
    assert sorted(found, key=lambda e: e.oid) == sorted(items[:there], key=lambda e: e.oid)


def test_too_many_objects_for_one_index_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    items = [IndexRow(hashing.of_bytes(b"%d" % n), next(iter(SIZES)), 24, 20, 8, False) for n in range(3)]
    monkeypatch.setitem(keys.MAX_SIZES, keys.KeyKind.INDEX, len(encode(items[:2], SIZES)))  # type: ignore[arg-type]
    with pytest.raises(LdsError, match="that many objects"):
        encode(items, SIZES)


def test_bytes_of_an_index() -> None:
    pack = FileId(b"p" * 32)
    rows = [IndexRow(Oid(b"b" * 32), pack, 24, 13, 1, True), IndexRow(Oid(b"a" * 32), pack, 37, 20, 8, False)]
    assert encode(rows, {pack: 1000, FileId(b"q" * 32): 5}) == (
        b"LDSINDX1" + struct.pack("<II", 2, 1)
        + pack + struct.pack("<II", 1000, 0)
        + b"a" * 32 + struct.pack("<IIII", 0, 37, 20, 8)
        + b"b" * 32 + struct.pack("<IIII", 1 << 31, 24, 13, 1)
    )  # fmt: skip


def test_the_same_entries_are_the_same_file() -> None:
    rows = [IndexRow(hashing.of_bytes(b"%d" % n), list(SIZES)[n % 4], 24, 20, 8, False) for n in range(50)]
    assert encode(rows, SIZES) == encode(reversed(rows), dict(reversed(SIZES.items())))


def test_an_index_is_mapped_and_closed(tmp_path: Path) -> None:
    path = tmp_path / "index"
    row = IndexRow(hashing.of_bytes(b"x"), next(iter(SIZES)), 24, 20, 8, False)
    path.write_bytes(encode([row], SIZES))
    index = Index.open(path)
    assert index.get(row.oid) == row
    index.close()
    with pytest.raises(ValueError, match="closed"):
        index.get(row.oid)


def test_an_empty_index(tmp_path: Path) -> None:
    path = tmp_path / "index"
    path.write_bytes(encode([], {}))
    with Index.open(path) as index:
        assert len(index) == 0 and list(index) == [] and not index.packs
        assert index.get(hashing.of_bytes(b"")) is None


def test_opening_reads_no_rows(tmp_path: Path) -> None:
    count = 10_000_000
    with open(tmp_path / "index", "wb") as file:
        file.write(struct.pack("<8sII", b"LDSINDX1", count, 0))
        file.truncate(16 + 48 * count)
    tracemalloc.start()
    with Index.open(tmp_path / "index") as index:
        assert len(index) == count and hashing.of_bytes(b"x") not in index
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


def test_empty_and_absent_files(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(CorruptData):
        Index.open(tmp_path / "empty")
    with pytest.raises(FileNotFoundError):
        Index.open(tmp_path / "absent")


def read_all(data: bytes, asked: list[Oid]) -> None:
    with Index.of(data) as index:
        for oid in asked:
            reads_or_refuses(lambda oid=oid: index.get(oid))  # type: ignore[misc]
        list(index)


@given(st.data())
@settings(deadline=None)
def test_damage_is_corrupt_data_or_sound_entries(data: st.DataObject) -> None:
    rows = data.draw(st.lists(entries(), min_size=1, max_size=5))
    bad = data.draw(damaged(encode(rows, SIZES)))
    reads_or_refuses(lambda: read_all(bad, [row.oid for row in rows]))


@given(st.binary(max_size=200))
def test_made_up_bytes_are_refused(data: bytes) -> None:
    reads_or_refuses(lambda: read_all(data, [Oid(bytes(32))]))
    reads_or_refuses(lambda: read_all(b"LDSINDX1" + data, [Oid(bytes(32))]))


@pytest.mark.parametrize("count", [0, 1, 2**32 - 1])
@pytest.mark.parametrize("packs", [1, 2**31, 2**32 - 1])
def test_hostile_counts_allocate_nothing(tmp_path: Path, count: int, packs: int) -> None:
    data = struct.pack("<8sII", b"LDSINDX1", count, packs) + bytes(30)
    (tmp_path / "index").write_bytes(data)
    refused_cheaply(lambda: Index.of(data), 100_000)
    refused_cheaply(lambda: Index.open(tmp_path / "index"), 100_000)


@pytest.mark.parametrize(
    "change",
    [
        {"offset": 23},
        {"offset": 999_990},
        {"offset": 2**32 - 1},
        {"stored": 12},
        {"stored": 113},
        {"stored": 2**32 - 1},
        {"length": 0},
        {"length": frames.MAX_CHUNK + 1},
        {"length": 2**32 - 1},
        {"length": frames.MAX_RECIPE + 1, "recipe": True},
    ],
)
def test_entries_that_no_pack_can_hold_are_refused(change: dict[str, int]) -> None:
    pack = next(iter(SIZES))
    good = IndexRow(hashing.of_bytes(b"x"), pack, 24, 50, 100, False)
    bad = good._replace(**change)  # type: ignore[arg-type]
    assert Index.of(encode([good], SIZES)).get(good.oid) == good
    index = Index.of(encode([bad], SIZES))
    with pytest.raises(CorruptData):
        index.get(good.oid)
    with pytest.raises(CorruptData):
        list(index)


def test_unsorted_rows_are_found_when_read_through() -> None:
    rows = [IndexRow(Oid(bytes([n]) * 32), next(iter(SIZES)), 24, 20, 8, False) for n in (1, 2)]
    data = encode(rows, SIZES)
    swapped = data[:-96] + data[-48:] + data[-96:-48]
    doubled = data[:-48] + data[-96:-48]
    for bad in (swapped, doubled):
        with pytest.raises(CorruptData, match="not sorted"):
            list(Index.of(bad))


def test_ten_thousand_entries_and_back() -> None:
    pack = next(iter(SIZES))
    rows = [IndexRow(Oid(os.urandom(32)), pack, 24 + n, 20, 8, False) for n in range(10_000)]
    index = Index.of(encode(rows, SIZES))
    assert all(index.get(row.oid) == row for row in rows)
    assert not any(Oid(os.urandom(32)) in index for _ in range(1000))

"""Known chunks are found by whole ids, at the place that makes the fewest runs."""

from __future__ import annotations

import os

import pytest

from git_lds import hashing
from git_lds.hashing import FileId, Oid
from git_lds.store.format import packfile
from git_lds.store.format.packfile import ChunkAt
from git_lds.transfer import chunk_sources
from git_lds.transfer.chunk_sources import ChunkSources
from git_lds.transfer.pack_contents import KnownPack


def id_of(number: int) -> Oid:
    return hashing.of_bytes(b"chunk %d" % number)


def pack_with(*ids: Oid) -> KnownPack:
    chunks = [ChunkAt(id, 24 + 50 * n, 50, 40 * n, 40) for n, id in enumerate(ids)]
    tail = packfile.encode_footer(chunks)
    return KnownPack(FileId(os.urandom(32)), 24 + 50 * len(ids) + len(tail), tail)


def test_chunks_of_known_packs_are_found_at_their_places() -> None:
    packs = [pack_with(*(id_of(n) for n in range(start, start + 10))) for start in (0, 10, 20)]
    known = ChunkSources(packs)
    for number in range(30):
        place = known.find(id_of(number))
        assert place is not None
        pack, chunk = known.chunk(place)
        assert pack == packs[number // 10].id and chunk.id == id_of(number)
    assert known.find(id_of(30)) is None
    assert known.size == 30 * 40


def test_ids_with_the_same_start_are_distinguished() -> None:
    ids = [Oid(id_of(1)[:8] + bytes([n]) * 24) for n in range(5)]
    known = ChunkSources([pack_with(*ids[:2]), pack_with(*ids[2:4])])
    for id in ids[:4]:
        place = known.find(id)
        assert place is not None and known.chunk(place)[1].id == id
    assert known.find(ids[4]) is None


def test_the_place_after_the_previous_chunk_is_preferred() -> None:
    a, b, c = id_of(1), id_of(2), id_of(3)
    known = ChunkSources([pack_with(b, a), pack_with(a, b, c)])
    first = known.find(c)
    assert first is not None
    place = known.find(a)
    assert place is not None
    assert known.find(b, before=(1 << 24)) == (1 << 24) + 1
    assert known.find(b, before=place) == 0


def test_planned_chunks_are_found_before_their_pack_is_made() -> None:
    known = ChunkSources([])
    number = known.reserve()
    places = [known.plan(id_of(n), number, n) for n in range(3)]
    assert [known.find(id_of(n)) for n in range(3)] == places
    pack = pack_with(*(id_of(n) for n in range(3)))
    known.fill(number, pack)
    assert known.chunk(places[2]) == (pack.id, packfile.decode_footer(pack.tail, pack.size)[2])
    assert known.used(places) == [pack]


def test_of_very_many_planned_chunks_those_used_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_sources, "_RECENT", 10)
    known = ChunkSources([])
    number = known.reserve()
    for n in range(100):
        known.plan(id_of(n), number, n)
        assert known.find(id_of(0)) is not None, "it is used all the time"
    assert known.find(id_of(95)) is not None
    assert known.find(id_of(5)) is None


def test_a_pack_with_a_broken_footer_is_not_built_on() -> None:
    good = pack_with(id_of(1))
    broken = KnownPack(FileId(bytes(32)), 100, b"rubbish")
    assert ChunkSources([broken, good]).find(id_of(1)) is not None

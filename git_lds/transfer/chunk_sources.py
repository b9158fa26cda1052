"""Knows the chunks that a push need not send: those of packs in the store, and those that the push has packed already.

A place is one number: the number of the pack, and in its low 24 bits the number of the chunk in the pack.
"""

from __future__ import annotations

import contextlib
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence

from git_lds.errors import CorruptData
from git_lds.hashing import FileId
from git_lds.store.format import packfile
from git_lds.store.format.packfile import ChunkAt
from git_lds.transfer.pack_contents import KnownPack

_CHUNK_BITS = 24
_CHUNK_MASK = (1 << _CHUNK_BITS) - 1
_DECODED = 50_000
"""Chunks of decoded footers in memory, 12 MB; other footers stay bytes. A pack has 1,000 chunks, of tiny files 16,000."""

_RECENT = 150_000
"""Chunks of this push remembered in each of two generations: 30 MB for 4 to 8 GB of data."""


class ChunkSources:
    """The packs that a push reuses or makes, and the places of chunks in them."""

    def __init__(self, packs: Sequence[KnownPack]) -> None:
        """`packs` are in the store. If two of them have a chunk, the first is used."""
        self._packs: list[KnownPack | None] = list(packs)
        self._decoded: OrderedDict[int, tuple[ChunkAt, ...]] = OrderedDict()
        self._held = 0
        self.size = 0
        """Bytes of contents in the packs that were given at the start."""
        self._table = _ChunkTable(self._rows())
        self._young: dict[bytes, int] = {}
        self._old: dict[bytes, int] = {}

    def find(self, id: bytes, before: int | None = None) -> int | None:
        """Return the place of a chunk that is or will be in the store, or None if it must be sent.

        `before` is the place of the chunk before it in its object. The place after that is preferred, because neighbours in a
        pack are one run of a recipe.
        """
        if before is not None and self._has_at(before + 1, id):
            return before + 1
        if (place := self._young.get(id)) is not None:
            return place
        if (place := self._old.get(id)) is not None:
            self._remember(id, place)
            return place
        for place in self._table.find(id):
            if self._has_at(place, id):
                return place
        return None

    def _has_at(self, place: int, id: bytes) -> bool:
        chunks = self._chunks(place >> _CHUNK_BITS)
        at = place & _CHUNK_MASK
        return at < len(chunks) and chunks[at].id == id

    def reserve(self) -> int:
        """Return a number for a pack that is being planned."""
        self._packs.append(None)
        return len(self._packs) - 1

    def plan(self, id: bytes, number: int, at: int) -> int:
        """Record that a chunk will be at index `at` of the planned pack `number`; return its place."""
        place = number << _CHUNK_BITS | at
        self._remember(id, place)
        return place

    def fill(self, number: int, pack: KnownPack) -> None:
        """Record that the planned pack `number` is in the store, as `pack`."""
        self._packs[number] = pack

    def used(self, places: Iterable[int]) -> list[KnownPack]:
        """Return the packs of `places`, each once. They must be in the store."""
        return [self.pack(number << _CHUNK_BITS) for number in sorted({place >> _CHUNK_BITS for place in places})]

    def pack(self, place: int) -> KnownPack:
        """Return the pack of a place. It must be in the store."""
        pack = self._packs[place >> _CHUNK_BITS]
        assert pack is not None
        return pack

    def chunk(self, place: int) -> tuple[FileId, ChunkAt]:
        """Return the pack id and the chunk of a place. The pack must be in the store."""
        return self.pack(place).id, self._chunks(place >> _CHUNK_BITS)[place & _CHUNK_MASK]

    def _chunks(self, number: int) -> tuple[ChunkAt, ...]:
        """Return the chunks of a pack, or none while it is only planned."""
        chunks = self._decoded.get(number)
        if chunks is None:
            if (pack := self._packs[number]) is None:
                return ()
            chunks = self._decoded[number] = packfile.decode_chunks(pack.tail)
            self._held += len(chunks)
            while self._held > _DECODED and len(self._decoded) > 1:
                self._held -= len(self._decoded.popitem(last=False)[1])
        return chunks

    def _rows(self) -> Iterator[tuple[bytes, int]]:
        for number in range(len(self._packs)):
            with contextlib.suppress(CorruptData):  # then the pack is not reused
                for at, chunk in enumerate(self._chunks(number)):
                    self.size += chunk.length
                    yield chunk.id, number << _CHUNK_BITS | at

    def _remember(self, id: bytes, place: int) -> None:
        if len(self._young) >= _RECENT:
            self._young, self._old = {}, self._young
        self._young[id] = place


class _ChunkTable:
    """A table of chunk ids and places, 16 bytes each: two arrays, of the sorted first 8 bytes of ids and of their places."""

    def __init__(self, rows: Iterable[tuple[bytes, int]]) -> None:
        # one number per row instead of a pair sorts five times faster, in less memory
        joined = sorted(int.from_bytes(id[:8]) << 64 | place for id, place in rows)
        self._starts = array("Q", (row >> 64 for row in joined))
        self._places = array("Q", (row & (1 << 64) - 1 for row in joined))

    def find(self, id: bytes) -> Iterator[int]:
        """Yield the places that `id` may have, those of earlier packs first."""
        start = int.from_bytes(id[:8])
        at = bisect_left(self._starts, start)
        while at < len(self._starts) and self._starts[at] == start:
            yield self._places[at]
            at += 1

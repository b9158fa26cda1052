"""Local packs: append-only files of self-describing frames, and beside each an index of what it holds.

    <name>.pack   magic "LDSLOCL1", then frames: {magic "LDSo", codec, 3 zero bytes, stored, length, oid} + stored bytes
    <name>.idx    magic "LDSLIDX1", covered, count, then `count` entries sorted by oid: {oid, offset, stored, length}

All integers are little-endian. One process appends at a time, which owns the pack for that time (see `locks`): another one
takes another pack. The index is written when it ends and says up to which byte of the pack it speaks (`covered`); what lies
behind that was left by a process that was killed or is still at work, and is found again by walking the frames.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property

from git_lds import files, hashing
from git_lds.errors import CorruptData
from git_lds.fast_typing import TYPE_CHECKING, NamedTuple, Protocol
from git_lds.hashing import Oid

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = b"LDSLOCL1"
FRAME_MAGIC = b"LDSo"
FRAME = struct.Struct("<4sB3xII32s")
INDEX_MAGIC = b"LDSLIDX1"
INDEX_HEADER = struct.Struct("<8sQQ")
ENTRY = struct.Struct("<32sQII")
_ENTRY_TAIL = struct.Struct("<QII")
RAW = 0
ZSTD = 1

_FEW = 64
"""So many look-ups in a pack read no more of its index than they need, for it may be one of hundreds."""

_MOST_COMPRESSED = 128 << 10
"""The most bytes that a compressed frame holds: a damaged length must not make the reader ask for more memory."""


class Frame(NamedTuple):
    """Where an object's bytes are in a pack: `offset` of its first stored byte, how many, and the object's size."""

    offset: int
    stored: int
    length: int


class Codec(Protocol):
    """How the frames of a pack are compressed; a pack without a codec has none that are."""

    def compress(self, data: bytes | bytearray, /) -> bytes | None:
        """Return `data` in fewer bytes, or None where that saves too little."""

    def decompress(self, stored: bytes, length: int, /) -> bytes:
        """Return the `length` bytes that `stored` stands for. Raises CorruptData."""


def contents(fd: int, oid: Oid, frame: Frame, codec: Codec | None) -> bytes | None:
    """Return what a frame of the pack `fd` holds, or None when that is not what the oid says."""
    offset, stored, length = frame
    is_raw = stored == length
    if not is_raw and (codec is None or not stored < length <= _MOST_COMPRESSED):
        return None  # the index is damaged
    if offset + stored > os.fstat(fd).st_size:
        return None
    data = files.read_at(fd, stored, offset)
    if not is_raw and codec is not None:
        try:
            data = codec.decompress(data, length)
        except CorruptData:
            return None
    return data if len(data) == length and hashing.of_bytes(data) == oid else None


class LocalPack:
    """An open pack for reading: its index mapped, the frames behind the index walked."""

    def __init__(self, path: Path, codec: Codec | None = None) -> None:
        self.path = path
        self._codec = codec
        self.fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._map: mmap.mmap | None = None
        self._count = 0
        self._asked = 0
        self.covered = len(MAGIC)
        self._load_index()
        self._tail: dict[Oid, Frame] = {}
        self.size = os.fstat(self.fd).st_size
        if self.size > self.covered:
            self._tail = dict(walk(self.fd, self.covered, self.size, codec))

    def _load_index(self) -> None:
        try:
            fd = os.open(self.path.with_suffix(".idx"), os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except FileNotFoundError:
            return
        try:
            size = os.fstat(fd).st_size
            if size < INDEX_HEADER.size:
                return
            mapped = mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
        finally:
            os.close(fd)
        magic, covered, count = INDEX_HEADER.unpack_from(mapped)
        if magic == INDEX_MAGIC and size == INDEX_HEADER.size + count * ENTRY.size:
            self._map, self._count, self.covered = mapped, count, covered

    def find(self, oid: Oid) -> Frame | None:
        """Return where the object is in this pack, or None."""
        if (frame := self._tail.get(oid)) is not None:
            return frame
        mapped = self._map
        if mapped is None:
            return None
        self._asked += 1
        if self._asked < _FEW:
            at = bisect_left(range(self._count), oid, key=self._oid_at)
        else:
            at = bisect_left(self._starts, start := int.from_bytes(oid[:8], "big"))
            while at < self._count and self._starts[at] == start and self._oid_at(at) < oid:
                at += 1
        if at == self._count or self._oid_at(at) != oid:
            return None
        return Frame(*_ENTRY_TAIL.unpack_from(mapped, INDEX_HEADER.size + at * ENTRY.size + 32))

    def _oid_at(self, number: int) -> Oid:
        assert self._map is not None
        at = INDEX_HEADER.size + number * ENTRY.size
        return Oid(self._map[at : at + 32])

    @cached_property
    def _starts(self) -> array[int]:
        """How the oids in the index begin, 8 bytes each as a number: of 32,768 made in 1 ms, and a look-up is 2 µs, not 5."""
        starts = array("Q")
        if self._map is not None:
            with memoryview(self._map) as view, view.cast("Q") as words:
                starts.extend(words[INDEX_HEADER.size // 8 :: ENTRY.size // 8])
        if sys.byteorder == "little":
            starts.byteswap()
        return starts

    def read(self, oid: Oid, frame: Frame) -> bytes | None:
        """Return the object's bytes, or None when they are not what the oid says."""
        return contents(self.fd, oid, frame, self._codec)

    @property
    def count(self) -> int:
        """How many objects it has."""
        return self._count + len(self._tail)

    def __iter__(self) -> Iterator[tuple[Oid, Frame]]:
        for number in range(self._count):
            assert self._map is not None
            oid, *where = ENTRY.unpack_from(self._map, INDEX_HEADER.size + number * ENTRY.size)
            yield Oid(oid), Frame(*where)
        yield from self._tail.items()

    def close(self) -> None:
        if self._map is not None:
            self._map.close()
            self._map = None
            self._count = 0
        os.close(self.fd)


def walk(fd: int, start: int, end: int, codec: Codec | None = None) -> Iterator[tuple[Oid, Frame]]:
    """Yield the frames between two offsets of a pack that hold what their oid says, in order.

    All else is skipped to the next frame's magic. A torn frame, as a kill leaves it, may be followed by whole ones that
    stand inside the length that it claims.
    """
    at = start
    while at + FRAME.size <= end:
        magic, kind, stored, length, oid = FRAME.unpack(files.read_at(fd, FRAME.size, at))
        frame = Frame(at + FRAME.size, stored, length)
        body = frame.offset
        fits = magic == FRAME_MAGIC and kind == (RAW if stored == length else ZSTD) and body + stored <= end
        if fits and contents(fd, Oid(oid), frame, codec) is not None:
            yield Oid(oid), frame
            at = body + stored
        else:
            at = _next_magic(fd, at + 1, end)


def _next_magic(fd: int, start: int, end: int) -> int:
    at = start
    while at < end:
        block = files.read_at(fd, min(files.COPY_SIZE, end - at), at)
        if not block:
            break
        found = block.find(FRAME_MAGIC)
        if found >= 0:
            return at + found
        at += max(1, len(block) - len(FRAME_MAGIC) + 1)
    return end


def index_reach(path: Path) -> tuple[int, int]:
    """Return how many entries a pack's index has and up to which byte of the pack it speaks."""
    with contextlib.suppress(OSError, struct.error), open(path.with_suffix(".idx"), "rb") as index:
        magic, covered, count = INDEX_HEADER.unpack(index.read(INDEX_HEADER.size))
        if magic == INDEX_MAGIC and os.fstat(index.fileno()).st_size == INDEX_HEADER.size + count * ENTRY.size:
            return count, covered
    return 0, len(MAGIC)


def index_entries(path: Path) -> list[bytes]:
    """Return the entries of a pack's index as they stand there, each of 48 bytes; none where there is no whole index."""
    count, _ = index_reach(path)
    if not count:
        return []
    body = path.with_suffix(".idx").read_bytes()[INDEX_HEADER.size :]
    return [body[at : at + ENTRY.size] for at in range(0, len(body), ENTRY.size)]

"""Local packs: append-only files of self-describing frames, each with an index beside it.

    <name>.pack   magic "LDSLOCL1", then frames: {magic "LDSo", codec, 3 zero bytes, stored, length, oid} + stored bytes
    <name>.idx    magic "LDSLIDX1", covered, count, then `count` entries sorted by oid: {oid, offset, stored, length}

All integers are little-endian. One process at a time owns a pack and appends to it (see `locks`); another process takes another
pack. The owner writes the index at its end, with the number of bytes of the pack that the index covers (`covered`). Frames after
that are from a process that was killed or is still running, and are found by walking them.
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
"""Look-ups in a pack that read only the needed parts of its index, because it may be one of hundreds."""

_MOST_COMPRESSED = 128 << 10
"""The largest contents of a compressed frame: a damaged length must not make the reader allocate more."""


class Frame(NamedTuple):
    """The place of an object in a pack: the `offset` and number of its stored bytes, and the size of the object."""

    offset: int
    stored: int
    length: int


class Codec(Protocol):
    """The compression of the frames of a pack. A pack without a codec has no compressed frames."""

    def compress(self, data: bytes | bytearray, /) -> bytes | None:
        """Return `data` compressed, or None if that saves too little."""

    def decompress(self, stored: bytes, length: int, /) -> bytes:
        """Return the `length` bytes that were compressed to `stored`. Raises CorruptData."""


def contents(fd: int, oid: Oid, frame: Frame, codec: Codec | None) -> bytes | None:
    """Return the contents of a frame of the pack `fd`, or None if they do not match the oid. Raises OSError."""
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
    """A pack, open for reading: its index is mapped, and the frames after the index were walked."""

    def __init__(self, path: Path, codec: Codec | None = None) -> None:
        self.path = path
        self._codec = codec
        self.fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._map: mmap.mmap | None = None
        self._count = 0
        self._look_ups = 0
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
        """Return the frame of the object in this pack, or None."""
        if (frame := self._tail.get(oid)) is not None:
            return frame
        mapped = self._map
        if mapped is None:
            return None
        self._look_ups += 1
        if self._look_ups < _FEW:
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
        """The first 8 bytes of each oid in the index, as numbers: 1 ms for 32,768, and a look-up takes 2 µs, was 5."""
        starts = array("Q")
        if self._map is not None:
            with memoryview(self._map) as view, view.cast("Q") as words:
                starts.extend(words[INDEX_HEADER.size // 8 :: ENTRY.size // 8])
        if sys.byteorder == "little":
            starts.byteswap()
        return starts

    def read(self, oid: Oid, frame: Frame) -> bytes | None:
        """Return the contents of the object, or None if they do not match the oid. Raises OSError."""
        return contents(self.fd, oid, frame, self._codec)

    @property
    def count(self) -> int:
        """The number of objects in the pack."""
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
    """Yield the valid frames between two offsets of a pack, in order. Raises OSError.

    Other bytes are skipped up to the next magic of a frame. A torn frame, which a killed process leaves, may be followed by
    whole ones within the length that it claims.
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
        position = block.find(FRAME_MAGIC)
        if position >= 0:
            return at + position
        at += max(1, len(block) - len(FRAME_MAGIC) + 1)
    return end


def index_reach(path: Path) -> tuple[int, int]:
    """Return the number of entries of a pack's index, and the number of bytes of the pack that it covers."""
    with contextlib.suppress(OSError, struct.error), open(path.with_suffix(".idx"), "rb") as index:
        magic, covered, count = INDEX_HEADER.unpack(index.read(INDEX_HEADER.size))
        if magic == INDEX_MAGIC and os.fstat(index.fileno()).st_size == INDEX_HEADER.size + count * ENTRY.size:
            return count, covered
    return 0, len(MAGIC)


def index_entries(path: Path) -> list[bytes]:
    """Return the encoded entries of a pack's index, 48 bytes each, or none without a valid index."""
    count, _ = index_reach(path)
    if not count:
        return []
    body = path.with_suffix(".idx").read_bytes()[INDEX_HEADER.size :]
    return [body[at : at + ENTRY.size] for at in range(0, len(body), ENTRY.size)]

"""Packs: files of frames, with a footer that locates each chunk.

    "LDSPACK1", 16 random bytes
    the frames, one after the other
    the footer: 48 bytes for each frame: id 32, offset u32, stored u32, logical u32, length u32
    count u32, the first 4 bytes of the BLAKE3 of the footer, "LDSPEND1"

A footer is read without the rest of its pack, whose name would prove it; hence the checksum.
The random bytes give every pack a unique name, so that a name removed from a store never comes back.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable

from git_lds import hashing
from git_lds.errors import CorruptData
from git_lds.fast_typing import NamedTuple
from git_lds.files import write_all
from git_lds.hashing import FileId, Oid
from git_lds.store.format import frames

MAGIC = b"LDSPACK1"
END_MAGIC = b"LDSPEND1"
HEADER_SIZE = len(MAGIC) + 16
MAX_SIZE = 64 << 20
"""The largest pack file, in bytes."""

MAX_LOGICAL = 2**32 - 1
"""The most bytes of decoded contents in one pack: logical offsets are u32."""

_ENTRY = struct.Struct("<32sIIII")
_TRAILER = struct.Struct("<I4s8s")
TRAILER_SIZE = _TRAILER.size
MIN_STORED = frames.HEADER_SIZE + 1
"""The smallest frame, in bytes."""

_WRITE_SIZE = 1 << 20
"""Bytes hashed and written at a time: BLAKE3 needs 1.5 times as long for single chunks."""


class ChunkAt(NamedTuple):
    """A chunk and its frame in a pack.

    `offset` is that of the frame's header, `stored` the size of the whole frame, `logical` the sum of the lengths of the frames
    before it, `length` that of the chunk.
    """

    id: Oid
    offset: int
    stored: int
    logical: int
    length: int


class PackInfo(NamedTuple):
    """A finished pack: the BLAKE3 of the whole file, its size, and its chunks in file order."""

    id: FileId
    size: int
    chunks: tuple[ChunkAt, ...]


def target_size(new_bytes: int) -> int:
    """Return the size of packs for a push of `new_bytes`: an eighth, so that small pushes are parallel too."""
    return min(max(new_bytes // 8, 4 << 20), 32 << 20)


class PackWriter:
    """Writes a pack to the open, empty file `fd`, which the caller closes. Call `has_room` before each `add`."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._hasher = hashing.new()
        self._chunks: list[ChunkAt] = []
        self._logical = 0
        self._waiting: list[bytes] = [MAGIC, os.urandom(16)]
        self._waiting_size = HEADER_SIZE
        self.size = HEADER_SIZE
        """Bytes of the pack so far, without the footer."""

    def has_room(self, length: int) -> bool:
        """Return whether a chunk of `length` bytes still fits, even uncompressed."""
        footer = (len(self._chunks) + 1) * _ENTRY.size + TRAILER_SIZE
        fits = self.size + frames.HEADER_SIZE + length + footer <= MAX_SIZE
        return fits and self._logical + length <= MAX_LOGICAL

    def add(self, id: Oid, data: bytes) -> ChunkAt:
        """Append the frame of a chunk or a recipe, and return its place. `id` is the BLAKE3 of `data`.

        Raises ValueError if the pack is full, OSError if it cannot be written.
        """
        if not self.has_room(len(data)):
            raise ValueError("the pack is full")
        header, payload = frames.encode(data)
        stored = len(header) + len(payload)
        chunk = ChunkAt(id, self.size, stored, self._logical, len(data))
        self._chunks.append(chunk)
        self._logical += len(data)
        self.size += stored
        self._write(header, payload)
        return chunk

    def finish(self) -> PackInfo:
        """Write the footer; return the id, size and chunks of the pack. Nothing can be added afterwards. Raises OSError."""
        footer = encode_footer(self._chunks)
        self._write(footer)
        self._flush()
        return PackInfo(FileId(self._hasher.digest()), self.size + len(footer), tuple(self._chunks))

    def _write(self, *parts: bytes) -> None:
        self._waiting += parts
        self._waiting_size += sum(map(len, parts))
        if self._waiting_size >= _WRITE_SIZE:
            self._flush()

    def _flush(self) -> None:
        data = b"".join(self._waiting)
        self._waiting.clear()
        self._waiting_size = 0
        self._hasher.update(data)
        write_all(self._fd, data)


def encode_footer(chunks: Iterable[ChunkAt]) -> bytes:
    """Return everything after the frames of a pack: the footer, its count and checksum, the magic."""
    entries = b"".join(_ENTRY.pack(c.id, c.offset, c.stored, c.logical, c.length) for c in chunks)
    return entries + _TRAILER.pack(len(entries) // _ENTRY.size, _check(entries), END_MAGIC)


def footer_range(trailer: bytes, pack_size: int) -> tuple[int, int]:
    """Return start and length of the range that `decode_footer` needs: from the footer to the end of the pack.

    `trailer` is the last TRAILER_SIZE bytes of the pack or more. Raises CorruptData.
    """
    count, _ = _read_trailer(trailer)
    length = count * _ENTRY.size + TRAILER_SIZE
    if HEADER_SIZE + count * MIN_STORED + length > pack_size:
        raise CorruptData(f"a pack of {pack_size} bytes claims {count} frames")
    return pack_size - length, length


def decode_footer(tail: bytes, pack_size: int) -> tuple[ChunkAt, ...]:
    """Return the chunks of a pack of `pack_size` bytes, in file order. `tail` ends the pack and has the whole footer.

    Raises CorruptData.
    """
    start, length = footer_range(tail, pack_size)
    if length > len(tail):
        raise CorruptData(f"a pack's footer is truncated: {length} bytes expected, {len(tail)} found")
    entries = memoryview(tail)[len(tail) - length : len(tail) - TRAILER_SIZE]
    if _check(entries) != _read_trailer(tail)[1]:
        raise CorruptData("a pack's footer is damaged")
    chunks = tuple(ChunkAt(Oid(id), *numbers) for id, *numbers in _ENTRY.iter_unpack(entries))
    _check_order(chunks, start)
    return chunks


def decode_chunks(table: bytes) -> tuple[ChunkAt, ...]:
    """Return the chunks of a table that `encode_footer` wrote, which may lack frames of its pack. Raises CorruptData."""
    count, check = _read_trailer(table)
    entries = memoryview(table)[:-TRAILER_SIZE]
    if len(entries) != count * _ENTRY.size or _check(entries) != check:
        raise CorruptData("a cached list of a pack's frames is damaged")
    return tuple(ChunkAt(Oid(id), *numbers) for id, *numbers in _ENTRY.iter_unpack(entries))


def size_with(footer: bytes) -> int:
    """Return the size of the pack that ends with `footer`. Raises CorruptData."""
    if len(footer) < _ENTRY.size + TRAILER_SIZE:
        raise CorruptData("a pack's footer is too short")
    _, offset, stored, _, _ = _ENTRY.unpack_from(footer, len(footer) - TRAILER_SIZE - _ENTRY.size)
    return int(offset + stored) + len(footer)


def _read_trailer(trailer: bytes) -> tuple[int, bytes]:
    """Return the number of frames and the checksum of the footer."""
    if len(trailer) < TRAILER_SIZE:
        raise CorruptData("a pack is shorter than its trailer")
    count, check, magic = _TRAILER.unpack_from(trailer, len(trailer) - TRAILER_SIZE)
    if magic != END_MAGIC:
        raise CorruptData("a pack does not end with a pack's magic")
    return count, check


def _check(entries: bytes | memoryview) -> bytes:
    return hashing.of_bytes(entries)[:4]


def _check_order(chunks: Iterable[ChunkAt], end: int) -> None:
    """Raise CorruptData unless the frames fill the pack without gaps from its header to its footer."""
    offset = HEADER_SIZE
    logical = 0
    for chunk in chunks:
        if chunk.offset != offset or chunk.logical != logical:
            raise CorruptData(f"a pack's footer has an entry out of order, at offset {chunk.offset}")
        if not MIN_STORED <= chunk.stored <= frames.HEADER_SIZE + chunk.length:
            raise CorruptData(f"a pack's footer claims that {chunk.length} bytes are stored as {chunk.stored}")
        offset += chunk.stored
        logical += chunk.length
    if offset != end or logical > MAX_LOGICAL:
        raise CorruptData("a pack's footer does not fit its frames")

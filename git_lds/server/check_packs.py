"""Checks a pack frame by frame before readers can see it, and caches the footers of packs."""

from __future__ import annotations

import contextlib
import os
import threading
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import accumulate, pairwise

from git_lds import hashing
from git_lds.errors import CorruptData, NotInStore
from git_lds.files import read_at
from git_lds.hashing import DIGEST_SIZE, FileId, Oid
from git_lds.store.backends.contract import Backend
from git_lds.store.format import frames, packfile, recipe
from git_lds.store.format.index import IndexRow
from git_lds.store.format.keys import pack_key
from git_lds.store.format.packfile import ChunkAt
from git_lds.store.format.recipe import FrameRun

CACHED = 64 << 20
"""Bytes of footers that a server keeps in memory: 1.4 million frames, which are 40 GiB in chunks of the usual size."""

_WINDOW = 1 << 20
_LARGE = 1 << 20
"""Bytes of a large footer. Only one check at a time has a large footer in memory."""

_one_large = threading.RLock()
"""Held while large footers, or frames that are larger than a chunk, are in memory."""


class PackFooter:
    """The frames of a pack, 40 bytes in memory per frame."""

    def __init__(self, chunks: Sequence[ChunkAt]) -> None:
        """`chunks` are all frames of the pack in file order, as returned by `decode_footer`."""
        self._ids = b"".join(chunk.id for chunk in chunks)
        # one more than the number of frames: a frame ends where the next one begins
        self._offsets = array("I", accumulate((c.stored for c in chunks), initial=packfile.HEADER_SIZE))
        self._logicals = array("I", accumulate((c.length for c in chunks), initial=0))

    @property
    def memory(self) -> int:
        """The size of this footer in memory, in bytes."""
        return len(self._ids) + 2 * self._offsets.itemsize * len(self._offsets)

    def id_of(self, row: IndexRow) -> Oid | None:
        """Return the id of the frame that an index row points at, or None if there is no such frame."""
        number = self._number(row.offset)
        if number is None or self._extent(number, number + 1) != (row.stored, row.length):
            return None
        return Oid(self._ids[number * DIGEST_SIZE : (number + 1) * DIGEST_SIZE])

    def has(self, run: FrameRun) -> bool:
        """Return whether the run consists of whole consecutive frames of this pack, none larger than a chunk."""
        first = self._number(run.offset)
        if first is None or first + run.chunks >= len(self._offsets) or self._logicals[first] != run.logical:
            return False
        if self._extent(first, first + run.chunks) != (run.stored, run.length):
            return False
        offsets = self._logicals[first : first + run.chunks + 1]
        return run.length <= frames.MAX_CHUNK or all(b - a <= frames.MAX_CHUNK for a, b in pairwise(offsets))

    def _number(self, offset: int) -> int | None:
        """Return the number of the frame at `offset`, or None."""
        number = bisect_left(self._offsets, offset)
        return number if number + 1 < len(self._offsets) and self._offsets[number] == offset else None

    def _extent(self, first: int, last: int) -> tuple[int, int]:
        """Return the stored bytes and the length of the frames from number `first` up to `last`."""
        return self._offsets[last] - self._offsets[first], self._logicals[last] - self._logicals[first]


class FooterCache:
    """The footers that a server used last, of all its stores. All methods may be called from any thread."""

    def __init__(self, limit: int = CACHED) -> None:
        self._limit = limit
        self._cached: OrderedDict[tuple[str, FileId], PackFooter] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, backend: Backend, pack: FileId, size: int) -> PackFooter:
        """Return the footer of a pack of `size` bytes in the store at `backend`. Raises CorruptData if it is damaged."""
        with self._lock:
            if (footer := self._cached.get((backend.url, pack))) is not None:
                self._cached.move_to_end((backend.url, pack))
                return footer
        try:
            tail = _read_footer(backend, pack, size)
            with _memory_lock(len(tail)):
                footer = PackFooter(packfile.decode_footer(tail, size))
        except (CorruptData, NotInStore) as error:
            raise CorruptData(f"pack {pack.hex()} of the store is damaged: {error.message}") from None
        self.put(backend, pack, footer)
        return footer

    def put(self, backend: Backend, pack: FileId, footer: PackFooter) -> None:
        """Cache the footer of a pack; drop the least recently used footers above the limit."""
        key = backend.url, pack
        with self._lock:
            if (before := self._cached.pop(key, None)) is not None:
                self._size -= before.memory
            self._cached[key] = footer
            self._size += footer.memory
            while self._size > self._limit:
                self._size -= self._cached.popitem(last=False)[1].memory


def check_pack(fd: int) -> PackFooter:
    """Decode and hash each frame of the pack in an open file; return its footer.

    Raises CorruptData unless all frames match the footer. The memory needed is bounded for any file.
    """
    size = os.fstat(fd).st_size
    if read_at(fd, len(packfile.MAGIC), 0) != packfile.MAGIC:
        raise CorruptData("it does not begin with the magic bytes of a pack")
    start, length = packfile.footer_range(
        read_at(fd, packfile.TRAILER_SIZE, max(size - packfile.TRAILER_SIZE, 0)), size
    )
    with _memory_lock(length):
        chunks = packfile.decode_footer(read_at(fd, length, start), size)
        _check_frames(fd, chunks)
        return PackFooter(chunks)


def _memory_lock(length: int) -> AbstractContextManager[object]:
    """Return the lock to hold while a footer of `length` bytes is in memory."""
    return _one_large if length > _LARGE else contextlib.nullcontext()


def _check_frames(fd: int, chunks: Sequence[ChunkAt]) -> None:
    window_start, window = 0, memoryview(b"")
    for chunk in chunks:
        start = chunk.offset - window_start
        if start + chunk.stored > len(window):
            window_start, start = chunk.offset, 0
            window = memoryview(read_at(fd, max(_WINDOW, chunk.stored), window_start))
        try:
            if chunk.length <= frames.MAX_CHUNK:
                _check_frame(window[start : start + chunk.stored], chunk)
            else:
                with _one_large:
                    _check_recipe(window[start : start + chunk.stored], chunk)
        except CorruptData as error:
            raise CorruptData(
                f"the frame at offset {chunk.offset} does not match the footer: {error.message}"
            ) from None


def _check_frame(frame: memoryview, chunk: ChunkAt, *, limit: int = frames.MAX_CHUNK) -> bytes:
    contents = frames.decode(frame, limit=limit)
    if len(contents) != chunk.length:
        raise CorruptData(f"it holds {len(contents)} bytes, not {chunk.length}")
    if hashing.of_bytes(contents) != chunk.id:
        raise CorruptData("checksum mismatch")
    return contents


def _check_recipe(frame: memoryview, chunk: ChunkAt) -> None:
    if not _check_frame(frame, chunk, limit=frames.MAX_RECIPE).startswith(recipe.MAGIC):
        raise CorruptData(f"it holds {chunk.length} bytes, too many for a chunk, and is not a recipe")


def _read_footer(backend: Backend, pack: FileId, size: int) -> bytes:
    """Return the end of a pack with its footer: one read if chunks have the usual size, else two."""
    usual = min(size, max(16 << 10, size >> 9))  # 48 bytes per 32 KiB, and as much again for compressed chunks
    tail = backend.read(pack_key(pack), size - usual, usual)
    start, length = packfile.footer_range(tail, size)
    return tail[-length:] if length <= usual else backend.read(pack_key(pack), start, length)

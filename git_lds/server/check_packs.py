"""Checks a pack frame by frame before it is visible, and remembers what was found in it: the footers of packs."""

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
"""Bytes of footers that a server keeps in memory: of 1.4 million frames, 40 GiB in chunks of the usual size."""

_WINDOW = 1 << 20
_LARGE = 1 << 20
"""Bytes of a footer from which on one check at a time has it in memory."""

_one_large = threading.RLock()
"""Held for what takes much memory: large footers, and frames that are larger than a chunk."""


class Footer:
    """Which frames a pack has, 40 bytes in memory for each."""

    def __init__(self, chunks: Sequence[ChunkAt]) -> None:
        """`chunks` are all frames of the pack in file order, as `decode_footer` returns them."""
        self._ids = b"".join(chunk.id for chunk in chunks)
        # one more than there are frames: each ends where the next begins
        self._offsets = array("I", accumulate((c.stored for c in chunks), initial=packfile.HEADER_SIZE))
        self._logicals = array("I", accumulate((c.length for c in chunks), initial=0))

    @property
    def memory(self) -> int:
        """Bytes that this takes in memory."""
        return len(self._ids) + 2 * self._offsets.itemsize * len(self._offsets)

    def id_of(self, row: IndexRow) -> Oid | None:
        """Return the id of the frame that the row of an index points at; None when there is no such frame."""
        number = self._number(row.offset)
        if number is None or self._extent(number, number + 1) != (row.stored, row.length):
            return None
        return Oid(self._ids[number * DIGEST_SIZE : (number + 1) * DIGEST_SIZE])

    def has(self, run: FrameRun) -> bool:
        """Return whether the run is consecutive whole frames of this pack, each short enough for a chunk."""
        first = self._number(run.offset)
        if first is None or first + run.chunks >= len(self._offsets) or self._logicals[first] != run.logical:
            return False
        if self._extent(first, first + run.chunks) != (run.stored, run.length):
            return False
        at = self._logicals[first : first + run.chunks + 1]
        return run.length <= frames.MAX_CHUNK or all(b - a <= frames.MAX_CHUNK for a, b in pairwise(at))

    def _number(self, offset: int) -> int | None:
        """Return the number of the frame at `offset`."""
        number = bisect_left(self._offsets, offset)
        return number if number + 1 < len(self._offsets) and self._offsets[number] == offset else None

    def _extent(self, first: int, last: int) -> tuple[int, int]:
        """Return the stored bytes and the length of the frames from number `first` up to `last`."""
        return self._offsets[last] - self._offsets[first], self._logicals[last] - self._logicals[first]


class Footers:
    """The footers that a server looked at last, of all its stores. To be used from any thread."""

    def __init__(self, limit: int = CACHED) -> None:
        self._limit = limit
        self._kept: OrderedDict[tuple[str, FileId], Footer] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def of(self, backend: Backend, pack: FileId, size: int) -> Footer:
        """Return that of a pack of `size` bytes that the store at `backend` has. Raises CorruptData for one that is damaged."""
        with self._lock:
            if (footer := self._kept.get((backend.url, pack))) is not None:
                self._kept.move_to_end((backend.url, pack))
                return footer
        try:
            tail = _read_footer(backend, pack, size)
            with _in_turn(len(tail)):
                footer = Footer(packfile.decode_footer(tail, size))
        except (CorruptData, NotInStore) as error:
            raise CorruptData(f"pack {pack.hex()} of the store is damaged: {error.message}") from None
        self.keep(backend, pack, footer)
        return footer

    def keep(self, backend: Backend, pack: FileId, footer: Footer) -> None:
        """Keep the footer of a pack, and drop those used longest ago where that is too much."""
        key = backend.url, pack
        with self._lock:
            if (before := self._kept.pop(key, None)) is not None:
                self._size -= before.memory
            self._kept[key] = footer
            self._size += footer.memory
            while self._size > self._limit:
                self._size -= self._kept.popitem(last=False)[1].memory


def check_pack(fd: int) -> Footer:
    """Return the footer of the pack in the open file, each frame of which was decoded and hashed to what the footer says.

    Raises CorruptData for anything else. Memory is bounded, whatever the file holds.
    """
    size = os.fstat(fd).st_size
    if read_at(fd, len(packfile.MAGIC), 0) != packfile.MAGIC:
        raise CorruptData("a pack does not begin with a pack's magic")
    start, length = packfile.footer_range(
        read_at(fd, packfile.TRAILER_SIZE, max(size - packfile.TRAILER_SIZE, 0)), size
    )
    with _in_turn(length):
        chunks = packfile.decode_footer(read_at(fd, length, start), size)
        _check_frames(fd, chunks)
        return Footer(chunks)


def _in_turn(length: int) -> AbstractContextManager[object]:
    """Return what is held while a footer of `length` bytes is in memory."""
    return _one_large if length > _LARGE else contextlib.nullcontext()


def _check_frames(fd: int, chunks: Sequence[ChunkAt]) -> None:
    at, window = 0, memoryview(b"")
    for chunk in chunks:
        start = chunk.offset - at
        if start + chunk.stored > len(window):
            at, start = chunk.offset, 0
            window = memoryview(read_at(fd, max(_WINDOW, chunk.stored), at))
        try:
            if chunk.length <= frames.MAX_CHUNK:
                _check_frame(window[start : start + chunk.stored], chunk)
            else:
                with _one_large:
                    _check_recipe(window[start : start + chunk.stored], chunk)
        except CorruptData as error:
            raise CorruptData(
                f"the frame at offset {chunk.offset} is not what the footer says: {error.message}"
            ) from None


def _check_frame(frame: memoryview, chunk: ChunkAt, *, limit: int = frames.MAX_CHUNK) -> bytes:
    contents = frames.decode(frame, limit=limit)
    if len(contents) != chunk.length:
        raise CorruptData(f"it holds {len(contents)} bytes, not {chunk.length}")
    if hashing.of_bytes(contents) != chunk.id:
        raise CorruptData("its contents have another BLAKE3")
    return contents


def _check_recipe(frame: memoryview, chunk: ChunkAt) -> None:
    if not _check_frame(frame, chunk, limit=frames.MAX_RECIPE).startswith(recipe.MAGIC):
        raise CorruptData(f"it holds {chunk.length} bytes, too many for a chunk, and no recipe")


def _read_footer(backend: Backend, pack: FileId, size: int) -> bytes:
    """Return the end of a pack, its footer within. One read where chunks have the usual size, else two."""
    usual = min(size, max(16 << 10, size >> 9))  # 48 bytes for each 32 KiB, and as much again for what is compressed
    tail = backend.read(pack_key(pack), size - usual, usual)
    start, length = packfile.footer_range(tail, size)
    return tail[-length:] if length <= usual else backend.read(pack_key(pack), start, length)

"""Old large objects, kept as chunks: what versions of a file have in common is here once, and compressed where that pays.

    packs/<name>.pack, .idx     local packs whose objects are chunks
    lists/<2 hex>/<62 hex>      one object: magic "LDSLIST1", its oid, then for each chunk {id, u64 end}, then a check

`end` is the offset in the object at which a chunk ends, so the last one is the object's size. The check is the BLAKE3 of all
that stands before it. How an object is cut is nothing that a reader need know.
"""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from git_lds import files, hashing
from git_lds.errors import CorruptData
from git_lds.files import Scratch
from git_lds.hashing import Oid
from git_lds.local.pack_directory import PackDirectory
from git_lds.store.format import frames

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAGIC = b"LDSLIST1"
_FIRST = len(MAGIC) + hashing.DIGEST_SIZE
_ENTRY = struct.Struct("<32sQ")
_END = struct.Struct("<Q")


class ChunkedObjects:
    """An open directory of old objects. Its methods may be called from many threads; many processes may read it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._packs = PackDirectory(root / "packs", frames)
        self._damaged: set[Oid] = set()
        self._added: list[Path] = []
        self._directories: set[Path] = set()

    # reading

    def has(self, oid: Oid) -> bool:
        return oid not in self._damaged and self.size(oid) is not None

    def size(self, oid: Oid) -> int | None:
        """Return the object's size in bytes, or None when it has no list here, or a damaged one."""
        with contextlib.closing(ChunkList(self._list(oid), oid)) as chunks:
            return chunks.size or None

    def open(self, oid: Oid) -> BinaryIO | None:
        """Return a stream of the object's contents, or None when it is not here.

        As a damaged file may, it ends early where a chunk is damaged or gone. What it does give was verified chunk by chunk.
        """
        chunks = ChunkList(self._list(oid), oid)
        if not chunks.size:
            chunks.close()
            return None
        return io.BufferedReader(_ChunkedStream(self, chunks))

    def chunk(self, id: Oid) -> bytes | None:
        """Return the contents of a chunk, verified; None when it is not here, or damaged."""
        data = self._packs.read(id)
        # another process may have put it here since we looked at the packs
        return data if data is not None or not self._packs.reload_changed() else self._packs.read(id)

    def is_whole(self, oid: Oid) -> bool:
        """Tell whether the object is here and hashes to its oid; all of it is read."""
        stream = self.open(oid)
        if stream is None:
            return False
        with stream:
            return hashing.of_stream(stream)[0] == oid

    def chunks_size(self) -> int:
        """Return how many bytes the chunks take on the disk."""
        return sum(path.stat().st_size for path in (self.root / "packs").glob("*.*"))

    def forget(self, oid: Oid) -> None:
        """Note, for this process, that the object is damaged here."""
        self._damaged.add(oid)

    def reload(self) -> None:
        """Look again at what other processes have added since."""
        self._packs.reload()
        self._damaged.clear()

    # writing

    def put(self, oid: Oid, chunks: Iterable[bytes], scratch: Scratch) -> None:
        """Keep the object that `chunks` make; its list is written to `scratch`.

        It is on the disk when `sync` returns. Raises CorruptData, with no list made, when the chunks hash to something else.
        """
        hasher, check, end = hashing.new(), hashing.new(), 0
        with scratch.file() as file:
            check.update(MAGIC + oid)
            file.write(MAGIC + oid)
            for data in chunks:
                id = hashing.of_bytes(data)
                self._packs.put(id, data)
                hasher.update(data)
                end += len(data)
                entry = _ENTRY.pack(id, end)
                check.update(entry)
                file.write(entry)
            file.write(check.digest())
        if hasher.digest() != oid:
            raise CorruptData(f"what should be object {oid.hex()} hashes to something else")
        path = self._list(oid)
        scratch.move_to(path)
        self._damaged.discard(oid)
        self._added.append(path)
        self._directories.add(path.parent)

    def take_over(self, oid: Oid) -> None:
        """Let the next `sync` put the object onto the disk as well: a process that was killed may not have done so."""
        self._directories.add(self._list(oid).parent)

    def sync(self) -> None:
        """Put everything that was added onto the disk."""
        self._packs.sync()
        if self._directories:
            for directory in (*self._directories, self.root / "lists", self.root / "packs", self.root):
                files.sync_directory(directory)
        self._directories.clear()
        self._added.clear()

    def roll_back(self) -> None:
        """Take out what was put since the last `sync`: the disk is full."""
        for path in self._added:
            with contextlib.suppress(OSError):
                path.unlink()
        self._added.clear()
        self._packs.roll_back()

    def sync_tails(self) -> None:
        """Put onto the disk what processes that were killed have left in the packs. None may be at work."""
        self._packs.sync_tails()

    def close(self) -> None:
        """Sync, and let go of the directory."""
        self._packs.close()

    # inside

    def _list(self, oid: Oid) -> Path:
        name = oid.hex()
        return self.root / "lists" / name[:2] / name[2:]


class ChunkList:
    """The open list of an object's chunks; of size 0 where there is none, or one that is damaged. Close it."""

    def __init__(self, path: Path, oid: Oid) -> None:
        self.oid = oid
        self.count = self.size = 0
        self._map: mmap.mmap | None = None
        with contextlib.suppress(OSError, ValueError), open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if self._map is not None and _is_list(self._map, oid):
            self.count = (len(self._map) - _FIRST - hashing.DIGEST_SIZE) // _ENTRY.size
            self.size = self._end(self.count - 1)

    def chunk(self, number: int) -> tuple[Oid, int, int]:
        """Return the id of a chunk, and where in the object it begins and ends."""
        assert self._map is not None
        id, end = _ENTRY.unpack_from(self._map, _FIRST + number * _ENTRY.size)
        return Oid(id), self._end(number - 1), end

    def number_at(self, offset: int) -> int:
        """Return the number of the chunk that has byte `offset` of the object, which has that many."""
        low, high = 0, self.count - 1
        while low < high:
            middle = (low + high) // 2
            if self._end(middle) <= offset:
                low = middle + 1
            else:
                high = middle
        return low

    def _end(self, number: int) -> int:
        if number < 0:
            return 0
        assert self._map is not None
        return int(_END.unpack_from(self._map, _FIRST + number * _ENTRY.size + hashing.DIGEST_SIZE)[0])

    def close(self) -> None:
        if self._map is not None:
            self._map.close()
            self._map = None


def _is_list(data: mmap.mmap, oid: Oid) -> bool:
    """Tell whether `data` is a whole list of at least one chunk of this object."""
    body = len(data) - hashing.DIGEST_SIZE
    if body <= _FIRST or (body - _FIRST) % _ENTRY.size or data[:_FIRST] != MAGIC + oid:
        return False
    with memoryview(data) as view, view[:body] as before:
        return hashing.of_bytes(before) == data[body:]


class _ChunkedStream(io.RawIOBase):
    """The contents of an old object, read chunk by chunk."""

    def __init__(self, objects: ChunkedObjects, chunks: ChunkList) -> None:
        self._objects = objects
        self._chunks = chunks
        self._at = 0
        self._data = b""
        self._start = 0

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        if not self._start <= self._at < self._start + len(self._data):
            self._load()
        part = self._data[self._at - self._start :][: len(view)] if self._data else b""
        view[: len(part)] = part
        self._at += len(part)
        return len(part)

    def _load(self) -> None:
        """Read the chunk that has the next byte; nothing where that is behind the end, or damaged."""
        self._data = b""
        if self._at >= self._chunks.size:
            return
        id, self._start, end = self._chunks.chunk(self._chunks.number_at(self._at))
        data = self._objects.chunk(id)
        if data is None or len(data) != end - self._start:
            self._objects.forget(self._chunks.oid)
        else:
            self._data = data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._chunks.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._chunks.close()
        super().close()

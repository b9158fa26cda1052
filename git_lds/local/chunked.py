"""Old large objects, stored as chunks: chunks that versions of a file share are stored once, and compressed.

    packs/<name>.pack, .idx     local packs whose objects are chunks
    lists/<2 hex>/<62 hex>      one object: magic "LDSLIST1", its oid, then for each chunk {id, u64 end}, then a checksum

`end` is the offset in the object at which a chunk ends, so the last one is the size of the object. The checksum is the BLAKE3
of everything before it. Readers do not depend on how an object was cut.
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
    """An open directory of chunked objects, for many threads. Many processes may read it."""

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
        """Return the size of the object in bytes, or None if its list is missing or damaged."""
        with contextlib.closing(ChunkList(self._list(oid), oid)) as chunks:
            return chunks.size or None

    def open(self, oid: Oid) -> BinaryIO | None:
        """Return a stream of the object's contents, or None if it is not here.

        Each chunk is verified. The stream ends early where one is damaged or missing, as a damaged file may.
        """
        chunks = ChunkList(self._list(oid), oid)
        if not chunks.size:
            chunks.close()
            return None
        return io.BufferedReader(_ChunkedStream(self, chunks))

    def chunk(self, id: Oid) -> bytes | None:
        """Return the verified contents of a chunk, or None if it is missing or damaged."""
        data = self._packs.read(id)
        # another process may have added it since the packs were read
        return data if data is not None or not self._packs.reload_changed() else self._packs.read(id)

    def is_whole(self, oid: Oid) -> bool:
        """Return whether the object is here and matches its oid, by reading all of it."""
        stream = self.open(oid)
        if stream is None:
            return False
        with stream:
            return hashing.of_stream(stream)[0] == oid

    def chunks_size(self) -> int:
        """Return the size of all chunks on the disk in bytes."""
        return sum(path.stat().st_size for path in (self.root / "packs").glob("*.*"))

    def mark_damaged(self, oid: Oid) -> None:
        """Record for this process that the object is damaged."""
        self._damaged.add(oid)

    def reload(self) -> None:
        """Read again what other processes have added."""
        self._packs.reload()
        self._damaged.clear()

    # writing

    def put(self, oid: Oid, chunks: Iterable[bytes], scratch: Scratch) -> None:
        """Store the object made of `chunks`; its list is written to `scratch`. It is on the disk after `sync`.

        Raises CorruptData, and stores no list, if the chunks do not match `oid`; OSError if the disk fails.
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
            raise CorruptData(f"checksum mismatch of object {oid.hex()}")
        path = self._list(oid)
        scratch.move_to(path)
        self._damaged.discard(oid)
        self._added.append(path)
        self._directories.add(path.parent)

    def sync_later(self, oid: Oid) -> None:
        """Let the next `sync` include an object that a killed process may not have synced."""
        self._directories.add(self._list(oid).parent)

    def sync(self) -> None:
        """Sync everything that was added to the disk. Raises OSError."""
        self._packs.sync()
        if self._directories:
            for directory in (*self._directories, self.root / "lists", self.root / "packs", self.root):
                files.sync_directory(directory)
        self._directories.clear()
        self._added.clear()

    def roll_back(self) -> None:
        """Remove what was added since the last `sync`, because the disk is full."""
        for path in self._added:
            with contextlib.suppress(OSError):
                path.unlink()
        self._added.clear()
        self._packs.roll_back()

    def sync_tails(self) -> None:
        """Sync what killed processes left in the packs. No process may be appending. Raises OSError."""
        self._packs.sync_tails()

    def close(self) -> None:
        """Sync and close the directory. Raises OSError."""
        self._packs.close()

    # inside

    def _list(self, oid: Oid) -> Path:
        name = oid.hex()
        return self.root / "lists" / name[:2] / name[2:]


class ChunkList:
    """The open list of an object's chunks, of size 0 if it is missing or damaged. Close it."""

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
        """Return the id of a chunk, and its start and end in the object."""
        assert self._map is not None
        id, end = _ENTRY.unpack_from(self._map, _FIRST + number * _ENTRY.size)
        return Oid(id), self._end(number - 1), end

    def number_at(self, offset: int) -> int:
        """Return the number of the chunk with byte `offset` of the object, which must be longer than that."""
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
    """Return whether `data` is a valid list of at least one chunk of this object."""
    body = len(data) - hashing.DIGEST_SIZE
    if body <= _FIRST or (body - _FIRST) % _ENTRY.size or data[:_FIRST] != MAGIC + oid:
        return False
    with memoryview(data) as view, view[:body] as before:
        return hashing.of_bytes(before) == data[body:]


class _ChunkedStream(io.RawIOBase):
    """The contents of a chunked object, read chunk by chunk."""

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
        """Read the chunk with the next byte, or nothing at the end or if it is damaged."""
        self._data = b""
        if self._at >= self._chunks.size:
            return
        id, self._start, end = self._chunks.chunk(self._chunks.number_at(self._at))
        data = self._objects.chunk(id)
        if data is None or len(data) != end - self._start:
            self._objects.mark_damaged(self._chunks.oid)
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

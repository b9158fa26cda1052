"""The local pack: an append-only file of self-describing frames, and beside it an index of what it holds.

    <name>.pack   magic "LDSLOCL1", then frames: {magic "LDSo", codec, 3 zero bytes, stored, length, oid} + stored bytes
    <name>.idx    magic "LDSLIDX1", covered, count, then `count` entries sorted by oid: {oid, offset, stored, length}

All integers are little-endian. One process appends at a time and holds the pack's lock while it does. The index is written
when it ends and says up to which byte of the pack it speaks (`covered`); what lies behind that was left by a process that
was killed or is still at work, and is found again by walking the frames.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from git_lds import files, hashing
from git_lds.hashing import Oid

MAGIC = b"LDSLOCL1"
FRAME_MAGIC = b"LDSo"
_FRAME = struct.Struct("<4sB3xII32s")
_INDEX_MAGIC = b"LDSLIDX1"
_INDEX_HEADER = struct.Struct("<8sQQ")
_ENTRY = struct.Struct("<32sQII")
_ENTRY_TAIL = struct.Struct("<QII")
_RAW = 0

FULL = 256 << 20
"""A pack of this many bytes gets no more frames; packs stay few (a look-up asks each) and a rewrite stays bounded."""

FULL_COUNT = 1 << 15
"""A pack of this many objects gets no more either: its index (1.5 MiB) is rewritten by each process that appends."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Where an object's bytes are in a pack: `offset` of its first stored byte, how many, and the object's size."""

    offset: int
    stored: int
    length: int


class LocalPack:
    """An open pack for reading: its index mapped, the frames behind the index walked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._map: mmap.mmap | None = None
        self._count = 0
        self.covered = len(MAGIC)
        self._load_index()
        self._tail: dict[Oid, Frame] = {}
        size = os.fstat(self.fd).st_size
        if size > self.covered:
            self._tail = dict(walk(self.fd, self.covered, size))

    def _load_index(self) -> None:
        try:
            fd = os.open(self.path.with_suffix(".idx"), os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except FileNotFoundError:
            return
        try:
            size = os.fstat(fd).st_size
            if size < _INDEX_HEADER.size:
                return
            mapped = mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
        finally:
            os.close(fd)
        magic, covered, count = _INDEX_HEADER.unpack_from(mapped)
        if magic == _INDEX_MAGIC and size == _INDEX_HEADER.size + count * _ENTRY.size:
            self._map, self._count, self.covered = mapped, count, covered

    def find(self, oid: Oid) -> Frame | None:
        """Return where the object is in this pack, or None."""
        if (frame := self._tail.get(oid)) is not None:
            return frame
        mapped = self._map
        if mapped is None:
            return None
        low, high = 0, self._count
        while low < high:
            middle = (low + high) // 2
            at = _INDEX_HEADER.size + middle * _ENTRY.size
            here = mapped[at : at + 32]
            if here < oid:
                low = middle + 1
            elif here > oid:
                high = middle
            else:
                return Frame(*_ENTRY_TAIL.unpack_from(mapped, at + 32))
        return None

    def read(self, oid: Oid, frame: Frame) -> bytes | None:
        """Return the object's bytes, or None when they are not what the oid says."""
        if frame.stored != frame.length or frame.offset + frame.stored > os.fstat(self.fd).st_size:
            return None  # the index is damaged
        data = files.read_at(self.fd, frame.stored, frame.offset)
        return data if len(data) == frame.length and hashing.of_bytes(data) == oid else None

    def __iter__(self) -> Iterator[tuple[Oid, Frame]]:
        for number in range(self._count):
            assert self._map is not None
            oid, *where = _ENTRY.unpack_from(self._map, _INDEX_HEADER.size + number * _ENTRY.size)
            yield Oid(oid), Frame(*where)
        yield from self._tail.items()

    def close(self) -> None:
        if self._map is not None:
            self._map.close()
            self._map = None
            self._count = 0
        os.close(self.fd)


def walk(fd: int, start: int, end: int) -> Iterator[tuple[Oid, Frame]]:
    """Yield the frames between two offsets of a pack that hold what their oid says, in order.

    All else is skipped to the next frame's magic. A torn frame, as a kill leaves it, may be followed by whole ones that
    stand inside the length that it claims.
    """
    at = start
    while at + _FRAME.size <= end:
        magic, codec, stored, length, oid = _FRAME.unpack(files.read_at(fd, _FRAME.size, at))
        body = at + _FRAME.size
        fits = magic == FRAME_MAGIC and codec == _RAW and stored == length and body + stored <= end
        if fits and hashing.of_bytes(files.read_at(fd, stored, body)) == oid:
            yield Oid(oid), Frame(body, stored, length)
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


def _index_reach(path: Path) -> tuple[int, int]:
    """Return how many entries a pack's index has and up to which byte of the pack it speaks."""
    with contextlib.suppress(OSError, struct.error), open(path.with_suffix(".idx"), "rb") as index:
        magic, covered, count = _INDEX_HEADER.unpack(index.read(_INDEX_HEADER.size))
        if magic == _INDEX_MAGIC and os.fstat(index.fileno()).st_size == _INDEX_HEADER.size + count * _ENTRY.size:
            return count, covered
    return 0, len(MAGIC)


def _index_entries(path: Path) -> list[bytes]:
    """Return the entries of a pack's index as they stand there, each of 48 bytes; none where there is no whole index."""
    count, _ = _index_reach(path)
    if not count:
        return []
    body = path.with_suffix(".idx").read_bytes()[_INDEX_HEADER.size :]
    return [body[at : at + _ENTRY.size] for at in range(0, len(body), _ENTRY.size)]


class Appender:
    """The one process that appends to a pack, from taking its lock to writing its index."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd
        self.end = os.fstat(fd).st_size
        self.entries: dict[Oid, Frame] = {}
        self.is_full = False
        self._before = 0
        self._dirty = False
        self._unsynced = False

    @classmethod
    def new(cls, folder: Path) -> Appender:
        """Start a new pack."""
        while True:
            path = folder / f"{os.urandom(8).hex()}.pack"
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            # another process may have found and locked it by now
            if (appender := cls.resume(path)) is not None:
                return appender

    @classmethod
    def resume(cls, path: Path) -> Appender | None:
        """Go on with a pack that another process left, indexing what a kill left unindexed.

        None when the pack is in use, or full with nothing left to index.
        """
        try:
            fd = os.open(path, os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0))
        except OSError:
            return None
        if files.try_lock(fd):
            appender = cls(path, fd)
            appender._begin()
            appender._before, covered = _index_reach(path)
            appender.is_full = appender.end >= FULL or appender._before >= FULL_COUNT
            if covered < appender.end:
                appender._recover(covered)
            if not appender.is_full:
                return appender
            appender.close()
            return None
        os.close(fd)
        return None

    def _begin(self) -> None:
        """Write the magic where it is not there yet: the pack is new, or who made it got no further."""
        if self.end < len(MAGIC):
            try:
                os.ftruncate(self._fd, 0)
                files.write_all(self._fd, MAGIC)
            except OSError:
                os.close(self._fd)
                raise
            self.end = len(MAGIC)

    def _recover(self, covered: int) -> None:
        """Index the frames behind the index. A torn one is passed over for good."""
        self.entries.update(walk(self._fd, covered, self.end))
        self._dirty = self._unsynced = True

    def append(self, oid: Oid, data: bytes | bytearray) -> None:
        """Hand an object's frame to the operating system. A frame that did not go in whole leaves the pack unusable."""
        header = _FRAME.pack(FRAME_MAGIC, _RAW, len(data), len(data), oid)
        try:
            written = (
                os.writev(self._fd, (header, data)) if hasattr(os, "writev") else os.write(self._fd, header + data)
            )
            if written < len(header) + len(data):
                files.write_all(self._fd, (header + data)[written:])
        except OSError:
            self.is_full = True
            self._dirty = True
            raise
        self.entries[oid] = Frame(self.end + len(header), len(data), len(data))
        self.end += len(header) + len(data)
        self._dirty = self._unsynced = True
        self.is_full = self.end >= FULL or self._before + len(self.entries) >= FULL_COUNT

    def read(self, frame: Frame) -> bytes:
        """Return the bytes of a frame appended earlier."""
        return files.read_at(self._fd, frame.stored, frame.offset)

    def sync(self) -> None:
        """Put what was appended onto the disk: one fsync however many objects there were."""
        if self._unsynced:
            os.fsync(self._fd)
            self._unsynced = False

    def close(self) -> None:
        """Sync, write the index, let go of the lock."""
        try:
            if self._dirty:
                self.sync()
                entries = {entry[:32]: entry for entry in _index_entries(self.path)}
                # what was there and is added again was damaged
                entries |= {oid: _ENTRY.pack(oid, f.offset, f.stored, f.length) for oid, f in self.entries.items()}
                header = _INDEX_HEADER.pack(_INDEX_MAGIC, os.fstat(self._fd).st_size, len(entries))
                files.replace_with(self.path.with_suffix(".idx"), header + b"".join(sorted(entries.values())))
                self._dirty = False
        finally:
            os.close(self._fd)

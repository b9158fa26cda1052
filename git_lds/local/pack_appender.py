"""Appends objects to a local pack, and writes its index."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence

from git_lds import files, locks, sharing
from git_lds.fast_typing import TYPE_CHECKING
from git_lds.hashing import Oid
from git_lds.local.pack_file import (
    ENTRY,
    FRAME,
    FRAME_MAGIC,
    INDEX_HEADER,
    INDEX_MAGIC,
    MAGIC,
    RAW,
    ZSTD,
    Codec,
    Frame,
    contents,
    index_entries,
    index_reach,
    walk,
)

if TYPE_CHECKING:
    from pathlib import Path

FULL = 256 << 20
"""Bytes from which on a pack is full: packs stay few (a look-up reads each), and rewriting one stays bounded."""

_MOST_FRAMES = 512
"""Frames in one writev, which takes 1,024 buffers (IOV_MAX of limits.h)."""

_TRIES = 100

FULL_COUNT = 1 << 15
"""Objects from which on a pack is full: each appending process rewrites its index (1.5 MiB)."""


class Appender:
    """The only writer of a pack, from taking its lock to writing its index. Its methods raise OSError."""

    def __init__(self, path: Path, fd: int, codec: Codec | None = None, *, lasting: bool = True) -> None:
        self.path = path
        self._fd = fd
        self._codec = codec
        self._lasting = lasting
        self.end = os.fstat(fd).st_size
        self.entries: dict[Oid, Frame] = {}
        self.is_full = False
        self._before = 0
        self._dirty = False
        self._unsynced = False

    @classmethod
    def new(cls, directory: Path, codec: Codec | None = None, *, lasting: bool = True) -> Appender:
        """Create a pack and return its appender. Raises OSError."""
        for _ in range(_TRIES):
            sharing.make_directory(directory)
            path = directory / f"{os.urandom(8).hex()}.pack"
            try:
                fd = sharing.create(path, os.O_RDWR | os.O_APPEND)
            except FileNotFoundError:
                continue  # the directory has just been deleted
            # another process may have found it and own it by now
            if (appender := cls._owning(path, fd, codec, lasting=lasting)) is not None:
                return appender
        raise OSError(errno.EBUSY, "other processes take each new pack", os.fspath(directory))

    @classmethod
    def resume(cls, path: Path, codec: Codec | None = None, *, lasting: bool = True) -> Appender | None:
        """Return the appender of an existing pack, after indexing frames that a killed process left unindexed.

        Returns None if the pack is in use, or full with nothing to index.
        """
        try:
            fd = os.open(path, os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0))
        except OSError:
            return None
        count, covered = index_reach(path)
        size = os.fstat(fd).st_size
        if (size >= FULL or count >= FULL_COUNT) and covered >= size:
            os.close(fd)
            return None
        appender = cls._owning(path, fd, codec, lasting=lasting)
        if appender is not None and appender.is_full:
            appender.close()
            return None
        return appender

    @classmethod
    def _owning(cls, path: Path, fd: int, codec: Codec | None, *, lasting: bool) -> Appender | None:
        """Return the appender of an open pack, or None if another process owns the pack."""
        with contextlib.ExitStack() as opened:
            opened.callback(os.close, fd)
            if not locks.own(fd, path):
                return None
            opened.callback(locks.disown, path)
            appender = cls(path, fd, codec, lasting=lasting)
            appender._begin()
            opened.pop_all()
            return appender

    def _begin(self) -> None:
        """Write the magic of a new or empty pack, and index unindexed frames."""
        if self.end < len(MAGIC):
            os.ftruncate(self._fd, 0)
            files.write_all(self._fd, MAGIC)
            self.end = len(MAGIC)
        self._before, covered = index_reach(self.path)
        self.is_full = self.end >= FULL or self._before >= FULL_COUNT
        if covered < self.end:
            self._recover(covered)

    def _recover(self, covered: int) -> None:
        """Index the frames after the index. Torn ones are skipped for good."""
        self.entries.update(walk(self._fd, covered, self.end, self._codec))
        self._dirty = self._unsynced = True

    def append(self, objects: Sequence[tuple[Oid, bytes | bytearray]]) -> int:
        """Append the frames of objects in one call; return how many of them the pack had room for.

        After an OSError the pack is full: an incomplete frame must not be followed by others.
        """
        parts: list[bytes | bytearray] = []
        entries: dict[Oid, Frame] = {}
        end = self.end
        for oid, data in objects[:_MOST_FRAMES]:
            smaller = self._codec.compress(data) if self._codec is not None else None
            body, kind = (data, RAW) if smaller is None else (smaller, ZSTD)
            parts += (FRAME.pack(FRAME_MAGIC, kind, len(body), len(data), oid), body)
            entries[oid] = Frame(end + FRAME.size, len(body), len(data))
            end += FRAME.size + len(body)
            self.is_full = end >= FULL or self._before + len(self.entries) + len(entries) >= FULL_COUNT
            if self.is_full:
                break
        self._dirty = True
        try:
            written = os.writev(self._fd, parts) if hasattr(os, "writev") else 0
            if written < end - self.end:
                files.write_all(self._fd, b"".join(parts)[written:])
        except OSError:
            self.is_full = True
            raise
        self.entries.update(entries)
        self.end = end
        self._unsynced = True
        return len(entries)

    def read(self, oid: Oid, frame: Frame) -> bytes | None:
        """Return the contents of a frame appended earlier, or None if they do not match the oid."""
        return contents(self._fd, oid, frame, self._codec)

    def sync(self) -> None:
        """Sync what was appended to the disk, with one fsync for any number of objects."""
        if self._unsynced and self._lasting:
            os.fsync(self._fd)
        self._unsynced = False

    def close(self) -> None:
        """Sync, write the index, and close the pack."""
        try:
            if self._dirty:
                self.sync()
                entries = {entry[:32]: entry for entry in index_entries(self.path)}
                # an object that is added again was damaged
                entries |= {oid: ENTRY.pack(oid, f.offset, f.stored, f.length) for oid, f in self.entries.items()}
                header = INDEX_HEADER.pack(INDEX_MAGIC, os.fstat(self._fd).st_size, len(entries))
                index = header + b"".join(sorted(entries.values()))
                files.replace_with(self.path.with_suffix(".idx"), index, sync=self._lasting)
                self._dirty = False
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the pack without changing its index."""
        locks.disown(self.path)
        os.close(self._fd)

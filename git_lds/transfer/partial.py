"""Keeps the partial contents of a large object whose download is interrupted, so that the next one fetches only the rest.

    partial/<oid>          the contents, each stretch at its place
    partial/<oid>.parts    the stretches in it, 56 bytes each: pack 32, offset u32, stored u32, at u64, length u64

A stretch is `length` bytes at byte `at` of the object, the contents of frames that take `stored` bytes of a pack from `offset`.
It is recorded after it was written. A killed process cannot undo the writing, but a crash of the machine can, so the assembled
object is used only after it was verified as a whole. Both files may be deleted while no process has them open.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from git_lds import locks, sharing
from git_lds.files import Scratch
from git_lds.hashing import FileId, Oid
from git_lds.store.format.recipe import Fetch, FrameRun

WORTH_KEEPING = 8 << 20
"""Bytes from which on a partial object is kept. Smaller objects are few requests, which are as quickly repeated."""

KEPT_SECONDS = locks.KEPT_SECONDS
"""Seconds after which a partial object is deleted."""

_TRIES = 100

_STRETCH = struct.Struct("<32sIIQQ")


class Partial(Scratch):
    """The file of a partial object, owned by this process until `close`, which keeps the file."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = self._place = path
        self.fd = fd
        self._moved = False
        self._notes = path.with_name(path.name + ".parts")
        self._stretches = dict(self._read())

    def remaining_of(self, step: Fetch) -> Fetch | None:
        """Return the part of `step` that must still be fetched, or None if all of it is here."""
        run, stored, length = step.run, 0, 0
        while (stretch := self._stretches.get((run.pack, run.offset + stored, step.target + length))) is not None:
            stored, length = stored + stretch[0], length + stretch[1]
        if (stored, length) == (run.stored, run.length):
            return None
        if not length or stored >= run.stored or length >= run.length:
            return step
        rest = FrameRun(
            run.pack, run.offset + stored, run.stored - stored, run.logical + length, run.length - length, 0
        )
        return Fetch(rest, step.target + length)

    def note(self, pack: FileId, offset: int, stored: int, places: Iterable[int], length: int) -> None:
        """Record a stretch that was written to each of `places`. Raises OSError."""
        # opened each time: with two open files per object a process would run out of descriptors
        with open(self._notes, "ab", buffering=0) as notes:
            notes.write(b"".join(_STRETCH.pack(pack, offset, stored, at, length) for at in places))

    def empty(self) -> None:
        super().empty()
        self._stretches.clear()
        self._delete_notes()

    def discard(self) -> None:
        """Delete the file and its notes."""
        self._delete_notes()
        locks.disown(self._place)  # while we have the lock, so that no other process owns it yet
        super().close()

    def close(self) -> None:
        if self._moved:
            self._delete_notes()
        self._moved = True  # keeps the file
        locks.disown(self._place)
        super().close()

    def _delete_notes(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._notes)

    def _read(self) -> Iterator[tuple[tuple[FileId, int, int], tuple[int, int]]]:
        if not os.fstat(self.fd).st_size:
            self._delete_notes()  # of an object that was finished and deleted since
            return
        with contextlib.suppress(FileNotFoundError):
            data = self._notes.read_bytes()
            whole = len(data) - len(data) % _STRETCH.size
            for pack, offset, stored, at, length in _STRETCH.iter_unpack(data[:whole]):
                if stored and length:
                    yield (FileId(pack), offset, at), (stored, length)


def begin(root: Path, oid: Oid) -> Partial | None:
    """Return the file for a partial object in the object directory `root`, with its earlier contents.

    Returns None if another process owns it, which then completes it, or if it belongs to another user. Raises OSError.
    """
    path = _directory(root) / oid.hex()
    for _ in range(_TRIES):
        sharing.make_directory(path.parent)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        except FileNotFoundError:
            continue  # the directory has just been deleted
        except PermissionError:
            return None
        with contextlib.ExitStack() as opened:
            opened.callback(os.close, fd)
            with contextlib.suppress(FileNotFoundError):
                if not locks.own(fd, path):
                    return None
                opened.callback(locks.disown, path)
                if os.path.samestat(os.stat(path), os.fstat(fd)):
                    opened.pop_all()
                    return Partial(path, fd)
            # its owner renamed or deleted the file between our open and our lock
    return None


def is_begun(root: Path, oid: Oid) -> bool:
    """Return whether there is a partial file of an object."""
    return os.path.exists(_directory(root) / oid.hex())


def sweep(root: Path) -> None:
    """Delete partial objects older than KEPT_SECONDS."""
    before = time.time() - KEPT_SECONDS
    with contextlib.suppress(OSError), os.scandir(_directory(root)) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.stat().st_mtime < before:
                    _delete(entry.path)


def _delete(path: str) -> None:
    fd = os.open(path, os.O_RDWR)
    try:
        if locks.try_lock(fd) is not False:
            os.unlink(path)
    finally:
        os.close(fd)


def _directory(root: Path) -> Path:
    return root / "partial"

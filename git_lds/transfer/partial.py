"""Keeps what came of a large object when its download is cut off, so that the next one asks only for the rest.

    partial/<oid>          the contents, each stretch at its place
    partial/<oid>.parts    which stretches are there, 56 bytes for each: pack 32, offset u32, stored u32, at u64, length u64

A stretch is the contents, `length` bytes at byte `at` of the object, of the frames that take `stored` bytes of a pack from
`offset`. It is noted when it was written, which a killed process cannot undo; a crash of the machine can, and so what was put
together is believed only when the whole of it hashes to its oid. Both files may be deleted at any time nobody has them open.
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
"""Bytes from which on an object is kept so. Smaller ones are few requests, and come again as quickly."""

KEPT_SECONDS = locks.KEPT_SECONDS
"""How long what came of an object waits for the rest."""

_TRIES = 100

_STRETCH = struct.Struct("<32sIIQQ")


class Partial(Scratch):
    """The file of one object under way. This process alone has it, until the value closes; the file then stays."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = self._place = path
        self.fd = fd
        self._moved = False
        self._notes = path.with_name(path.name + ".parts")
        self._stretches = dict(self._read())

    def left_of(self, step: Fetch) -> Fetch | None:
        """Return what is still to be fetched of `step`, None when all of it is here."""
        run, stored, length = step.run, 0, 0
        while (found := self._stretches.get((run.pack, run.offset + stored, step.target + length))) is not None:
            stored, length = stored + found[0], length + found[1]
        if (stored, length) == (run.stored, run.length):
            return None
        if not length or stored >= run.stored or length >= run.length:
            return step
        rest = FrameRun(
            run.pack, run.offset + stored, run.stored - stored, run.logical + length, run.length - length, 0
        )
        return Fetch(rest, step.target + length)

    def note(self, pack: FileId, offset: int, stored: int, places: Iterable[int], length: int) -> None:
        """Write down a stretch that was written to each of `places`."""
        # opened each time: with two files for each object under way a process would run out of them
        with open(self._notes, "ab", buffering=0) as notes:
            notes.write(b"".join(_STRETCH.pack(pack, offset, stored, at, length) for at in places))

    def empty(self) -> None:
        super().empty()
        self._stretches.clear()
        self._forget_notes()

    def discard(self) -> None:
        """Keep nothing of it."""
        self._forget_notes()
        locks.disown(self._place)  # while we have its lock: then nobody else is its owner yet
        super().close()

    def close(self) -> None:
        if self._moved:
            self._forget_notes()
        self._moved = True  # so that the file is not deleted
        locks.disown(self._place)
        super().close()

    def _forget_notes(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._notes)

    def _read(self) -> Iterator[tuple[tuple[FileId, int, int], tuple[int, int]]]:
        if not os.fstat(self.fd).st_size:
            self._forget_notes()  # of an object that was finished, and has gone since
            return
        with contextlib.suppress(FileNotFoundError):
            data = self._notes.read_bytes()
            whole = len(data) - len(data) % _STRETCH.size
            for pack, offset, stored, at, length in _STRETCH.iter_unpack(data[:whole]):
                if stored and length:
                    yield (FileId(pack), offset, at), (stored, length)


def begin(root: Path, oid: Oid) -> Partial | None:
    """Return the file for an object under way in the directory of objects `root`, with what came of it before.

    None when another process has it, which then goes on with it, or when it is another user's.
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
            # who had it gave it its name, or took it away, between the open and the lock
    return None


def is_begun(root: Path, oid: Oid) -> bool:
    """Tell whether something of an object was kept."""
    return os.path.exists(_directory(root) / oid.hex())


def sweep(root: Path) -> None:
    """Delete what has waited too long for its rest."""
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

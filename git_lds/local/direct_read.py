"""Reads a large uncached file past the page cache, in a thread that reads ahead of the consumer.

For 1 GiB that `git status` finds touched but unchanged: 1.2 s, through the page cache 2.5 to 3.2 s if memory is short.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import threading

from git_lds.fast_typing import TYPE_CHECKING
from git_lds.local.direct_write import MEMORY

if TYPE_CHECKING:
    from queue import SimpleQueue
    from typing import BinaryIO

_BUFFER = 4 << 20
"""Bytes of one read. One of two buffers is filled while the other is used."""


_LOOKS = 4
"""Places of a file that are checked: it counts as cached if all of them are in memory."""


def ahead(stream: BinaryIO) -> BinaryIO | Ahead:
    """Return a reader of an open object: a direct one for a large uncached file, else the stream itself.

    With a direct reader the position of the stream does not change.
    """
    try:
        fd = stream.fileno()
        if os.fstat(fd).st_size < MEMORY or all(_is_cached(fd) for _ in range(_LOOKS)):
            return stream
        return Ahead(os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_DIRECT))
    except (OSError, AttributeError):  # stored as chunks, or not supported by the system or file system
        return stream


def _is_cached(fd: int) -> bool:
    """Return whether a random byte of a file is in memory. The check loads an uncached byte, so each takes another."""
    at = int.from_bytes(os.urandom(8), "little") % os.fstat(fd).st_size
    try:
        return os.preadv(fd, [bytearray(1)], at, os.RWF_NOWAIT) > 0
    except BlockingIOError:
        return False


class Ahead:
    """A file that a thread reads from its start. `read` returns fewer bytes at the end or after an error."""

    def __init__(self, fd: int) -> None:
        from queue import SimpleQueue  # late: few files are so large

        self._fd = fd
        self._rest = memoryview(b"")
        self._used: mmap.mmap | None = None
        self._free: SimpleQueue[mmap.mmap | None] = SimpleQueue()
        self._full: SimpleQueue[tuple[mmap.mmap, int] | None] = SimpleQueue()
        for _ in range(2):
            self._free.put(mmap.mmap(-1, _BUFFER))  # page-aligned, as O_DIRECT requires
        self._thread = threading.Thread(target=self._serve, name="reader", daemon=True)
        self._thread.start()

    def read(self, count: int) -> bytes:
        data = b""
        while len(data) < count and (self._rest or self._next()):
            part = self._rest[: count - len(data)]
            self._rest = self._rest[len(part) :]
            data += part
        return data

    def close(self) -> None:
        if self._fd >= 0:
            self._free.put(None)
            self._thread.join()
            os.close(self._fd)
            self._fd = -1

    def _next(self) -> bool:
        """Switch to the next buffer; return whether there is one."""
        if self._used is not None:
            self._free.put(self._used)
            self._used = None
        item = self._full.get()
        if item is None:
            self._full.put(None)
            return False
        self._used, count = item
        self._rest = memoryview(self._used)[:count]
        return True

    def _serve(self) -> None:
        at = 0
        with contextlib.suppress(OSError):
            while (buffer := self._free.get()) is not None and (count := os.preadv(self._fd, [buffer], at)):
                self._full.put((buffer, count))
                at += count
        self._full.put(None)

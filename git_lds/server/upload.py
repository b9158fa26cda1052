"""A body on its way into a store: written to a file that nobody sees, hashed, checked, and only then given its key."""

from __future__ import annotations

import os
import threading

from git_lds import hashing
from git_lds.errors import CorruptData
from git_lds.files import read_at, write_all
from git_lds.pack.layout import Key, Kind, Parameters
from git_lds.pack.log import LogEntry
from git_lds.remote.directory import Directory

_one_entry = threading.Lock()
"""A log entry is read whole to be checked, and 16 MiB of JSON can become many times that: one after the other."""


class Upload:
    """One body. All methods block, and are called from worker threads, one at a time but for `close`."""

    def __init__(self, place: Directory, key: str, parsed: Key) -> None:
        self._place = place
        self._key = key
        self._parsed = parsed
        self._scratch = place.scratch()
        self._hasher = hashing.new()
        self._open = True
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        """Take more of the body."""
        with self._lock:
            if self._open:  # else the request was given up while this waited for a thread
                write_all(self._scratch.fd, data)
                self._hasher.update(data)

    def finish(self) -> bool:
        """Check the body; give it its key unless that is taken, and tell whether it was given.

        Raises CorruptData for a body that is not what its key says, OutOfSequence as `Directory.adopt` does.
        """
        with self._lock:
            if not self._open:
                return False
            self._check()
            return self._place.adopt(self._key, self._scratch)

    def close(self) -> None:
        """Forget the body, unless it has its key. Waits for a write that is under way: its file must stay its own."""
        with self._lock:
            if self._open:
                self._open = False
                self._scratch.close()

    def _check(self) -> None:
        if self._parsed.id is not None and self._hasher.digest() != self._parsed.id:
            raise CorruptData("the BLAKE3 of the body is not the name")
        if self._parsed.kind is Kind.LOG:
            with _one_entry:
                LogEntry.decode(self._whole())
        if self._parsed.kind is Kind.PARAMETERS:
            Parameters.decode(self._whole())

    def _whole(self) -> bytes:
        return read_at(self._scratch.fd, os.fstat(self._scratch.fd).st_size, 0)

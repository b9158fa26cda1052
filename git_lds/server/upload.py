"""A body on its way into a store: written to a file that nobody sees, hashed, checked, and only then given its key."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import threading

from git_lds import hashing
from git_lds.errors import CorruptData
from git_lds.files import read_at, write_all
from git_lds.pack.layout import Key, Kind, Parameters
from git_lds.pack.log import LogEntry
from git_lds.server.places import Place

_one_entry = threading.Lock()
"""A log entry is read whole to be checked, and 16 MiB of JSON can become many times that: one after the other."""


class Upload:
    """One body. All methods block, and are called from worker threads, one at a time but for `close`."""

    def __init__(self, place: Place, key: str, parsed: Key, digest: str | None = None) -> None:
        """`digest` is what the client says of the body in Content-Digest; of a body that its key names, it adds nothing."""
        self._place = place
        self._key = key
        self._parsed = parsed
        self._digest = digest
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

        Raises CorruptData for a body that is not what its key says, OutOfSequence as `adopt` does.
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
                data = self._whole()
                _check_digest(data, self._digest)
                LogEntry.decode(data)
        if self._parsed.kind is Kind.PARAMETERS:
            Parameters.decode(self._whole())

    def _whole(self) -> bytes:
        return read_at(self._scratch.fd, os.fstat(self._scratch.fd).st_size, 0)


def _check_digest(data: bytes, digest: str | None) -> None:
    """Raise CorruptData where the SHA-256 that Content-Digest (RFC 9530) names is not that of the body."""
    said = re.search(r"(?:^|[, ])sha-256=:([A-Za-z0-9+/=]*):", digest or "")
    if said is not None and said[1] != base64.b64encode(hashlib.sha256(data).digest()).decode():
        raise CorruptData("the body is not what its Content-Digest says")

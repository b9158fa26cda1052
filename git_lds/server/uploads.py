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
from git_lds.server.check_log import History
from git_lds.server.check_packs import check_pack
from git_lds.server.store_root import Place
from git_lds.store.format.index import Index
from git_lds.store.format.keys import Key, Kind, Parameters
from git_lds.store.format.log import LogEntry, StoreState, decode_checkpoint

_one_at_a_time = threading.Lock()
"""Log entries and checkpoints are read whole to be checked, and 16 MiB of JSON can become many times that."""


class Upload:
    """One body. All methods block, and are called from worker threads, one at a time but for `close`."""

    def __init__(self, place: Place, history: History, key: str, parsed: Key, digest: str | None = None) -> None:
        """`history` is that of the store in `place`. `digest` is what the client says of the body in Content-Digest; of a
        body that its key names, it adds nothing."""
        self._place = place
        self._history = history
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

        Raises CorruptData for a body that is not what its key says, or says of the store what is not so; OutOfSequence as
        `adopt` does; MayNotRemove.
        """
        with self._lock:
            if not self._open:
                return False
            return self._check() and self._place.adopt(self._key, self._scratch)

    def close(self) -> None:
        """Forget the body, unless it has its key. Waits for a write that is under way: its file must stay its own."""
        with self._lock:
            if self._open:
                self._open = False
                self._scratch.close()

    def _check(self) -> bool:
        """Raise for a body that must not be seen; return whether its key is still free, as far as that is known."""
        kind, id, seq = self._parsed.kind, self._parsed.id, self._parsed.seq
        if id is not None and self._hasher.digest() != id:
            raise CorruptData("the BLAKE3 of the body is not the name")
        if kind is Kind.PACK and id is not None:
            self._history.keep_footer(id, check_pack(self._scratch.fd))
        if kind is Kind.INDEX and id is not None:
            with Index.open(self._scratch.path) as index:
                self._history.check_index(id, index)
        if kind is Kind.CHECKPOINT and seq is not None:
            self._history.check_checkpoint(seq, self._state())
        if kind is Kind.PARAMETERS:
            Parameters.decode(self._whole())
        if kind is Kind.LOG and seq is not None:
            return self._history.check_entry(seq, self._entry())
        return True

    def _entry(self) -> LogEntry:
        with _one_at_a_time:
            data = self._whole()
            _check_digest(data, self._digest)
            return LogEntry.decode(data)

    def _state(self) -> StoreState:
        with _one_at_a_time:
            return decode_checkpoint(self._whole())

    def _whole(self) -> bytes:
        return read_at(self._scratch.fd, os.fstat(self._scratch.fd).st_size, 0)


def _check_digest(data: bytes, digest: str | None) -> None:
    """Raise CorruptData where the SHA-256 that Content-Digest (RFC 9530) names is not that of the body."""
    said = re.search(r"(?:^|[, ])sha-256=:([A-Za-z0-9+/=]*):", digest or "")
    if said is not None and said[1] != base64.b64encode(hashlib.sha256(data).digest()).decode():
        raise CorruptData("the body is not what its Content-Digest says")

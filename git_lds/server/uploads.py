"""A file on its way into a store: written to a scratch file, hashed and checked before it gets its key."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import threading

from git_lds import hashing
from git_lds.errors import CorruptData
from git_lds.files import read_at, write_all
from git_lds.server.check_log import StoreHistory
from git_lds.server.check_packs import check_pack
from git_lds.server.store_root import ServedStore
from git_lds.store.format.index import Index
from git_lds.store.format.keys import Key, KeyKind, Parameters
from git_lds.store.format.log import LogEntry, StoreState, decode_checkpoint

_one_at_a_time = threading.Lock()
"""Log entries and checkpoints are read whole to be checked, and 16 MiB of JSON can take many times that in memory."""


class IncomingFile:
    """One file that is received. All methods block; worker threads call them one at a time, except `close`."""

    def __init__(
        self, store: ServedStore, history: StoreHistory, key: str, parsed: Key, digest: str | None = None
    ) -> None:
        """`history` is that of `store`. `digest` is the Content-Digest header; it adds nothing for content-named keys."""
        self._store = store
        self._history = history
        self._key = key
        self._parsed = parsed
        self._digest = digest
        self._scratch = store.scratch()
        self._hasher = hashing.new()
        self._open = True
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        """Append data to the body."""
        with self._lock:
            if self._open:  # else the request was cancelled while this call waited for a thread
                write_all(self._scratch.fd, data)
                self._hasher.update(data)

    def finish(self) -> bool:
        """Check the body and create its key; return whether it was created. An existing key is not replaced.

        Raises CorruptData for a body that does not match its key or contradicts the store, OutOfSequence as `adopt` does,
        and RemovalRefused.
        """
        with self._lock:
            if not self._open:
                return False
            return self._check() and self._store.adopt(self._key, self._scratch)

    def close(self) -> None:
        """Discard the body unless it has its key. Waits for a pending write, whose file must not be closed under it."""
        with self._lock:
            if self._open:
                self._open = False
                self._scratch.close()

    def _check(self) -> bool:
        """Return whether the key is still free, as far as the log tells. Raises as `finish` does."""
        kind, id, seq = self._parsed.kind, self._parsed.id, self._parsed.seq
        if id is not None and self._hasher.digest() != id:
            raise CorruptData("the BLAKE3 of the body is not the name")
        if kind is KeyKind.PACK and id is not None:
            self._history.remember_footer(id, check_pack(self._scratch.fd))
        if kind is KeyKind.INDEX and id is not None:
            with Index.open(self._scratch.path) as index:
                self._history.check_index(id, index)
        if kind is KeyKind.CHECKPOINT and seq is not None:
            self._history.check_checkpoint(seq, self._decoded_state())
        if kind is KeyKind.PARAMETERS:
            Parameters.decode(self._body())
        if kind is KeyKind.LOG and seq is not None:
            return self._history.check_entry(seq, self._decoded_entry())
        return True

    def _decoded_entry(self) -> LogEntry:
        with _one_at_a_time:
            data = self._body()
            _check_digest(data, self._digest)
            return LogEntry.decode(data)

    def _decoded_state(self) -> StoreState:
        with _one_at_a_time:
            return decode_checkpoint(self._body())

    def _body(self) -> bytes:
        return read_at(self._scratch.fd, os.fstat(self._scratch.fd).st_size, 0)


def _check_digest(data: bytes, digest: str | None) -> None:
    """Raise CorruptData if Content-Digest (RFC 9530) has another SHA-256 than the body."""
    named = re.search(r"(?:^|[, ])sha-256=:([A-Za-z0-9+/=]*):", digest or "")
    if named is not None and named[1] != base64.b64encode(hashlib.sha256(data).digest()).decode():
        raise CorruptData("the body does not match its Content-Digest")

"""The interface of a backend, which holds a store: read, create once, and for maintenance list and delete, by key.

A backend knows nothing of packs or pushes, which are the task of `store/client`. One test suite checks every backend
against this contract. All methods may be called from many threads at once. They raise

    NotInStore          the key does not exist (read, stream), or the store does not (list)
    NotAllowed          the user or the request is refused: credentials, a read-only store
    OutOfSequence       a NotAllowed: the log entry before the one to create does not exist
    NoPutIfAbsent       a NotAllowed: the backend reports that it has no put-if-absent (conditional create)
    StoreUnreachable    no response, or an interrupted one, after all retries
    CorruptData         the data cannot be right: a malformed key, a file shorter than the range, a body over the limit

and no other error on purpose. Every backend checks keys with `well_formed`, `overwritable` and `removable` first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from git_lds.errors import CorruptData, NotAllowed
from git_lds.store.format.keys import Key, KeyKind, parse

READ_LIMIT = 64 << 20
"""The default limit of `read`, in bytes. Larger files are streamed."""

Body = bytes | Path
"""What is put into a store: bytes, or a file that is streamed from the disk and does not change meanwhile."""


class OutOfSequence(NotAllowed):
    """A log entry would leave a gap before it: the store is an older copy than the one that is known here."""


class NoPutIfAbsent(NotAllowed):
    """The store has no put-if-absent. Only one writer at a time may use it, see `Backend.emulate_put_if_absent`."""


class Backend(Protocol):
    """The files of one store. Close it when done."""

    @property
    def url(self) -> str:
        """The URL for messages, without credentials."""

    @property
    def requests(self) -> int:
        """How many requests were made so far, including retries."""

    def read(self, key: str, start: int = 0, length: int | None = None, *, limit: int = READ_LIMIT) -> bytes:
        """Return exactly `length` bytes of `key` from `start`, or all from there to the end.

        Raises CorruptData if the file ends earlier, or for more than `limit` bytes.
        """

    def stream(self, key: str, start: int, length: int) -> AbstractContextManager[Iterator[bytes]]:
        """Open `length` bytes of `key` from `start`; the value of the `with` yields exactly these, in blocks.

        Raises NotInStore and CorruptData (the file is too short) on entry, StoreUnreachable at any time.
        """

    def size(self, key: str) -> int | None:
        """Return the size of `key` in bytes, or None if it does not exist."""

    def create(self, key: str, body: Body) -> bool:
        """Put `body` at `key` unless the key exists; return whether it was put.

        This is atomic: of many simultaneous calls one wins, and no reader sees a part. False may also mean that an earlier
        try of this very call arrived after all; for a log entry the caller compares the push ids.
        """

    def write(self, key: str, body: Body) -> None:
        """Put `body` at `key`, replacing its contents. Only for `log/HEAD`: all other files are written once."""

    def emulate_put_if_absent(self) -> None:
        """Make `create` check whether the key exists and then put, for a store without put-if-absent.

        That is not atomic, but suffices for one writer at a time. A backend with put-if-absent goes on using it.
        """

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that start with `prefix`, sorted by their bytes."""

    def delete(self, key: str) -> None:
        """Delete a pack, index or checkpoint, if it exists. Log entries and parameters are never deleted."""

    def close(self) -> None:
        """Close connections and files."""


class CredentialSource(Protocol):
    """A source of credentials for stores, such as the credential helpers of git. It learns whether they were right."""

    def get(self, url: str) -> tuple[str, str] | None:
        """Return user and password for the store at `url`, or None. May ask the user, once."""

    def approve(self, url: str, user: str, password: str) -> None:
        """Report that the store accepted these credentials."""

    def reject(self, url: str, user: str, password: str) -> None:
        """Report that the store refused these credentials, which should not be offered again."""


_REMOVABLE = (KeyKind.PACK, KeyKind.INDEX, KeyKind.CHECKPOINT)


def well_formed(key: str) -> Key:
    """Return the parsed `key`. Raises CorruptData if it is not a key of a store, before it is used as a path."""
    parsed = parse(key)
    if parsed is None:
        raise CorruptData(f"{key!r} is not a key of a store")
    return parsed


def overwritable(key: str) -> Key:
    """Return the parsed `key`. Raises NotAllowed if it is a file that is written once, CorruptData if malformed."""
    parsed = well_formed(key)
    if parsed.kind is not KeyKind.HEAD:
        raise NotAllowed(f"{key} is written once and never replaced")
    return parsed


def removable(key: str) -> Key:
    """Return the parsed `key`. Raises NotAllowed if it is a file of the history, CorruptData if malformed."""
    parsed = well_formed(key)
    if parsed.kind not in _REMOVABLE:
        raise NotAllowed(f"{key} is never removed from a store")
    return parsed

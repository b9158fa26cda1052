"""What a place must be able to do to hold a store: read, create once, and for upkeep list and delete, by key.

A backend knows nothing of packs or pushes; the clever half is the client. One suite of tests holds every backend to
what stands here. All methods may be called from many threads at once. They raise

    NotInStore          there is no such key (read, stream, and list where there is no store at all)
    NotAllowed          who we are, or what we asked, is refused: credentials, a read-only place
    OutOfSequence       a NotAllowed: the log entry before the one to be created is not there
    NoPutIfAbsent       a NotAllowed: a place that says of itself that it cannot create only what is absent
    StoreUnreachable    no answer, or one that broke off, after the retries that are due
    CorruptData         what is there cannot be what was asked for: a key out of form, a file that is shorter than the
                        range, a body over the limit

and nothing else on purpose. `well_formed`, `overwritable` and `removable` are what every backend checks first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from git_lds.errors import CorruptData, NotAllowed
from git_lds.store.format.keys import Key, Kind, parse

READ_LIMIT = 64 << 20
"""What `read` takes into memory unless told otherwise; whoever wants more streams it."""

Body = bytes | Path
"""What is put in a store: bytes at hand, or a file that is streamed from the disk and does not change meanwhile."""


class OutOfSequence(NotAllowed):
    """A log entry that would leave a gap before it: the store is an older copy than the one we know."""


class NoPutIfAbsent(NotAllowed):
    """A store that cannot put only where nothing is: one writer at a time may use it, see `Backend.emulate_put_if_absent`."""


class Backend(Protocol):
    """A place that holds one store. Close it when done."""

    @property
    def url(self) -> str:
        """The address, for messages. Never holds credentials."""

    @property
    def requests(self) -> int:
        """How many requests were made so far, repeated ones counted each time."""

    def read(self, key: str, start: int = 0, length: int | None = None, *, limit: int = READ_LIMIT) -> bytes:
        """Return the `length` bytes of `key` from `start`, or all from there to the end.

        Exactly that many: a file that ends earlier is CorruptData, as is more than `limit`.
        """

    def stream(self, key: str, start: int, length: int) -> AbstractContextManager[Iterator[bytes]]:
        """Open the `length` bytes of `key` from `start`; the value of the `with` yields just them, in blocks.

        NotInStore and CorruptData (a file too short) come when the `with` is entered; StoreUnreachable at any time.
        """

    def size(self, key: str) -> int | None:
        """Return the size of `key` in bytes, or None when it is not there."""

    def create(self, key: str, body: Body) -> bool:
        """Put `body` at `key` unless something is there; tell whether it was put.

        Atomic: of many at once one wins, and no reader sees a part. False may also mean that an earlier try of this
        very call arrived after all; for a log entry the caller compares the push ids.
        """

    def write(self, key: str, body: Body) -> None:
        """Put `body` at `key`, over what is there. For `log/HEAD` alone: everything else is written once."""

    def emulate_put_if_absent(self) -> None:
        """From here on `create` looks whether the key is taken, and then puts: for a store that has no put-if-absent.

        That is not atomic, and good enough for one writer at a time. A place that has put-if-absent goes on using it.
        """

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that start with `prefix`, in order of their bytes."""

    def delete(self, key: str) -> None:
        """Remove a pack, index or checkpoint; it need not be there. Log entries and parameters are never removed."""

    def close(self) -> None:
        """Let go of connections and files."""


class CredentialSource(Protocol):
    """Who we are at a store: asked when a store says 401, told afterwards whether the answer was right."""

    def get(self, url: str) -> tuple[str, str] | None:
        """Return user and password for the store at `url`, or None when there are none. May ask the user, once."""

    def approve(self, url: str, user: str, password: str) -> None:
        """Those were accepted."""

    def reject(self, url: str, user: str, password: str) -> None:
        """Those were refused, and should not be offered again."""


_UPKEEP = (Kind.PACK, Kind.INDEX, Kind.CHECKPOINT)


def well_formed(key: str) -> Key:
    """Return what `key` stands for. Raises CorruptData for anything that is no key of a store, before it is a path."""
    parsed = parse(key)
    if parsed is None:
        raise CorruptData(f"{key!r} is not a key of a store")
    return parsed


def overwritable(key: str) -> Key:
    """Return what `key` stands for. Raises NotAllowed where `write` would replace what is written once."""
    parsed = well_formed(key)
    if parsed.kind is not Kind.HEAD:
        raise NotAllowed(f"{key} is written once and never replaced")
    return parsed


def removable(key: str) -> Key:
    """Return what `key` stands for. Raises NotAllowed where `delete` would take history away."""
    parsed = well_formed(key)
    if parsed.kind not in _UPKEEP:
        raise NotAllowed(f"{key} is never removed from a store")
    return parsed

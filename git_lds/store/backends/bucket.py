"""A store in a bucket, straight from here: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`.

Put-if-absent is the condition of the object store itself (If-None-Match, or its like), on one request for the whole body.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator

from git_lds.errors import CorruptData, NotInStore, UsageError
from git_lds.store.backends import retry
from git_lds.store.backends.contract import READ_LIMIT, Body, OutOfSequence, overwritable, removable, well_formed
from git_lds.store.backends.obstore_client import BucketClient, BucketDownload
from git_lds.store.format.keys import Kind, log_key, parse

_ADDRESS = re.compile(r"(s3|gs|az)://([A-Za-z0-9][A-Za-z0-9._-]{1,254})((?:/[A-Za-z0-9._=+~-]+)*)/?")
"""No part of an address needs an escape, so one with a % is none. Nothing is decoded."""

_DIRECTORY = re.compile(r"|log|checkpoint|index|pack|(?:index|pack)/[0-9a-f]{2}")


class BucketBackend:
    """The store at `url`. The contract is `backend.Backend`; the times are seconds."""

    def __init__(
        self,
        url: str,
        *,
        silence: float = retry.SILENCE_SECONDS,
        pause: float = retry.FIRST_PAUSE,
        bucket: BucketClient | None = None,
    ) -> None:
        form = _ADDRESS.fullmatch(url)
        if form is None or {".", ".."} & set(form[3].split("/")):
            raise UsageError(
                f"{url.rpartition('@')[2]} is not the address of a store in a bucket",
                hint="write s3://bucket/path, gs://bucket/path or az://container/path, with letters, digits and ._=+~-",
            )
        self.url = url.rstrip("/")
        self._bucket = bucket or BucketClient(form[1], form[2], silence=silence, pause=pause)
        self._root = form[3][1:]
        self._looks_first = False

    def within(self, name: str) -> BucketBackend:
        """Return the store `name` below this one, by the same connections: closing one closes both."""
        return BucketBackend(f"{self.url}/{name}", bucket=self._bucket)

    @property
    def requests(self) -> int:
        return self._bucket.requests

    def read(self, key: str, start: int = 0, length: int | None = None, *, limit: int = READ_LIMIT) -> bytes:
        if length is not None and length > limit:
            raise CorruptData(f"{key} of {self.url}: {length} bytes are more than may be read at once")
        well_formed(key)
        if length == 0:
            return b""
        reading = self._open(key, start, length)
        if reading.end - reading.start > limit:
            raise CorruptData(f"{key} of {self.url} has {reading.end - reading.start} bytes, more than it may")
        data = io.BytesIO()
        for block in reading.blocks():
            data.write(block)
        return data.getvalue()

    @contextlib.contextmanager
    def stream(self, key: str, start: int, length: int) -> Iterator[Iterator[bytes]]:
        well_formed(key)
        yield self._open(key, start, length).blocks() if length else iter(())

    def size(self, key: str) -> int | None:
        return self._bucket.size(self._path(key))

    def create(self, key: str, body: Body) -> bool:
        parsed = well_formed(key)
        if parsed.kind is Kind.LOG and parsed.seq and self.size(log_key(parsed.seq - 1)) is None:
            raise OutOfSequence(
                f"log entry {parsed.seq} cannot be written to {self.url}: entry {parsed.seq - 1} is not there",
                hint="the store may be an older copy; ask who keeps it",
            )
        if self._looks_first and self.size(key) is not None:
            return False
        return self._bucket.put(self._path(key), body, only_if_absent=not self._looks_first)

    def write(self, key: str, body: Body) -> None:
        overwritable(key)
        self._bucket.put(self._path(key), body, only_if_absent=False)

    def emulate_put_if_absent(self) -> None:
        self._looks_first = True

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[str]:
        """Yield the keys that start with `prefix` and come after `after`, in order of their bytes."""
        directory, last = prefix.rpartition("/")[0], ""
        offset = self._name(after) if parse(after) else ""
        for path in self._bucket.list(self._name(directory), offset) if _DIRECTORY.fullmatch(directory) else ():
            key = path[len(self._root) + 1 :] if self._root else path
            if parse(key) is None or not key.startswith(prefix) or key <= after:
                continue  # others may keep things in the bucket too
            if key <= last:
                raise CorruptData(f"{self.url} does not list its keys in order")
            last = key
            yield key
        if not last and not self._is_there():
            raise NotInStore(f"there is no store at {self.url}")

    def delete(self, key: str) -> None:
        removable(key)
        self._bucket.delete(self._path(key))

    def close(self) -> None:
        self._bucket.close()

    def open(self, key: str, start: int, length: int | None) -> BucketDownload:
        """Ask for `length` bytes of `key` from `start`, or for what there is of them; all from there on for None.

        Raises NotInStore, and CorruptData when there is nothing from `start` on.
        """
        try:
            return self._bucket.open(self._path(key), start, length)
        except NotInStore:
            raise NotInStore(f"{key} is not in the store {self.url}") from None
        except CorruptData:
            raise CorruptData(f"{self.url}/{key} has fewer bytes than were to be read") from None

    def _open(self, key: str, start: int, length: int | None) -> BucketDownload:
        reading = self.open(key, start, length)
        if length is not None and reading.end - start < length:
            raise CorruptData(f"{self.url}/{key} has only {reading.size} bytes, fewer than were to be read")
        return reading

    def _is_there(self) -> bool:
        return next(self._bucket.list(self._root, ""), None) is not None

    def _path(self, key: str) -> str:
        well_formed(key)
        return self._name(key)

    def _name(self, key: str) -> str:
        return f"{self._root}/{key}".strip("/")

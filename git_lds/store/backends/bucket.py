"""A store in a bucket, accessed directly: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`.

Put-if-absent is a condition of the object store itself (If-None-Match or similar), on one request for the whole body.
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
from git_lds.store.format.keys import KeyKind, log_key, parse

_URL = re.compile(r"(s3|gs|az)://([A-Za-z0-9][A-Za-z0-9._-]{1,254})((?:/[A-Za-z0-9._=+~-]+)*)/?")
"""No part of a URL needs an escape, so a URL with % does not match. Nothing is decoded."""

_DIRECTORY = re.compile(r"|log|checkpoint|index|pack|(?:index|pack)/[0-9a-f]{2}")


class BucketBackend:
    """The store at `url`. Implements `contract.Backend`; the times are in seconds."""

    def __init__(
        self,
        url: str,
        *,
        silence: float = retry.SILENCE_SECONDS,
        pause: float = retry.FIRST_PAUSE,
        bucket: BucketClient | None = None,
    ) -> None:
        match = _URL.fullmatch(url)
        if match is None or {".", ".."} & set(match[3].split("/")):
            raise UsageError(
                f"{url.rpartition('@')[2]} is not the URL of a store in a bucket",
                hint="write s3://bucket/path, gs://bucket/path or az://container/path, with letters, digits and ._=+~-",
            )
        self.url = url.rstrip("/")
        self._bucket = bucket or BucketClient(match[1], match[2], silence=silence, pause=pause)
        self._root = match[3][1:]
        self._emulates_put_if_absent = False

    def within(self, name: str) -> BucketBackend:
        """Return the store `name` below this one. It shares the connections: closing one closes both."""
        return BucketBackend(f"{self.url}/{name}", bucket=self._bucket)

    @property
    def requests(self) -> int:
        return self._bucket.requests

    def read(self, key: str, start: int = 0, length: int | None = None, *, limit: int = READ_LIMIT) -> bytes:
        if length is not None and length > limit:
            raise CorruptData(f"{key} of {self.url}: {length} bytes are more than can be read at once")
        well_formed(key)
        if length == 0:
            return b""
        download = self._open(key, start, length)
        if download.end - download.start > limit:
            raise CorruptData(f"{key} of {self.url} has {download.end - download.start} bytes, more than allowed")
        data = io.BytesIO()
        for block in download.blocks():
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
        if parsed.kind is KeyKind.LOG and parsed.seq and self.size(log_key(parsed.seq - 1)) is None:
            raise OutOfSequence(
                f"log entry {parsed.seq} cannot be written to {self.url}: entry {parsed.seq - 1} does not exist",
                hint="the store may be an older copy; ask its administrator",
            )
        if self._emulates_put_if_absent and self.size(key) is not None:
            return False
        return self._bucket.put(self._path(key), body, only_if_absent=not self._emulates_put_if_absent)

    def write(self, key: str, body: Body) -> None:
        overwritable(key)
        self._bucket.put(self._path(key), body, only_if_absent=False)

    def emulate_put_if_absent(self) -> None:
        self._emulates_put_if_absent = True

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[str]:
        """Yield the keys that start with `prefix` and follow `after`, sorted by their bytes.

        Raises CorruptData if the bucket sorts them differently.
        """
        directory, last = prefix.rpartition("/")[0], ""
        offset = self._name(after) if parse(after) else ""
        for path in self._bucket.list(self._name(directory), offset) if _DIRECTORY.fullmatch(directory) else ():
            key = path[len(self._root) + 1 :] if self._root else path
            if parse(key) is None or not key.startswith(prefix) or key <= after:
                continue  # a foreign object in the bucket
            if key <= last:
                raise CorruptData(f"{self.url} does not list its keys in order")
            last = key
            yield key
        if not last and not self._has_objects():
            raise NotInStore(f"there is no store at {self.url}")

    def delete(self, key: str) -> None:
        removable(key)
        self._bucket.delete(self._path(key))

    def close(self) -> None:
        self._bucket.close()

    def open(self, key: str, start: int, length: int | None) -> BucketDownload:
        """Request up to `length` bytes of `key` from `start`, or all from there on for None.

        Raises NotInStore, and CorruptData if the object ends before `start`.
        """
        try:
            return self._bucket.open(self._path(key), start, length)
        except NotInStore:
            raise NotInStore(f"{key} is not in the store {self.url}") from None
        except CorruptData:
            raise CorruptData(f"{self.url}/{key} has fewer bytes than requested") from None

    def _open(self, key: str, start: int, length: int | None) -> BucketDownload:
        download = self.open(key, start, length)
        if length is not None and download.end - start < length:
            raise CorruptData(f"{self.url}/{key} has only {download.size} bytes, fewer than requested")
        return download

    def _has_objects(self) -> bool:
        return next(self._bucket.list(self._root, ""), None) is not None

    def _path(self, key: str) -> str:
        well_formed(key)
        return self._name(key)

    def _name(self, key: str) -> str:
        return f"{self._root}/{key}".strip("/")

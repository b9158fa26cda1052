"""The stores of a server, in a directory or in a bucket.

A store is read in parts. A new file enters it from a scratch file, once that was checked.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from git_lds import hashing
from git_lds.errors import CorruptData, LdsError, NotAllowed, NotInStore, UsageError
from git_lds.files import Scratch, read_at
from git_lds.hashing import FileId
from git_lds.server.address import Span, is_suffix, read_bounds, read_range
from git_lds.store.backends.bucket import BucketBackend
from git_lds.store.backends.by_url import open_backend
from git_lds.store.backends.contract import Backend, Body, NoPutIfAbsent
from git_lds.store.backends.directory import Directory
from git_lds.store.format.keys import PARAMETERS, index_key

BLOCK = 1 << 20
"""PUT of 32 MiB on loopback, median: 350 MB/s with blocks of 1 MiB, 220 with 512 KiB, 240 with 256 KiB."""


@dataclass(frozen=True, slots=True)
class FilePart:
    """The requested bytes of a file of `size` bytes; `span` is None if they lie outside of it.

    `first` is their first block. `rest` yields the blocks after it, or is None if there are none; the caller closes it.
    """

    size: int
    span: Span | None
    first: bytes
    rest: Generator[bytes, None, None] | None


class ServedStore(Protocol):
    """One store of a server. All methods block."""

    @property
    def backend(self) -> Backend:
        """The backend of the store, for checks that read from it."""

    def read_part(self, key: str, range_header: str | None, *, with_contents: bool) -> FilePart:
        """Return the bytes of a file that a Range header selects, or only their extent. Raises NotInStore."""

    def size(self, key: str) -> int | None:
        """Return the size of `key` in bytes, or None if it does not exist."""

    def write(self, key: str, body: Body) -> None:
        """Replace the hint."""

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[str]:
        """Yield the keys that start with `prefix` and come after `after`, in order."""

    def delete(self, key: str) -> None:
        """Delete a pack, index or checkpoint."""

    def scratch(self) -> Scratch:
        """Return an empty file for a body."""

    def adopt(self, key: str, scratch: Scratch) -> bool:
        """Create `key` from a scratch file; return whether it was created. An existing key is not replaced."""


class StoreRoot(Protocol):
    """All stores of a server. `medium` is what holds them, in one word for error messages."""

    medium: str

    def store(self, name: str) -> ServedStore:
        """Return the store of that name, which may not exist yet."""

    def remember(self, name: str, store: ServedStore) -> None:
        """Note that a store exists, because it has taken a file."""

    def close(self) -> None:
        """Cancel pending requests and free what the root holds."""


def open_root(root: Path | str) -> StoreRoot:
    """Return the stores in the directory `root`, or in the bucket that a URL names.

    Raises UsageError for a URL of another kind, and LdsError for a bucket that cannot be used.
    """
    if isinstance(root, Path) or "://" not in root:
        return DirectoryRoot(Path(root))
    backend = open_backend(root)
    if isinstance(backend, BucketBackend):
        return BucketRoot(backend)
    backend.close()
    raise UsageError(f"cannot serve stores from {root}", hint="name a directory, or s3://…, gs://… or az://…")


class DirectoryRoot:
    """Stores that are subdirectories of one directory."""

    medium = "disk"

    def __init__(self, root: Path) -> None:
        self._root = root
        self._stores: dict[str, ServedStore] = {}

    def store(self, name: str) -> ServedStore:
        return self._stores.get(name) or DirectoryStore(self._root / name)

    def remember(self, name: str, store: ServedStore) -> None:
        # a store looks once for files that killed processes left; stores that do not exist are not kept in memory
        self._stores.setdefault(name, store)

    def close(self) -> None:
        """Do nothing: no request waits for a disk."""


class DirectoryStore(Directory):
    """A store in a directory."""

    @property
    def backend(self) -> Backend:
        return self

    def read_part(self, key: str, range_header: str | None, *, with_contents: bool) -> FilePart:
        # one call for size and first block: each change of threads costs as much as a small read
        with contextlib.ExitStack() as closing:
            file = closing.enter_context(self.open(key))
            size = os.fstat(file.fileno()).st_size
            span = read_range(range_header, size)
            if span is None or not with_contents:
                return FilePart(size, span, b"", None)
            first = read_at(file.fileno(), min(BLOCK, span.end - span.start), span.start)
            offset = span.start + len(first)
            if offset == span.end:
                return FilePart(size, span, first, None)
            closing.pop_all()
            return FilePart(size, span, first, _blocks(file, offset, span.end))


def _blocks(file: BinaryIO, offset: int, end: int) -> Generator[bytes, None, None]:
    """Yield the bytes of `file` from `offset` up to `end` in blocks; close it at the end."""
    with file:
        while offset < end and (block := read_at(file.fileno(), min(BLOCK, end - offset), offset)):
            offset += len(block)
            yield block


class BucketRoot:
    """Stores below a path of a bucket. The server keeps no state of them, so several servers may serve one bucket."""

    medium = "bucket"

    def __init__(self, bucket: BucketBackend) -> None:
        """Raises LdsError if the bucket cannot be used; `bucket` is closed then."""
        self._bucket = bucket
        try:
            _check_put_if_absent(bucket)
        except BaseException:
            bucket.close()
            raise
        self._tmp = Path(tempfile.mkdtemp(prefix="git-lds-"))

    def store(self, name: str) -> ServedStore:
        return BucketStore(self._bucket.within(name), self._tmp)

    def remember(self, name: str, store: ServedStore) -> None:
        """Do nothing: the server keeps no state of a store in a bucket."""

    def close(self) -> None:
        self._bucket.close()
        shutil.rmtree(self._tmp, ignore_errors=True)


def _check_put_if_absent(bucket: BucketBackend) -> None:
    """Create a file twice and delete it.

    Raises LdsError if the bucket takes both: it has no put-if-absent, and two concurrent pushes would lose one.
    """
    with contextlib.suppress(NotInStore):
        bucket.read(PARAMETERS)  # some servers create the bucket that a PUT names, which would hide a typing error
    body = os.urandom(16)
    key = index_key(FileId(hashing.of_bytes(body)))
    try:
        bucket.create(key, body)
        was_replaced = bucket.create(key, body)
    except NoPutIfAbsent:
        was_replaced = True
    with contextlib.suppress(NotAllowed):  # a server does not need the right to delete
        bucket.delete(key)
    if was_replaced:
        raise LdsError(
            f"{bucket.url} has no put-if-absent, which a server needs to keep pushes apart",
            hint="serve a directory, or use the bucket as a single-writer store: git lds init --store URL",
        )


class BucketStore:
    """A store in a bucket. Bodies wait in files of the directory `tmp` until they are checked."""

    def __init__(self, bucket: BucketBackend, tmp: Path) -> None:
        self._bucket = bucket
        self._tmp = tmp
        self.backend: Backend = bucket
        self.size = bucket.size
        self.write = bucket.write
        self.list = bucket.list
        self.delete = bucket.delete

    def read_part(self, key: str, range_header: str | None, *, with_contents: bool) -> FilePart:
        if not with_contents or is_suffix(range_header):
            size = self._existing_size(key)
            span = read_range(range_header, size)
            if span is None or not with_contents:
                return FilePart(size, span, b"", None)
            bounds: tuple[int, int | None] = span.start, span.end - span.start
        else:
            bounds = read_bounds(range_header)
        try:
            reading = self._bucket.open(key, *bounds)
        except CorruptData:
            return FilePart(self._existing_size(key), None, b"", None)
        blocks = reading.blocks()
        first = next(blocks, b"")
        rest = blocks if reading.start + len(first) < reading.end else None
        return FilePart(reading.size, read_range(range_header, reading.size), first, rest)

    def _existing_size(self, key: str) -> int:
        size = self._bucket.size(key)
        if size is None:
            raise NotInStore(f"{key} is not in the store {self._bucket.url}")
        return size

    def scratch(self) -> Scratch:
        return Scratch(self._tmp)

    def adopt(self, key: str, scratch: Scratch) -> bool:
        return self._bucket.create(key, scratch.path)

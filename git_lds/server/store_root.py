"""Where the stores of a server are: in a directory, or in a bucket. A place is one store; it is read in parts, and takes a body
that lies in a file of its own once that was checked."""

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
"""PUT of 32 MiB on loopback, median: blocks of 256 KiB 240 MB/s, 512 KiB 220, 1 MiB 350."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file of `size` bytes and the part of it that was asked for: None when that lies outside. `first` is the first
    block of the part, and `rest` yields what follows, where anything does; it is closed in the end."""

    size: int
    span: Span | None
    first: bytes
    rest: Generator[bytes, None, None] | None


class Place(Protocol):
    """One store. All methods block."""

    @property
    def backend(self) -> Backend:
        """The store itself, for the checks that read in it."""

    def find(self, key: str, asked: str | None, *, wanted: bool) -> Found:
        """Return what there is of what the Range header `asked` for, with its contents if they are `wanted`."""

    def size(self, key: str) -> int | None:
        """Return the size of `key`, or None."""

    def write(self, key: str, body: Body) -> None:
        """Put the hint."""

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[str]:
        """Yield the keys that start with `prefix` and come after `after`, in order."""

    def delete(self, key: str) -> None:
        """Remove a pack, index or checkpoint."""

    def scratch(self) -> Scratch:
        """Return an empty file for a body."""

    def adopt(self, key: str, scratch: Scratch) -> bool:
        """Give what `scratch` holds the name `key` unless that is taken; tell whether it was given."""


class Places(Protocol):
    """All the stores of a server. `what` says what they are kept on."""

    what: str

    def at(self, store: str) -> Place:
        """Return the store of that name, which need not be there."""

    def keep(self, store: str, place: Place) -> None:
        """`place` has taken something: the store is there."""

    def close(self) -> None:
        """Break off what is under way."""


def open_places(root: Path | str) -> Places:
    """Return the stores in the directory `root`, or in the bucket that an address names. Raises LdsError for a bucket that
    cannot be used."""
    if isinstance(root, Path) or "://" not in root:
        return DirectoryRoot(Path(root))
    backend = open_backend(root)
    if isinstance(backend, BucketBackend):
        return Buckets(backend)
    backend.close()
    raise UsageError(
        f"{root} is no place for the stores of a server", hint="name a directory, or s3://…, gs://… or az://…"
    )


class DirectoryRoot:
    """Stores that are directories of one directory."""

    what = "disk"

    def __init__(self, root: Path) -> None:
        self._root = root
        self._kept: dict[str, Place] = {}

    def at(self, store: str) -> Place:
        return self._kept.get(store) or StoredDirectory(self._root / store)

    def keep(self, store: str, place: Place) -> None:
        # so that what killed processes left is looked for once; only for stores that there are
        self._kept.setdefault(store, place)

    def close(self) -> None:
        """Nothing waits."""


class StoredDirectory(Directory):
    """A store in a directory."""

    @property
    def backend(self) -> Backend:
        return self

    def find(self, key: str, asked: str | None, *, wanted: bool) -> Found:
        # in one go: each change of threads costs as much as a small read
        with contextlib.ExitStack() as closing:
            file = closing.enter_context(self.open(key))
            size = os.fstat(file.fileno()).st_size
            span = read_range(asked, size)
            if span is None or not wanted:
                return Found(size, span, b"", None)
            first = read_at(file.fileno(), min(BLOCK, span.end - span.start), span.start)
            at = span.start + len(first)
            if at == span.end:
                return Found(size, span, first, None)
            closing.pop_all()
            return Found(size, span, first, _rest(file, at, span.end))


def _rest(file: BinaryIO, at: int, end: int) -> Generator[bytes, None, None]:
    with file:
        while at < end and (block := read_at(file.fileno(), min(BLOCK, end - at), at)):
            at += len(block)
            yield block


class Buckets:
    """Stores below an address in a bucket. Nothing of them is kept here, so any number of servers may stand before one."""

    what = "bucket"

    def __init__(self, cloud: BucketBackend) -> None:
        self._cloud = cloud
        try:
            _check_put_if_absent(cloud)
        except BaseException:
            cloud.close()
            raise
        self._tmp = Path(tempfile.mkdtemp(prefix="git-lds-"))

    def at(self, store: str) -> Place:
        return InBucket(self._cloud.within(store), self._tmp)

    def keep(self, store: str, place: Place) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        self._cloud.close()
        shutil.rmtree(self._tmp, ignore_errors=True)


def _check_put_if_absent(cloud: BucketBackend) -> None:
    """Put something twice, and remove it. Raises LdsError where both were taken: two pushes at once would lose one."""
    with contextlib.suppress(NotInStore):
        cloud.read(PARAMETERS)  # some stores make the bucket that a PUT names, which would hide a slip of the pen
    body = os.urandom(16)
    key = index_key(FileId(hashing.of_bytes(body)))
    try:
        cloud.create(key, body)
        twice = cloud.create(key, body)
    except NoPutIfAbsent:
        twice = True
    with contextlib.suppress(NotAllowed):  # who serves need not have the right to delete
        cloud.delete(key)
    if twice:
        raise LdsError(
            f"{cloud.url} has no put-if-absent, which a server needs to keep pushes apart",
            hint="serve a directory, or use the bucket as a single-writer store: git lds init --store ADDRESS",
        )


class InBucket:
    """A store in a bucket. Bodies are held in files of the directory `tmp` until they are checked."""

    def __init__(self, cloud: BucketBackend, tmp: Path) -> None:
        self._cloud = cloud
        self._tmp = tmp
        self.backend: Backend = cloud
        self.size = cloud.size
        self.write = cloud.write
        self.list = cloud.list
        self.delete = cloud.delete

    def find(self, key: str, asked: str | None, *, wanted: bool) -> Found:
        if not wanted or is_suffix(asked):
            size = self._size(key)
            span = read_range(asked, size)
            if span is None or not wanted:
                return Found(size, span, b"", None)
            bounds: tuple[int, int | None] = span.start, span.end - span.start
        else:
            bounds = read_bounds(asked)
        try:
            reading = self._cloud.open(key, *bounds)
        except CorruptData:
            return Found(self._size(key), None, b"", None)
        blocks = reading.blocks()
        first = next(blocks, b"")
        rest = blocks if reading.start + len(first) < reading.end else None
        return Found(reading.size, read_range(asked, reading.size), first, rest)

    def _size(self, key: str) -> int:
        size = self._cloud.size(key)
        if size is None:
            raise NotInStore(f"{key} is not in the store {self._cloud.url}")
        return size

    def scratch(self) -> Scratch:
        return Scratch(self._tmp)

    def adopt(self, key: str, scratch: Scratch) -> bool:
        return self._cloud.create(key, scratch.path)

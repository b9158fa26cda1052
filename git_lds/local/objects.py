"""A directory of objects: small ones in append-only packs, large ones in one file each.

    packs/<name>.pack, .idx        objects of at most 128 KiB
    objects/<2 hex>/<62 hex>       large ones, so that a checkout can share their blocks
    old/                           large ones that are seldom needed, as chunks (see `chunked`)
    tmp/                           files that are being written; those of killed processes are swept

The local store of a repository and the user's cache are such directories. Everything may be deleted from the cache, but from
the local store only what is proven to be elsewhere.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections.abc import Iterator, Sequence

from git_lds import files, hashing
from git_lds.errors import CorruptData
from git_lds.fast_typing import TYPE_CHECKING, NamedTuple
from git_lds.files import Scratch
from git_lds.hashing import Oid
from git_lds.local.pack_directory import PackDirectory, listed

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from git_lds.local.chunked import ChunkedObjects

SMALL = 128 << 10
"""The largest object in a pack, in bytes. Also the largest chunk of a store, so such an object is one chunk.
`git add` of 10,000 files of 20 KB: one pack 4.4-4.8 s, one file each 7-13 s, a filter that does nothing 4.4 s."""


class LargeFile(NamedTuple):
    """A large object with its own file, and its size in bytes."""

    oid: Oid
    size: int


class ObjectDirectory:
    """An open directory of objects, for many threads. Many processes may use one directory.

    With `lasting`, added objects are on the disk after `sync`. Without it, a crash of the machine may damage them, and readers
    must be able to fetch them again, which saves 0.6 s for 1 GiB in a clone. Methods that write raise OSError.
    """

    def __init__(self, root: Path, *, lasting: bool = True) -> None:
        self.root = root
        self._lasting = lasting
        self.swept = False
        self._files = os.path.join(root, "objects")
        self._lists = os.path.join(root, "old", "lists")
        self._packs = PackDirectory(root / "packs", lasting=lasting)
        self._old: ChunkedObjects | None = None
        self._unsynced: list[Path] = []
        self._starts: set[str] | None = None
        self._lock = threading.RLock()

    # reading

    def has(self, oid: Oid) -> bool:
        """Return whether the object is here, as of the opening or the last reload of the directory."""
        if self._packs.find(oid) is not None:
            return True
        # most objects that are not in a pack are not here: saves two system calls each
        if oid.hex()[:2] not in self._open_starts():
            return False
        return os.path.exists(self._file(oid)) or (os.path.exists(self._list(oid)) and self.old.has(oid))

    def size(self, oid: Oid) -> int | None:
        """Return the size of the object in bytes, or None if it is not here."""
        if (frame := self._packs.find(oid)) is not None:
            return frame.length
        try:
            return os.stat(self._file(oid)).st_size
        except OSError:
            return self.old.size(oid) if os.path.exists(self._list(oid)) else None

    def read(self, oid: Oid) -> bytes | None:
        """Return the verified contents of a small object, or None if it is missing or damaged."""
        return self._packs.read(oid)

    def path(self, oid: Oid) -> Path | None:
        """Return the file with a large object, or None if it has none. Its contents are not verified."""
        path = self._file(oid)
        return _path(path) if os.path.exists(path) else None

    def open(self, oid: Oid) -> BinaryIO | None:
        """Return a stream of the object's contents, or None if it is not here. Only small objects are verified."""
        if (data := self.read(oid)) is not None:
            return io.BytesIO(data)
        try:
            return open(self._file(oid), "rb")
        except OSError:
            # a large object gets its list before it loses its file, so a reader without the file finds the list
            return self.old.open(oid) if os.path.exists(self._list(oid)) else None

    def data_path(self, oid: Oid) -> Path | None:
        """Return the file of a large object: its contents, or the list of its chunks; or None."""
        return next((_path(path) for path in (self._file(oid), self._list(oid)) if os.path.exists(path)), None)

    def small(self, most: int) -> Iterator[tuple[Oid, int]]:
        """Yield the small objects and their sizes in bytes, or nothing if there are more than `most`."""
        return self._packs.sizes() if self._packs.count() <= most else iter(())

    def large(self) -> Iterator[LargeFile]:
        """Yield the large objects that have their own file."""
        for oid, path in _object_files(self._files):
            with contextlib.suppress(OSError):
                yield LargeFile(oid, os.stat(path).st_size)

    @property
    def old(self) -> ChunkedObjects:
        """The large objects that are stored as chunks."""
        with self._lock:
            if self._old is None:
                from git_lds.local.chunked import (
                    ChunkedObjects,
                )  # late: it loads the compression, which few processes need

                self._old = ChunkedObjects(self.root / "old")
            return self._old

    def __iter__(self) -> Iterator[Oid]:
        """Yield the oid of every object here, once."""
        yield from self._packs
        for oid, _ in _object_files(self._files):
            if self._packs.find(oid) is None:
                yield oid
        for oid, _ in _object_files(self._lists):
            if self._packs.find(oid) is None and not os.path.exists(self._file(oid)):
                yield oid

    def reload(self) -> None:
        """Read again what other processes have added."""
        with self._lock:
            self._packs.reload()
            self._starts = None
            if self._old is not None:
                self._old.reload()

    # writing

    def put(self, oid: Oid, data: bytes | bytearray) -> None:
        """Store a small object, whose `oid` the caller has verified. The operating system has it on return."""
        self._packs.put(oid, data)

    def put_all(self, objects: Sequence[tuple[Oid, bytes]]) -> None:
        """Store many small objects, as `put` does."""
        self._packs.put_all(objects)

    def scratch(self) -> Scratch:
        """Return a new file on the same file system, for the contents of a large object."""
        return Scratch(self._tmp())

    def adopt(self, oid: Oid, scratch: Scratch, *, sync: bool = False) -> None:
        """Store a large object with the contents of `scratch`, which the caller has verified to match `oid`.

        They replace an existing file, which a crash of the machine may have left empty and a bad disk damaged. With `sync`
        they are on the disk before they get the name, if this directory is lasting: a download that a crash interrupted
        must not count as complete when it is run again.
        """
        path = _path(self._file(oid))
        scratch.move_to(path, sync=sync and self._lasting)
        with self._lock:
            if self._lasting:
                self._unsynced.append(path)
            self._open_starts().add(path.parent.name)

    def sync(self) -> None:
        """Sync everything that was added to the disk."""
        with self._lock:
            self._packs.sync()
            directories = set()
            while self._unsynced:
                path = self._unsynced.pop()
                with contextlib.suppress(FileNotFoundError):
                    fd = os.open(path, os.O_RDONLY)
                    try:
                        os.fsync(fd)
                    finally:
                        os.close(fd)
                    directories.add(path.parent)
            for directory in directories:
                files.sync_directory(directory)

    def close(self) -> None:
        """Sync and close the directory."""
        with self._lock:
            try:
                self.sync()
            finally:
                self._packs.close()
                if self._old is not None:
                    self._old.close()

    # inside

    def _tmp(self) -> Path:
        directory = self.root / "tmp"
        if not self.swept:
            self.swept = True
            files.sweep(directory)
        return directory

    def _open_starts(self) -> set[str]:
        """Return the first two digits of the large objects here."""
        starts = self._starts
        if starts is None:
            self._starts = starts = {*listed(self._files), *listed(self._lists)}
        return starts

    def _file(self, oid: Oid) -> str:
        return _place(self._files, oid)

    def _list(self, oid: Oid) -> str:
        return _place(self._lists, oid)


def copy(stream: BinaryIO, target: int, size: int) -> None:
    """Copy the first `size` bytes of an open object into the empty open file `target`, by the cheapest means.

    Raises CorruptData if a chunked object is damaged, OSError if a file fails.
    """
    try:
        source = stream.fileno()
    except OSError:  # it is stored as chunks
        stream.seek(0)
        while size and (block := stream.read(min(files.COPY_SIZE, size))):
            files.write_all(target, block)
            size -= len(block)
        if size:
            raise CorruptData("a local object is damaged") from None
    else:
        files.copy_contents(source, target, size)


def _place(directory: str, oid: Oid) -> str:
    name = oid.hex()
    return f"{directory}/{name[:2]}/{name[2:]}"


def _path(name: str) -> Path:
    from pathlib import Path  # late: 4 ms that the start of the filter need not wait for

    return Path(name)


def _object_files(directory: str) -> Iterator[tuple[Oid, str]]:
    """Yield the oids and files in `directory` whose names `_place` makes."""
    for start in listed(directory):
        for name in listed(os.path.join(directory, start)):
            if (oid := hashing.from_hex(start + name)) is not None:
                yield Oid(oid), f"{directory}/{start}/{name}"

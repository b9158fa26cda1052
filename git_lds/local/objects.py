"""A directory of objects: small ones in append-only packs, larger ones in files of their own.

    packs/<name>.pack, .idx        objects of at most 128 KiB
    objects/<2 hex>/<62 hex>       larger ones, so that a checkout can share their blocks
    old/                           larger ones that few need any more, as chunks (see `old`)
    tmp/                           what is being written; swept when a killed process left it

The local store of a repository and the user's cache are both such a directory. They differ in what may be deleted: from the
cache everything, from the local store nothing that is not proven to be elsewhere.
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
"""The largest object, in bytes, that goes to a pack. Also the largest chunk of a store, so such an object is one chunk.
10,000 files of 20 KB: one pack 4.4-4.8 s in `git add`, a file each 7-13 s, a filter that does nothing 4.4 s."""


class LargeFile(NamedTuple):
    """A large object that has a file of its own, and its size in bytes."""

    oid: Oid
    size: int


class ObjectDirectory:
    """An open directory of objects. Its methods may be called from many threads; many processes may use one directory.

    With `lasting` what was added is on the disk once it is synced. Without, a crash of the machine may damage it, and who
    reads it must be able to fetch it again: 1 GiB is 0.6 s less in a clone.
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
        """Tell whether the object is here, as far as the directory was known when it was opened or last refreshed."""
        if self._packs.find(oid) is not None:
            return True
        # most objects that are asked for and not in a pack are not here: two calls of the system saved for each
        if oid.hex()[:2] not in self._open_starts():
            return False
        return os.path.exists(self._file(oid)) or (os.path.exists(self._list(oid)) and self.old.has(oid))

    def size(self, oid: Oid) -> int | None:
        """Return the object's size in bytes, or None when it is not here."""
        if (frame := self._packs.find(oid)) is not None:
            return frame.length
        try:
            return os.stat(self._file(oid)).st_size
        except OSError:
            return self.old.size(oid) if os.path.exists(self._list(oid)) else None

    def read(self, oid: Oid) -> bytes | None:
        """Return the contents of a small object, verified; None when it is not in a pack here, or damaged there."""
        return self._packs.read(oid)

    def path(self, oid: Oid) -> Path | None:
        """Return the file of its own that a large object has here, or None. Its contents are not verified."""
        path = self._file(oid)
        return _path(path) if os.path.exists(path) else None

    def open(self, oid: Oid) -> BinaryIO | None:
        """Return a stream of the object's contents, or None when it is not here. Only small objects are verified."""
        if (data := self.read(oid)) is not None:
            return io.BytesIO(data)
        try:
            return open(self._file(oid), "rb")
        except OSError:
            # a large object has its list before it loses its file, so who finds no file any more finds the list
            return self.old.open(oid) if os.path.exists(self._list(oid)) else None

    def data_path(self, oid: Oid) -> Path | None:
        """Return the file by which a large object is here: with its contents, or with the list of its chunks."""
        return next((_path(path) for path in (self._file(oid), self._list(oid)) if os.path.exists(path)), None)

    def small(self, most: int) -> Iterator[tuple[Oid, int]]:
        """Yield the small objects and their sizes in bytes; none of them where there are more than `most`."""
        return self._packs.sizes() if self._packs.count() <= most else iter(())

    def large(self) -> Iterator[LargeFile]:
        """Yield the large objects that have a file of their own."""
        for oid, path in _named(self._files):
            with contextlib.suppress(OSError):
                yield LargeFile(oid, os.stat(path).st_size)

    @property
    def old(self) -> ChunkedObjects:
        """The large objects that are kept as chunks."""
        with self._lock:
            if self._old is None:
                from git_lds.local.chunked import (
                    ChunkedObjects,
                )  # late: it loads what compresses, which few processes need

                self._old = ChunkedObjects(self.root / "old")
            return self._old

    def __iter__(self) -> Iterator[Oid]:
        """Yield the oid of every object here, once."""
        yield from self._packs
        for oid, _ in _named(self._files):
            if self._packs.find(oid) is None:
                yield oid
        for oid, _ in _named(self._lists):
            if self._packs.find(oid) is None and not os.path.exists(self._file(oid)):
                yield oid

    def reload(self) -> None:
        """Look again at what other processes have added since."""
        with self._lock:
            self._packs.reload()
            self._starts = None
            if self._old is not None:
                self._old.reload()

    # writing

    def put(self, oid: Oid, data: bytes | bytearray) -> None:
        """Keep a small object. Its bytes are with the operating system when this returns; the caller vouches for `oid`."""
        self._packs.put(oid, data)

    def put_all(self, objects: Sequence[tuple[Oid, bytes]]) -> None:
        """Keep many small objects, as `put` does one."""
        self._packs.put_all(objects)

    def scratch(self) -> Scratch:
        """Return a new file on the same file system, for the contents of a large object."""
        return Scratch(self._tmp())

    def adopt(self, oid: Oid, scratch: Scratch, *, sync: bool = False) -> None:
        """Keep a large object whose contents `scratch` holds; the caller has verified that they hash to `oid`.

        They replace what has the name: a crash of the machine can leave one with nothing in it, a bad disk with anything.
        With `sync` they are on the disk before they get the name, where this directory is lasting: a download that a crash
        ended must not be taken for complete when it is run again.
        """
        path = _path(self._file(oid))
        scratch.move_to(path, sync=sync and self._lasting)
        with self._lock:
            if self._lasting:
                self._unsynced.append(path)
            self._open_starts().add(path.parent.name)

    def sync(self) -> None:
        """Put everything that was added onto the disk."""
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
        """Sync, and let go of the directory."""
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
        """Return how the names of the large objects here begin. An old one had a file of the same name first."""
        starts = self._starts
        if starts is None:
            self._starts = starts = {*listed(self._files), *listed(self._lists)}
        return starts

    def _file(self, oid: Oid) -> str:
        return _place(self._files, oid)

    def _list(self, oid: Oid) -> str:
        return _place(self._lists, oid)


def copy(stream: BinaryIO, target: int, size: int) -> None:
    """Copy the first `size` bytes of an object that was opened here into the empty open file `target`, by the cheapest
    means there is. Raises CorruptData where an old object ends early, as it is damaged."""
    try:
        source = stream.fileno()
    except OSError:  # it is kept as chunks
        stream.seek(0)
        while size and (block := stream.read(min(files.COPY_SIZE, size))):
            files.write_all(target, block)
            size -= len(block)
        if size:
            raise CorruptData("an object here is damaged") from None
    else:
        files.copy_contents(source, target, size)


def _place(directory: str, oid: Oid) -> str:
    name = oid.hex()
    return f"{directory}/{name[:2]}/{name[2:]}"


def _path(name: str) -> Path:
    from pathlib import Path  # late: 4 ms that the greeting of the filter need not wait for

    return Path(name)


def _named(directory: str) -> Iterator[tuple[Oid, str]]:
    """Yield the files in `directory` that `_place` names."""
    for start in listed(directory):
        for name in listed(os.path.join(directory, start)):
            if (oid := hashing.from_hex(start + name)) is not None:
                yield Oid(oid), f"{directory}/{start}/{name}"

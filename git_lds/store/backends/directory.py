"""A store in a directory: each key is a file. The server keeps its stores in such directories too.

Put-if-absent is `os.link`: the body is written to `tmp/`, synced, and linked to its name, which fails if the name is taken.
That works between processes, and between machines on network file systems with hard links. Copying such a directory with
rsync copies the store.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from git_lds import sharing
from git_lds.errors import CorruptData, LdsError, NotAllowed, NotInStore, StoreUnreachable
from git_lds.files import Scratch, copy_contents, read_at, sweep, sync_directory, write_all
from git_lds.git import shared
from git_lds.store.backends.contract import READ_LIMIT, Body, OutOfSequence, overwritable, removable, well_formed
from git_lds.store.format.keys import Key, KeyKind, log_key, parse

BLOCK = 1 << 20
_DIRECTORY = re.compile(r"(?:log|checkpoint|index|pack)/|(?:index|pack)/[0-9a-f]{2}/")
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EXDEV)


class Directory:
    """The store in the directory `root`, which the first write creates. Implements `contract.Backend`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._temporary = root / "tmp"
        self._swept = False
        self._lock = threading.Lock()
        self._requests = 0

    @property
    def url(self) -> str:
        return str(self.root)

    @property
    def requests(self) -> int:
        return self._requests

    def read(self, key: str, start: int = 0, length: int | None = None, *, limit: int = READ_LIMIT) -> bytes:
        with self.open(key) as file, self._translating():
            length = _span(key, file, start, length)
            if length > limit:
                raise CorruptData(f"{key} of {self.url} has {length} bytes, more than allowed")
            data = read_at(file.fileno(), length, start)
        if len(data) < length:
            raise self._shrank(key)
        return data

    @contextlib.contextmanager
    def stream(self, key: str, start: int, length: int) -> Iterator[Iterator[bytes]]:
        # only errors of our own steps are translated, not those of the caller's block
        with self.open(key) as file:
            _span(key, file, start, length)
            yield self._blocks(key, file, start, start + length)

    def size(self, key: str) -> int | None:
        well_formed(key)
        self._count()
        with self._translating():
            return _size(self._path(key))

    def create(self, key: str, body: Body) -> bool:
        if self.size(key) is not None:
            return False
        with self.scratch() as scratch:
            with self._translating():
                _fill(scratch, body)
            return self.adopt(key, scratch)

    def write(self, key: str, body: Body) -> None:
        overwritable(key)
        self._count()
        with self.scratch() as scratch, self._translating():
            _fill(scratch, body)
            # a hint that a crash emptied is ignored: not worth a sync for every push
            scratch.move_to(self._path(key), mode=0o666, sync=False)

    def emulate_put_if_absent(self) -> None:
        """Do nothing: links are put-if-absent, whatever the store was before it was copied here."""

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[str]:
        """Yield the keys that start with `prefix` and follow `after`, sorted by their bytes.

        Raises NotInStore if there is no store.
        """
        self._count()
        with self._translating():
            if not self.root.is_dir():
                raise NotInStore(f"there is no store at {self.url}")
            yield from self._walk("", prefix, after)

    def delete(self, key: str) -> None:
        removable(key)
        self._count()
        with self._translating(), contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(key))

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def open(self, key: str) -> BinaryIO:
        """Return the file of `key`, open for reading, unbuffered. Raises NotInStore, NotAllowed, StoreUnreachable."""
        well_formed(key)
        self._count()
        with self._translating():
            try:
                file = open(self._path(key), "rb", buffering=0, opener=_open_without_waiting)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise NotInStore(f"{key} is not in the store {self.url}") from None
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                file.close()
                raise NotInStore(f"{key} of the store {self.url} is not a file")
            return file

    def scratch(self) -> Scratch:
        """Return an empty file on the file system of the store, for a body that `adopt` moves to its key."""
        with self._translating():
            if not self._swept:
                self._swept = True
                _make_directory(self.root)
                shared.prepare(self.root)
                _make_directory(self._temporary)
                sweep(self._temporary)
            return Scratch(self._temporary)

    def adopt(self, key: str, scratch: Scratch) -> bool:
        """Link the file `scratch` to the name of `key` unless that is taken; return whether it was linked.

        Its contents are on the disk before it has the name. Raises OutOfSequence for a log entry without predecessor.
        """
        parsed = well_formed(key)
        self._count()
        path = self._path(key)
        with self._translating():
            self._check_sequence(parsed)
            _make_directory(path.parent)
            # readable for those who can read the directory of the store
            mode = stat.S_IMODE(os.stat(self.root).st_mode)
            if hasattr(os, "fchmod"):
                os.fchmod(scratch.fd, mode & 0o444)
            os.fsync(scratch.fd)
            try:
                _link(scratch, path)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno in _NO_LINKS:
                    raise LdsError(
                        f"{self.url} is on a file system without hard links, which a store in a directory needs",
                        hint="choose a directory on another file system",
                    ) from None
                raise
            sync_directory(path.parent)
        return True

    def _check_sequence(self, key: Key) -> None:
        if key.kind is KeyKind.LOG and key.seq and _size(self._path(log_key(key.seq - 1))) is None:
            raise OutOfSequence(
                f"log entry {key.seq} cannot be written to {self.url}: entry {key.seq - 1} does not exist",
                hint="the store may be an older copy; ask its administrator",
            )

    def _blocks(self, key: str, file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
        while start < end:
            with self._translating():
                block = read_at(file.fileno(), min(BLOCK, end - start), start)
            if not block:
                raise self._shrank(key)
            start += len(block)
            yield block

    def _shrank(self, key: str) -> StoreUnreachable:
        return StoreUnreachable(f"{self.url}: {key} shrank while it was read")

    def _walk(self, directory: str, prefix: str, after: str) -> Iterator[str]:
        with os.scandir(self.root / directory) as entries:
            names = sorted(
                f"{directory}{entry.name}/" if entry.is_dir() else directory + entry.name for entry in entries
            )
        for name in names:
            if name.endswith("/"):
                wanted = name.startswith(prefix) or prefix.startswith(name)
                if wanted and name >= after[: len(name)] and _DIRECTORY.fullmatch(name):
                    yield from self._walk(name, prefix, after)
            elif name > after and name.startswith(prefix) and parse(name):
                yield name

    def _path(self, key: str) -> Path:
        """Return the path of a well-formed `key`."""
        return self.root / key

    def _count(self) -> None:
        with self._lock:
            self._requests += 1

    def _translating(self) -> AbstractContextManager[None]:
        return _translated(self.url)


@contextlib.contextmanager
def _translated(url: str) -> Iterator[None]:
    """Raise NotAllowed or StoreUnreachable for errors of the operating system about the store at `url`."""
    try:
        yield
    except OSError as error:
        if isinstance(error, PermissionError) or error.errno == errno.EROFS:
            raise NotAllowed(f"no permission for {error.filename or url}") from error
        path = os.fspath(error.filename or url)
        named = path if path.startswith(url) else f"{url}: {path}"
        raise StoreUnreachable(f"{named}: {error.strerror or error}") from error


def _link(scratch: Scratch, path: Path) -> None:
    try:
        os.link(scratch.path, path)
    except FileNotFoundError:
        scratch.renew()
        _make_directory(path.parent)
        os.link(scratch.path, path)


def _size(path: Path) -> int | None:
    try:
        state = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return state.st_size if stat.S_ISREG(state.st_mode) else None


def _open_without_waiting(path: str, flags: int) -> int:
    """Open without waiting for a writer, if the path is a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _span(key: str, file: BinaryIO, start: int, length: int | None) -> int:
    """Return how many bytes to read: `length`, or all from `start` on. Raises CorruptData if there are fewer."""
    size = os.fstat(file.fileno()).st_size
    if length is None:
        length = max(size - start, 1 if start else 0)  # 0 only for an empty file that is read from its start
    if start + length > size:
        raise CorruptData(f"{key} has only {size} bytes, fewer than requested")
    return length


def _fill(scratch: Scratch, body: Body) -> None:
    if isinstance(body, bytes):
        write_all(scratch.fd, body)
        return
    with open(body, "rb", buffering=0) as file:
        copy_contents(file.fileno(), scratch.fd, os.fstat(file.fileno()).st_size)


def _make_directory(directory: Path) -> None:
    """Create `directory` and its parents, synced: a crash must not take away a directory with new files."""
    if directory.is_dir():
        return
    _make_directory(directory.parent)
    sharing.make_directory(directory)
    sync_directory(directory.parent)

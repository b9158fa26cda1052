"""The base of tests of stores and transfers: machines with objects, and backends that fail at chosen operations."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from git_lds import hashing
from git_lds.hashing import FileId, Oid
from git_lds.local.lookup import LocalObjects
from git_lds.local.objects import SMALL, ObjectDirectory
from git_lds.store.backends.contract import READ_LIMIT, Backend, Body
from git_lds.store.backends.directory import Directory
from git_lds.store.client.store import Store
from git_lds.store.format.keys import KeyKind, parse
from git_lds.transfer.download import Downloaded, download
from git_lds.transfer.proof import proven_rows
from git_lds.transfer.upload import Uploaded, upload


class Machine:
    """One machine: a local store, a cache, and what it remembers of stores, all in one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.objects = LocalObjects(ObjectDirectory(directory / "own"), ObjectDirectory(directory / "cache"))

    def close(self) -> None:
        """Close the files: a process may have 1,024 open. A test with few machines need not call this."""
        self.objects.close()

    def add(self, *contents: bytes) -> dict[Oid, list[bytes]]:
        """Put objects into the local store; return what `upload` wants to know of them."""
        return {self.add_one(data): [b"file-%d" % number] for number, data in enumerate(contents)}

    def add_one(self, data: bytes) -> Oid:
        oid = hashing.of_bytes(data)
        if len(data) <= SMALL:
            self.objects.own.put(oid, data)
        else:
            with self.objects.own.scratch() as scratch:
                os.write(scratch.fd, data)
                self.objects.own.adopt(oid, scratch)
        return oid

    def store(self, backend: Backend | Path) -> Store:
        return Store(Directory(backend) if isinstance(backend, Path) else backend, self.directory / "known")

    def push(self, backend: Backend | Path, wanted: Mapping[Oid, list[bytes]]) -> Uploaded:
        store = self.store(backend)
        with contextlib.closing(store):
            store.create()
            rows = proven_rows(store, self.objects, wanted)
            return upload(store, self.objects, wanted, rows, tmp=self.directory / "tmp")

    def pull(self, backends: Backend | Path | Iterable[Backend | Path], *contents: bytes) -> Downloaded:
        """Download the objects with `contents`."""
        several = [backends] if isinstance(backends, Path) or hasattr(backends, "url") else list(backends)  # type: ignore[arg-type, list-item]
        stores = [self.store(backend) for backend in several]  # type: ignore[arg-type]
        wanted = {hashing.of_bytes(d): (len(d), b"file-%d" % n) for n, d in enumerate(contents)}
        with contextlib.ExitStack() as opened:
            for store in stores:
                opened.callback(store.close)
            return download(stores, self.objects, wanted)

    def has(self, data: bytes) -> bool:
        """Tell whether the object is here, whole."""
        stream = self.objects.open(hashing.of_bytes(data))
        return stream is not None and stream.read() == data


class Around:
    """A backend around another one. Subclasses change what they want to."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner

    @property
    def url(self) -> str:
        return self.inner.url

    @property
    def requests(self) -> int:
        return self.inner.requests

    def read(self, key: str, start: int = 0, length: int | None = None, *, limit: int = READ_LIMIT) -> bytes:
        return self.inner.read(key, start, length, limit=limit)

    def stream(self, key: str, start: int, length: int) -> contextlib.AbstractContextManager[Iterator[bytes]]:
        return self.inner.stream(key, start, length)

    def size(self, key: str) -> int | None:
        return self.inner.size(key)

    def create(self, key: str, body: Body) -> bool:
        return self.inner.create(key, body)

    def write(self, key: str, body: Body) -> None:
        self.inner.write(key, body)

    def list(self, prefix: str = "") -> Iterator[str]:
        return self.inner.list(prefix)

    def delete(self, key: str) -> None:
        self.inner.delete(key)

    def emulate_put_if_absent(self) -> None:
        self.inner.emulate_put_if_absent()

    def close(self) -> None:
        self.inner.close()


class Counted(Around):
    """Remembers what was asked: (verb, key)."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.asked: list[tuple[str, str]] = []
        self.streamed = 0

    def read(self, key: str, start: int = 0, length: int | None = None, *, limit: int = READ_LIMIT) -> bytes:
        self.asked.append(("read", key))
        return super().read(key, start, length, limit=limit)

    def stream(self, key: str, start: int, length: int) -> contextlib.AbstractContextManager[Iterator[bytes]]:
        self.asked.append(("stream", key))
        self.streamed += length
        return super().stream(key, start, length)

    def size(self, key: str) -> int | None:
        self.asked.append(("size", key))
        return super().size(key)

    def create(self, key: str, body: Body) -> bool:
        self.asked.append(("create", key))
        return super().create(key, body)

    def write(self, key: str, body: Body) -> None:
        self.asked.append(("write", key))
        super().write(key, body)

    def created(self, kind: KeyKind) -> list[str]:
        return [key for verb, key in self.asked if verb == "create" and kind_of(key) is kind]


class Faulty(Around):
    """Does something bad before or after its operation number `at`, counted from 0, and only then."""

    def __init__(self, inner: Backend, at: int, *, after: bool, bad: Callable[[], None]) -> None:
        super().__init__(inner)
        self.left = at
        self._after = after
        self._bad = bad
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def _operation(self) -> Iterator[None]:
        with self._lock:
            is_now = self.left == 0
            self.left -= 1
        if is_now and not self._after:
            self._bad()
        yield
        if is_now and self._after:
            self._bad()

    def read(self, key: str, start: int = 0, length: int | None = None, *, limit: int = READ_LIMIT) -> bytes:
        with self._operation():
            return super().read(key, start, length, limit=limit)

    def size(self, key: str) -> int | None:
        with self._operation():
            return super().size(key)

    def create(self, key: str, body: Body) -> bool:
        with self._operation():
            return super().create(key, body)

    def write(self, key: str, body: Body) -> None:
        with self._operation():
            super().write(key, body)


def die() -> None:
    """End this process as a crash of the machine would."""
    os.kill(os.getpid(), signal.SIGKILL)


def kind_of(key: str) -> KeyKind | None:
    parsed = parse(key)
    return None if parsed is None else parsed.kind


def packs_in(directory: Path) -> set[FileId]:
    """The packs whose files are in a store's directory, whatever its log says."""
    found = set()
    for key in Directory(directory).list("pack/"):
        parsed = parse(key)
        assert parsed is not None and parsed.id is not None
        found.add(parsed.id)
    return found


def state_of(directory: Path, scratch: Path) -> Store:
    """The store in `directory` as somebody sees it who never saw it before."""
    store = Store(Directory(directory), scratch / os.urandom(8).hex())
    store.refresh()
    return store

"""Requests to a bucket (S3, Google, Azure) through obstore, with the user's credentials, timeouts and retries.

Only this module and `obstore_errors` know obstore. It loads late, and its errors leave translated. Its own retries are off,
so that all stores are retried alike and each request is counted. Its calls cannot be interrupted, so they are made in threads
that the caller can stop waiting for: on Ctrl-C, and when another thread calls `close`. (Its awaitable calls can be
interrupted, but end in threads of obstore that may still need Python while Python ends, which then aborts: seen on a machine
under load.)
"""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit

from git_lds import __version__
from git_lds.errors import LdsError, NotInStore, StoreUnreachable, UsageError
from git_lds.hosts import is_loopback
from git_lds.store.backends import aws, retry
from git_lds.store.backends.abandonable_calls import AbandonableCalls, CallsClosed, CallTimedOut
from git_lds.store.backends.contract import Body
from git_lds.store.backends.obstore_errors import (
    LOGIN_HINTS,
    TransientFailure,
    is_transient_code,
    no_bucket,
    translated,
)

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ObjectStore

BLOCK = 1 << 20
LARGE = 1 << 20
"""Bytes from which on the time limit depends on the size: to obstore, a store is silent while a body is sent."""
SLOWEST = 32 << 10
"""Bytes a second below which a connection counts as broken while a large body is sent."""
PATIENCE = 6
"""Silences that one call may take in total, and so each MiB of a body, which may trickle: 3 KB/s with silences of a minute."""
PAGE = 1000
"""Keys in the answer to one listing request at most."""

_ENDPOINTS = {
    "s3": aws.ENDPOINTS,
    "gs": ("GOOGLE_BASE_URL",),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}

T = TypeVar("T")


class BucketClient:
    """A client of one bucket, used by many threads at once. Paths are full names without a leading slash.

    All methods raise the errors of `obstore_errors.translated`.
    """

    def __init__(self, scheme: str, name: str, *, silence: float, pause: float) -> None:
        """`silence` is the seconds that the store may send nothing; `pause` those before the second try."""
        self.requests = 0
        self._scheme = scheme
        self._silence = silence
        self._pause = pause
        config = aws.from_files(os.environ) if scheme == "s3" else {}
        endpoint = config.get("endpoint") or _first_set(_ENDPOINTS[scheme])
        self.name = f"{scheme}://{name}" + (f" (at {_host(endpoint)})" if endpoint else "")
        self._client = partial(_client, f"{scheme}://{name}", config, plain=_is_on_this_machine(endpoint, self.name))
        self._default_client = self._client({"read_timeout": timedelta(seconds=silence)})
        self._clients_by_size: dict[int, ObjectStore] = {}
        self._circuit = retry.Circuit()
        self._lock = threading.Lock()
        self._calls = AbandonableCalls()

    def size(self, path: str) -> int | None:
        """Return the size of the object in bytes, or None if it or the bucket does not exist."""
        import obstore

        try:
            return self.with_retries(lambda: obstore.head(self._default_client, path))["size"]
        except NotInStore:
            return None

    def open(self, path: str, start: int, length: int | None) -> BucketDownload:
        """Request `length` bytes of `path` from `start`, or all up to the end. Raises NotInStore, CorruptData."""
        return BucketDownload(self, path, start, length)

    def put(self, path: str, body: Body, *, only_if_absent: bool) -> bool:
        """Put `body` at `path` in one request; return whether it was put. Raises NoPutIfAbsent if the store cannot do that."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        data = _bytes_of(body)
        client = self._client_for(len(data))
        seconds = self._silence * PATIENCE + len(data) / SLOWEST
        mode: Literal["create", "overwrite"] = "create" if only_if_absent else "overwrite"

        def put() -> bool:
            try:
                # one request: multipart uploads have no put-if-absent
                obstore.put(client, path, data, mode=mode, use_multipart=False)
            except AlreadyExistsError as error:
                if is_transient_code(error):
                    raise
                return False
            return True

        try:
            return self.with_retries(put, seconds=seconds)
        except NotInStore:  # of a PUT, only the bucket can be missing
            raise no_bucket(self.name) from None

    def list(self, directory: str, after: str) -> Iterator[str]:
        """Yield the paths below `directory` (without a slash at its end; "" for all) that come after `after`."""
        budget = self.new_budget()
        while True:
            pages = self._pages(directory, after)
            try:
                while page := self.wait(lambda: next(pages, ())):  # noqa: B023
                    self._count(len(page) == PAGE)  # obstore sends another request then
                    for found in page:
                        after = found["path"]
                        yield after
                return
            except TransientFailure as failure:
                budget.wait_or_raise(failure, cost=failure.cost)

    def delete(self, path: str) -> None:
        """Delete the object at `path`, if it exists."""
        import obstore

        with contextlib.suppress(NotInStore):
            self.with_retries(lambda: obstore.delete(self._default_client, path))

    def close(self) -> None:
        """Abandon all requests. Their callers and all later ones get StoreUnreachable."""
        self._calls.close()

    # for bodies that are read in blocks

    def new_budget(self) -> retry.RetryBudget:
        """Return a fresh retry budget, for one piece of work."""
        return retry.RetryBudget(self._pause, self._circuit)

    def ask(self, path: str, start: int, length: int | None) -> tuple[Iterator[bytes], int, int]:
        """Return the blocks of `path` from `start` on, the offset at which they end, and the size of the object."""
        import obstore

        options: GetOptions = {}
        if length is not None:
            options["range"] = (start, start + length)
        elif start:
            options["range"] = {"offset": start}
        result = obstore.get(self._default_client, path, options=options)
        return iter(result.stream(BLOCK)), result.range[1], result.meta["size"]

    def with_retries(
        self, ask: Callable[[], T], budget: retry.RetryBudget | None = None, *, seconds: float | None = None
    ) -> T:
        """Return the result of one request, retried within `budget`. Each try may take `seconds`, as in `wait`."""
        budget = budget or self.new_budget()
        while True:
            self._count()
            try:
                return self.wait(ask, seconds)
            except TransientFailure as failure:
                budget.wait_or_raise(failure, cost=failure.cost)

    def wait(self, ask: Callable[[], T], seconds: float | None = None) -> T:
        """Return the result of `ask`. Raises the translated error if it fails, or takes longer than `seconds` (else PATIENCE)."""
        from obstore.exceptions import BaseError

        try:
            result = self._calls.make(ask, self._silence * PATIENCE if seconds is None else seconds)
        except CallsClosed:
            raise StoreUnreachable(f"{self.name}: the request was aborted") from None
        except CallTimedOut:
            raise TransientFailure(f"{self.name} did not answer in time", cost=retry.SILENCE_COSTS) from None
        except (BaseError, OSError, NotImplementedError, ValueError) as error:
            meaning = translated(error, self.name, self._scheme)
            if not isinstance(meaning, TransientFailure):
                self._circuit.answered()
            raise meaning from None  # the text of obstore quotes the answer, which must not get into bug reports
        self._circuit.answered()
        return result

    def _client_for(self, size: int) -> ObjectStore:
        """Return the client whose time limit fits a body of `size` bytes."""
        if size <= LARGE:
            return self._default_client
        with self._lock:
            power = size.bit_length()
            if power not in self._clients_by_size:
                limit = timedelta(seconds=self._silence + (1 << power) / SLOWEST)
                self._clients_by_size[power] = self._client({"timeout": limit})
            return self._clients_by_size[power]

    def _pages(self, directory: str, after: str) -> Any:
        import obstore

        self._count()
        return obstore.list(self._default_client, directory or None, offset=after or None, chunk_size=PAGE)

    def _count(self, number: int = 1) -> None:
        with self._lock:
            self.requests += number


class BucketDownload:
    """A byte range of an object, read as it arrives and requested again after a break. `size` is that of the whole object."""

    def __init__(self, bucket: BucketClient, path: str, start: int, length: int | None) -> None:
        self._bucket = bucket
        self._path = path
        self._budget = bucket.new_budget()
        self.start = start
        self._stream, self.end, self.size = self._ask(start, length)

    def blocks(self) -> Generator[bytes, None, None]:
        """Yield all of it. Bytes that arrived before a break are not requested again.

        Raises what the bucket's last failure means, once the budget of retries is used up.
        """
        at = opened = self.start
        while at < self.end:
            try:
                block = self._bucket.wait(lambda: next(self._stream, b""))
                if not block:
                    raise TransientFailure(f"{self._bucket.name}: the response ended early")
            except TransientFailure as failure:
                if at - opened >= retry.PROGRESS:
                    self._budget.renew()
                self._budget.wait_or_raise(failure, cost=failure.cost)
                self._stream, _, _ = self._ask(at, self.end - at)
                opened = at
                continue
            at += len(block)
            yield block

    def _ask(self, start: int, length: int | None) -> tuple[Iterator[bytes], int, int]:
        return self._bucket.with_retries(lambda: self._bucket.ask(self._path, start, length), self._budget)


def _client(url: str, config: Mapping[str, str], times: Mapping[str, timedelta], *, plain: bool) -> ObjectStore:
    """Return a client of obstore for the bucket. `times` are its time limits besides that for connecting.

    Raises UsageError if the configuration is incomplete, LdsError if obstore is not installed.
    """
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ModuleNotFoundError:
        raise LdsError(f"a store at {url} needs obstore", hint="pip install 'git-lds[cloud]'") from None

    options: dict[str, Any] = {
        "user_agent": f"git-lds/{__version__}",
        "connect_timeout": timedelta(seconds=retry.CONNECT_SECONDS),
        "timeout": timedelta(days=1),  # the default of obstore is 30 seconds for a whole request
        **times,
    }
    if plain:
        options["allow_http"] = True
    opened: Any = from_url  # its return type depends on the scheme of the URL
    try:
        client: ObjectStore = opened(url, config=config, client_options=options, retry_config={"max_retries": 0})
        return client
    except (BaseError, ValueError) as error:
        scheme = url.partition(":")[0]
        if "Missing" in str(error):
            raise UsageError(f"{url}: its credentials are incomplete", LOGIN_HINTS[scheme]) from None
        raise UsageError(f"{url}: its configuration or environment variables are not valid") from None


def _bytes_of(body: Body) -> bytes | memoryview:
    """Return the bytes of `body`. A file is mapped, because obstore sends from there.

    Mapping instead of reading, for 64 MiB: 0.8 s and no memory of our own, was 1.0 s and 128 MiB.
    """
    if isinstance(body, bytes):
        return body
    with open(body, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return b""
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _first_set(names: Sequence[str]) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _host(endpoint: str) -> str:
    """Return only the host and port of a URL."""
    return urlsplit(endpoint).netloc.rpartition("@")[2]


def _is_on_this_machine(endpoint: str | None, name: str) -> bool:
    """Return whether the endpoint is on this machine. Raises UsageError if data would cross a network unencrypted."""
    if endpoint is None:
        return False
    parts = urlsplit(endpoint)
    if is_loopback(parts.hostname or ""):
        return True
    if parts.scheme == "http" and not _first_set(("AWS_ALLOW_HTTP", "AZURE_ALLOW_HTTP")):
        raise UsageError(
            f"{name} has an endpoint with plain http, where others on the network can read and change data",
            hint="use its https address, or set AWS_ALLOW_HTTP=true if you trust the network",
        )
    return False

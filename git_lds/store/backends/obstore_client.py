"""Requests to a bucket (S3, Google, Azure) by way of obstore: with our ordinary credentials, timed, tried again, counted.

obstore stays here: it loads late, and its errors leave as ours, without what they quote of requests and answers, for that
may hold credentials. It could try again by itself; that is left to us, so that all stores are tried as often, and each
request is counted. Its calls cannot be broken off, so they are made in threads that nobody has to wait for: Ctrl-C, and
`close` from another thread, end the waiting. (Its awaitable calls could be, but end in threads of obstore that may still
want Python when Python ends, which then aborts: seen on a machine under load.)
"""

from __future__ import annotations

import contextlib
import ipaddress
import mmap
import os
import re
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError, wait
from datetime import timedelta
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit

from git_lds import __version__
from git_lds.errors import CorruptData, LdsError, NotAllowed, NotInStore, StoreUnreachable, UsageError
from git_lds.store.backends import aws, retry
from git_lds.store.backends.contract import Body, NoPutIfAbsent

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ObjectStore

BLOCK = 1 << 20
LARGE = 1 << 20
"""A larger body gets time by its size: for obstore, a store is silent all the while that a body is sent."""
SLOWEST = 32 << 10
"""Bytes a second below which a line counts as broken while a large body is sent."""
PATIENCE = 6
"""Silences that one call may take in all, and so a MiB of a body: what drips is never silent. 3 KB/s, of silences of a minute."""
PAGE = 1000
"""Keys that one request for a listing brings at most."""

_ENDPOINTS = {
    "s3": aws.ENDPOINTS,
    "gs": ("GOOGLE_BASE_URL",),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
_WHO = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS, or run: gcloud auth application-default login",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or AZURE_USE_AZURE_CLI=true after: az login",
}
_REGION = "set AWS_REGION to the region that the bucket is in"

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,60})</Code>")
_METADATA = re.compile(r"/latest/(?:api/token|meta-data)|/computeMetadata/|/metadata/identity/")
"""Where a machine in a cloud asks who it is. obstore asks there when nobody said."""
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")
_OTHER_REGION = ("AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect")
_PASSING = ("RequestTimeout", "SlowDown", "ConditionalRequestConflict", "OperationAborted")
_PASSING_STATUS = (408, 429, 500, 502, 503, 504)

T = TypeVar("T")


class TransientFailure(StoreUnreachable):
    """A failure after which asking again may help. `cost` is the tries that it takes."""

    def __init__(self, message: str, *, cost: int = 1) -> None:
        super().__init__(message, retry.AGAIN)
        self.cost = cost


class BucketClient:
    """A bucket, used by many threads at once. Paths in it are full names, without a slash in front."""

    def __init__(self, scheme: str, name: str, *, silence: float, pause: float) -> None:
        """`silence` is how many seconds the store may say nothing; `pause` how many pass before the second try."""
        self.requests = 0
        self._scheme = scheme
        self._silence = silence
        self._pause = pause
        config = aws.from_files(os.environ) if scheme == "s3" else {}
        endpoint = config.get("endpoint") or _first_said(_ENDPOINTS[scheme])
        self.name = f"{scheme}://{name}" + (f" (at {_host(endpoint)})" if endpoint else "")
        self._client = partial(_client, f"{scheme}://{name}", config, plain=_is_here(endpoint, self.name))
        self._asking = self._client({"read_timeout": timedelta(seconds=silence)})
        self._sending: dict[int, ObjectStore] = {}
        self._circuit = retry.Circuit()
        self._lock = threading.Lock()
        self._calls = AbandonableCalls()

    def size(self, path: str) -> int | None:
        """Return the size of what is at `path`, or None. Of a bucket that is not there no store speaks here."""
        import obstore

        try:
            return self.tried(lambda: obstore.head(self._asking, path))["size"]
        except NotInStore:
            return None

    def open(self, path: str, start: int, length: int | None) -> BucketDownload:
        """Ask for `length` bytes of `path` from `start`, or for all from there on. Raises NotInStore, CorruptData."""
        return BucketDownload(self, path, start, length)

    def put(self, path: str, body: Body, *, only_if_absent: bool) -> bool:
        """Put `body` at `path`, in one request; tell whether it was put. Raises NoPutIfAbsent where that is not known."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        data = _at_hand(body)
        client = self._client_for(len(data))
        seconds = self._silence * PATIENCE + len(data) / SLOWEST
        mode: Literal["create", "overwrite"] = "create" if only_if_absent else "overwrite"

        def put() -> bool:
            try:
                # one request, for no parts of one are put if absent
                obstore.put(client, path, data, mode=mode, use_multipart=False)
            except AlreadyExistsError as error:
                if _code(error) in _PASSING:
                    raise
                return False
            return True

        try:
            return self.tried(put, seconds=seconds)
        except NotInStore:  # where a body is put, only the bucket can be missing
            raise self._no_bucket() from None

    def list(self, directory: str, after: str) -> Iterator[str]:
        """Yield the paths below `directory` (without a slash at its end; "" for all) that come after `after`."""
        budget = self.new_budget()
        while True:
            pages = self._pages(directory, after)
            try:
                while page := self.wait(lambda: next(pages, ())):  # noqa: B023
                    self._count(len(page) == PAGE)  # then another request follows
                    for found in page:
                        after = found["path"]
                        yield after
                return
            except TransientFailure as failure:
                budget.wait_or_raise(failure, cost=failure.cost)

    def delete(self, path: str) -> None:
        """Remove what is at `path`, if anything is."""
        import obstore

        with contextlib.suppress(NotInStore):
            self.tried(lambda: obstore.delete(self._asking, path))

    def close(self) -> None:
        """End what is under way: who waits for it gets StoreUnreachable, as does who asks later."""
        self._calls.close()

    # for what is read bit by bit

    def new_budget(self) -> retry.RetryBudget:
        """Return a fresh allowance of tries, for one piece of work."""
        return retry.RetryBudget(self._pause, self._circuit)

    def ask(self, path: str, start: int, length: int | None) -> tuple[Iterator[bytes], int, int]:
        """Return what comes of `path` from `start` on, where it ends, and the size of the whole."""
        import obstore

        options: GetOptions = {}
        if length is not None:
            options["range"] = (start, start + length)
        elif start:
            options["range"] = {"offset": start}
        result = obstore.get(self._asking, path, options=options)
        return iter(result.stream(BLOCK)), result.range[1], result.meta["size"]

    def tried(
        self, ask: Callable[[], T], budget: retry.RetryBudget | None = None, *, seconds: float | None = None
    ) -> T:
        """Return what comes of one request, made as often as is due; each may take `seconds`, as `wait` has them."""
        budget = budget or self.new_budget()
        while True:
            self._count()
            try:
                return self.wait(ask, seconds)
            except TransientFailure as failure:
                budget.wait_or_raise(failure, cost=failure.cost)

    def wait(self, ask: Callable[[], T], seconds: float | None = None) -> T:
        """Return what comes of `ask`; raise what it means when it fails, or takes longer than `seconds` (else PATIENCE)."""
        from obstore.exceptions import BaseError

        try:
            result = self._calls.make(ask, self._silence * PATIENCE if seconds is None else seconds)
        except _Closed:
            raise StoreUnreachable(f"{self.name}: broken off") from None
        except _TimedOut:
            raise TransientFailure(f"{self.name} did not answer in time", cost=retry.SILENCE_COSTS) from None
        except (BaseError, OSError, NotImplementedError, ValueError) as error:
            meaning = self._meaning(error)
            if not isinstance(meaning, TransientFailure):
                self._circuit.answered()
            raise meaning from None  # what obstore says quotes the store's answer: not for reports of bugs
        self._circuit.answered()
        return result

    def _client_for(self, size: int) -> ObjectStore:
        """Return the client that gives a body of `size` bytes the time that it may take."""
        if size <= LARGE:
            return self._asking
        with self._lock:
            power = size.bit_length()
            if power not in self._sending:
                limit = timedelta(seconds=self._silence + (1 << power) / SLOWEST)
                self._sending[power] = self._client({"timeout": limit})
            return self._sending[power]

    def _pages(self, directory: str, after: str) -> Any:
        import obstore

        self._count()
        return obstore.list(self._asking, directory or None, offset=after or None, chunk_size=PAGE)

    def _count(self, number: int = 1) -> None:
        with self._lock:
            self.requests += number

    # errors

    def _no_bucket(self) -> NotAllowed:
        return NotAllowed(f"there is no bucket {self.name}", "make it first, or check its name and the endpoint")

    def _meaning(self, error: Exception) -> LdsError:
        """Return what an error of obstore means to us. Nothing of its text is passed on but a code and a status."""
        text, code = str(error), _code(error)
        found = _STATUS.search(text)
        status = int(found[1]) if found else None
        if code in _NO_BUCKET:
            return self._no_bucket()
        if _METADATA.search(text):
            return NotAllowed(f"{self.name}: there are no credentials for it", _WHO[self._scheme])
        if isinstance(error, FileNotFoundError):
            return NotInStore(f"not in {self.name}")
        if isinstance(error, NotImplementedError) or status == 501:
            return NoPutIfAbsent(f"{self.name} has no put-if-absent")
        if "Received redirect" in text or code in _OTHER_REGION:
            return NotAllowed(f"{self.name} is in another region", _REGION)
        said = f"{status}, {code}" if code else str(status)
        if status in _PASSING_STATUS or code in _PASSING:
            return TransientFailure(f"{self.name} answered {said}")
        if status == 416:
            return CorruptData("fewer bytes than were to be read")
        if status in (401, 403):
            return NotAllowed(
                f"{self.name} refused us ({said})", f"check the rights there, or who you are: {_WHO[self._scheme]}"
            )
        if status is not None:
            return NotAllowed(f"{self.name} refused what it was asked ({said})")
        return self._of_the_line(text)

    def _of_the_line(self, text: str) -> LdsError:
        """Return what it means that there was no answer, or not a whole one."""
        if "invalid peer certificate" in text or "CertificateError" in text:
            return StoreUnreachable(f"{self.name}: its certificate is not trusted")
        if "kind: Timeout" in text or "TimedOut" in text:
            return TransientFailure(f"{self.name} did not answer in time", cost=retry.SILENCE_COSTS)
        if "dns error" in text:
            return TransientFailure(f"{self.name} could not be reached: no host has that name")
        if "HTTP error" in text:
            return TransientFailure(f"{self.name} could not be reached, or broke off")
        if "Missing" in text:
            return NotAllowed(f"{self.name}: its credentials are not complete", _WHO[self._scheme])
        return StoreUnreachable(f"{self.name}: an answer that makes no sense")


class BucketDownload:
    """A part of what is at a path, as it comes in; asked for again where it breaks off. `size` is that of the whole."""

    def __init__(self, bucket: BucketClient, path: str, start: int, length: int | None) -> None:
        self._bucket = bucket
        self._path = path
        self._budget = bucket.new_budget()
        self.start = start
        self._stream, self.end, self.size = self._ask(start, length)

    def blocks(self) -> Generator[bytes, None, None]:
        """Yield all of it. What came in before a break is not asked for again."""
        at = opened = self.start
        while at < self.end:
            try:
                block = self._bucket.wait(lambda: next(self._stream, b""))
                if not block:
                    raise TransientFailure(f"{self._bucket.name}: an answer ended early")
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
        return self._bucket.tried(lambda: self._bucket.ask(self._path, start, length), self._budget)


class _Closed(Exception):
    """A call that nobody waits for any more."""


class _TimedOut(Exception):
    """A call that takes too long. It goes on in its thread, with nobody to wait for it."""


class AbandonableCalls:
    """Makes calls in threads of its own, as many as there are callers who wait, and none of which keeps Python from ending."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._waiting: set[Future[Any]] = set()
        self._threads = 0
        self._idle = 0
        self._closed = False

    def make(self, call: Callable[[], T], seconds: float) -> T:
        """Return what `call` returns. Raises _Closed once this is closed, _TimedOut after `seconds`."""
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise _Closed
            self._waiting.add(future)
            if self._idle:
                self._idle -= 1
            else:
                self._threads += 1
                threading.Thread(target=self._work, name="bucket", daemon=True).start()
        self._jobs.put((future, call))
        try:
            if not wait([future], seconds).done:
                raise _TimedOut
            return future.result()
        finally:
            with self._lock:
                self._waiting.discard(future)

    def close(self) -> None:
        """End all waiting."""
        with self._lock:
            self._closed = True
            for future in self._waiting:
                with contextlib.suppress(InvalidStateError):
                    future.set_exception(_Closed())
            threads, self._threads = self._threads, 0
        for _ in range(threads):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, call = job
            try:
                tell: Callable[[], None] = partial(future.set_result, call())
            except BaseException as error:
                tell = partial(future.set_exception, error)
            with self._lock:
                self._idle += 1
            with contextlib.suppress(InvalidStateError):  # nobody waits for it any more
                tell()
            del job, future, call, tell


def _client(url: str, config: Mapping[str, str], times: Mapping[str, timedelta], *, plain: bool) -> ObjectStore:
    """Return a client of obstore for the bucket. `times` are its limits beside that of making a connection."""
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ModuleNotFoundError:
        raise LdsError(f"a store at {url} needs obstore", hint="pip install 'git-lds[cloud]'") from None

    options: dict[str, Any] = {
        "user_agent": f"git-lds/{__version__}",
        "connect_timeout": timedelta(seconds=retry.CONNECT_SECONDS),
        "timeout": timedelta(days=1),  # obstore's own is 30 seconds for all of a request
        **times,
    }
    if plain:
        options["allow_http"] = True
    opened: Any = from_url  # typed by the kind of bucket, which the address says
    try:
        client: ObjectStore = opened(url, config=config, client_options=options, retry_config={"max_retries": 0})
        return client
    except (BaseError, ValueError) as error:
        scheme = url.partition(":")[0]
        if "Missing" in str(error):
            raise UsageError(f"{url}: its credentials are not complete", _WHO[scheme]) from None
        raise UsageError(f"{url}: the environment or the configuration for it is not as obstore wants it") from None


def _at_hand(body: Body) -> bytes | memoryview:
    """Return the bytes of `body`. A file is mapped: obstore sends from there, and would else hold it in memory twice.

    Measured for 64 MiB: 0.8 s and no memory of our own, against 1.0 s and 128 MiB.
    """
    if isinstance(body, bytes):
        return body
    with open(body, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return b""
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _code(error: Exception) -> str | None:
    """Return the code in the answer of the store that `error` quotes."""
    found = _CODE.search(str(error))
    return found[1] if found else None


def _first_said(names: Sequence[str]) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _host(endpoint: str) -> str:
    """Return host and port of an address, without what else it may hold."""
    return urlsplit(endpoint).netloc.rpartition("@")[2]


def _is_here(endpoint: str | None, name: str) -> bool:
    """Tell whether the endpoint is on this machine. Raises UsageError where data would cross a network in the open."""
    if endpoint is None:
        return False
    parts = urlsplit(endpoint)
    if _is_loopback(parts.hostname or ""):
        return True
    if parts.scheme == "http" and not _first_said(("AWS_ALLOW_HTTP", "AZURE_ALLOW_HTTP")):
        raise UsageError(
            f"{name} has an endpoint with plain http, over which anybody on the way can read and change data",
            hint="use its https address, or set AWS_ALLOW_HTTP=true if the network is yours",
        )
    return False


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

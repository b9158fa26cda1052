"""A store over HTTP: GET with Range, HEAD, PUT with If-None-Match and DELETE, as in docs/http.md."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from git_lds.errors import CorruptData, NotAllowed, NotInStore, StoreUnreachable
from git_lds.store.backends import http_client, retry
from git_lds.store.backends.contract import READ_LIMIT, Body, CredentialSource, overwritable, removable, well_formed
from git_lds.store.format.keys import parse

if TYPE_CHECKING:
    import httpx

_PUT = (201, 204)
LISTING_LIMIT = 1 << 20

_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(?:\d{1,19}|\*)")


class Http:
    """The store at `url`. Implements `contract.Backend`; the times are in seconds."""

    def __init__(
        self,
        url: str,
        authorise: CredentialSource | None = None,
        *,
        silence: float = retry.SILENCE_SECONDS,
        pause: float = retry.FIRST_PAUSE,
    ) -> None:
        self._client = http_client.HttpClient(url, authorise, silence=silence, pause=pause)
        self._emulates_put_if_absent = False

    @property
    def url(self) -> str:
        return self._client.url

    @property
    def requests(self) -> int:
        return self._client.requests

    def read(self, key: str, start: int = 0, length: int | None = None, *, limit: int = READ_LIMIT) -> bytes:
        if length is not None and length > limit:
            raise CorruptData(f"{key} of {self.url}: {length} bytes are more than can be read at once")
        if length == 0:
            return b""
        with contextlib.closing(_GetBody(self._client, _target(key), start, length)) as body:
            return body.whole(limit)

    @contextlib.contextmanager
    def stream(self, key: str, start: int, length: int) -> Iterator[Iterator[bytes]]:
        if length == 0:
            yield iter(())
            return
        with contextlib.closing(_GetBody(self._client, _target(key), start, length)) as body:
            yield body.blocks()

    def size(self, key: str) -> int | None:
        response = self._client.ask("HEAD", _target(key), _cache_header(key))
        self._client.drain(response)
        if response.status_code == 404:
            return None
        length = response.headers.get("content-length", "")
        if response.status_code != 200 or not length.isascii() or not length.isdigit():
            raise StoreUnreachable(f"{self.url} does not report the size of {key}")
        return int(length)

    def create(self, key: str, body: Body) -> bool:
        named_by_content = well_formed(key).id is not None
        if self._emulates_put_if_absent and self.size(key) is not None:
            return False
        headers = {"If-None-Match": "*"}
        if isinstance(body, bytes) and not named_by_content:
            # without it, a bit that flips on the way would leave a log that names missing files, for all readers forever
            headers["Content-Digest"] = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
        if self._put(key, body, headers):
            return True
        if named_by_content and self.size(key) != http_client.body_size(body):
            raise StoreUnreachable(f"{self.url} reports that {key} exists, and it does not")
        return False

    def write(self, key: str, body: Body) -> None:
        overwritable(key)
        self._put(key, body, {})

    def emulate_put_if_absent(self) -> None:
        self._emulates_put_if_absent = True

    def list(self, prefix: str = "") -> Iterator[str]:
        last = ""
        while True:
            page = self._page(prefix, last)
            for key in page:
                if parse(key) is None or not key.startswith(prefix) or key <= last:
                    raise CorruptData(f"{self.url} did not answer with its keys in order")
                last = key
                yield key
            if not page:
                return

    def delete(self, key: str) -> None:
        removable(key)
        self._client.drain(self._client.ask("DELETE", _target(key)))

    def close(self) -> None:
        self._client.close()

    def _put(self, key: str, body: Body, headers: dict[str, str]) -> bool:
        response = self._client.ask("PUT", _target(key), headers, body)
        answer = self._client.drain(response)
        if response.status_code in (404, 416):
            raise NotAllowed(f"PUT {self.url}/{key} answered {response.status_code}: {answer}")
        if response.status_code not in (*_PUT, 412):
            # the login page of a network answers 200 to everything
            raise StoreUnreachable(f"PUT {self.url}/{key}: unexpected response ({response.status_code})")
        return response.status_code != 412

    def _page(self, prefix: str, last: str) -> Sequence[str]:
        target = "/?" + urlencode({"prefix": prefix, "after": last})
        with contextlib.closing(_GetBody(self._client, target, 0, None)) as body:
            return body.whole(LISTING_LIMIT).decode("ascii", "replace").split("\n")[:-1]


class _GetBody:
    """The body of one GET, read as it arrives and requested again if the connection breaks."""

    def __init__(self, connection: http_client.HttpClient, target: str, start: int, length: int | None) -> None:
        self._client = connection
        self._target = target
        self._start = start
        self._length = length
        self._budget = connection.new_budget()
        self._left: int | None = None
        self._skip = 0
        self._announced = 0
        self._response = self._open(start)

    def whole(self, limit: int) -> bytes:
        """Return the whole body. Raises CorruptData if it is larger than `limit`."""
        while True:
            try:
                return self._at_most(limit)
            except http_client.InterruptedResponse as failure:
                self._budget.wait_or_raise(failure, cost=failure.cost)
            self._response = self._open(self._start)

    def blocks(self) -> Iterator[bytes]:
        """Yield the whole body. Bytes that arrived before a break are not requested again."""
        at = opened = self._start
        while True:
            try:
                for block in self._requested_blocks():
                    at += len(block)
                    yield block
                return
            except http_client.InterruptedResponse as failure:
                if at - opened >= retry.PROGRESS:
                    self._budget.renew()
                self._budget.wait_or_raise(failure, cost=failure.cost)
            opened = at
            self._response = self._open(at)

    def close(self) -> None:
        self._response.close()

    def _at_most(self, limit: int) -> bytes:
        # it grows in place and returns its buffer: half the memory of joining blocks, and twice as fast
        data = io.BytesIO()
        if self._announced > limit:
            raise self._too_large()
        for block in self._requested_blocks():
            data.write(block)
            if data.tell() > limit:
                raise self._too_large()
        return data.getvalue()

    def _too_large(self) -> CorruptData:
        return CorruptData(f"{self._client.url}{self._target} is larger than allowed")

    def _requested_blocks(self) -> Iterator[bytes]:
        """Yield the requested part of the current response. Raises InterruptedResponse if it ends early."""
        skip, left = self._skip, self._left
        # read to the end, not only as much as needed: only then can the connection be reused
        for block in self._client.blocks(self._response):
            if skip:
                skip, block = max(skip - len(block), 0), block[skip:]
            if left is not None:
                if not left:
                    return
                block = block[:left]
                left -= len(block)
            if block:
                yield block
        if left or skip:
            raise http_client.InterruptedResponse(f"{self._client.url}: the response for {self._target} ended early")

    def _open(self, start: int) -> httpx.Response:
        """Request the body from `start` on. An interrupted response has closed itself."""
        self._left = None if self._length is None else self._start + self._length - start
        headers = _cache_header(self._target[1:])
        if start or self._left is not None:
            end = "" if self._left is None else str(start + self._left - 1)
            headers["Range"] = f"bytes={start}-{end}"
        response = self._client.ask("GET", self._target, headers, budget=self._budget)
        try:
            self._check(response, start)
        except BaseException:
            response.close()
            raise
        return response

    def _check(self, response: httpx.Response, start: int) -> None:
        """Check that the response fits the request. A server without ranges sends more, which is skipped.

        Raises NotInStore, CorruptData and StoreUnreachable.
        """
        name = f"{self._client.url}{self._target.partition('?')[0]}"
        if response.status_code == 404:
            self._client.drain(response)
            raise NotInStore(f"{name} does not exist")
        if response.status_code == 416:
            self._client.drain(response)
            raise CorruptData(f"{name} has fewer bytes than requested")
        if response.status_code not in (200, 206) or response.headers.get("content-encoding", "identity") != "identity":
            raise StoreUnreachable(f"{name}: unexpected response ({response.status_code})")
        self._skip = 0
        if response.status_code == 200:
            self._skip = start
            total = response.headers.get("content-length", "")
            size = int(total) if total.isascii() and total.isdigit() else None
            if size is not None and size < start + (self._left or int(start > 0)):
                raise CorruptData(f"{name} has only {total} bytes, fewer than requested")
            if self._left is None:
                self._announced = size or 0
            return
        span = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        if span is None or int(span[1]) != start or int(span[2]) < start:
            raise StoreUnreachable(f"{name}: the server sent another range than requested")
        sent = int(span[2]) + 1 - start
        if self._left is None:
            self._left = sent
        elif sent < self._left:
            raise CorruptData(f"{name} has only {start + sent} bytes, fewer than requested")


def _target(key: str) -> str:
    well_formed(key)
    return f"/{key}"


def _cache_header(key: str) -> dict[str, str]:
    """Return the header that forbids caches to answer for the log, whose end they would report wrongly."""
    parsed = parse(key)
    return {} if parsed is not None and parsed.id is not None else {"Cache-Control": "no-cache"}

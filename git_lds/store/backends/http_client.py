"""Requests to an HTTP store: with retries where they help, redirects where they are safe, and credentials.

Credentials go only to the origin of the store, and over plain http only to this machine. Only this room knows httpx. It loads
late, because loading it takes longer than most commands, and its errors leave translated.
"""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import os
import ssl
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING

from git_lds import __version__
from git_lds.errors import CorruptData, LdsError, NotAllowed, StoreUnreachable, UsageError
from git_lds.hosts import is_loopback
from git_lds.store.backends.contract import Body, CredentialSource, OutOfSequence
from git_lds.store.backends.login import Credentials, Login, basic
from git_lds.store.backends.private_networks import NetworkPolicy
from git_lds.store.backends.retry import AGAIN, CONNECT_SECONDS, SILENCE_COSTS, Circuit, RetryBudget

if TYPE_CHECKING:
    import httpx

if "httpx" not in sys.modules:
    # httpx would load its own command line, with rich and pygments, but works without: saves 80 ms
    sys.modules["httpx._main"] = None  # type: ignore[assignment]

SLOWEST = 256
"""Bytes per second below which a body counts as silent."""

REDIRECTS = 5
LONGEST_PAUSE = 60.0
CONNECTIONS = 32
READ = 1 << 18
"""Bytes read from a connection at once, instead of the 64 KiB of httpcore: half as many thread switches in a download of
10,000 small files."""
SEND_BLOCK = 1 << 19
"""PUT of 32 MiB on loopback, median: 64 KiB 369 MB/s, 256 KiB 357, 512 KiB 440, 1 MiB 404."""
DRAIN_LIMIT = 1 << 16
SHOWN = 200
"""Characters of a server's message that are shown to the user."""

_TRANSIENT = frozenset((408, 429, 500, 502, 503, 504))
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_READS = ("GET", "HEAD")
_RETURNED = frozenset((404, 412, 416))


class InterruptedResponse(StoreUnreachable):
    """A response that ended early. A retry may help; `cost` is the number of tries that it takes."""

    cost = 1


class HttpClient:
    """A pool of connections to the store at `url`, used by many threads at once."""

    def __init__(self, url: str, authorise: CredentialSource | None, *, silence: float, pause: float) -> None:
        """`silence` is the seconds that a store may send nothing; `pause` those before the second try.

        Raises UsageError for a URL that is not one of a store.
        """
        import httpx

        try:
            base = httpx.URL(url.rstrip("/"))
        except httpx.InvalidURL as error:
            raise UsageError(f"{url!r} is not the URL of a store: {error}") from None
        if base.scheme not in ("http", "https") or base.userinfo or not base.host:
            raise UsageError("the URL of a store is http(s)://host/path, without user and password")
        self.url = str(base)
        self.requests = 0
        self._base = base
        self._login = Login(self.url, authorise, safe=base.scheme == "https" or is_loopback(base.host))
        self._confined = NetworkPolicy(self.url, base.host)
        self._silence = silence
        self._pause = pause
        self._lock = threading.Lock()
        self._circuit = Circuit()
        self._first_write_lock = threading.Lock()
        self._has_written = False
        self._clients: dict[str, httpx.Client] = {}
        self._is_closed = False

    def new_budget(self) -> RetryBudget:
        """Return a fresh retry budget, for one piece of work."""
        return RetryBudget(self._pause, self._circuit)

    def ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        *,
        budget: RetryBudget | None = None,
    ) -> httpx.Response:
        """Return the response to `method` for `target`, which follows the URL of the store; its body is unread.

        The status is 2xx, 404, 412 or 416. The caller passes the response to `drain`, or reads all its `blocks` and closes it.
        Raises NotAllowed, OutOfSequence, CorruptData or StoreUnreachable for any other status, after all retries.
        """
        import httpx

        url = httpx.URL(f"{self.url}{target}")
        if method in _READS:
            return self._ask(method, url, headers or {}, None, budget or self.new_budget())
        with self._first_write_exclusive():
            response = self._ask(method, url, headers or {}, body, budget or self.new_budget())
            self._has_written = True
            return response

    @contextlib.contextmanager
    def _first_write_exclusive(self) -> Iterator[None]:
        """Delay other writes until the first is answered, unless the store has asked for credentials already.

        A store may allow reads to all and ask for credentials only now: then each of many threads would send a body in vain.
        """
        with contextlib.ExitStack() as held:
            if not (self._has_written or self._login.current):
                held.enter_context(self._first_write_lock)
                if self._has_written:
                    held.close()
            yield

    def _ask(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], body: Body | None, budget: RetryBudget
    ) -> httpx.Response:
        import httpx

        while True:
            try:
                response = self._send(method, url, headers, body)
            except httpx.TransportError as error:
                failure, cost = _translated(self.url, self._silence, error)
                if not cost:
                    raise failure from error
                budget.wait_or_raise(failure, cost=cost)
                continue
            status = response.status_code
            if status not in _TRANSIENT:
                self._circuit.answered()
            if status < 300 or status in _RETURNED:
                return response
            wait = _retry_after(response)
            refusal = _refusal(method, url, status, self.drain(response))
            if status == 422:
                budget.wait_or_raise(
                    refusal, cost=SILENCE_COSTS
                )  # one retry: the body may have been damaged in transit
            elif status in _TRANSIENT:
                budget.wait_or_raise(refusal, wait)
            else:
                raise refusal

    def blocks(self, response: httpx.Response) -> Iterator[bytes]:
        """Yield the body of `response` as it arrives. Raises InterruptedResponse."""
        import httpx

        blocks, line = response.iter_raw(), response.extensions["network_stream"]
        waited, received = 0.0, 0
        try:
            while True:
                since = time.monotonic()
                line.expect()
                if (block := next(blocks, None)) is None:
                    return
                waited, received = waited + time.monotonic() - since, received + len(block)
                yield block
                if waited >= self._silence:
                    if received < SLOWEST * waited:
                        raise self._too_slow(received, waited)
                    waited, received = 0.0, 0
        except httpx.TransportError as error:
            failure, cost = _translated(self.url, self._silence, error)
            broken = InterruptedResponse(failure.message, failure.hint)
            broken.cost = max(cost, 1)
            raise broken from error

    def _too_slow(self, received: int, seconds: float) -> InterruptedResponse:
        broken = InterruptedResponse(f"{self.url} sent only {received} bytes in {seconds:.0f} seconds", AGAIN)
        broken.cost = SILENCE_COSTS
        return broken

    def drain(self, response: httpx.Response) -> str:
        """Read `response` to its end, so that its connection can be reused; return its first line if it is plain text."""
        text = bytearray()
        with contextlib.closing(response), contextlib.suppress(StoreUnreachable):
            for block in self.blocks(response):
                text += block
                if len(text) > DRAIN_LIMIT:
                    break
        if not response.headers.get("content-type", "").startswith("text/plain"):
            return ""
        first = text[:1000].decode("utf-8", "replace").strip().split("\n")[0][:SHOWN]
        return "".join(c for c in first if c.isprintable())

    def close(self) -> None:
        """Abort all requests. The client cannot be used afterwards."""
        with self._lock:
            self._is_closed = True
        for client in self._clients.values():
            client.close()

    def _client(self, scheme: str) -> httpx.Client:
        """Return the pool of connections for http or https. Raises StoreUnreachable once this is closed."""
        with self._lock:
            if scheme not in self._clients:
                if self._is_closed:
                    raise StoreUnreachable(f"{self.url}: its connections were closed")
                self._clients[scheme] = self._new_client(scheme)
            return self._clients[scheme]

    def _new_client(self, scheme: str) -> httpx.Client:
        import httpcore
        import httpx

        from git_lds.store.backends.connections import Network

        httpcore.HTTP11Connection.READ_NUM_BYTES = READ
        client = httpx.Client(
            headers={"User-Agent": f"git-lds/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(self._silence, connect=min(CONNECT_SECONDS, self._silence)),
            limits=httpx.Limits(
                max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS, keepalive_expiry=15
            ),
            # a proxy for everything must not see requests to this machine
            mounts={f"all://{_bracketed(self._base.host)}": None} if is_loopback(self._base.host) else None,
            # a cookie would be a credential that the user did not choose
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            # loading the trusted certificates takes 0.1 s, and plain http does not need them
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if scheme == "http" else True,
        )
        direct = client._transport  # the others are proxies
        for transport in (direct, *client._mounts.values()):
            if isinstance(transport, httpx.HTTPTransport):
                # httpx has no public name for it: a test notices if it changes
                confined = self._confined if transport is direct else None
                transport._pool._network_backend = Network(self._silence, confined)
        return client

    def _send(self, method: str, url: httpx.URL, headers: Mapping[str, str], body: Body | None) -> httpx.Response:
        """Send one request, follow redirects, and log in up to twice if the store asks for it."""
        hops = logins = 0
        while True:
            own = _origin(url) == _origin(self._base)
            credentials = self._login.current if own else None
            response = self._send_once(method, url, headers, body, credentials)
            status = response.status_code
            if status in _REDIRECTS and method in ("GET", "HEAD") and hops < REDIRECTS:
                hops += 1
                url = self._redirected(url, response)
            elif status == 401 and own and logins < 2:
                logins += 1
                challenge = ", ".join(response.headers.get_list("www-authenticate"))
                self.drain(response)
                self._login.renew(credentials, challenge)
            else:
                if credentials and status not in (401, 403, 407) and status < 500:
                    self._login.confirm(credentials)
                return response

    def _send_once(
        self,
        method: str,
        url: httpx.URL,
        headers: Mapping[str, str],
        body: Body | None,
        credentials: Credentials | None,
    ) -> httpx.Response:
        with self._lock:
            self.requests += 1
        headers = dict(headers)
        if credentials:
            headers["Authorization"] = basic(credentials)
        content = None
        if body is not None:
            size = body_size(body)
            headers["Content-Length"] = str(size)
            headers["Content-Type"] = "application/octet-stream"
            content = _content(body, size)
        client = self._client(url.scheme)
        request = client.build_request(method, url, headers=headers, content=content)
        return client.send(request, stream=True, follow_redirects=False)

    def _redirected(self, url: httpx.URL, response: httpx.Response) -> httpx.URL:
        import httpx

        location = response.headers.get("location", "")
        self.drain(response)
        try:
            target = url.join(location)
        except (httpx.InvalidURL, ValueError):
            raise StoreUnreachable(f"{self.url} redirects to nowhere") from None
        if target.scheme not in ("http", "https") or target.userinfo or not location:
            raise StoreUnreachable(f"{self.url} redirects to a URL that is not followed")
        if url.scheme == "https" and target.scheme != "https":
            raise StoreUnreachable(f"{self.url} redirects from https to plain http, which is not followed")
        self._confined.check(target.host)
        return target


def body_size(body: Body) -> int:
    """Return the size of `body` in bytes."""
    return len(body) if isinstance(body, bytes) else os.stat(body).st_size


def _content(body: Body, size: int) -> Iterator[bytes]:
    """Yield `body` in blocks. Of a whole body, httpcore copies the rest for each part that the socket takes."""
    if isinstance(body, bytes):
        for at in range(0, size, SEND_BLOCK):
            yield body[at : at + SEND_BLOCK]
        return
    with open(body, "rb", buffering=0) as file:
        while size:
            block = file.read(min(SEND_BLOCK, size))
            if not block:
                raise LdsError(f"{body} shrank while it was sent")
            size -= len(block)
            yield block


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme, 0)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _retry_after(response: httpx.Response) -> float | None:
    """Return the seconds that the store asks us to wait, at most a minute, or None."""
    said = response.headers.get("retry-after", "").strip()
    if said.isascii() and said.isdigit():
        return min(float(said[:9]), LONGEST_PAUSE)
    try:
        until = email.utils.parsedate_to_datetime(said)
        seconds = (until - datetime.datetime.now(datetime.UTC)).total_seconds()
    except (TypeError, ValueError):
        return None
    return min(max(seconds, 0.0), LONGEST_PAUSE)


def _translated(store: str, silence: float, error: httpx.TransportError) -> tuple[StoreUnreachable, int]:
    """Return the translated error and how many tries it costs; 0 if a retry would give the same error."""
    import httpx

    from git_lds.store.backends.connections import TooSlow

    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return StoreUnreachable(f"{store}: its certificate is not trusted: {cause.verify_message}"), 0
        if isinstance(cause, TooSlow):
            return StoreUnreachable(f"{store} sent only a part in {silence:g} seconds", AGAIN), SILENCE_COSTS
    if isinstance(error, httpx.ConnectTimeout):
        return StoreUnreachable(f"{store} did not answer: no connection in time", AGAIN), 1
    if isinstance(error, httpx.TimeoutException):
        return StoreUnreachable(f"{store} sent nothing for {silence:g} seconds", AGAIN), SILENCE_COSTS
    final = isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol)
    said = _without_errno(str(error))[:SHOWN] or type(error).__name__  # httpx quotes a malformed response
    return StoreUnreachable(f"{store} could not be reached: {said}", AGAIN), int(not final)


def _without_errno(text: str) -> str:
    """Return the text of an error of the operating system without its number: "[Errno 111] Connection refused"."""
    return text.partition("] ")[2] if text.startswith("[Errno ") and "] " in text else text


def _refusal(method: str, url: httpx.URL, status: int, said: str) -> LdsError:
    """Return the error for a response whose status is not a success."""
    asked = f"{method} {url.copy_with(query=None)}"
    reason = f"{status}: {said}" if said else str(status)
    if status in _REDIRECTS:
        return StoreUnreachable(f"{asked} is redirected, which is not followed", hint="use the URL it leads to")
    if status in (405, 501):
        return NotAllowed(f"{asked} answered {reason}", hint="at this URL the store is read-only")
    if status == 409:
        return OutOfSequence(f"{asked} answered {reason}", hint="the store may be an older copy; ask its administrator")
    if status == 422:
        return CorruptData(f"{asked} answered {reason}")
    if status in _TRANSIENT or status >= 500:
        return StoreUnreachable(f"{asked} answered {reason}")
    return NotAllowed(f"{asked} answered {reason}")

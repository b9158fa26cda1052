"""A proxy before a real server that records all requests, and delays or damages some of them on demand."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from git_lds.store.format.keys import KeyKind, parse


@dataclass
class Asked:
    """One request as it went through: from when to when, how it was answered, and the bytes of the bodies."""

    method: str
    key: str
    headers: Mapping[str, str]
    start: float
    end: float = 0.0
    status: int = 0
    sent: int = 0
    received: int = 0

    @property
    def kind(self) -> KeyKind | None:
        parsed = parse(self.key)
        return None if parsed is None else parsed.kind


@dataclass
class Answered:
    """What the real server said."""

    status: int
    headers: dict[str, str]
    body: bytes


Action = Callable[["Exchange"], None]


@dataclass
class Fault:
    """Something bad that happens to requests of one method for one kind of file: to those after the first `skip`, `times` of
    them."""

    method: str
    kind: KeyKind | None
    action: Action
    times: int = 1
    skip: int = 0


@dataclass
class Between:
    """The proxy: where it listens, what it does, and what it saw."""

    url: str
    delay: float = 0.0
    faults: list[Fault] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def action_for(self, asked: Asked) -> Action | None:
        with self.lock:
            self.asked.append(asked)
            for fault in self.faults:
                if fault.method == asked.method and fault.kind in (None, asked.kind):
                    fault.skip -= 1
                    if fault.skip < 0 < fault.times:
                        fault.times -= 1
                        return fault.action
        return None

    def of(self, method: str, kind: KeyKind | None = None) -> list[Asked]:
        return [asked for asked in self.asked if asked.method == method and kind in (None, asked.kind)]

    def rounds(self) -> int:
        """How many of the requests followed on each other, each begun when the one before it had been answered."""
        rounds, end = 0, 0.0
        for asked in sorted(self.asked, key=lambda asked: asked.end):
            if asked.start >= end:
                rounds, end = rounds + 1, asked.end
        return rounds

    def forget(self) -> None:
        self.asked.clear()
        self.faults.clear()


class Exchange(BaseHTTPRequestHandler):
    """One connection of a client, and what can be done with a request on it."""

    protocol_version = "HTTP/1.1"
    between: Between
    server_address: tuple[str, int]

    def handle_one(self) -> None:
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.about = Asked(self.command, parts.path.split("/", 2)[-1], headers, time.monotonic())
        self.body: bytes | None = None
        action = self.between.action_for(self.about)
        time.sleep(self.between.delay)
        try:
            if action is None:
                self.reply(self.pass_on())
            else:
                action(self)
        except OSError:
            self.close_connection = True
        finally:
            self.about.end = time.monotonic()

    do_GET = do_HEAD = do_PUT = do_DELETE = handle_one

    def take(self, share: float = 1.0) -> bytes:
        """Read the body of the request, or a share of it."""
        if self.body is None:
            self.body = self.rfile.read(int(int(self.headers.get("Content-Length", 0)) * share))
            self.about.sent = len(self.body)
        return self.body

    def pass_on(self, *, body: bytes | None = None, drop: str = "") -> Answered:
        """Ask the real server, with another body or without one of the headers."""
        body = self.take() if body is None else body
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("connection", drop)}
        upstream = http.client.HTTPConnection(*self.server_address, timeout=60)
        with contextlib.closing(upstream):
            upstream.request(self.command, self.path, body if self.command == "PUT" else None, headers)
            answer = upstream.getresponse()
            said = {name.lower(): value for name, value in answer.getheaders()}
            return Answered(answer.status, said, answer.read())

    def reply(self, answer: Answered, *, length: int | None = None) -> None:
        """Send an answer, with another Content-Length than it has if need be."""
        self.about.status, self.about.received = answer.status, len(answer.body)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name not in ("connection", "transfer-encoding", "date", "server", "content-length"):
                self.send_header(name, value)
        said = answer.headers.get("content-length", "0") if self.command == "HEAD" else len(answer.body)
        self.send_header("Content-Length", str(said if length is None else length))
        self.end_headers()
        self.wfile.write(answer.body)

    def cut(self) -> None:
        """End the connection, whatever is under way on it."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def hang(self) -> None:
        """Say nothing until the client hangs up."""
        self.connection.recv(1)
        self.cut()

    def log_message(self, *_: object) -> None: ...


@contextlib.contextmanager
def between(server: str) -> Iterator[Between]:
    """Run the proxy before the server at the URL `server`."""
    target = urlsplit(server)

    class Here(Exchange):
        server_address = (target.hostname or "", target.port or 80)

    class Listening(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 64

        def handle_error(self, *_: object) -> None: ...

    with Listening(("127.0.0.1", 0), Here) as proxy:
        Here.between = Between(f"http://127.0.0.1:{proxy.server_port}")
        thread = threading.Thread(target=proxy.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield Here.between
        finally:
            proxy.shutdown()
            thread.join()


# what may happen to a request


def status(code: int, **headers: str) -> Action:
    """An error, without anything done; `Retry_After="1"` is how a header is given."""
    fields = {name.lower().replace("_", "-"): value for name, value in headers.items()}

    def act(exchange: Exchange) -> None:
        exchange.take()
        exchange.reply(Answered(code, {"content-type": "text/plain", **fields}, b"because of the test\n"))

    return act


def one_by_one(*actions: Action) -> Action:
    """One after the other, and then again."""
    left = itertools.cycle(actions)
    return lambda exchange: next(left)(exchange)


def silent_before(exchange: Exchange) -> None:
    """The time runs out, and nothing was done."""
    exchange.take()
    exchange.hang()


def silent_after(exchange: Exchange) -> None:
    """The time runs out, though all was done."""
    exchange.pass_on()
    exchange.hang()


def cut_before(exchange: Exchange) -> None:
    exchange.cut()


def cut_in_request(exchange: Exchange) -> None:
    exchange.take(0.5)
    exchange.cut()


def cut_after(exchange: Exchange) -> None:
    """All is done, and the line is cut before the answer."""
    exchange.pass_on()
    exchange.cut()


def cut_in_answer(exchange: Exchange) -> None:
    """The headers come, with the right length, and half the body."""
    answer = exchange.pass_on()
    exchange.reply(Answered(answer.status, answer.headers, half(answer.body)), length=len(answer.body) + 1)
    exchange.cut()


def shortened(exchange: Exchange) -> None:
    """Half the body comes, and the length says that this is all."""
    answer = exchange.pass_on()
    exchange.reply(Answered(answer.status, answer.headers, half(answer.body)))


def flipped(exchange: Exchange) -> None:
    """One bit of the answer is another."""
    answer = exchange.pass_on()
    exchange.reply(Answered(answer.status, answer.headers, flip(answer.body)))


def flipped_request(exchange: Exchange) -> None:
    """One bit of what is sent is another."""
    exchange.reply(exchange.pass_on(body=flip(exchange.take())))


def without_ranges(exchange: Exchange) -> None:
    """The whole body, whatever was asked for."""
    exchange.reply(exchange.pass_on(drop="range"))


def another_range(exchange: Exchange) -> None:
    answer = exchange.pass_on()
    if "content-range" in answer.headers:
        answer.headers["content-range"] = "bytes 1-2/3"
    exchange.reply(answer)


def trickling(exchange: Exchange) -> None:
    """The body comes in small pieces, but well in time."""
    answer = exchange.pass_on()
    exchange.reply(Answered(answer.status, answer.headers, b""), length=len(answer.body))
    step = len(answer.body) // 10 + 1
    for at in range(0, len(answer.body), step):
        exchange.wfile.write(answer.body[at : at + step])
        time.sleep(0.005)


def at_most(rate: int) -> Action:
    """So many bytes a second in either direction, and all of them."""

    def act(exchange: Exchange) -> None:
        wanted = int(exchange.headers.get("Content-Length", 0))
        blocks = []
        while wanted:
            blocks.append(exchange.rfile.read(min(wanted, 1 << 16)))
            wanted -= len(blocks[-1]) or wanted
            exchange.about.sent += len(blocks[-1])
            time.sleep((1 << 16) / rate)
        exchange.body = b"".join(blocks)
        answer = exchange.pass_on()
        exchange.reply(Answered(answer.status, answer.headers, b""), length=len(answer.body))
        for at in range(0, len(answer.body), 1 << 16):
            exchange.wfile.write(answer.body[at : at + (1 << 16)])
            exchange.about.received += 1 << 16
            time.sleep((1 << 16) / rate)

    return act


def saying(body: bytes) -> Action:
    """Another body than is there."""

    def act(exchange: Exchange) -> None:
        exchange.take()
        exchange.reply(Answered(200, {}, body))

    return act


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flip(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :] if data else data

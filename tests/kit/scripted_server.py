"""A small HTTP server that does as a script says, whatever a real one would do."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field


@dataclass
class Asked:
    """One request as the server saw it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Trickle:
    """An answer that is sent byte by byte."""

    data: bytes
    pause: float


@dataclass
class Pieces:
    """An answer in pieces, possibly without an end, with a pause after each. `sent` is the bytes that were sent."""

    pieces: Iterable[bytes]
    pause: float = 0.0
    sent: int = 0


Answer = bytes | Trickle | Pieces | None | Callable[[Asked], bytes | Pieces | None]
"""The bytes of an answer; None says nothing until the client hangs up."""


class DrippingHandshake:
    """In place of TLS: the first bytes of what may become a handshake, one by one."""

    def wrap_socket(self, connection: socket.socket, server_side: bool) -> socket.socket:
        assert server_side
        for byte in b"\x16\x03\x03\x40\x00" + bytes(1000):
            connection.sendall(bytes([byte]))
            time.sleep(0.02)
        return connection


@dataclass
class Scripted:
    """A server on loopback that gives one answer after the other, each on a connection of its own; the last again."""

    answers: Sequence[Answer]
    context: ssl.SSLContext | DrippingHandshake | None = None
    asked: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.url = f"http{'s' if self.context else ''}://127.0.0.1:{self.port}"
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                connection.settimeout(10)
                thread = threading.Thread(target=self._answer, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
            asked = _read_request(connection)
            if asked is None:
                return
            with self._lock:
                answer = self.answers[min(len(self.asked), len(self.answers) - 1)]
                self.asked.append(asked)
            data = answer(asked) if callable(answer) else answer
            if data is None:
                connection.recv(1)
                return
            if isinstance(data, Trickle):
                head, _, body = data.data.partition(b"\r\n\r\n")
                connection.sendall(head + b"\r\n\r\n")
                for at in range(len(body)):
                    connection.sendall(body[at : at + 1])
                    time.sleep(data.pause)
                return
            if isinstance(data, Pieces):
                for piece in data.pieces:
                    connection.sendall(piece)
                    data.sent += len(piece)
                    time.sleep(data.pause)
                return
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 16):
                pass

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def _read_request(connection: socket.socket) -> Asked | None:
    data = b""
    while b"\r\n\r\n" not in data:
        block = connection.recv(1 << 16)
        if not block:
            return None
        data += block
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += connection.recv(1 << 16)
    return Asked(method, target, headers, body)


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    """An answer with its Content-Length, after which the connection closes."""
    fields = {"Content-Length": str(len(body)), "Connection": "close"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    return f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode("latin-1") + body


def part(data: bytes) -> Answer:
    """An answer as a server with ranges gives it for a file that holds `data`."""

    def find(asked: Asked) -> bytes:
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.headers.get("range", ""))
        if span is None:
            return answer(200, data)
        start, end = int(span[1]), min(int(span[2] or len(data)) + 1, len(data))
        return answer(206, data[start:end], Content_Range=f"bytes {start}-{end - 1}/{len(data)}")

    return find

"""A proxy before a real server that writes down what goes through it."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class Traffic:
    """What went through: the requests in order, as "GET /store/key", and the bytes of bodies in both directions."""

    url: str
    requests: list[str] = field(default_factory=list)
    sent: int = 0
    received: int = 0

    def of(self, method: str, part: str = "") -> list[str]:
        """The requests with this method whose path has `part` in it."""
        return [r for r in self.requests if r.startswith(method + " ") and part in r]


@contextlib.contextmanager
def counting(server: str) -> Iterator[Traffic]:
    """Pass all requests on to the server at the URL `server`."""
    target = urlsplit(server)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            traffic.requests.append(f"{self.command} {self.path}")
            traffic.sent += len(body)
            upstream = http.client.HTTPConnection(target.hostname or "", target.port or 80, timeout=60)
            with contextlib.closing(upstream):
                headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
                upstream.request(self.command, self.path, body or None, headers)
                answer = upstream.getresponse()
                data = answer.read()
            traffic.received += len(data)
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "date"):
                    self.send_header(name, value)
            if answer.getheader("Content-Length") is None:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_HEAD = do_PUT = do_DELETE = pass_on

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as proxy:
        traffic = Traffic(f"http://127.0.0.1:{proxy.server_port}{target.path}")
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield traffic
        finally:
            proxy.shutdown()
            thread.join()

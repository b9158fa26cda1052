"""Runs the app on a socket until a signal ends it."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import uvicorn

from git_lds.errors import LdsError, UsageError
from git_lds.server.app import create_app

CONNECTIONS = 256
"""Each may hold some 3 MiB in blocks on their way; who comes when there are as many is told 503, and tries again."""
KEEP_ALIVE_SECONDS = 30
GRACE_SECONDS = 10


def serve(
    root: Path | str,
    host: str = "127.0.0.1",
    port: int = 8420,
    users: Mapping[str, str] | None = None,
    *,
    allow_anonymous: bool = False,
    allow_removal: bool = False,
    announce: Callable[[str], None] | None = None,
) -> None:
    """Serve the stores in the directory `root`, or below an address in a bucket (s3://bucket/path), until a signal.

    Nothing in a store can be removed unless `allow_removal`. On SIGTERM or SIGINT requests under way get some seconds to end.
    `announce` is told the address once it listens, by default as a line on stdout. Port 0 is any free one. Raises LdsError
    for a bucket that cannot be used, and UsageError when `host` is open to other machines and neither `users` nor
    `allow_anonymous` says who may come in.
    """
    listener = _listen(host, port, guarded=users is not None or allow_anonymous)
    with listener:
        address = listener.getsockname()[0]
        loopback = ipaddress.ip_address(address).is_loopback
        names = frozenset(("localhost", "127.0.0.1", "::1", host, address))
        app = create_app(
            root,
            users,
            allow_anonymous=allow_anonymous,
            allow_removal=allow_removal,
            hosts=names if loopback and users is None and not allow_anonymous else None,
        )
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="on",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        server = _Announcing(config, lambda: (announce or _print)(f"listening on {_url(listener)}"))
        with _surviving_signals():
            server.run(sockets=[listener])


class _Announcing(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()


def _listen(host: str, port: int, *, guarded: bool) -> socket.socket:
    """Return a socket that is bound to `host`; where that is, and not what it is called, says whether it is loopback."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, OverflowError) as error:
        raise UsageError(f"cannot listen on {host}: {error}") from None
    if not guarded and not ipaddress.ip_address(address[0]).is_loopback:
        raise UsageError(
            f"{host} is open to other machines, and nothing says who may read and write",
            hint="name a file of users, or say --allow-anonymous if everybody may",
        )
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise LdsError(f"cannot listen on {host}:{port}: {error.strerror}", hint="choose another port") from None
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@contextlib.contextmanager
def _surviving_signals() -> Iterator[None]:
    """Let uvicorn end us in order: once it has, it raises the signal again, which would then kill us after all."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

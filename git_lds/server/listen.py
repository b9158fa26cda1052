"""Runs the app on a socket until a signal ends the process."""

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
from starlette.applications import Starlette

from git_lds.errors import LdsError, UsageError
from git_lds.server.app import create_app

CONNECTIONS = 256
"""A connection may hold some 3 MiB in blocks. More connections get 503, and their clients retry."""
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
    """Serve the stores in the directory `root`, or below a path in a bucket (s3://bucket/path), until a signal.

    Nothing in a store can be removed unless `allow_removal`. After SIGTERM or SIGINT, pending requests get some seconds to end.
    `announce` is called with a line that has the URL once the server listens; by default the line goes to stdout. Port 0
    selects any free port. Raises LdsError for a bucket that cannot be used or a port that is taken, and UsageError for another
    root, or when other machines can reach `host` and neither `users` nor `allow_anonymous` is given.
    """
    has_rules = users is not None or allow_anonymous
    with _listen(host, port, may_be_public=has_rules) as listener:
        address = listener.getsockname()[0]
        is_loopback = ipaddress.ip_address(address).is_loopback
        names = frozenset(("localhost", "127.0.0.1", "::1", host, address))
        app = create_app(
            root,
            users,
            allow_anonymous=allow_anonymous,
            allow_removal=allow_removal,
            hosts=names if is_loopback and not has_rules else None,
        )
        server = _AnnouncingServer(_config(app), lambda: (announce or _print)(f"listening on {_url(listener)}"))
        with _surviving_signals():
            server.run(sockets=[listener])


def _config(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
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


class _AnnouncingServer(uvicorn.Server):
    """A server that calls `announce` once it listens."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()


def _listen(host: str, port: int, *, may_be_public: bool) -> socket.socket:
    """Return a socket that is bound to `host`. Whether it is loopback is decided by its address, not by its name.

    Raises UsageError and LdsError as `serve` does.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, OverflowError) as error:
        raise UsageError(f"cannot listen on {host}: {error}") from None
    if not may_be_public and not ipaddress.ip_address(address[0]).is_loopback:
        raise UsageError(
            f"other machines can reach {host}, and no rule says who may read and write",
            hint="name a file of users with --users, or pass --allow-anonymous if everybody may",
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
    """Ignore the signal that uvicorn raises again after its orderly end, which would kill this process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

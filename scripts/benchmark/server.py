"""`git lds serve` with counters: `python server.py ROOT COUNTERS` says its address and serves until it is ended.

The app is the package's own, in the package's own ASGI server; around it, each request and the bytes of the bodies are
counted in a file that the benchmark maps. So counting costs an addition a message, where a proxy would copy every byte.
"""

from __future__ import annotations

import mmap
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from git_lds.server import listen

Message = MutableMapping[str, Any]
REQUESTS, ARRIVED, LEFT = range(3)
"""Where in the file: requests, bytes of the bodies that clients sent, bytes of the bodies that they were sent."""


class Counting:
    """An ASGI app around another one that counts what goes through."""

    def __init__(self, app: Callable[..., Awaitable[None]], counters: memoryview) -> None:
        self._app = app
        self._counters = counters

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._counters[REQUESTS] += 1

        async def arriving() -> Message:
            message = await receive()
            self._counters[ARRIVED] += len(message.get("body", b""))
            return message

        async def leaving(message: Message) -> None:
            self._counters[LEFT] += len(message.get("body", b""))
            await send(message)

        await self._app(scope, arriving, leaving)


def main(root: Path, counters: Path) -> None:
    create_app = listen.create_app
    with open(counters, "r+b") as file:
        shared = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")
    listen.create_app = lambda *args, **options: Counting(create_app(*args, **options), shared)  # type: ignore
    listen.serve(root, port=0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

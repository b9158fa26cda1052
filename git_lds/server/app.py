"""The ASGI app: one request in, one answer out, as docs/http.md has them.

The event loop only moves bytes. What touches the disk or takes long runs in worker threads, in blocks of bounded size.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from git_lds.errors import CorruptData, LdsError, NotInStore
from git_lds.files import read_at
from git_lds.pack.layout import HEAD, MAX_SIZES, Key, Kind
from git_lds.remote.backend import OutOfSequence
from git_lds.remote.directory import Directory
from git_lds.server.address import Address, Span, read_address, read_range
from git_lds.server.upload import Upload
from git_lds.server.users import Users

WORKERS = 32
BLOCK = 1 << 20
"""PUT of 32 MiB on loopback, median: blocks of 256 KiB 240 MB/s, 512 KiB 220, 1 MiB 350."""
SILENCE_SECONDS = 60
PAGE = 1000
LONGEST_QUERY = 1024

_METHODS = ["GET", "HEAD", "PUT", "DELETE"]
_READ_ONLY = ("GET", "HEAD")
_NEVER_CHANGES = {"Cache-Control": "max-age=31536000, immutable"}
_MAY_CHANGE = {"Cache-Control": "no-cache"}

_log = logging.getLogger(__name__)
T = TypeVar("T")


def create_app(
    root: Path,
    users: Mapping[str, str] | None = None,
    *,
    allow_anonymous: bool = False,
    hosts: frozenset[str] | None = None,
) -> Starlette:
    """Return the app that serves the stores in the folder `root`.

    Without `users` everybody may do everything; with them, everybody else may read if `allow_anonymous`, and do nothing
    if not. `hosts`, where given, are the only names in the Host header that are answered.
    """
    stores = _Stores(root, Users(users) if users is not None else None, allow_anonymous=allow_anonymous, hosts=hosts)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        stores.workers.shutdown()
        stores.door.shutdown()

    return Starlette(
        routes=[Route("/{rest:path}", stores.answer, methods=_METHODS)],
        exception_handlers={HTTPException: _complain, LdsError: _complain_of_store},
        lifespan=lifespan,
    )


class _Stores:
    """The stores in one folder, and what is needed to answer for them."""

    def __init__(self, root: Path, users: Users | None, *, allow_anonymous: bool, hosts: frozenset[str] | None) -> None:
        self._root = root
        self._users = users
        self._allow_anonymous = allow_anonymous
        self._hosts = hosts
        self._places: dict[str, Directory] = {}
        self.workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="store")
        # who guesses passwords waits for who guessed before, and for nobody else
        self.door = ThreadPoolExecutor(1, thread_name_prefix="door")

    async def answer(self, request: Request) -> Response:
        self._check_host(request)
        await self._check_user(request)
        address = read_address(request.scope["raw_path"])
        if address is None:
            raise HTTPException(404, "not the address of anything in a store")
        if address.key is None or address.parsed is None:
            return await self._list(request, address)
        if request.method in _READ_ONLY:
            return await self._get(request, address.store, address.key, address.parsed)
        if request.method == "PUT":
            return await self._put(request, address.store, address.key, address.parsed)
        return await self._delete(address.store, address.key, address.parsed)

    def _check_host(self, request: Request) -> None:
        # a page in a browser can have its own name resolve to this machine, and then talk to us as its own origin
        if self._hosts is not None and _without_port(request.headers.get("host", "")) not in self._hosts:
            raise HTTPException(421, "this server does not go by that name")

    async def _check_user(self, request: Request) -> None:
        if self._users is None or (self._allow_anonymous and request.method in _READ_ONLY):
            return
        login = request.headers.get("authorization")
        if not self._users.knows(login) and not await self._run(self._users.learns, login, workers=self.door):
            challenge = {"WWW-Authenticate": 'Basic realm="git-lds", charset="UTF-8"'}
            raise HTTPException(401, "a user and password are needed", headers=challenge)

    async def _list(self, request: Request, address: Address) -> Response:
        if request.method not in _READ_ONLY:
            raise HTTPException(405, "a store as a whole can only be listed", headers={"Allow": "GET, HEAD"})
        if len(request.scope["query_string"]) > LONGEST_QUERY:
            raise HTTPException(414, "the query is too long")
        prefix, after = (request.query_params.get(name, "") for name in ("prefix", "after"))
        keys = await self._run(_page, self._place(address.store), prefix, after)
        return Response("".join(f"{key}\n" for key in keys), media_type="text/plain", headers=_MAY_CHANGE)

    async def _get(self, request: Request, store: str, key: str, parsed: Key) -> Response:
        headers = dict(_NEVER_CHANGES if parsed.id else _MAY_CHANGE)
        headers["Accept-Ranges"] = "bytes"
        if parsed.id:
            headers["ETag"] = f'"{parsed.id.hex()}"'
            if headers["ETag"] in request.headers.get("if-none-match", ""):
                # if it never was here, whoever holds a copy holds the right one
                return Response(status_code=304, headers=headers)
        asked = request.headers.get("range")
        if request.headers.get("if-range", headers.get("ETag")) != headers.get("ETag") or request.method == "HEAD":
            asked = None
        found = await self._run(_find, self._place(store), key, asked, request.method == "GET")
        if found.span is None:
            raise HTTPException(416, "the range lies outside", headers={"Content-Range": f"bytes */{found.size}"})
        start, end = found.span.start, found.span.end
        if found.span.part:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{found.size}"
        headers["Content-Length"] = str(end - start)
        headers["X-Content-Type-Options"] = "nosniff"
        status, kind = 206 if found.span.part else 200, "application/octet-stream"
        if found.file is None:
            return Response(found.first, status, headers, kind)
        return StreamingResponse(self._blocks(found.file, start, end, found.first), status, headers, kind)

    async def _blocks(self, file: BinaryIO, at: int, end: int, block: bytes) -> AsyncIterator[bytes]:
        with file:
            while block:
                yield block
                at += len(block)
                block = await self._run(read_at, file.fileno(), min(BLOCK, end - at), at) if at < end else b""

    async def _put(self, request: Request, store: str, key: str, parsed: Key) -> Response:
        size = _announced_size(request, parsed.kind)
        place = self._place(store)
        condition = request.headers.get("if-none-match")
        if condition not in (None, "*") or "if-match" in request.headers:
            raise HTTPException(400, "of conditions only If-None-Match: * is known")
        if parsed.kind is Kind.HEAD and condition is None:
            await self._run(place.write, HEAD, await _body(request, size))
            return Response(status_code=204)
        if await self._run(place.size, key) is not None:
            raise HTTPException(412, "it is there")
        upload = await self._run(Upload, place, key, parsed)
        try:
            await self._take(request, size, upload)
            created = await self._run(upload.finish)
        except CorruptData as error:
            raise HTTPException(422, error.message) from None
        except OutOfSequence:
            raise HTTPException(409, "the log entry before this one is not there") from None
        finally:
            upload.close()
        if not created:
            raise HTTPException(412, "it is there")
        # kept, so that what killed processes left is looked for once; only for stores that there are
        self._places.setdefault(store, place)
        return Response(status_code=201)

    async def _take(self, request: Request, size: int, upload: Upload) -> None:
        """Hand the body to `upload` in blocks; while one is written and hashed, the next comes in."""
        blocks: list[bytes] = []
        held = 0
        writing: asyncio.Future[None] | None = None
        try:
            async for data in _arriving(request, size):
                blocks.append(data)
                held += len(data)
                if held >= BLOCK:
                    if writing is not None:
                        await writing
                    writing = asyncio.ensure_future(self._run(upload.write, b"".join(blocks)))
                    blocks, held = [], 0
        finally:
            if writing is not None:
                await writing
        await self._run(upload.write, b"".join(blocks))

    async def _delete(self, store: str, key: str, parsed: Key) -> Response:
        if parsed.kind not in (Kind.PACK, Kind.INDEX, Kind.CHECKPOINT):
            raise HTTPException(405, "that is never removed", headers={"Allow": "GET, HEAD, PUT"})
        await self._run(self._place(store).delete, key)
        return Response(status_code=204)

    def _place(self, store: str) -> Directory:
        return self._places.get(store) or Directory(self._root / store)

    async def _run(self, work: Callable[..., T], *args: object, workers: ThreadPoolExecutor | None = None) -> T:
        return await asyncio.get_running_loop().run_in_executor(workers or self.workers, partial(work, *args))


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _page(place: Directory, prefix: str, after: str) -> list[str]:
    """Return the next keys of a listing, at most `PAGE`."""
    return [key for _, key in zip(range(PAGE), place.list(prefix, after=after), strict=False)]


@dataclass(frozen=True, slots=True)
class _Found:
    """A file of `size` bytes and the part of it that was asked for: None when that lies outside. `first` is the first
    block of the part, and `file` what the rest is read from, where there is one."""

    size: int
    span: Span | None
    first: bytes
    file: BinaryIO | None


def _find(place: Directory, key: str, asked: str | None, wanted: bool) -> _Found:
    """Open `key` and read the first block of what the Range header `asked` for, if its contents are `wanted`.

    In one go: each change of threads costs as much as a small read.
    """
    with contextlib.ExitStack() as closing:
        file = closing.enter_context(place.open(key))
        size = os.fstat(file.fileno()).st_size
        span = read_range(asked, size)
        if span is None or not wanted:
            return _Found(size, span, b"", None)
        first = read_at(file.fileno(), min(BLOCK, span.end - span.start), span.start)
        if len(first) == span.end - span.start:
            return _Found(size, span, first, None)
        closing.pop_all()
        return _Found(size, span, first, file)


def _announced_size(request: Request, kind: Kind) -> int:
    """Return how long the body says it is. Raises the answer 411 when it does not, 413 when that is too much."""
    said = request.headers.get("content-length", "")
    if "transfer-encoding" in request.headers or not said.isascii() or not said.isdigit():
        raise HTTPException(411, "the body must come with its Content-Length")
    if len(said) > 15 or int(said) > MAX_SIZES[kind]:
        raise HTTPException(413, f"a {kind} has at most {MAX_SIZES[kind]} bytes")
    return int(said)


async def _arriving(request: Request, size: int) -> AsyncIterator[bytes]:
    """Yield the body as it comes in. Raises when it stops before its end, or nothing comes for too long."""
    more = True
    while more:
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                message = await request.receive()
        except TimeoutError:
            raise HTTPException(408, "the body stopped coming") from None
        if message["type"] != "http.request":
            raise HTTPException(400, "the body ended early")
        data = message.get("body", b"")
        more = message.get("more_body", False)
        size -= len(data)
        if size < 0 or (size and not more):
            raise HTTPException(400, "the body is not as long as it said")
        if data:
            yield data


async def _body(request: Request, size: int) -> bytes:
    return b"".join([block async for block in _arriving(request, size)])


async def _complain(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    # that something is not there must not be remembered on the way: it may be there in a moment
    headers = {"Cache-Control": "no-store", **(error.headers or {})}
    return Response(f"{error.detail}\n", error.status_code, headers, "text/plain")


async def _complain_of_store(request: Request, error: Exception) -> Response:
    """Answer for what the store itself raised: without its paths, which are nobody's business."""
    if isinstance(error, NotInStore):
        return await _complain(request, HTTPException(404, "it is not there"))
    _log.error("%s %s: %s", request.method, request.url.path, error)
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return await _complain(request, HTTPException(507, "the disk of the server is full"))
    return await _complain(request, HTTPException(500, "the server could not use its disk"))

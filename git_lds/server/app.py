"""The ASGI app: one request in, one answer out, as docs/http.md has them.

The event loop only moves bytes. What touches the disk or takes long runs in worker threads, in blocks of bounded size.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from git_lds.errors import CorruptData, LdsError, NotInStore, StoreUnreachable
from git_lds.server.address import Address, read_address
from git_lds.server.check_log import History, MayNotRemove, StoreDamaged
from git_lds.server.check_packs import Footers
from git_lds.server.store_root import BLOCK, Place, Places, open_places
from git_lds.server.uploads import Upload
from git_lds.server.users import Users
from git_lds.store.backends.contract import OutOfSequence
from git_lds.store.format.keys import HEAD, MAX_SIZES, Key, Kind

WORKERS = 32
SILENCE_SECONDS = 60
HISTORIES = 256
"""Stores whose log is remembered; that of another is read again from its beginning."""
PAGE = 1000
LONGEST_QUERY = 1024

_METHODS = ["GET", "HEAD", "PUT", "DELETE"]
_READ_ONLY = ("GET", "HEAD")
_NEVER_CHANGES = {"Cache-Control": "max-age=31536000, immutable"}
_MAY_CHANGE = {"Cache-Control": "no-cache"}

_log = logging.getLogger(__name__)
T = TypeVar("T")


def create_app(
    root: Path | str,
    users: Mapping[str, str] | None = None,
    *,
    allow_anonymous: bool = False,
    allow_removal: bool = False,
    hosts: frozenset[str] | None = None,
) -> Starlette:
    """Return the app that serves the stores in the directory `root`, or below an address in a bucket (s3://bucket/path).

    Without `users` everybody may do everything; with them, everybody else may read if `allow_anonymous`, and do nothing
    if not. To write is to add: packs are condemned and removed, and files deleted, only if `allow_removal`. `hosts`, where
    given, are the only names in the Host header that are answered.
    """
    known = Users(users) if users is not None else None
    stores = _Stores(
        open_places(root), known, allow_anonymous=allow_anonymous, allow_removal=allow_removal, hosts=hosts
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        stores.places.close()
        stores.workers.shutdown()
        stores.door.shutdown()

    return Starlette(
        routes=[Route("/{rest:path}", stores.answer, methods=_METHODS)],
        exception_handlers={HTTPException: _complain, LdsError: stores.complain},
        lifespan=lifespan,
    )


class _Stores:
    """The stores in one place, and what is needed to answer for them."""

    def __init__(
        self,
        places: Places,
        users: Users | None,
        *,
        allow_anonymous: bool,
        allow_removal: bool,
        hosts: frozenset[str] | None,
    ) -> None:
        self.places = places
        self._users = users
        self._allow_anonymous = allow_anonymous
        self._allow_removal = allow_removal
        self._footers = Footers()
        self._history = lru_cache(HISTORIES)(self._new_history)
        self._hosts = hosts
        self.workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="store")
        # who guesses passwords waits for who guessed before, and for nobody else
        self.door = ThreadPoolExecutor(1, thread_name_prefix="door")

    def _new_history(self, store: str) -> History:
        return History(self.places.at(store), self._footers, allow_removal=self._allow_removal)

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
        keys = await self._run(_page, self.places.at(address.store), prefix, after)
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
        find = partial(self.places.at(store).find, wanted=request.method == "GET")
        found = await self._run(find, key, asked)
        if found.span is None:
            raise HTTPException(416, "the range lies outside", headers={"Content-Range": f"bytes */{found.size}"})
        start, end = found.span.start, found.span.end
        if found.span.part:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{found.size}"
        headers["Content-Length"] = str(end - start)
        headers["X-Content-Type-Options"] = "nosniff"
        status, kind = 206 if found.span.part else 200, "application/octet-stream"
        if found.rest is None:
            return Response(found.first, status, headers, kind)
        return StreamingResponse(self._blocks(found.first, found.rest), status, headers, kind)

    async def _blocks(self, block: bytes, rest: Generator[bytes, None, None]) -> AsyncIterator[bytes]:
        try:
            while block:
                yield block
                block = await self._run(next, rest, b"")
        finally:
            # where the client left while a thread waits for the next block, it ends with that thread
            with contextlib.suppress(ValueError):
                rest.close()

    async def _put(self, request: Request, store: str, key: str, parsed: Key) -> Response:
        size = _announced_size(request, parsed.kind)
        place = self.places.at(store)
        condition = request.headers.get("if-none-match")
        if condition not in (None, "*") or "if-match" in request.headers:
            raise HTTPException(400, "of conditions only If-None-Match: * is known")
        if parsed.kind is Kind.HEAD and condition is None:
            await self._run(place.write, HEAD, await _body(request, size))
            return Response(status_code=204)
        if await self._run(place.size, key) is not None:
            raise HTTPException(412, "it is there")
        digest = request.headers.get("content-digest")
        upload = await self._run(Upload, place, self._history(store), key, parsed, digest)
        try:
            await self._take(request, size, upload)
            created = await self._run(upload.finish)
        except CorruptData as error:
            raise HTTPException(422, error.message) from None
        except OutOfSequence:
            raise HTTPException(409, "the log entry before this one is not there, or is another one") from None
        except MayNotRemove as error:
            raise HTTPException(403, error.message) from None
        except asyncio.CancelledError:
            await self._run(upload.close)  # waits for the thread that is at it: before a bucket, that may take long
            raise
        finally:
            upload.close()
        if not created:
            raise HTTPException(412, "it is there")
        self.places.keep(store, place)
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
        if not self._allow_removal:
            raise HTTPException(403, "this server lets nobody delete anything")
        try:
            await self._run(self._history(store).check_removable, parsed)
        except MayNotRemove as error:
            raise HTTPException(409, error.message) from None
        await self._run(self.places.at(store).delete, key)
        return Response(status_code=204)

    async def complain(self, request: Request, error: Exception) -> Response:
        """Answer for what a store itself raised: without paths and addresses, which are nobody's business."""
        if isinstance(error, NotInStore):
            return await _complain(request, HTTPException(404, "it is not there"))
        _log.error("%s %s: %s", request.method, request.url.path, error)
        if isinstance(error, StoreDamaged):
            return await _complain(request, HTTPException(500, error.message))
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            return await _complain(request, HTTPException(507, "the disk of the server is full"))
        if isinstance(error, StoreUnreachable) and cause is None:
            return await _complain(request, HTTPException(503, f"the {self.places.what} of the server does not answer"))
        return await _complain(request, HTTPException(500, f"the server could not use its {self.places.what}"))

    async def _run(self, work: Callable[..., T], *args: object, workers: ThreadPoolExecutor | None = None) -> T:
        return await asyncio.get_running_loop().run_in_executor(workers or self.workers, partial(work, *args))


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _page(place: Place, prefix: str, after: str) -> list[str]:
    """Return the next keys of a listing, at most `PAGE`."""
    return [key for _, key in zip(range(PAGE), place.list(prefix, after=after), strict=False)]


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

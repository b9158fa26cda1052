"""The ASGI app: answers one request of the protocol in docs/http.md.

The event loop only moves bytes. Work that touches the disk or takes long runs in worker threads, in blocks of bounded size.
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
from git_lds.server.check_log import RemovalRefused, StoreDamaged, StoreHistory
from git_lds.server.check_packs import FooterCache
from git_lds.server.store_root import BLOCK, FilePart, ServedStore, StoreRoot, open_root
from git_lds.server.uploads import IncomingFile
from git_lds.server.users import Users
from git_lds.store.backends.contract import OutOfSequence
from git_lds.store.format.keys import HEAD, MAX_SIZES, Key, KeyKind

WORKERS = 32
SILENCE_SECONDS = 60
HISTORIES = 256
"""Stores whose log is remembered; the log of another store is read again from its beginning."""
PAGE = 1000
LONGEST_QUERY = 1024

_METHODS = ["GET", "HEAD", "PUT", "DELETE"]
_READ_ONLY = ("GET", "HEAD")
_NEVER_CHANGES = {"Cache-Control": "max-age=31536000, immutable"}
_MAY_CHANGE = {"Cache-Control": "no-cache"}
_EXISTS = "it is there"

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
    """Return the app that serves the stores in the directory `root`, or below a path in a bucket (s3://bucket/path).

    Without `users` everybody may read and write. With them, everybody else may read if `allow_anonymous`, and do nothing if
    not. Writing adds files only; packs are condemned and removed, and files deleted, only if `allow_removal`. The app answers
    only requests whose Host header has a name in `hosts`, if given. Raises LdsError for a bucket that cannot be used, and
    UsageError for another URL.
    """
    server = _Server(
        open_root(root),
        Users(users) if users is not None else None,
        allow_anonymous=allow_anonymous,
        allow_removal=allow_removal,
        hosts=hosts,
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        server.close()

    return Starlette(
        routes=[Route("/{rest:path}", server.answer, methods=_METHODS)],
        exception_handlers={HTTPException: _error_response, LdsError: server.store_error_response},
        lifespan=lifespan,
    )


class _Server:
    """Answers requests for the stores under one root."""

    def __init__(
        self,
        root: StoreRoot,
        users: Users | None,
        *,
        allow_anonymous: bool,
        allow_removal: bool,
        hosts: frozenset[str] | None,
    ) -> None:
        self._root = root
        self._users = users
        self._allow_anonymous = allow_anonymous
        self._allow_removal = allow_removal
        self._hosts = hosts
        self._footers = FooterCache()
        self._history = lru_cache(HISTORIES)(self._new_history)
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="store")
        # a client that guesses passwords delays other logins of this kind only
        self._login_worker = ThreadPoolExecutor(1, thread_name_prefix="login")

    def close(self) -> None:
        """End pending requests and all threads."""
        self._root.close()
        self._workers.shutdown()
        self._login_worker.shutdown()

    def _new_history(self, store: str) -> StoreHistory:
        return StoreHistory(self._root.store(store), self._footers, allow_removal=self._allow_removal)

    async def answer(self, request: Request) -> Response:
        """Return the response to a request. Raises HTTPException and LdsError, which become error responses."""
        self._check_host(request)
        await self._check_user(request)
        address = read_address(request.scope["raw_path"])
        if address is None:
            raise HTTPException(404, "the path names nothing in a store")
        if address.key is None or address.parsed is None:
            return await self._list(request, address)
        if request.method in _READ_ONLY:
            return await self._get(request, address.store, address.key, address.parsed)
        if request.method == "PUT":
            return await self._put(request, address.store, address.key, address.parsed)
        return await self._delete(address.store, address.key, address.parsed)

    def _check_host(self, request: Request) -> None:
        # a page in a browser can make its own name resolve to this machine, and then reach us as its own origin
        if self._hosts is not None and _without_port(request.headers.get("host", "")) not in self._hosts:
            raise HTTPException(421, "this server does not answer to that name")

    async def _check_user(self, request: Request) -> None:
        if self._users is None or (self._allow_anonymous and request.method in _READ_ONLY):
            return
        login = request.headers.get("authorization")
        if not self._users.has_verified(login) and not await self._run(
            self._users.verify, login, workers=self._login_worker
        ):
            challenge = {"WWW-Authenticate": 'Basic realm="git-lds", charset="UTF-8"'}
            raise HTTPException(401, "a user and password are needed", headers=challenge)

    async def _list(self, request: Request, address: Address) -> Response:
        if request.method not in _READ_ONLY:
            raise HTTPException(405, "a store as a whole can only be listed", headers={"Allow": "GET, HEAD"})
        if len(request.scope["query_string"]) > LONGEST_QUERY:
            raise HTTPException(414, "the query is too long")
        prefix, after = (request.query_params.get(name, "") for name in ("prefix", "after"))
        keys = await self._run(_page, self._root.store(address.store), prefix, after)
        return Response("".join(f"{key}\n" for key in keys), media_type="text/plain", headers=_MAY_CHANGE)

    async def _get(self, request: Request, store: str, key: str, parsed: Key) -> Response:
        headers = dict(_NEVER_CHANGES if parsed.id else _MAY_CHANGE)
        headers["Accept-Ranges"] = "bytes"
        if parsed.id:
            headers["ETag"] = f'"{parsed.id.hex()}"'
            if headers["ETag"] in request.headers.get("if-none-match", ""):
                # without a look at the store: a copy of a content-named file is right even if the store lacks the file
                return Response(status_code=304, headers=headers)
        range_header = request.headers.get("range")
        if request.headers.get("if-range", headers.get("ETag")) != headers.get("ETag") or request.method == "HEAD":
            range_header = None
        read = partial(self._root.store(store).read_part, with_contents=request.method == "GET")
        return self._part_response(await self._run(read, key, range_header), headers)

    def _part_response(self, part: FilePart, headers: dict[str, str]) -> Response:
        """Return the response that has a part of a file. Raises the response 416 if the range is outside of the file."""
        if part.span is None:
            raise HTTPException(
                416, "the range is outside of the file", headers={"Content-Range": f"bytes */{part.size}"}
            )
        start, end = part.span.start, part.span.end
        if part.span.is_range:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{part.size}"
        headers["Content-Length"] = str(end - start)
        headers["X-Content-Type-Options"] = "nosniff"
        status, media_type = 206 if part.span.is_range else 200, "application/octet-stream"
        if part.rest is None:
            return Response(part.first, status, headers, media_type)
        return StreamingResponse(self._blocks(part.first, part.rest), status, headers, media_type)

    async def _blocks(self, block: bytes, rest: Generator[bytes, None, None]) -> AsyncIterator[bytes]:
        try:
            while block:
                yield block
                block = await self._run(next, rest, b"")
        finally:
            # if the client left while a thread waits for the next block, the generator ends with that thread
            with contextlib.suppress(ValueError):
                rest.close()

    async def _put(self, request: Request, store: str, key: str, parsed: Key) -> Response:
        size = _announced_size(request, parsed.kind)
        target = self._root.store(store)
        condition = request.headers.get("if-none-match")
        if condition not in (None, "*") or "if-match" in request.headers:
            raise HTTPException(400, "the only supported condition is If-None-Match: *")
        if parsed.kind is KeyKind.HEAD and condition is None:
            await self._run(target.write, HEAD, await _body(request, size))
            return Response(status_code=204)
        if await self._run(target.size, key) is not None:
            raise HTTPException(412, _EXISTS)
        digest = request.headers.get("content-digest")
        incoming = await self._run(IncomingFile, target, self._history(store), key, parsed, digest)
        if not await self._receive(request, size, incoming):
            raise HTTPException(412, _EXISTS)
        self._root.remember(store, target)
        return Response(status_code=201)

    async def _receive(self, request: Request, size: int, incoming: IncomingFile) -> bool:
        """Take the body, check it, and create its file; return whether it was created.

        Raises the responses 403, 409 and 422 for a body that the checks refuse.
        """
        try:
            await self._write_body(request, size, incoming)
            return await self._run(incoming.finish)
        except CorruptData as error:
            raise HTTPException(422, error.message) from None
        except OutOfSequence:
            raise HTTPException(409, "the previous log entry is missing, or is not the one that is named") from None
        except RemovalRefused as error:
            raise HTTPException(403, error.message) from None
        except asyncio.CancelledError:
            await self._run(incoming.close)  # waits for the thread that writes, which can take long with a bucket
            raise
        finally:
            incoming.close()

    async def _write_body(self, request: Request, size: int, incoming: IncomingFile) -> None:
        """Hand the body to `incoming` in blocks; the next block is received while one is written and hashed."""
        blocks: list[bytes] = []
        held = 0
        writing: asyncio.Future[None] | None = None
        try:
            async for data in _received(request, size):
                blocks.append(data)
                held += len(data)
                if held >= BLOCK:
                    if writing is not None:
                        await writing
                    writing = asyncio.ensure_future(self._run(incoming.write, b"".join(blocks)))
                    blocks, held = [], 0
        finally:
            if writing is not None:
                await writing
        await self._run(incoming.write, b"".join(blocks))

    async def _delete(self, store: str, key: str, parsed: Key) -> Response:
        if parsed.kind not in (KeyKind.PACK, KeyKind.INDEX, KeyKind.CHECKPOINT):
            raise HTTPException(405, "a file of this kind is never deleted", headers={"Allow": "GET, HEAD, PUT"})
        if not self._allow_removal:
            raise HTTPException(403, "this server does not allow files to be deleted")
        try:
            await self._run(self._history(store).check_removable, parsed)
        except RemovalRefused as error:
            raise HTTPException(409, error.message) from None
        await self._run(self._root.store(store).delete, key)
        return Response(status_code=204)

    async def store_error_response(self, request: Request, error: Exception) -> Response:
        """Return the response to an error that a store raised. It holds no paths and URLs of the server."""
        if isinstance(error, NotInStore):
            return await _error_response(request, HTTPException(404, "it is not there"))
        _log.error("%s %s: %s", request.method, request.url.path, error)
        return await _error_response(request, self._without_internals(error))

    def _without_internals(self, error: Exception) -> HTTPException:
        """Return the status and text that clients get for an error of the store."""
        if isinstance(error, StoreDamaged):
            return HTTPException(500, error.message)
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            return HTTPException(507, "the disk of the server is full")
        if isinstance(error, StoreUnreachable) and cause is None:
            return HTTPException(503, f"the {self._root.medium} of the server does not answer")
        return HTTPException(500, f"the server could not use its {self._root.medium}")

    async def _run(self, work: Callable[..., T], *args: object, workers: ThreadPoolExecutor | None = None) -> T:
        return await asyncio.get_running_loop().run_in_executor(workers or self._workers, partial(work, *args))


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _page(store: ServedStore, prefix: str, after: str) -> list[str]:
    """Return the next keys of a listing, at most `PAGE`."""
    return [key for _, key in zip(range(PAGE), store.list(prefix, after=after), strict=False)]


def _announced_size(request: Request, kind: KeyKind) -> int:
    """Return the Content-Length of a body. Raises the response 411 if it is missing, 413 if it is too large."""
    header = request.headers.get("content-length", "")
    if "transfer-encoding" in request.headers or not header.isascii() or not header.isdigit():
        raise HTTPException(411, "the body must come with its Content-Length")
    if len(header) > 15 or int(header) > MAX_SIZES[kind]:
        raise HTTPException(413, f"a {kind} has at most {MAX_SIZES[kind]} bytes")
    return int(header)


async def _received(request: Request, size: int) -> AsyncIterator[bytes]:
    """Yield the body as it is received. Raises the response 408 or 400 if it times out or has another size."""
    more = True
    while more:
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                message = await request.receive()
        except TimeoutError:
            raise HTTPException(408, f"no part of the body came for {SILENCE_SECONDS} seconds") from None
        if message["type"] != "http.request":
            raise HTTPException(400, "the body ended early")
        data = message.get("body", b"")
        more = message.get("more_body", False)
        size -= len(data)
        if size < 0 or (size and not more):
            raise HTTPException(400, "the body is not as long as its Content-Length")
        if data:
            yield data


async def _body(request: Request, size: int) -> bytes:
    return b"".join([block async for block in _received(request, size)])


async def _error_response(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    # caches must not remember that a file does not exist: it may exist in a moment
    headers = {"Cache-Control": "no-store", **(error.headers or {})}
    return Response(f"{error.detail}\n", error.status_code, headers, "text/plain")

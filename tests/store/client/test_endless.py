"""Stores that would hold a reader for ever, or fill its memory or its disk: it stops, and says so."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from kit.stores import Counted, Machine

from git_lds import hashing
from git_lds.errors import CorruptData, LdsError
from git_lds.hashing import FileId
from git_lds.store.backends.directory import Directory
from git_lds.store.backends.http import Http
from git_lds.store.client import log_reader, reader
from git_lds.store.client.store import Store
from git_lds.store.format.keys import HEAD, PARAMETERS, KeyKind, Parameters, log_key, parse
from git_lds.store.format.log import Hint, LogEntry

LARGE = b" " * (15 << 20)


class Endless:
    """A log that always has one more entry, each in order, and those from `large_from` of nearly as many bytes as may be."""

    def __init__(self, large_from: int = 10**9, hint: Hint | None = None) -> None:
        self.large = 0
        self.asked: list[int] = []
        self.pause = 0.0
        self.is_pushed_to = False
        self._pushed = 0
        self._large_from = large_from
        self._hint = hint
        self._digests = [b""]
        self._lock = threading.Lock()

    def body(self, key: str) -> bytes | None:
        if key == PARAMETERS:
            return Parameters("ab" * 16).encode()
        if key == HEAD and self._hint is not None:
            return self._hint.encode()
        named = parse(key)
        if named is None or named.kind is not KeyKind.LOG or named.seq is None:
            return None
        with self._lock:
            self.asked.append(named.seq)
            if self.is_pushed_to and named.seq > self._pushed:
                return None
            while len(self._digests) <= min(named.seq, self._large_from):
                self._digests.append(hashing.of_bytes(self._entry(len(self._digests) - 1)))
        return self._entry(named.seq)

    def put(self) -> None:
        """Another push always puts its entry first."""
        with self._lock:
            self._pushed += 1

    def _entry(self, seq: int) -> bytes:
        packs = {FileId(hashing.of_bytes(b"%d" % seq)): 100}
        previous = self._digests[seq] if seq <= self._large_from else None
        return LogEntry(f"{seq:032x}", seq, packs, (), previous=previous).encode()

    def filling(self, key: str) -> bytes:
        """Return what comes behind the body under `key` to make it large."""
        named = parse(key)
        return LARGE if named is not None and named.seq is not None and named.seq >= self._large_from else b""


@contextlib.contextmanager
def served(endless: Endless) -> Iterator[str]:
    """Serve such a store; the value is its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            time.sleep(endless.pause)
            key = self.path.split("/", 2)[-1]
            body, filling = endless.body(key), endless.filling(key)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"") + len(filling)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body or b"")
                self.wfile.write(filling)
                endless.large += len(filling) > 0

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            endless.put()
            self.send_response(412)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 64

        def handle_error(self, *_: object) -> None: ...

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/set"
        finally:
            server.shutdown()
            thread.join()


def opened(address: str, cache: Path) -> Store:
    return Store(Http(address), cache)


@pytest.mark.parametrize("hint", [None, Hint(2**62, None)], ids=["no hint", "a hint that lies"])
def test_an_endless_log_is_read_up_to_a_limit_and_continued_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hint: Hint | None
) -> None:
    monkeypatch.setattr(log_reader, "MAX_ENTRIES", 300)
    endless = Endless(hint=hint)
    with served(endless) as address:
        for reached in (299, 599):
            endless.asked.clear()
            with contextlib.closing(opened(address, tmp_path)) as store:
                with pytest.raises(CorruptData, match=f"is endless: it was read up to entry {reached}") as caught:
                    store.refresh()
                assert caught.value.hint is not None and "administrator" in caught.value.hint
                assert store.state.seq == reached and len(store.state.packs) == reached + 1
            assert len(endless.asked) < 3 * 300


def test_a_slow_endless_log_is_read_up_to_a_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_reader, "MAX_SECONDS", 1.0)
    endless = Endless()
    endless.pause = 0.2
    with served(endless) as address, contextlib.closing(opened(address, tmp_path)) as store:
        start = time.monotonic()
        with pytest.raises(CorruptData, match="is endless"):
            store.refresh()
        assert 1.0 <= time.monotonic() - start < 10


def test_large_entries_without_end_come_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_reader, "MAX_BYTES", 60 << 20)
    endless = Endless(large_from=300)
    with served(endless) as address, contextlib.closing(opened(address, tmp_path)) as store:
        with pytest.raises(CorruptData, match="is endless: it was read up to entry 303"):
            store.refresh()
        assert endless.large == 4


def test_large_entries_among_small_ones_are_read_in_order(tmp_path: Path) -> None:
    digest = b""
    backend = Counted(Directory(tmp_path / "store"))
    store = Store(backend, tmp_path / "cache")
    store.create()
    for seq in range(60):
        packs = {FileId(os.urandom(32)): 100 for _ in range(5000 if seq in (0, 7, 8, 30, 59) else 1)}
        data = LogEntry(os.urandom(16).hex(), seq, packs, (), previous=digest).encode()
        digest = hashing.of_bytes(data)
        backend.create(log_key(seq), data)
    backend.asked.clear()
    state = store.refresh()
    assert state.seq == 59 and len(state.packs) == 5 * 5000 + 55
    assert (store.digest, store.other_history) == (digest, None)
    assert len(backend.asked) < 2 * 60 + 10


def test_a_push_that_always_loses_the_race_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_reader, "MAX_ENTRIES", 50)
    endless = Endless()
    endless.is_pushed_to = True
    with served(endless) as address, contextlib.closing(opened(address, tmp_path)) as store:
        store.refresh()
        with pytest.raises(LdsError, match="is endless"):
            store.commit(os.urandom(16).hex(), {}, None, ())
        assert 40 < store.state.seq <= 50


def test_a_push_to_a_log_without_end_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_reader, "MAX_ENTRIES", 50)
    endless = Endless()
    endless.is_pushed_to = True
    with served(endless) as address, contextlib.closing(opened(address, tmp_path)) as store:
        store.refresh()
        endless.is_pushed_to = False
        with pytest.raises(LdsError, match="is endless"):
            store.commit(os.urandom(16).hex(), {}, None, ())


def test_indexes_that_would_fill_the_disk_are_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Machine(tmp_path / "writer")
    for number in range(8):
        writer.push(tmp_path / "store", writer.add(b"%d" % number))
    monkeypatch.setattr(reader, "MAX_INDEX_BYTES", 300)
    with contextlib.closing(Store(Directory(tmp_path / "store"), tmp_path / "cache")) as store:
        store.refresh()
        with pytest.raises(LdsError, match=r"the indexes of .*/store have more than 300 bytes"):
            store.find([hashing.of_bytes(b"1")])
        fetched = [path.stat().st_size for path in (store.directory / "index").iterdir()]
        assert 300 < sum(fetched) < 1000

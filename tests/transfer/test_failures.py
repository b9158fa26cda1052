"""Whatever a server or a line does to a request: a push or a download comes to its end, or says in one line why not. Nothing
wrong is kept, nothing is lost, and the same again completes it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from kit import faulty_proxy
from kit.faulty_proxy import Action, Between, Fault, one_by_one, status
from kit.matrix import some_of
from kit.stores import Machine, state_of
from kit.work import random_bytes

from git_lds import hashing
from git_lds.errors import LdsError
from git_lds.hashing import FileId
from git_lds.store.backends.http import Http
from git_lds.store.format.keys import KeyKind, checkpoint_key
from git_lds.store.format.log import Hint
from git_lds.transfer import upload_plan

PASSING = {
    "408, 429, 500": one_by_one(status(408), status(429, Retry_After="0"), status(500)),
    "429, 502": one_by_one(status(429, Retry_After="Fri, 31 Dec 1999 23:59:59 GMT"), status(502)),
    "503, 504": one_by_one(status(503, Retry_After="0"), status(504)),
    "silent before": faulty_proxy.silent_before,
    "silent after": faulty_proxy.silent_after,
    "cut before": faulty_proxy.cut_before,
    "cut in the request": faulty_proxy.cut_in_request,
    "cut after": faulty_proxy.cut_after,
    "cut in the answer": faulty_proxy.cut_in_answer,
    "without ranges": faulty_proxy.without_ranges,
    "trickling": faulty_proxy.trickling,
}
"""Faults that a transfer survives silently if each happens once."""

LASTING = {
    **{str(code): status(code) for code in (400, 401, 403, 404, 409, 412, 416, 422, 507)},
    "shortened": faulty_proxy.shortened,
    "flipped": faulty_proxy.flipped,
    "flipped request": faulty_proxy.flipped_request,
    "another range": faulty_proxy.another_range,
    "redirected to nowhere": status(302, Location="http://127.0.0.1:1/"),
    "a login page": faulty_proxy.saying(b"<html>Please log in</html>"),
    "nothing": faulty_proxy.saying(b""),
    "rubbish": faulty_proxy.saying(random_bytes(7, 5000)),
}
"""Faults that may end a transfer."""

FAULTS = {**PASSING, **LASTING}
_SOON = ("408, 429, 500", "503, 504", "silent before", "silent after", "cut in the request", "cut in the answer")
_LATE = ("without ranges", "403", "412", "shortened", "flipped", "another range", "a login page")
faults = pytest.mark.parametrize("fault", some_of(FAULTS, *_SOON, *_LATE))
ALWAYS = 1000
READS = [(kind, 1) for kind in (KeyKind.PARAMETERS, KeyKind.HEAD, KeyKind.LOG, KeyKind.INDEX, KeyKind.PACK)]
READS += [(kind, ALWAYS) for kind in (KeyKind.LOG, KeyKind.INDEX, KeyKind.PACK)]
WRITES = [(kind, 1) for kind in (KeyKind.PACK, KeyKind.INDEX, KeyKind.LOG, KeyKind.HEAD)]
WRITES += [(kind, ALWAYS) for kind in (KeyKind.PACK, KeyKind.LOG)]
"""The requests that a fault hits, and how often."""

OLD = [random_bytes(n, 9_000 + n) for n in range(5)]
NEW = [*(random_bytes(100 + n, 20_000 + n) for n in range(12)), random_bytes(200, 400_000)]


@pytest.fixture
def bad(proxy: tuple[Between, Path], monkeypatch: pytest.MonkeyPatch) -> Between:
    monkeypatch.setattr(upload_plan, "target_size", lambda new_bytes: 1 << 17)
    proxy[0].forget()
    return proxy[0]


@pytest.fixture
def new_store(proxy: tuple[Between, Path], tmp_path: Path) -> Callable[[], tuple[str, Path]]:
    """Make a store with one push in it: its address behind the proxy, and its directory."""

    def make() -> tuple[str, Path]:
        name = os.urandom(8).hex()
        with contextlib.closing(Machine(tmp_path / f"maker-{name}")) as machine:
            machine.push(proxy[1] / name, machine.add(*OLD))
        return f"{proxy[0].url}/{name}", proxy[1] / name

    return make


def http(url: str, faults: list[Fault]) -> Http:
    silent = {faulty_proxy.silent_before, faulty_proxy.silent_after} & {fault.action for fault in faults}
    return Http(url, silence=0.3 if silent else 20, pause=0.005)


def said(error: LdsError) -> str:
    assert error.message and "\n" not in error.message and len(error.message) < 500, error.message
    return error.message


def try_push(url: str, bad: Between, faults: list[Fault], new: Path) -> str:
    """Push NEW; return what was said. The log has it once or not at all, and nothing but the whole of it can be seen."""
    store = bad_store(url, new)
    bad.faults = faults
    message = ""
    try:
        with contextlib.closing(http(url, faults)) as backend, contextlib.closing(Machine(new)) as machine:
            machine.push(backend, machine.add(*NEW))
    except LdsError as error:
        message = said(error)
    bad.forget()
    state = state_of(store, new / "seen")
    found = state.find(hashing.of_bytes(data) for data in NEW)
    assert state.state.seq == (1 if found else 0), "a push is one entry"
    assert len(found) in (0, len(NEW)), message
    assert message or found, "it said that it worked"
    return message


def bad_store(url: str, machine: Path) -> Path:
    return Path(os.environ["TEST_STORES"]) / url.rsplit("/", 1)[1]


@pytest.fixture(autouse=True)
def stores(proxy: tuple[Between, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_STORES", str(proxy[1]))


def assert_complete(store: Path, tmp_path: Path) -> None:
    with contextlib.closing(Machine(tmp_path / os.urandom(4).hex())) as reader:
        assert reader.pull(store, *OLD, *NEW).missing == ()
        assert all(reader.has(data) for data in (*OLD, *NEW))


@faults
def test_a_push_succeeds_or_says_why_and_is_completed_by_the_next(
    bad: Between, new_store: Callable[[], tuple[str, Path]], tmp_path: Path, fault: str
) -> None:
    reads = [(kind, times) for kind, times in READS if kind not in (KeyKind.INDEX, KeyKind.PACK)]
    for method, kind, times in [*(("GET", *each) for each in reads), *(("PUT", *each) for each in WRITES)]:
        url, store = new_store()
        machine = tmp_path / os.urandom(4).hex()
        message = try_push(url, bad, [Fault(method, kind, FAULTS[fault], max(times, fault.count(",") + 1))], machine)
        about = f"{fault}, {method} {kind}, {times} times: {message!r}"
        if times == 1 and (fault in PASSING or kind is KeyKind.HEAD):
            assert not message, about
        if message:  # then the same again
            assert try_push(url, bad, [], machine) == "", about
        assert_complete(store, tmp_path)


@faults
def test_a_download_keeps_right_objects_and_the_next_one_completes_it(
    bad: Between, new_store: Callable[[], tuple[str, Path]], tmp_path: Path, fault: str
) -> None:
    url, store = new_store()
    writer = Machine(tmp_path / "writer")
    writer.push(store, writer.add(*NEW))
    for kind, times in READS:
        reader = Machine(tmp_path / os.urandom(4).hex())
        bad.faults = [Fault("GET", kind, FAULTS[fault], max(times, fault.count(",") + 1))]
        done = reader.pull(http(url, bad.faults), *NEW)
        bad.forget()
        about = f"{fault}, GET {kind}, {times} times: {done.missing[:1]}"
        if times == 1 and (fault in PASSING or kind is KeyKind.HEAD):
            assert not done.missing, about
        assert len(done.missing) + done.objects == len(NEW), about
        for missing in done.missing:
            assert "\n" not in missing.message and url in missing.message, about
        absent = {missing.oid for missing in done.missing}
        for data in NEW:
            assert reader.has(data) == (hashing.of_bytes(data) not in absent), about
        assert set(reader.objects.cache) <= {hashing.of_bytes(data) for data in NEW}, about
        # and the same again, by another process
        with contextlib.closing(Machine(reader.directory)) as again:
            assert again.pull(http(url, []), *NEW).missing == (), about
            assert all(again.has(data) for data in NEW), about
        reader.close()


@pytest.mark.parametrize(
    "hint",
    [
        Hint(0, None).encode(),
        Hint(10**6, None).encode(),
        Hint(2**63 - 1, None).encode(),
        Hint(40, checkpoint_key(40, FileId(bytes(32)))).encode(),
        Hint(40, checkpoint_key(3, FileId(bytes(32)))).encode(),
        b"rubbish",
    ],
    ids=[
        "stale",
        "from the future",
        "the last there can be",
        "without its checkpoint",
        "without an old one",
        "rubbish",
    ],
)
def test_a_hint_that_is_wrong_costs_time_only(
    bad: Between, new_store: Callable[[], tuple[str, Path]], tmp_path: Path, hint: bytes
) -> None:
    url, _ = new_store()
    assert try_push(url, bad, [Fault("GET", KeyKind.HEAD, faulty_proxy.saying(hint), 1000)], tmp_path / "writer") == ""
    reader = Machine(tmp_path / "reader")
    bad.faults = [Fault("GET", KeyKind.HEAD, faulty_proxy.saying(hint), 1000)]
    assert reader.pull(http(url, []), *OLD, *NEW).missing == ()


@pytest.mark.parametrize("after", [faulty_proxy.silent_after, faulty_proxy.cut_after], ids=["silent", "cut"])
@pytest.mark.parametrize("times", [1, 4])
def test_an_unacknowledged_log_entry_exists_once(
    bad: Between, new_store: Callable[[], tuple[str, Path]], tmp_path: Path, after: Action, times: int
) -> None:
    url, _ = new_store()
    assert try_push(url, bad, [Fault("PUT", KeyKind.LOG, after, times)], tmp_path / "writer") == ""


def test_an_entry_that_is_taken_and_never_answered_for_is_found_by_reading(
    bad: Between, new_store: Callable[[], tuple[str, Path]], tmp_path: Path
) -> None:
    """The store takes the entry, and says nothing to this try and to all others."""
    url, _ = new_store()
    faults = [
        Fault("PUT", KeyKind.LOG, faulty_proxy.silent_after),
        Fault("PUT", KeyKind.LOG, faulty_proxy.silent_before, 1000),
    ]
    assert try_push(url, bad, faults, tmp_path / "writer") == ""

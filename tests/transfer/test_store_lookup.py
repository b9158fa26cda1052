"""Objects are looked up in many stores at a time: dead ones cost their time once, and those that have them are found."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.faulty_proxy import Between, Exchange, Fault
from kit.stores import Around, Machine

from git_lds import hashing
from git_lds.config.credentials import GitCredentials
from git_lds.errors import StoreUnreachable
from git_lds.git.run import Git
from git_lds.store.backends.contract import READ_LIMIT, Backend
from git_lds.store.backends.directory import Directory
from git_lds.store.backends.http import Http
from git_lds.store.client.store import Store
from git_lds.store.format.keys import KeyKind
from git_lds.transfer import store_lookup
from git_lds.transfer.store_lookup import look_up_in, look_up_in_order

DATA = [b"object %d" % number for number in range(6)]
OIDS = [hashing.of_bytes(data) for data in DATA]


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a machine that takes connections and says nothing, for any number of stores below it."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with contextlib.closing(Machine(tmp_path / "machine")) as machine:
        yield machine


def pushed(tmp_path: Path, name: str, *contents: bytes) -> Path:
    """Make a store that has these objects, from another machine; return its directory."""
    with contextlib.closing(Machine(tmp_path / f"writer of {name}")) as writer:
        writer.push(tmp_path / "stores" / name, writer.add(*contents))
    return tmp_path / "stores" / name


def opened(machine: Machine, *backends: Backend | Path) -> list[Store]:
    return [machine.store(backend) for backend in backends]


def test_twenty_dead_stores_cost_no_more_than_one(machine: Machine, tmp_path: Path, silent: str) -> None:
    own, last = pushed(tmp_path, "own", *DATA[:2]), pushed(tmp_path, "last", *DATA[2:4])
    dead = [Http(f"{silent}/{number}", silence=1, pause=0.01) for number in range(20)]
    began = time.monotonic()
    done = machine.pull([own, *dead, last], *DATA)
    assert time.monotonic() - began < 20, "two silences of a second for each, one after the other, are 40"
    assert [missing.oid for missing in done.missing] == OIDS[4:]
    assert all(machine.has(data) for data in DATA[:4])
    for missing in done.missing:
        assert missing.reasons[0] == f"not in {own}" and missing.reasons[-1] == f"not in {last}"
        assert [f"{silent}/{n} sent nothing for 1 seconds" for n in range(20)] == list(missing.reasons[1:-1])
    assert done.hint and "network" in done.hint


def test_a_store_that_does_not_answer_in_time_is_given_up(machine: Machine, tmp_path: Path, silent: str) -> None:
    alive = pushed(tmp_path, "alive", *DATA)
    stores = opened(machine, Http(silent), alive)
    began = time.monotonic()
    dead, answer = look_up_in(stores, OIDS, seconds=0.5)
    assert time.monotonic() - began < 20, "the silence that it may keep is a minute"
    assert answer.rows.keys() == set(OIDS) and answer.error is None
    assert isinstance(dead.error, StoreUnreachable) and not dead.rows
    assert dead.error.message == f"{silent} did not answer in 0.5 seconds" and dead.error.hint
    again, _ = look_up_in(stores, OIDS)
    assert again.error is dead.error, "it is not waited for a second time"


def slowly(exchange: Exchange) -> None:
    time.sleep(4)
    exchange.reply(exchange.pass_on())


def test_a_store_that_answers_may_take_its_time_to_bring_indexes(
    machine: Machine, proxy: tuple[Between, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    line, root = proxy
    line.forget()
    url = f"{line.url}/{pushed(root, 'slow', *DATA).rename(root / 'slow').name}"
    line.faults = [Fault("GET", KeyKind.INDEX, slowly, 2)]
    (answer,) = look_up_in(opened(machine, Http(url)), OIDS, seconds=3)
    assert answer.rows.keys() == set(OIDS)
    monkeypatch.setattr(store_lookup, "FIND_SECONDS", 0.1)
    with contextlib.closing(Machine(root / "another")) as another:
        (answer,) = look_up_in(opened(another, Http(url)), OIDS)
    assert answer.error is not None and "did not answer in 0.1 seconds" in answer.error.message


class Asking(Around):
    """A backend that requests credentials from git first."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.credentials = GitCredentials(Git())

    def read(self, key: str, start: int = 0, length: int | None = None, *, limit: int = READ_LIMIT) -> bytes:
        assert self.credentials.get("https://store.example.org") == ("ada", "secret")
        return self.inner.read(key, start, length, limit=limit)


def test_the_time_to_enter_a_password_does_not_count(machine: Machine, tmp_path: Path) -> None:
    helper = "!f() { sleep 3; echo username=ada; echo password=secret; }; f"
    subprocess.run(["git", "config", "--global", "credential.helper", helper], check=True)
    stores = opened(machine, Asking(Directory(pushed(tmp_path, "ours", *DATA))))
    (answer,) = look_up_in(stores, OIDS, seconds=2)
    assert answer.error is None and answer.rows.keys() == set(OIDS)


def test_if_the_first_store_has_everything_no_other_is_asked(machine: Machine, tmp_path: Path) -> None:
    first, other = Directory(pushed(tmp_path, "first", *DATA)), Directory(pushed(tmp_path, "other", *DATA))
    assert machine.pull([first, other], *DATA).missing == ()
    (answer,) = look_up_in_order(opened(machine, first, other), OIDS)
    assert answer.rows.keys() == set(OIDS)
    assert other.requests == 0


def test_an_object_comes_from_the_first_store_in_order_that_has_it(machine: Machine, tmp_path: Path) -> None:
    stores = [
        Directory(pushed(tmp_path, name, *DATA[first:last]))
        for name, first, last in (("a", 0, 2), ("b", 1, 4), ("c", 0, 6))
    ]
    found = [answer.rows.keys() for answer in look_up_in_order(opened(machine, *stores), OIDS)]
    assert found == [set(OIDS[:2]), set(OIDS[2:4]), set(OIDS[4:])]
    assert machine.pull(stores, *DATA[:4]).missing == ()
    with contextlib.closing(Machine(tmp_path / "only c")) as one:
        before = stores[2].requests
        one.pull([stores[2]], DATA[0])
        with_a_pack = stores[2].requests - before
    with contextlib.closing(Machine(tmp_path / "from b")) as other:
        before = stores[2].requests
        other.pull(stores, *DATA[:4])
        assert stores[2].requests - before < with_a_pack, "its packs were not read"


def test_a_store_that_refuses_connections_costs_no_more_than_its_tries(machine: Machine, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closing:
        port = closing.getsockname()[1]
    own = pushed(tmp_path, "own", *DATA[:3])
    refusing = [Http(f"http://127.0.0.1:{port}/{number}") for number in range(20)]
    began = time.monotonic()
    done = machine.pull([own, *refusing], *DATA)
    assert time.monotonic() - began < 30, "3 s for each are a minute"
    assert len(done.missing) == 3 and "refused" in done.missing[0].message

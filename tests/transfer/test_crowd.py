"""Many workers at one store: they request credentials once, and give up together if it is down."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import faulty_proxy
from kit.faulty_proxy import Between, Fault, between
from kit.lds_server import serving
from kit.stores import Machine
from kit.work import random_bytes

import git_lds
from git_lds import hashing
from git_lds.errors import StoreUnreachable
from git_lds.store.backends.http import Http
from git_lds.store.format.keys import KeyKind
from git_lds.transfer import upload, upload_plan

TESTS = Path(__file__).parents[1]
ALWAYS = 10**6
CONTENTS = [random_bytes(n, 60_000 + n) for n in range(30)]


@pytest.fixture(autouse=True)
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_plan, "target_size", lambda new_bytes: 1 << 17)


class Ada:
    """A user who types her password slowly."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.told: list[str] = []

    def get(self, url: str) -> tuple[str, str] | None:
        self.asked.append(time.monotonic())
        time.sleep(0.3)
        return "ada", "secret"

    def approve(self, url: str, user: str, password: str) -> None:
        self.told.append("right")

    def reject(self, url: str, user: str, password: str) -> None:
        self.told.append("wrong")


def without_login(line: Between) -> list[tuple[str, KeyKind | None]]:
    return [(asked.method, asked.kind) for asked in line.asked if "authorization" not in asked.headers]


@pytest.mark.parametrize("anonymous", [False, True], ids=["private", "everybody may read"])
def test_credentials_are_requested_once_and_sent_with_every_later_request(tmp_path: Path, anonymous: bool) -> None:
    options = {"users": {"ada": "secret"}, "allow_anonymous": anonymous}
    with serving(tmp_path / "stores", **options) as served, between(served.url) as line:
        first = Machine(tmp_path / "first")
        writer = Http(f"{line.url}/set", Ada())
        first.store(writer).create()
        writer.close()
        for machine, verb in ((first, "push"), (Machine(tmp_path / "second"), "pull")):
            line.forget()
            ada = Ada()
            backend = Http(f"{line.url}/set", ada)
            store = machine.store(backend)
            if verb == "push":
                wanted = machine.add(*CONTENTS)
                assert upload.upload(store, machine.objects, wanted, {}, tmp=machine.directory / "tmp").packs > 8
                assert len(line.of("PUT", KeyKind.PACK)) > 8
            else:
                assert machine.pull(backend, *CONTENTS).missing == ()
            backend.close()
            if anonymous and verb == "pull":
                assert ada.asked == []
                continue
            assert len(ada.asked) == 1 and ada.told == ["right"]
            known = ada.asked[0] + 0.25
            late = [asked for asked in line.asked if asked.start > known and "authorization" not in asked.headers]
            assert late == []
            if anonymous:
                assert [each for each in without_login(line) if each[0] == "PUT"] == [("PUT", KeyKind.PACK)]
            else:
                assert {kind for _, kind in without_login(line)} <= {KeyKind.PARAMETERS, KeyKind.HEAD, KeyKind.LOG}
                assert len(without_login(line)) <= 5, "the first look, which is one round trip"


# a store that is down


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Between]:
    with serving(tmp_path / "stores") as served, between(served.url) as line:
        yield line


@pytest.mark.parametrize(
    ("action", "most", "tries"),
    [(faulty_proxy.silent_before, 4.0, 3), (faulty_proxy.cut_before, 2.0, 5), (faulty_proxy.status(503), 2.0, 5)],
    ids=["silent", "cutting", "busy"],
)
@pytest.mark.parametrize("verb", ["push", "pull"])
def test_a_store_that_goes_down_soon_ends_the_transfer(
    line: Between, tmp_path: Path, verb: str, action: faulty_proxy.Action, most: float, tries: int
) -> None:
    """Not each of 30 packs uses up its tries. A silence, here of half a second, is tried twice."""
    writer = Machine(tmp_path / "writer")
    wanted = writer.add(*CONTENTS)
    backend = Http(f"{line.url}/set", silence=0.5, pause=0.02)
    if verb == "pull":
        writer.push(tmp_path / "stores" / "set", wanted)
    line.faults = [Fault("PUT" if verb == "push" else "GET", KeyKind.PACK, action, ALWAYS)]
    start = time.monotonic()
    if verb == "push":
        with pytest.raises(StoreUnreachable) as caught:
            writer.push(backend, wanted)
        assert "\n" not in caught.value.message
    else:
        done = Machine(tmp_path / "reader").pull(backend, *CONTENTS)
        assert len({missing.reasons for missing in done.missing}) == 1 and len(done.missing) == len(CONTENTS)
    assert time.monotonic() - start < most + 4
    assert len([asked for asked in line.asked if asked.kind is KeyKind.PACK]) <= 4 * tries + 4


@pytest.mark.parametrize("kind", [KeyKind.PARAMETERS, KeyKind.LOG, KeyKind.INDEX, KeyKind.PACK])
def test_ctrl_c_ends_a_download_from_a_silent_store(line: Between, tmp_path: Path, kind: KeyKind) -> None:
    writer = Machine(tmp_path / "writer")
    for number in range(4):
        writer.push(tmp_path / "stores" / "set", writer.add(b"%d" % number))
    line.faults = [Fault("GET", kind, faulty_proxy.silent_before, ALWAYS)]
    oid = hashing.of_bytes(b"3").hex()
    command = [
        sys.executable,
        str(TESTS / "kit" / "pull_process.py"),
        str(tmp_path / "reader"),
        f"{line.url}/set",
        oid,
        "1",
    ]
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}:{Path(git_lds.__file__).parents[1]}"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not line.of("GET", kind) and time.monotonic() < deadline:
        time.sleep(0.01)
    started = time.monotonic()
    for _ in range(5):  # Python may drop a Ctrl-C that comes while it runs a finaliser
        process.send_signal(signal.SIGINT)
        try:
            _, said = process.communicate(timeout=8)
            break
        except subprocess.TimeoutExpired:
            continue
    assert "KeyboardInterrupt" in said
    assert time.monotonic() - started < 40, "a store may be silent for a minute"

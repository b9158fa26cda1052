"""A push that is killed or cut off at any step: nothing shows before it is whole, and the next one completes it without
sending packs again that arrived."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.matrix import some_of
from kit.stores import Counted, Faulty, Machine, packs_in, state_of
from kit.work import random_bytes

import git_lds
from git_lds import hashing
from git_lds.errors import LdsError, StoreUnreachable
from git_lds.store.backends.directory import Directory
from git_lds.store.format.keys import KeyKind, Parameters
from git_lds.transfer import upload_plan

CONTENTS = [random_bytes(n, 30_000 + n) for n in range(16)] + [random_bytes(100, 700_000)]
TESTS = Path(__file__).parents[1]
STEPS = 20
"""More operations on the store than this push takes; a test sees to that."""


@pytest.fixture(autouse=True)
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_plan, "target_size", lambda new_bytes: 1 << 18)


def pushing(machine: Machine, store: Path | str, *at: str) -> subprocess.CompletedProcess[str]:
    machine.objects.close()
    command = [sys.executable, str(TESTS / "kit" / "push_process.py"), str(machine.directory), str(store), *at]
    environment = {"PYTHONPATH": f"{TESTS}:{Path(git_lds.__file__).parents[1]}"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def assert_whole(store: Path, tmp_path: Path) -> None:
    """Assert that a new machine gets every object from the store."""
    reader = Machine(tmp_path / "reader")
    assert reader.pull(store, *CONTENTS).missing == ()
    assert all(reader.has(data) for data in CONTENTS)


def assert_all_or_nothing(store: Path, tmp_path: Path) -> None:
    try:
        found = state_of(store, tmp_path / "seen").find(hashing.of_bytes(data) for data in CONTENTS)
    except LdsError as error:
        assert "there is no store" in error.message
    else:
        assert len(found) in (0, len(CONTENTS))


def test_the_steps_are_fewer_than_are_tried(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "machine")
    faulty = Faulty(Directory(tmp_path / "store"), STEPS, after=False, bad=lambda: None)
    machine.push(faulty, machine.add(*CONTENTS))
    assert faulty.left > 0


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", some_of(range(STEPS), *range(0, STEPS, 4)))
def test_a_push_that_is_killed_is_completed_by_the_next(tmp_path: Path, step: int, when: str) -> None:
    machine = Machine(tmp_path / "machine")
    store = tmp_path / "store"
    wanted = machine.add(*CONTENTS)
    pushing(machine, store, str(step), when)
    assert_all_or_nothing(store, tmp_path)
    there = packs_in(store) if store.is_dir() else set()

    backend = Counted(Directory(store))
    Machine(tmp_path / "machine").push(backend, wanted)
    state = state_of(store, tmp_path / "seen").state
    assert there <= state.packs.keys(), "a pack was sent, and sent again"
    assert packs_in(store) == state.packs.keys()
    assert len(backend.created(KeyKind.PACK)) == len(state.packs) - len(there)
    assert_whole(store, tmp_path)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", range(STEPS))
def test_a_push_that_loses_its_store_succeeds_or_says_so_and_is_completed_by_the_next(
    tmp_path: Path, step: int, after: bool
) -> None:
    def bad() -> None:
        raise StoreUnreachable("the line is cut")

    machine = Machine(tmp_path / "machine")
    store = tmp_path / "store"
    wanted = machine.add(*CONTENTS)
    try:
        machine.push(Faulty(Directory(store), step, after=after, bad=bad), wanted)
    except LdsError as error:
        assert error.message == "the line is cut"
        assert_all_or_nothing(store, tmp_path)
        there = packs_in(store) if store.is_dir() else set()
        machine.push(store, wanted)
        assert there <= state_of(store, tmp_path / "seen").state.packs.keys()
    assert_whole(store, tmp_path)


def test_a_push_that_is_killed_over_http_is_completed_by_the_next(tmp_path: Path, server: str) -> None:
    machine = Machine(tmp_path / "machine")
    machine.add(*CONTENTS)
    killed = pushing(machine, f"{server}/set", "9", "after")
    assert killed.returncode == -9
    assert_all_or_nothing(tmp_path / "stores/set", tmp_path)
    there = packs_in(tmp_path / "stores/set")
    assert there
    done = pushing(machine, f"{server}/set")
    assert done.returncode == 0, done.stderr
    assert there <= state_of(tmp_path / "stores/set", tmp_path / "seen").state.packs.keys()
    assert_whole(tmp_path / "stores/set", tmp_path)


@pytest.mark.parametrize("shared", [False, True], ids=["two machines", "one machine"])
@pytest.mark.parametrize("scheme", ["directory", "http"])
def test_two_processes_push_at_once_and_nothing_is_lost(tmp_path: Path, server: str, scheme: str, shared: bool) -> None:
    address = f"{server}/set" if scheme == "http" else str(tmp_path / "stores/set")
    Machine(tmp_path / "maker").push(tmp_path / "stores/set", {})
    running = []
    for number in range(2):
        machine = Machine(tmp_path / ("machine" if shared else f"machine-{number}"))
        machine.add(*CONTENTS[:8] if number and not shared else CONTENTS)
        machine.objects.close()
        command = [sys.executable, str(TESTS / "kit" / "push_process.py"), str(machine.directory), address]
        environment = {"PYTHONPATH": f"{TESTS}:{Path(git_lds.__file__).parents[1]}"}
        running.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    for process in running:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert_whole(tmp_path / "stores/set", tmp_path)


@contextlib.contextmanager
def silent_store() -> Iterator[tuple[str, threading.Event]]:
    """An empty store over HTTP that falls silent when a pack is put; the event says that one was."""
    reached = threading.Event()
    parameters = Parameters("ab" * 16).encode()
    opened: list[socket.socket] = []

    def answer(connection: socket.socket) -> None:
        data = b""
        while block := connection.recv(1 << 16):
            data += block
            if data.startswith(b"PUT"):
                reached.set()
                return
            if data.endswith(b"\r\n\r\n"):
                body = parameters if b"lds.toml" in data else b""
                status = b"200 OK" if body else b"404 Not Found"
                connection.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))
                data = b""

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                opened.append(connection)
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/set", reached
        for connection in opened:
            connection.close()


def test_ctrl_c_ends_a_push_to_a_silent_store(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "machine")
    machine.add(*CONTENTS)
    machine.objects.close()
    with silent_store() as (url, reached):
        command = [sys.executable, str(TESTS / "kit" / "push_process.py"), str(machine.directory), url]
        environment = {"PYTHONPATH": f"{TESTS}:{Path(git_lds.__file__).parents[1]}"}
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        assert reached.wait(30)
        # Python drops a signal's exception that comes while it runs a finaliser: a user presses Ctrl-C once more
        for _ in range(5):
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(8)
                break
        _, said = process.communicate(timeout=1)
        assert "KeyboardInterrupt" in said

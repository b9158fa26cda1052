"""A transfer that was cut off goes on where it was: what came of a large object stays, and what was sent is not sent again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kit import faulty_proxy
from kit.faulty_proxy import Between, Fault, at_most
from kit.stores import Machine, state_of
from kit.work import random_bytes

import git_lds
from git_lds import hashing
from git_lds.errors import LdsError
from git_lds.hashing import Oid
from git_lds.store.backends.http import Http
from git_lds.store.format.keys import KeyKind
from git_lds.transfer import assembly, partial, upload_plan

MIB = 1 << 20
ALWAYS = 10**6
TESTS = Path(__file__).parents[1]
LARGE = random_bytes(1, 20 * MIB)


@pytest.fixture
def line(proxy: tuple[Between, Path]) -> Between:
    proxy[0].delay = 0
    proxy[0].forget()
    return proxy[0]


@pytest.fixture
def url(proxy: tuple[Between, Path], line: Between, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store that has LARGE, in packs of 4 MiB."""
    name = os.urandom(8).hex()
    monkeypatch.setattr(upload_plan, "target_size", lambda new_bytes: 4 * MIB)
    writer = Machine(tmp_path / "writer")
    writer.push(proxy[1] / name, writer.add(LARGE))
    return f"{line.url}/{name}"


def http(url: str) -> Http:
    return Http(url, silence=5, pause=0.05)


def received(line: Between) -> int:
    """The bytes of packs that went to the client."""
    return sum(asked.received for asked in line.of("GET", KeyKind.PACK))


def cut_off(line: Between, reader: Machine, url: str, contents: bytes = LARGE) -> int:
    """Download until the line is cut for good; return how many bytes of the object came and were kept."""
    line.faults = [
        Fault("GET", KeyKind.PACK, faulty_proxy.cut_in_answer, times=2, skip=2),
        Fault("GET", KeyKind.PACK, faulty_proxy.cut_before, times=ALWAYS, skip=2),
    ]
    assert reader.pull(http(url), contents).missing
    assert not reader.has(contents)
    line.forget()
    kept = kept_of(reader)
    assert kept > 3 * MIB
    return kept


def partials(machine: Machine) -> list[Path]:
    return sorted((machine.directory / "cache" / "partial").glob("*"))


def kept_of(machine: Machine) -> int:
    """Return how many bytes of the one partial object are recorded."""
    (notes,) = [path for path in partials(machine) if path.suffix]
    stretches = {
        (pack, at, place): length for pack, at, _, place, length in partial._STRETCH.iter_unpack(notes.read_bytes())
    }
    return sum(stretches.values())


# downloads


def test_a_download_that_was_cut_off_asks_only_for_the_rest(line: Between, url: str, tmp_path: Path) -> None:
    kept = cut_off(line, Machine(tmp_path / "reader"), url)
    reader = Machine(tmp_path / "reader")
    assert reader.pull(http(url), LARGE).missing == ()
    assert reader.has(LARGE)
    assert kept + received(line) < len(LARGE) * 1.001
    assert partials(reader) == []


def test_it_may_be_cut_off_again_and_again(line: Between, url: str, tmp_path: Path) -> None:
    came = runs = 0
    while not Machine(tmp_path / "reader").has(LARGE) and runs < 10:
        line.faults = [Fault("GET", KeyKind.PACK, faulty_proxy.cut_before, ALWAYS, skip=1 + (runs == 0))]
        Machine(tmp_path / "reader").pull(http(url), LARGE)
        came, runs = came + received(line), runs + 1
        line.forget()
    assert 4 <= runs < 10
    assert came < len(LARGE) * 1.01


def pull_process(machine: Machine, url: str) -> subprocess.Popen[str]:
    machine.objects.close()
    oid = hashing.of_bytes(LARGE).hex()
    command = [
        sys.executable,
        str(TESTS / "kit" / "pull_process.py"),
        str(machine.directory),
        url,
        oid,
        str(len(LARGE)),
    ]
    environment = {"PYTHONPATH": f"{TESTS}:{Path(git_lds.__file__).parents[1]}"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_an_interrupted_download_is_continued_by_the_next_process(
    line: Between, url: str, tmp_path: Path, end: signal.Signals
) -> None:
    reader = Machine(tmp_path / "reader")
    line.faults = [Fault("GET", KeyKind.PACK, at_most(6 * MIB), ALWAYS)]
    process = pull_process(reader, url)
    deadline = time.monotonic() + 60
    while received(line) < 10 * MIB and time.monotonic() < deadline:
        time.sleep(0.01)
    for _ in range(5):  # Python may drop a Ctrl-C that comes while it runs a finaliser
        process.send_signal(end)
        try:
            process.communicate(timeout=5)
            break
        except subprocess.TimeoutExpired:
            continue
    assert process.returncode not in (0, None)
    came = received(line)
    line.forget()
    again = Machine(tmp_path / "reader")
    assert again.pull(http(url), LARGE).missing == ()
    assert again.has(LARGE)
    assert came + received(line) < len(LARGE) + 8 * MIB, "and what was on its way at the end"
    assert partials(again) == []


def test_two_processes_that_fetch_one_object_do_not_disturb_each_other(line: Between, url: str, tmp_path: Path) -> None:
    line.faults = [Fault("GET", KeyKind.PACK, at_most(20 * MIB), ALWAYS)]
    processes = [pull_process(Machine(tmp_path / "reader"), url) for _ in range(3)]
    for process in processes:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    reader = Machine(tmp_path / "reader")
    assert reader.has(LARGE)
    assert partials(reader) == []
    assert list((reader.directory / "cache" / "tmp").glob("*")) == []


@pytest.mark.parametrize("damage", ["contents", "notes", "cut notes", "no notes", "no contents"])
def test_a_damaged_partial_object_is_fetched_again(line: Between, url: str, tmp_path: Path, damage: str) -> None:
    cut_off(line, Machine(tmp_path / "reader"), url)
    contents, notes = partials(Machine(tmp_path / "reader"))
    data = bytearray(contents.read_bytes())
    if damage == "contents":
        contents.write_bytes(bytes(byte ^ 1 for byte in data))
    elif damage == "no contents":
        contents.unlink()
    elif damage == "no notes":
        notes.unlink()
    else:
        whole = notes.read_bytes()
        notes.write_bytes(whole[:-7] if damage == "cut notes" else whole[:40] + bytes(9) + whole[49:])
    reader = Machine(tmp_path / "reader")
    assert reader.pull(http(url), LARGE).missing == ()
    assert reader.has(LARGE)
    assert partials(reader) == []


def test_a_wrong_partial_object_is_deleted(line: Between, url: str, tmp_path: Path) -> None:
    reader = Machine(tmp_path / "reader")
    line.faults = [Fault("GET", KeyKind.PACK, faulty_proxy.flipped, ALWAYS)]
    assert reader.pull(http(url), LARGE).missing
    assert partials(reader) == []


def test_an_object_that_only_was_not_read_again_is_not_fetched_again(
    line: Between, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(fd: int, size: int) -> Oid:
        raise LdsError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(assembly, "oid_of", killed)
        with pytest.raises(LdsError, match="killed"):
            Machine(tmp_path / "reader").pull(http(url), LARGE)
    line.forget()
    reader = Machine(tmp_path / "reader")
    assert reader.pull(http(url), LARGE).missing == ()
    assert reader.has(LARGE)
    assert received(line) == 0


def test_old_partial_objects_are_deleted(line: Between, url: str, tmp_path: Path) -> None:
    cut_off(line, Machine(tmp_path / "reader"), url)
    reader = Machine(tmp_path / "reader")
    old = time.time() - partial.KEPT_SECONDS - 10
    for path in partials(reader):
        os.utime(path, (old, old))
    assert reader.pull(http(url), b"another").missing
    assert partials(reader) == []


def test_a_smaller_object_leaves_nothing(
    line: Between, tmp_path: Path, proxy: tuple[Between, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = random_bytes(5, partial.WORTH_KEEPING - 1)
    writer = Machine(tmp_path / "writer")
    writer.push(proxy[1] / "smaller", writer.add(data))
    line.faults = [Fault("GET", KeyKind.PACK, faulty_proxy.cut_before, ALWAYS, skip=2)]
    reader = Machine(tmp_path / "reader")
    assert reader.pull(http(f"{line.url}/smaller"), data).missing
    assert partials(reader) == []


# uploads


def push_process(machine: Machine, url: str) -> subprocess.Popen[str]:
    machine.objects.close()
    command = [sys.executable, str(TESTS / "kit" / "push_process.py"), str(machine.directory), url]
    environment = {
        "PYTHONPATH": f"{TESTS}:{Path(git_lds.__file__).parents[1]}",
        "TEST_PACK_SIZE": str(4 * MIB),
    }
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def kill(process: subprocess.Popen[str], line: Between) -> None:
    process.kill()


def cut(process: subprocess.Popen[str], line: Between) -> None:
    line.faults = [Fault(method, None, faulty_proxy.cut_before, ALWAYS) for method in ("PUT", "GET", "HEAD")]


@pytest.mark.parametrize("end", [kill, cut], ids=["killed", "without its line"])
@pytest.mark.parametrize("size", [48 * MIB, pytest.param(300 * MIB, marks=pytest.mark.slow)], ids=["48 MiB", "300 MiB"])
def test_an_interrupted_push_sends_only_the_rest_next_time(
    line: Between, proxy: tuple[Between, Path], tmp_path: Path, size: int,
    end: Callable[[subprocess.Popen[str], Between], None],
) -> None:  # fmt: skip
    machine = Machine(tmp_path / "machine")
    contents = [random_bytes(900 + n, size // 4) for n in range(4)]
    machine.add(*contents)
    name = os.urandom(8).hex()
    line.faults = [Fault("PUT", KeyKind.PACK, at_most(24 * MIB), ALWAYS)]
    process = push_process(machine, f"{line.url}/{name}")
    deadline = time.monotonic() + 100
    while sum(asked.sent for asked in line.of("PUT")) < size // 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    end(process, line)
    _, said = process.communicate(timeout=100)
    assert process.returncode != 0
    if end is cut:
        assert "StoreUnreachable" in said
    line.forget()
    time.sleep(0.3)  # what the proxy holds may still arrive
    there = sum(path.stat().st_size for path in (proxy[1] / name / "pack").rglob("*") if path.is_file())
    assert there > size // 4

    again = push_process(machine, f"{line.url}/{name}")
    _, said = again.communicate(timeout=100)
    assert again.returncode == 0, said
    sent = sum(asked.sent for asked in line.of("PUT", KeyKind.PACK))
    assert there + sent < size * 1.01 + 100_000, "a pack that was there was sent again"
    assert len(state_of(proxy[1] / name, tmp_path / "seen").find(map(hashing.of_bytes, contents))) == 4

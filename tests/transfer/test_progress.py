"""Progress tells each byte and each file once, whatever is tried again, and ends at the whole of it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from kit import faulty_proxy
from kit.faulty_proxy import Between, Fault
from kit.stores import Machine
from kit.work import random_bytes

from git_lds import hashing
from git_lds.cli.render.progress import Lines
from git_lds.errors import LdsError
from git_lds.store.backends.http import Http
from git_lds.store.format.keys import KeyKind
from git_lds.transfer import upload, upload_plan
from git_lds.transfer.download import download

MIB = 1 << 20
ALWAYS = 10**6
CONTENTS = [*(random_bytes(n, 30_000 + n) for n in range(12)), random_bytes(50, 300_000), random_bytes(51, 12 * MIB)]
TOTAL = sum(map(len, CONTENTS))


class Told:
    """A progress that remembers, and sees to it that no total is ever exceeded."""

    def __init__(self) -> None:
        self.size = self.files = 0
        self.names: list[str] = []
        self._lock = threading.Lock()
        self._total = (0, 0)

    def start(self, verb: str, files: int, size: int) -> None:
        self.size = self.files = 0
        self.names.clear()
        self._total = (files, size)

    def moved(self, size: int) -> None:
        with self._lock:
            assert size > 0
            self.size += size
            assert self.size <= self._total[1], "more than there is"

    def done(self, name: str) -> None:
        with self._lock:
            self.names.append(name)
            assert len(self.names) <= self._total[0]

    def finish(self) -> None: ...


@pytest.fixture
def line(proxy: tuple[Between, Path], monkeypatch: pytest.MonkeyPatch) -> Between:
    monkeypatch.setattr(upload_plan, "target_size", lambda new_bytes: 2 * MIB)
    proxy[0].forget()
    return proxy[0]


def wanted() -> dict[hashing.Oid, tuple[int, bytes]]:
    return {hashing.of_bytes(data): (len(data), b"file-%d" % n) for n, data in enumerate(CONTENTS)}


NAMES = sorted(f"file-{n}" for n in range(len(CONTENTS)))

FAULTS = {
    "nothing": [],
    "errors": [Fault("GET", KeyKind.PACK, faulty_proxy.status(503), 4)],
    "cut answers": [Fault("GET", KeyKind.PACK, faulty_proxy.cut_in_answer, 4)],
    "flipped": [Fault("GET", KeyKind.PACK, faulty_proxy.flipped, 3)],
    "flipped later": [Fault("GET", KeyKind.PACK, faulty_proxy.flipped, 2, skip=3)],
    "shortened": [Fault("GET", KeyKind.PACK, faulty_proxy.shortened, 2)],
    "without ranges": [Fault("GET", KeyKind.PACK, faulty_proxy.without_ranges, 3)],
}


@pytest.mark.parametrize("faults", FAULTS)
def test_a_download_counts_each_byte_once(
    line: Between, proxy: tuple[Between, Path], tmp_path: Path, faults: str
) -> None:
    name = os.urandom(8).hex()
    writer, reader = Machine(tmp_path / "writer"), Machine(tmp_path / "reader")
    writer.push(proxy[1] / name, writer.add(*CONTENTS))
    line.faults = [Fault(f.method, f.kind, f.action, f.times, f.skip) for f in FAULTS[faults]]
    told = Told()
    store = reader.store(Http(f"{line.url}/{name}", pause=0.01))
    assert download([store], reader.objects, wanted(), told).missing == ()
    assert told.size == TOTAL
    assert sorted(told.names) == NAMES


def test_bytes_of_an_earlier_run_count_as_done(line: Between, proxy: tuple[Between, Path], tmp_path: Path) -> None:
    name = os.urandom(8).hex()
    writer, reader = Machine(tmp_path / "writer"), Machine(tmp_path / "reader")
    writer.push(proxy[1] / name, writer.add(*CONTENTS))
    line.faults = [
        Fault("GET", KeyKind.PACK, faulty_proxy.cut_in_answer, 2, skip=3),
        Fault("GET", KeyKind.PACK, faulty_proxy.cut_before, ALWAYS, skip=3),
    ]
    told = Told()
    assert download([reader.store(Http(f"{line.url}/{name}", pause=0.05))], reader.objects, wanted(), told).missing
    here = [data for data in CONTENTS if reader.has(data)]
    assert len(told.names) == len(here) and sum(map(len, here)) < told.size < TOTAL
    kept = told.size - sum(map(len, here))
    reader.objects.close()

    line.forget()
    again = Machine(tmp_path / "reader")
    assert download([again.store(Http(f"{line.url}/{name}"))], again.objects, wanted(), told).missing == ()
    assert told.size == TOTAL - sum(map(len, here))
    assert len(told.names) == len(CONTENTS) - len(here)
    assert sum(asked.received for asked in line.of("GET", KeyKind.PACK)) < told.size - kept + 10_000


def test_progress_continues_with_the_second_store(line: Between, proxy: tuple[Between, Path], tmp_path: Path) -> None:
    names = [os.urandom(8).hex() for _ in range(2)]
    for name in names:  # two writers, so that nothing of the one store is of use in the other
        writer = Machine(tmp_path / name)
        writer.push(proxy[1] / name, writer.add(*CONTENTS))
    reader, told = Machine(tmp_path / "reader"), Told()
    line.faults = [
        Fault("GET", KeyKind.PACK, faulty_proxy.cut_in_answer, 3, skip=3),
        Fault("GET", KeyKind.PACK, faulty_proxy.cut_before, 15, skip=3),
    ]
    stores = [reader.store(Http(f"{line.url}/{name}", pause=0.02)) for name in names]
    assert download(stores, reader.objects, wanted(), told).missing == ()
    assert told.size == TOTAL
    assert sorted(told.names) == NAMES


@pytest.mark.parametrize("action", [faulty_proxy.status(503), faulty_proxy.cut_after, faulty_proxy.cut_in_request])
def test_an_upload_counts_each_byte_once(
    line: Between, proxy: tuple[Between, Path], tmp_path: Path, action: faulty_proxy.Action
) -> None:
    machine, told = Machine(tmp_path / "machine"), Told()
    store = machine.store(Http(f"{line.url}/{os.urandom(8).hex()}", pause=0.01))
    store.create()
    line.faults = [Fault("PUT", KeyKind.PACK, action, 3)]
    upload.upload(store, machine.objects, machine.add(*CONTENTS), {}, tmp=machine.directory / "tmp", progress=told)
    assert told.size == TOTAL
    assert sorted(told.names) == NAMES


def test_packs_of_an_earlier_push_count_as_done(line: Between, proxy: tuple[Between, Path], tmp_path: Path) -> None:
    machine = Machine(tmp_path / "machine")
    store = machine.store(Http(f"{line.url}/{os.urandom(8).hex()}", pause=0.01))
    store.create()
    objects = machine.add(*CONTENTS)
    line.faults = [Fault("PUT", KeyKind.LOG, faulty_proxy.status(403), ALWAYS)]
    told = Told()
    with pytest.raises(LdsError):
        upload.upload(store, machine.objects, objects, {}, tmp=machine.directory / "tmp", progress=told)
    line.forget()
    upload.upload(store, machine.objects, objects, {}, tmp=machine.directory / "tmp", progress=told)
    assert sum(asked.sent for asked in line.of("PUT", KeyKind.PACK)) < 10_000
    assert told.size == TOTAL
    assert sorted(told.names) == NAMES


def test_the_lines_of_the_progress_file_end_with_all_of_it(
    line: Between, proxy: tuple[Between, Path], tmp_path: Path
) -> None:
    name = os.urandom(8).hex()
    writer, reader = Machine(tmp_path / "writer"), Machine(tmp_path / "reader")
    writer.push(proxy[1] / name, writer.add(*CONTENTS))
    line.faults = [Fault("GET", KeyKind.PACK, faulty_proxy.flipped, 3)]
    store = reader.store(Http(f"{line.url}/{name}", pause=0.01))
    assert download([store], reader.objects, wanted(), Lines(str(tmp_path / "progress"))).missing == ()
    lines = (tmp_path / "progress").read_text().splitlines()
    assert [line.split()[1] for line in lines] == [f"{n}/{len(CONTENTS)}" for n in range(1, len(CONTENTS) + 1)]
    sizes = [int(line.split()[2].split("/")[0]) for line in lines]
    assert sizes == sorted(sizes) and sizes[-1] == TOTAL

"""Memory stays small however large an object is: a process that moves 1 GiB stays below 100 MiB."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from kit.stores import Machine

import git_lds
from git_lds import hashing
from git_lds.hashing import Oid

TESTS = Path(__file__).parents[1]
LIMIT = 100 << 10
"""KiB that a process may have in memory at most, as the system counts."""

MOVE = """
import contextlib, re, sys
from pathlib import Path
from kit.stores import Machine
from git_lds.hashing import Oid
from git_lds.store.backends.http import Http
from git_lds.transfer.download import download
from git_lds.transfer.upload import upload
verb, directory, url, size, oid = sys.argv[1:]
machine, oid, size = Machine(Path(directory)), Oid(bytes.fromhex(oid)), int(size)
with contextlib.closing(machine.store(Http(url))) as store:
    store.create()
    if verb == "push":
        moved = upload(store, machine.objects, {oid: [b"big"]}, {}, tmp=machine.directory / "tmp").bytes
    else:
        done = download([store], machine.objects, {oid: (size, b"big")})
        assert not done.missing, done.missing
        moved = done.bytes
# not getrusage: its peak counts that of the process that started this one
print(moved, re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def moving(verb: str, machine: Machine, url: str, size: int, oid: Oid) -> tuple[int, int]:
    """Return the bytes moved and the peak of memory in KiB of a process that pushes or pulls the object."""
    machine.objects.close()
    command = [sys.executable, "-c", MOVE, verb, str(machine.directory), url, str(size), oid.hex()]
    environment = {"PYTHONPATH": f"{TESTS}:{Path(git_lds.__file__).parents[1]}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    moved, peak = done.stdout.split()
    return int(moved), int(peak)


def big_object(machine: Machine, size: int, edits: int) -> Oid:
    """Put an object of random bytes, written over in 100 places of `edits` bytes in all, into the local store."""
    from blake3 import blake3

    stream, other = blake3(b"the object"), blake3(b"the edits")
    with machine.objects.own.scratch() as scratch, scratch.file() as file:
        for at in range(0, size, 1 << 20):
            file.write(stream.digest(length=min(1 << 20, size - at), seek=at))
        for number in range(100 if edits else 0):
            file.seek(number * (size // 100))
            file.write(other.digest(length=edits // 100, seek=number * (1 << 20)))
        file.seek(0)
        oid, _ = hashing.of_stream(file)
        machine.objects.own.adopt(oid, scratch)
    return oid


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak of a process by itself")
@pytest.mark.parametrize("size", [160 << 20, pytest.param(1 << 30, marks=pytest.mark.slow)], ids=["160 MiB", "1 GiB"])
def test_a_large_object_and_its_edit_move_in_little_memory_and_few_bytes(
    tmp_path: Path, server: str, size: int
) -> None:
    writer, reader = Machine(tmp_path / "writer"), Machine(tmp_path / "reader")
    whole = big_object(writer, size, 0)
    edit = big_object(writer, size, size // 100)
    for oid, most in ((whole, size * 1.01), (edit, size * 0.05 if size < 1 << 30 else size * 0.02)):
        for verb, machine in (("push", writer), ("pull", reader)):
            moved, peak = moving(verb, machine, f"{server}/set", size, oid)
            assert moved <= most, verb
            assert peak < LIMIT, verb

"""Writing large objects: every byte arrives at its place, and errors of the disk are raised."""

from __future__ import annotations

import errno
import os
import random
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kit.work import no_file_larger_than, random_bytes

from git_lds.files import Scratch
from git_lds.local import direct_write
from git_lds.local.direct_write import Writer

BUFFER = 4 * 4096
MEMORY = 3 * 4096


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Borders that some KiB cross."""
    monkeypatch.setattr(direct_write, "MEMORY", MEMORY)
    monkeypatch.setattr(direct_write, "_BUFFER", BUFFER)
    monkeypatch.setattr(direct_write, "_STRETCH", 4096)


@pytest.fixture
def disk() -> Iterator[Path]:
    """A directory on a disk, where there is one: that of the other tests may be in memory."""
    with tempfile.TemporaryDirectory(dir="/var/tmp" if os.path.isdir("/var/tmp") else None) as directory:
        yield Path(directory)


def written(directory: Path, data: bytes, blocks: Iterator[int], at: int = 0) -> bytes:
    """Return the contents of the file after `data` was written to it, the first `at` bytes by another writer."""
    with Scratch(directory) as scratch:
        os.write(scratch.fd, data[:at])
        with closing(Writer(scratch, at)) as writer:
            done = at
            while done < len(data):
                size = next(blocks)
                writer.write(data[done : done + size])
                done += size
            writer.finish()
        return scratch.path.read_bytes()


@pytest.mark.parametrize(
    "size", [1, MEMORY, MEMORY + 1, MEMORY + BUFFER, MEMORY + 2 * BUFFER + 1, MEMORY + 9 * BUFFER - 1]
)
def test_every_byte_is_at_its_place(disk: Path, tmp_path: Path, size: int) -> None:
    data = random_bytes(size, size)
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    for directory in (disk, tmp_path):
        for at in {0, min(size, 5), min(size, MEMORY), min(size, MEMORY + 7), min(size, MEMORY + 4096)}:
            for blocks in (iter(lambda: chance.randrange(1, 3 * BUFFER), None), iter(lambda: 65516, None)):
                assert written(directory, data, blocks, at) == data


def test_bytes_after_the_limit_bypass_the_page_cache(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags: list[int] = []
    real = os.open

    def spied(path: object, flag: int, *rest: int) -> int:
        flags.append(flag)
        return real(path, flag, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", spied)
        written(disk, bytes(MEMORY), iter(lambda: 1000, None))
        assert not any(flag & os.O_DIRECT for flag in flags)
        written(disk, bytes(MEMORY + 1), iter(lambda: 1000, None))
        assert any(flag & os.O_DIRECT for flag in flags)


@pytest.mark.parametrize("when", ["open", "write"])
def test_a_file_system_that_has_no_such_writes_gets_ordinary_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Some refuse when the file is opened, some with the first write, some for the last block of a write cut short."""
    opened, refused = os.open, []

    def no_open(path: object, flags: int, *rest: int) -> int:
        if when == "open" and flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "not here")
        return opened(path, flags & ~os.O_DIRECT, *rest)  # type: ignore[arg-type]

    real = os.pwrite

    def no_write(fd: int, data: memoryview, at: int) -> int:
        if when == "write" and len(refused) < 2:
            refused.append(fd)
            if len(refused) == 2:
                raise OSError(errno.EINVAL, "not here")
            return real(fd, data[:1000], at)
        return real(fd, data, at)

    monkeypatch.setattr(os, "open", no_open)
    monkeypatch.setattr(os, "pwrite", no_write)
    data = random_bytes(3, MEMORY + 5 * BUFFER + 77)
    assert written(tmp_path, data, iter(lambda: 5000, None)) == data


@pytest.mark.parametrize("limit", [5000, MEMORY + 2 * BUFFER, MEMORY + 8 * BUFFER])
def test_a_full_disk_is_an_error_and_ends_the_thread(disk: Path, limit: int) -> None:
    data = random_bytes(4, MEMORY + 8 * BUFFER + 10)
    threads = threading.active_count()
    with no_file_larger_than(limit), pytest.raises(OSError) as caught:
        written(disk, data, iter(lambda: 3000, None))
    assert caught.value.errno == errno.EFBIG
    assert threading.active_count() == threads
    assert list(disk.iterdir()) == []

"""Large files read past the page cache: the same bytes, in pieces of any size, and no thread stays."""

from __future__ import annotations

import os
import random
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.work import random_bytes

from git_lds.local import direct_read
from git_lds.local.direct_read import Ahead, ahead

BUFFER = 4 * 4096


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Borders that some KiB cross."""
    monkeypatch.setattr(direct_read, "MEMORY", 2 * 4096)
    monkeypatch.setattr(direct_read, "_BUFFER", BUFFER)


@pytest.fixture
def path() -> Iterator[Path]:
    """A name for a file on a disk, where there is one: that of the other tests may be in memory."""
    with tempfile.TemporaryDirectory(dir="/var/tmp" if os.path.isdir("/var/tmp") else None) as directory:
        yield Path(directory) / "file"


@pytest.fixture
def on_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat a new file as uncached: when the system evicts it cannot be known."""
    monkeypatch.setattr(direct_read, "_is_cached", lambda fd: False)


def forgotten(path: Path, data: bytes) -> None:
    """Write a file and ask the system to evict it from memory."""
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


@pytest.mark.parametrize("size", [2 * 4096, BUFFER, BUFFER + 1, 5 * BUFFER, 9 * BUFFER + 4097])
def test_bytes_arrive_in_order(path: Path, on_the_disk: None, size: int) -> None:
    data = random_bytes(size, size)
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    threads = threading.active_count()
    for most in (100, 65516, 10 * BUFFER):
        forgotten(path, data)
        with open(path, "rb") as stream:
            source = ahead(stream)
            assert isinstance(source, Ahead) or not _has_direct(path)
            came = b""
            while len(came) < size:
                part = source.read(min(chance.randint(1, most), size - len(came)))
                assert part
                came += part
            assert came == data
            assert source.read(5) == b"" == source.read(1)
            source.close()
            source.close()
    assert threading.active_count() == threads


def _has_direct(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT))
    except OSError:
        return False
    return True


def test_cached_and_small_files_are_read_through_the_page_cache(path: Path) -> None:
    path.write_bytes(bytes(3 * BUFFER))
    with open(path, "rb") as stream:
        assert ahead(stream) is stream
    forgotten(path, bytes(4096))
    with open(path, "rb") as stream:
        assert ahead(stream) is stream


def test_one_that_is_closed_early_leaves_no_thread(path: Path, on_the_disk: None) -> None:
    threads = threading.active_count()
    for _ in range(20):
        forgotten(path, bytes(20 * BUFFER))
        with open(path, "rb") as stream:
            source = ahead(stream)
            source.read(10)
            source.close()
    assert threading.active_count() == threads


def test_a_file_that_gets_shorter_ends(path: Path, on_the_disk: None) -> None:
    forgotten(path, bytes(20 * BUFFER))
    with open(path, "rb") as stream:
        source = ahead(stream)
        source.read(10)
        os.truncate(path, 10 * BUFFER + 5)
        assert len(source.read(20 * BUFFER)) < 20 * BUFFER
        source.close()

"""A store in a directory beyond the contract: kills, foreign files, and file systems without hard links."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kit.lds_server import PARAMETERS as LDS_TOML
from kit.lds_server import entry, pack_of
from kit.work import random_bytes

from git_lds.errors import LdsError, NotAllowed, NotInStore, StoreUnreachable
from git_lds.store.backends.directory import Directory
from git_lds.store.format.keys import HEAD, PARAMETERS, log_key

DATA = random_bytes(3, 2_000_000)


def test_the_directory_is_made_by_the_first_write(tmp_path: Path) -> None:
    store = Directory(tmp_path / "deep" / "down" / "store")
    assert store.size(PARAMETERS) is None
    assert not (tmp_path / "deep").exists()
    assert store.create(PARAMETERS, LDS_TOML)
    assert (tmp_path / "deep/down/store/lds.toml").read_bytes() == LDS_TOML


def test_an_interrupted_write_is_never_seen_and_swept_later(tmp_path: Path) -> None:
    code = (
        "import sys, os; from pathlib import Path; from git_lds.store.backends.directory import Directory;"
        "scratch = Directory(Path(sys.argv[1])).scratch(); os.write(scratch.fd, b'half'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert len(list((tmp_path / "tmp").iterdir())) == 1
    store = Directory(tmp_path)
    assert list(store.list()) == []
    store.create(PARAMETERS, LDS_TOML)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_sweep_spares_files_that_are_being_written(tmp_path: Path) -> None:
    writing = Directory(tmp_path)
    with writing.scratch() as scratch:
        os.write(scratch.fd, b"data")
        Directory(tmp_path).create(PARAMETERS, LDS_TOML)
        assert writing.adopt(pack_of(b"data"), scratch)
    assert writing.read(pack_of(b"data")) == b"data"


def test_of_processes_that_create_one_entry_exactly_one_wins(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from git_lds.store.backends.directory import Directory;"
        "store = Directory(Path(sys.argv[1])); sys.stdin.readline();"
        "print(sum(store.create(f'log/{n:020d}', sys.argv[2].encode()) for n in range(30)))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), f"process {n}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert sum(int(process.communicate()[0]) for process in processes) == 30


def test_files_are_as_readable_as_the_directory_and_never_writable(tmp_path: Path) -> None:
    store = Directory(tmp_path / "store")
    (tmp_path / "store").mkdir()
    (tmp_path / "store").chmod(0o750)
    store.create(PARAMETERS, LDS_TOML)
    assert stat.S_IMODE((tmp_path / "store/lds.toml").stat().st_mode) == 0o440


def test_a_body_with_other_names_is_copied(tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(DATA)
    store = Directory(tmp_path / "store")
    store.create(pack_of(DATA), body)
    body.write_bytes(b"changed")
    assert store.read(pack_of(DATA)) == DATA


def test_only_files_are_contents(tmp_path: Path) -> None:
    store = Directory(tmp_path)
    (tmp_path / "lds.toml").mkdir()
    (tmp_path / "log").mkdir()
    os.mkfifo(tmp_path / log_key(0))
    started = time.monotonic()
    for key in (PARAMETERS, log_key(0)):
        assert store.size(key) is None
        with pytest.raises(NotInStore):
            store.read(key)
    assert time.monotonic() - started < 5


def test_a_file_where_the_store_should_be(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"")
    store = Directory(tmp_path / "store")
    assert store.size(PARAMETERS) is None
    with pytest.raises(NotInStore):
        list(store.list())
    with pytest.raises(LdsError):
        store.create(PARAMETERS, LDS_TOML)


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    # a limit on the size of files stands in for the end of the disk: the write comes up short, then fails
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        "from pathlib import Path; from git_lds.store.backends.directory import Directory; from git_lds.errors import *\n"
        "try: Directory(Path(sys.argv[1])).create(sys.argv[2], b'x' * 200_000)\n"
        "except StoreUnreachable as error: print(error)"
    )
    key = pack_of(b"x" * 200_000)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path), key], capture_output=True, text=True, check=True)
    assert "File too large" in done.stdout
    assert list(Directory(tmp_path).list()) == []
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_file_system_without_links_is_named_as_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(LdsError, match="hard links") as caught:
        Directory(tmp_path).create(PARAMETERS, LDS_TOML)
    assert caught.value.hint
    assert list(Directory(tmp_path).list()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_is_not_ours_is_not_allowed(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(NotAllowed):
        Directory(tmp_path).create(PARAMETERS, LDS_TOML)


def test_a_file_that_shrinks_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    store = Directory(tmp_path)
    store.create(pack_of(DATA), DATA)
    with store.stream(pack_of(DATA), 0, len(DATA)) as blocks:
        next(blocks)
        (tmp_path / pack_of(DATA)).chmod(0o600)
        os.truncate(tmp_path / pack_of(DATA), 10)
        with pytest.raises(StoreUnreachable):
            list(blocks)


def test_a_listing_continues_after_a_key(tmp_path: Path) -> None:
    store = Directory(tmp_path)
    for n in range(30):
        store.create(pack_of(b"%d" % n), b"%d" % n)
        store.create(log_key(n), entry(n))
    store.write(HEAD, b"{}")
    keys = list(store.list())
    for at in (0, 7, 29, 30, 31, 45, len(keys) - 1):
        assert list(store.list(after=keys[at])) == keys[at + 1 :]
    assert list(store.list("pack/", after=log_key(3))) == [key for key in keys if key.startswith("pack/")]

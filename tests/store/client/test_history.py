"""The history of a store: log entries name their predecessors, and readers notice another history."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.stores import Counted, Machine

from git_lds import hashing
from git_lds.store.backends.contract import Backend
from git_lds.store.backends.directory import Directory
from git_lds.store.client import log_reader
from git_lds.store.client.log_reader import CHECKPOINT_EVERY
from git_lds.store.client.store import MERGE_FROM, Store
from git_lds.store.format.keys import HEAD, log_key
from git_lds.store.format.log import LogEntry

TESTS = Path(__file__).parents[2]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def ada(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "ada")


@pytest.fixture
def ben(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "ben")


def push(machine: Machine, directory: Path, *names: str) -> None:
    """Push one object for each name, one by one."""
    for name in names:
        machine.push(directory, machine.add(name.encode()))


def numbered(word: str, count: int) -> list[str]:
    return [f"{word} {number}" for number in range(count)]


@contextlib.contextmanager
def read(machine: Machine, backend: Backend | Path) -> Iterator[Store]:
    """The store as a new process on that machine reads it."""
    store = machine.store(backend)
    with contextlib.closing(store):
        store.refresh()
        yield store


def history_seen(machine: Machine, directory: Path) -> str | None:
    with read(machine, directory) as store:
        return store.other_history


def log_of(directory: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((directory / "log").glob("0*"))]


def put(directory: Path, seq: int, data: bytes) -> None:
    """Write log entry `seq` whatever is there."""
    path = directory / log_key(seq)
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def another(data: bytes) -> bytes:
    """The same push, noted down a second later."""
    entry = LogEntry.decode(data)
    return entry._replace(time=entry.time + 1).encode()


def assert_chained(directory: Path) -> None:
    digest = b""
    for data in log_of(directory):
        assert LogEntry.decode(data).previous == digest
        digest = hashing.of_bytes(data)


# writing


def test_pushes_of_several_name_the_entry_before(directory: Path, ada: Machine, ben: Machine) -> None:
    for number in range(MERGE_FROM):
        push(ada, directory, f"ada {number}")
        push(ben, directory, f"ben {number}")
    entries = [LogEntry.decode(data) for data in log_of(directory)]
    assert any(entry.drop_indexes for entry in entries) and len(entries) > 2 * MERGE_FROM
    assert_chained(directory)


def test_the_second_of_two_pushes_names_the_first(directory: Path, ada: Machine, ben: Machine) -> None:
    push(ada, directory, "first")
    with read(ben, directory) as late:
        push(ada, directory, "second", "third")
        assert late.commit(os.urandom(16).hex(), {}, None, ()) == 3
    assert_chained(directory)
    assert late.digest == hashing.of_bytes(log_of(directory)[-1])


def test_of_many_pushes_at_once_each_names_the_one_before(directory: Path, tmp_path: Path) -> None:
    with contextlib.closing(Machine(tmp_path / "maker").store(directory)) as store:
        store.create()
    barrier = threading.Barrier(5)
    seen: list[str | None] = []

    def commit(number: int) -> None:
        with read(Machine(tmp_path / f"machine {number}"), directory) as store:
            barrier.wait()
            for _ in range(6):
                seq = store.commit(os.urandom(16).hex(), {}, None, ())
                seen.append(store.other_history)
                assert store.stands_on(seq, hashing.of_bytes((directory / log_key(seq)).read_bytes()))

    threads = [threading.Thread(target=commit, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == 30 * [None]
    assert len(log_of(directory)) == 30
    assert_chained(directory)


# noticing


def test_a_continued_log_is_not_reported(directory: Path, ada: Machine, ben: Machine) -> None:
    push(ada, directory, "first")
    for number in range(2 * CHECKPOINT_EVERY):
        push(ada, directory, f"{number}")
        if number % 10 == 0:
            assert history_seen(ben, directory) is None
    assert history_seen(ben, directory) is None


def test_a_store_restored_from_a_backup_is_reported_once(
    directory: Path, ada: Machine, ben: Machine, tmp_path: Path
) -> None:
    push(ada, directory, "first", "second")
    shutil.copytree(directory, tmp_path / "backup")
    push(ada, directory, "third", "fourth")
    with read(ben, directory) as seen:
        known = seen.state.seq, seen.digest
    shutil.rmtree(directory)
    shutil.copytree(tmp_path / "backup", directory)
    with read(ben, directory) as restored:
        assert restored.other_history == (
            f"the log of {directory} does not continue the one that was read before (entry 3 is gone): "
            "the store was restored or replaced"
        )
        assert not restored.stands_on(*known)
    assert history_seen(ben, directory) is None
    assert history_seen(Machine(tmp_path / "new"), directory) is None


def test_a_restored_store_with_a_diverged_log_is_reported_once(
    directory: Path, ada: Machine, ben: Machine, tmp_path: Path
) -> None:
    push(ada, directory, "first", "second")
    with read(ben, directory) as seen:
        common = seen.state.seq, seen.digest
    shutil.copytree(directory, tmp_path / "backup")
    push(ada, directory, "third", "fourth")
    with read(ben, directory) as seen:
        known = seen.state.seq, seen.digest
    shutil.rmtree(directory)
    shutil.copytree(tmp_path / "backup", directory)
    push(Machine(tmp_path / "new"), directory, "another third", "another fourth", "another fifth")
    with read(ben, directory) as restored:
        assert restored.other_history is not None and "entry 3 is another one" in restored.other_history
        assert not restored.stands_on(*known)
        assert restored.stands_on(*common)
    assert history_seen(ben, directory) is None
    assert_chained(directory)


def test_a_store_restored_during_a_push_is_reported(directory: Path, ada: Machine, ben: Machine) -> None:
    push(ada, directory, "first", "second", "third")
    with read(ben, directory) as pushing:
        for seq in (1, 2):
            (directory / log_key(seq)).unlink()
        assert pushing.commit(os.urandom(16).hex(), {}, None, ()) == 1
        assert pushing.other_history is not None and "entry 2 is gone" in pushing.other_history
    assert_chained(directory)


def test_a_replaced_log_entry_is_reported_and_reading_continues(directory: Path, ada: Machine, ben: Machine) -> None:
    push(ada, directory, "first")
    with read(ben, directory) as seen:
        known = seen.state.seq, seen.digest
    push(ada, directory, "second", "third", "fourth")
    entries = log_of(directory)
    put(directory, 1, another(entries[1]))
    with read(ben, directory) as broken:
        assert broken.other_history == (
            f"the log of {directory} is broken: entry 2 does not follow the one before it, so entries were lost or replaced"
        )
        assert not broken.stands_on(*known)
        assert not broken.stands_on(1, hashing.of_bytes(another(entries[1])))
        assert broken.stands_on(2, hashing.of_bytes(entries[2]))
    contents = [name.encode() for name in ("first", "second", "third", "fourth")]
    assert ben.pull(directory, *contents).missing == () and all(map(ben.has, contents))
    with read(ben, directory) as later:
        assert later.other_history is None
        assert not later.stands_on(*known)
        assert later.stands_on(3, hashing.of_bytes(entries[3]))


def test_a_first_entry_that_names_one_before_it_is_a_broken_log(directory: Path, ada: Machine, ben: Machine) -> None:
    push(ada, directory, "first", "second")
    for seq, data in enumerate(log_of(directory)[1:]):
        put(directory, seq, data)
    (directory / log_key(1)).unlink()
    seen = history_seen(ben, directory)
    assert seen is not None and "entry 0 does not follow" in seen


def test_a_log_with_entries_of_version_1_continues(directory: Path, ada: Machine, ben: Machine) -> None:
    push(ada, directory, "first", "second", "third")
    for seq, data in enumerate(log_of(directory)):
        put(directory, seq, LogEntry.decode(data)._replace(previous=None).encode())
    shutil.rmtree(ada.directory / "known")
    with read(ben, directory) as old:
        assert old.other_history is None
        known = old.state.seq, old.digest
    push(ada, directory, "fourth")
    entries = log_of(directory)
    assert [LogEntry.decode(data).previous for data in entries] == [None, None, None, hashing.of_bytes(entries[2])]
    with read(ben, directory) as new:
        assert new.other_history is None
        assert new.stands_on(*known)
        assert new.stands_on(0, hashing.of_bytes(entries[0]))
        assert not new.stands_on(0, hashing.of_bytes(entries[1]))
    push(ben, directory, "fifth")
    put(directory, 2, another(entries[2]))
    seen = history_seen(Machine(ben.directory / "new"), directory)
    assert seen is not None and "entry 3 does not follow" in seen


def test_another_store_at_a_url_is_reported_once(directory: Path, ada: Machine, ben: Machine, tmp_path: Path) -> None:
    push(ada, directory, "first")
    with read(ben, directory) as seen:
        known = seen.state.seq, seen.digest
    shutil.rmtree(directory)
    push(Machine(tmp_path / "new"), directory, "another first")
    with read(ben, directory) as other:
        assert other.other_history == f"another store than before is at {directory}"
        assert not other.stands_on(*known)
    assert history_seen(ben, directory) is None


def test_a_store_that_was_created_again_is_reported(directory: Path, ada: Machine) -> None:
    push(ada, directory, "first")
    shutil.rmtree(directory)
    store = ada.store(directory)
    with contextlib.closing(store):
        store.create()
        store.refresh()
        assert store.other_history == f"another store than before is at {directory}"


# caching


def test_a_copy_of_a_store_has_its_history_but_nothing_that_was_learnt_of_it(
    directory: Path, ada: Machine, tmp_path: Path
) -> None:
    push(ada, directory, "first", "second")
    shutil.copytree(directory, tmp_path / "copy")
    with read(ada, directory) as store, read(ada, tmp_path / "copy") as copy:
        assert store.parameters() == copy.parameters()
        assert copy.other_history is None
        assert copy.stands_on(store.state.seq, store.digest)
        assert store.directory != copy.directory


def test_the_cache_of_a_store_is_not_used_for_one_that_claims_its_id(
    directory: Path, ada: Machine, ben: Machine, tmp_path: Path
) -> None:
    push(ada, directory, "first")
    claims = tmp_path / "claims"
    shutil.copytree(directory, claims)
    with read(ben, claims) as hostile, read(ben, directory) as store:
        assert store.parameters() == hostile.parameters() and store.state == hostile.state
        (pack,) = hostile.state.packs
        hostile.cache_footer(pack, b"a footer that lies")
        assert hostile.cached_footers() == [pack]
        assert store.cached_footers() == []


# standing on an entry


def test_a_new_store_has_an_empty_log(directory: Path, ada: Machine, ben: Machine) -> None:
    store = ben.store(directory)
    with contextlib.closing(store):
        store.create()
        assert store.stands_on(-1, b"")
        assert store.digest == b""
        assert not store.stands_on(0, hashing.of_bytes(b"x"))
    push(ada, directory, "first")
    with read(ben, directory) as store:
        assert not store.stands_on(-1, b"") and not store.stands_on(1, store.digest) and not store.stands_on(0, b"")


def test_recently_read_entries_need_no_request(directory: Path, ada: Machine, ben: Machine) -> None:
    known = []
    for number in range(8):
        push(ada, directory, f"{number}")
        with read(ben, directory) as store:
            known.append((store.state.seq, store.digest))
    backend = Counted(Directory(directory))
    with read(ben, backend) as store:
        backend.asked.clear()
        assert all(store.stands_on(seq, digest) for seq, digest in known)
        assert not any(store.stands_on(seq, hashing.of_bytes(digest)) for seq, digest in known)
        assert not any(store.stands_on(seq + 1, digest) for seq, digest in known)
        assert backend.asked == []


def test_entries_from_before_the_checkpoint_are_read_again_if_they_are_few(
    directory: Path, ada: Machine, tmp_path: Path
) -> None:
    push(ada, directory, *numbered("object", CHECKPOINT_EVERY + 10))
    entries = log_of(directory)
    first = 3
    backend = Counted(Directory(directory))
    with read(Machine(tmp_path / "new"), backend) as store:
        backend.asked.clear()
        assert store.stands_on(first, hashing.of_bytes(entries[first]))
        assert 20 < len(backend.asked) <= 66
        assert not store.stands_on(first, hashing.of_bytes(entries[first + 1]))
        put(directory, first + 2, another(entries[first + 2]))
        assert not store.stands_on(first, hashing.of_bytes(entries[first]))
        assert store.stands_on(first + 3, hashing.of_bytes(entries[first + 3]))
        (directory / log_key(first + 4)).unlink()
        assert not store.stands_on(first + 3, hashing.of_bytes(entries[first + 3]))


def test_entries_from_long_before_the_checkpoint_are_not_read_again(
    directory: Path, ada: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(ada, directory, *numbered("object", CHECKPOINT_EVERY + 10))
    entries = log_of(directory)
    monkeypatch.setattr(log_reader, "_READ_BACK", 5)
    backend = Counted(Directory(directory))
    with read(Machine(tmp_path / "new"), backend) as store:
        backend.asked.clear()
        assert not store.stands_on(3, hashing.of_bytes(entries[3]))
        assert backend.asked == []


def test_entries_that_do_not_name_the_one_before_are_compared_themselves(
    directory: Path, ada: Machine, ben: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_reader, "_TRAIL", 2)
    push(ada, directory, *numbered("object", 6))
    old = [LogEntry.decode(data)._replace(previous=None).encode() for data in log_of(directory)]
    for seq, data in enumerate(old):
        put(directory, seq, data)
    with read(ben, directory) as store:
        assert store.stands_on(1, hashing.of_bytes(old[1]))
        assert not store.stands_on(1, hashing.of_bytes(old[2]))
        put(directory, 4, another(old[4]))  # the oldest that is known
        assert store.stands_on(4, hashing.of_bytes(old[4]))
        assert not store.stands_on(1, hashing.of_bytes(old[1]))


def test_no_more_is_kept_of_a_long_log_than_its_end(directory: Path, ada: Machine, ben: Machine) -> None:
    entries, digest = 300, b""
    with contextlib.closing(ada.store(directory)) as store:
        store.create()
    known = []
    for seq in range(entries):
        data = LogEntry(os.urandom(16).hex(), seq, {}, (), previous=digest).encode()
        digest = hashing.of_bytes(data)
        known.append(digest)
        Directory(directory).create(log_key(seq), data)
    assert history_seen(ben, directory) is None
    backend = Counted(Directory(directory))
    with read(ben, backend) as store:
        backend.asked.clear()
        assert store.stands_on(entries - 100, known[entries - 100]) and backend.asked == []
        assert store.stands_on(entries - 150, known[entries - 150]) and backend.asked != []
        assert not store.stands_on(0, known[0])


# killed


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_push_killed_as_it_puts_its_entry_leaves_no_other_history(
    directory: Path, ada: Machine, ben: Machine, moment: str
) -> None:
    push(ada, directory, "first")
    push(ben, directory, "second")
    with read(ada, directory) as store:
        known = store.state.seq, store.digest
    script = (
        "import sys\n"
        "from kit import stores\n"
        "from pathlib import Path\n"
        "class Dying(stores.Around):\n"
        "    def create(self, key, body):\n"
        "        is_entry = key.startswith('log/')\n"
        "        if is_entry and sys.argv[3] == 'before': stores.die()\n"
        "        done = super().create(key, body)\n"
        "        if is_entry: stores.die()\n"
        "        return done\n"
        "machine = stores.Machine(Path(sys.argv[1]))\n"
        "machine.push(Dying(stores.Directory(Path(sys.argv[2]))), machine.add(b'third'))\n"
    )
    command = [sys.executable, "-c", script, str(ada.directory), str(directory), moment]
    assert subprocess.run(command, env={**os.environ, "PYTHONPATH": str(TESTS)}).returncode == -9
    assert len(log_of(directory)) == (2 if moment == "before" else 3)
    for machine in (ada, ben):
        with read(machine, directory) as store:
            assert store.other_history is None
            assert store.stands_on(*known)
    push(ben, directory, "fourth")
    push(Machine(ada.directory), directory, "third")
    assert history_seen(ada, directory) is None
    assert_chained(directory)
    assert (directory / HEAD).exists()

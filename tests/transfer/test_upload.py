"""Uploads: what the store lacks goes there, once, in few requests, and shows when it is whole."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.stores import Around, Counted, Machine, kind_of, packs_in, state_of
from kit.work import random_bytes

from git_lds import hashing, workers
from git_lds.errors import CorruptData, LdsError, NotInStore, ObjectsMissing
from git_lds.hashing import Oid
from git_lds.store.backends.contract import Body
from git_lds.store.backends.directory import Directory
from git_lds.store.backends.http import Http
from git_lds.store.format import frames, packfile
from git_lds.store.format.keys import KeyKind, log_key, pack_key
from git_lds.store.format.log import EMPTY, LogEntry
from git_lds.store.format.recipe import Recipe
from git_lds.transfer import upload, upload_journal, upload_plan
from git_lds.transfer.upload import Uploaded

MIB = 1 << 20


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "machine")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "store"


def edited(data: bytes, *places: int, length: int = 100, seed: int = 77) -> bytes:
    """`data` with some bytes written over at `places`."""
    changed = bytearray(data)
    for place in places:
        changed[place : place + length] = random_bytes(seed + place, length)
    return bytes(changed)


def assert_arrives(directory: Path, tmp_path: Path, *contents: bytes) -> None:
    reader = Machine(tmp_path / f"reader-{os.urandom(4).hex()}")
    assert reader.pull(directory, *contents).missing == ()
    assert all(reader.has(data) for data in contents)


def test_small_and_large_objects_arrive(machine: Machine, directory: Path, tmp_path: Path) -> None:
    contents = [
        b"x",
        b"text " * 1000,
        random_bytes(1, 128 << 10),
        random_bytes(2, (128 << 10) + 1),
        random_bytes(3, 3 * MIB),
    ]
    done = machine.push(directory, machine.add(*contents))
    assert done.objects == 5
    assert_arrives(directory, tmp_path, *contents)


def test_objects_in_the_store_are_not_sent_or_committed_again(
    machine: Machine, directory: Path, tmp_path: Path
) -> None:
    wanted = machine.add(b"one", b"two", random_bytes(1, MIB))
    machine.push(directory, wanted)
    backend = Counted(Directory(directory))
    assert machine.push(backend, wanted) == Uploaded(0, 0, 0)
    assert not any(verb in ("create", "write") for verb, _ in backend.asked)
    assert Machine(tmp_path / "other").push(directory, wanted) == Uploaded(0, 0, 0), "absent here, present there: fine"


@pytest.mark.parametrize("scheme", ["directory", "http"])
def test_ten_thousand_small_objects_take_few_requests(
    machine: Machine, tmp_path: Path, server: str, scheme: str
) -> None:
    backend = Directory(tmp_path / "store") if scheme == "directory" else Http(f"{server}/set")
    blob = random_bytes(1, 2_010_000)
    wanted = machine.add(*(blob[n * 200 : n * 200 + 300 + n % 100] for n in range(10_000)))
    store = machine.store(backend)
    store.create()
    before = backend.requests
    upload.upload(store, machine.objects, wanted, {}, tmp=machine.directory / "tmp")
    assert backend.requests - before <= 20
    assert len(store.find(wanted)) == 10_000
    store.close()


def test_packs_go_before_recipes_before_the_index_before_the_log(machine: Machine, directory: Path) -> None:
    backend = Counted(Directory(directory))
    machine.push(backend, machine.add(b"small", random_bytes(1, 2 * MIB)))
    created = [kind_of(key) for verb, key in backend.asked if verb == "create"]
    assert [kind for kind in created if kind is not KeyKind.PARAMETERS] == [
        KeyKind.PACK,
        KeyKind.PACK,
        KeyKind.INDEX,
        KeyKind.LOG,
    ]
    last = backend.created(KeyKind.PACK)[-1]
    recipe = (directory / last).read_bytes()
    (chunk,) = packfile.decode_footer(recipe, len(recipe))
    assert Recipe.decode(frames.decode(recipe[chunk.offset : chunk.offset + chunk.stored])).size == 2 * MIB


def test_an_upload_leaves_no_local_files(machine: Machine, directory: Path) -> None:
    machine.push(directory, machine.add(b"small", random_bytes(1, 2 * MIB)))
    assert list((machine.directory / "tmp").iterdir()) == []
    assert list(machine.directory.rglob("journal/*")) == []


def test_packs_are_sent_side_by_side(machine: Machine, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_plan, "target_size", lambda new_bytes: 1 << 18)
    together = threading.Barrier(4, timeout=20)

    class Waiting(Around):
        def create(self, key: str, body: Body) -> bool:
            if kind_of(key) is KeyKind.PACK and not together.broken and together.n_waiting < 4 and not done:
                together.wait()
                done.append(True)
            return super().create(key, body)

    done: list[bool] = []
    machine.push(Waiting(Directory(directory)), machine.add(*(random_bytes(n, 100_000) for n in range(12))))
    assert done


def test_many_packs_are_written_to_few_files(
    machine: Machine, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is written from its start on, by packs that are longer and shorter than the one before."""
    monkeypatch.setattr(upload_plan, "target_size", lambda new_bytes: 1 << 18)
    files: set[int] = set()
    sizes: list[int] = []

    class Looking(Around):
        def create(self, key: str, body: Body) -> bool:
            if isinstance(body, Path):
                files.add(body.stat().st_ino)
                sizes.append(body.stat().st_size)
            return super().create(key, body)

    contents = [random_bytes(n, 1000 + n * 3701 % 90_000) for n in range(150)]
    machine.push(Looking(Directory(directory)), machine.add(*contents))
    assert len(sizes) > 12 and len(files) <= workers.WORKERS
    assert any(later < earlier for earlier, later in itertools.pairwise(sizes))
    assert_arrives(directory, tmp_path, *contents)
    assert list((machine.directory / "tmp").iterdir()) == []


# missing or damaged local objects


def test_an_object_that_is_nowhere_stops_the_push_before_it_begins(machine: Machine, directory: Path) -> None:
    wanted = machine.add(b"here")
    absent = {hashing.of_bytes(b"absent"): [b"images/lost.png", b"copy.png"]}
    backend = Counted(Directory(directory))
    with pytest.raises(ObjectsMissing) as caught:
        machine.push(backend, {**wanted, **absent})
    assert "images/lost.png, copy.png" in caught.value.message
    assert hashing.of_bytes(b"absent").hex() in caught.value.message
    assert str(directory) in caught.value.message
    assert backend.created(KeyKind.PACK) == backend.created(KeyKind.LOG) == []


def test_very_many_missing_objects_are_counted_not_listed(machine: Machine, directory: Path) -> None:
    with pytest.raises(ObjectsMissing, match="1000 objects are neither") as caught:
        machine.push(directory, {hashing.of_bytes(b"%d" % n): [b"path"] for n in range(1000)})
    assert len(caught.value.message.splitlines()) < 20


def test_a_damaged_large_object_is_named_and_nothing_is_committed(
    machine: Machine, directory: Path, tmp_path: Path
) -> None:
    data = random_bytes(1, 3 * MIB)
    wanted = machine.add(b"fine", data)
    path = machine.objects.path(hashing.of_bytes(data))
    assert path is not None
    path.chmod(0o644)
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(CorruptData, match="file-1") as caught:
        machine.push(directory, wanted)
    assert hashing.of_bytes(data).hex() in caught.value.message
    assert state_of(directory, tmp_path / "seen").state == EMPTY


def test_a_damaged_small_object_is_named_and_nothing_is_committed(
    machine: Machine, directory: Path, tmp_path: Path
) -> None:
    wrong = hashing.of_bytes(b"what it should be")
    machine.objects.own.put(wrong, b"what it is not...")
    with pytest.raises(CorruptData, match=f"dir/name: .*{wrong.hex()}"):
        machine.push(directory, {**machine.add(b"fine"), wrong: [b"dir/name"]})
    assert state_of(directory, tmp_path / "seen").state == EMPTY


def test_an_object_that_changes_while_it_is_sent_is_noticed(
    machine: Machine, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_plan, "target_size", lambda new_bytes: 1 << 18)
    data = random_bytes(1, 6 * MIB)
    wanted = machine.add(data)
    path = machine.objects.path(hashing.of_bytes(data))
    assert path is not None
    path.chmod(0o644)

    class Changing(Around):
        def create(self, key: str, body: Body) -> bool:
            if kind_of(key) is KeyKind.PACK and path is not None:
                path.write_bytes(data[: 5 * MIB] + bytes(MIB))
            return super().create(key, body)

    with pytest.raises(CorruptData, match="file-0"):
        machine.push(Changing(Directory(directory)), wanted)
    assert state_of(directory, tmp_path / "seen").state == EMPTY


def test_a_full_disk_is_a_clear_error(machine: Machine, directory: Path) -> None:
    wanted = machine.add(b"data")
    (machine.directory / "tmp").write_bytes(b"a file where a directory should be")
    with pytest.raises(LdsError, match="tmp"):
        machine.push(directory, wanted)


def test_an_upload_without_a_store_fails(machine: Machine, directory: Path) -> None:
    with pytest.raises(NotInStore):
        upload.upload(
            machine.store(directory), machine.objects, machine.add(b"data"), {}, tmp=machine.directory / "tmp"
        )


# chunks that the store has


def test_an_edit_of_a_large_object_sends_about_the_edit(machine: Machine, directory: Path, tmp_path: Path) -> None:
    old = random_bytes(1, 16 * MIB)
    machine.push(directory, machine.add(old))
    new = edited(old, *range(MIB, 15 * MIB, MIB))
    done = machine.push(directory, machine.add(new))
    assert done.bytes < 14 * 120_000
    assert_arrives(directory, tmp_path, new)


def test_an_edit_of_a_fetched_object_sends_little_more_than_the_edit(
    machine: Machine, directory: Path, tmp_path: Path
) -> None:
    old = random_bytes(1, 16 * MIB)
    machine.push(directory, machine.add(old))
    other = Machine(tmp_path / "other")
    other.pull(directory, old)
    new = edited(old, 8 * MIB)
    assert other.push(directory, other.add(new)).bytes < 200_000
    assert_arrives(directory, tmp_path, new)


def test_a_machine_that_knows_nothing_of_the_store_sends_all(machine: Machine, directory: Path, tmp_path: Path) -> None:
    old = random_bytes(1, 4 * MIB)
    machine.push(directory, machine.add(old))
    stranger = Machine(tmp_path / "stranger")
    new = edited(old, 2 * MIB)
    assert stranger.push(directory, stranger.add(new)).bytes > 4 * MIB
    assert_arrives(directory, tmp_path, old, new)


def test_versions_in_one_push_share_their_chunks(machine: Machine, directory: Path, tmp_path: Path) -> None:
    old = random_bytes(1, 8 * MIB)
    versions = [old, edited(old, 4 * MIB), edited(old, 2 * MIB, 6 * MIB), old[MIB:], b"before" + old]
    assert machine.push(directory, machine.add(*versions)).bytes < 9 * MIB
    assert_arrives(directory, tmp_path, *versions)


def test_repeated_chunks_are_sent_once(machine: Machine, directory: Path, tmp_path: Path) -> None:
    zeros = bytes(40 * MIB)
    assert machine.push(directory, machine.add(zeros)).bytes < 200_000
    assert_arrives(directory, tmp_path, zeros)


def test_footers_are_fetched_only_as_far_as_the_push_is_worth_it(
    machine: Machine, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_plan, "target_size", lambda new_bytes: 1 << 18)
    old = random_bytes(1, 8 * MIB)
    machine.push(directory, machine.add(old))
    other = Machine(tmp_path / "other")
    other.pull(directory, old)
    backend = Counted(Directory(directory))
    other.push(backend, other.add(random_bytes(2, 2 * MIB + 1)))
    assert sum(verb == "read" and kind_of(key) is KeyKind.PACK for verb, key in backend.asked) <= 2


def test_packs_that_are_condemned_are_not_built_on(machine: Machine, directory: Path, tmp_path: Path) -> None:
    old = random_bytes(1, 4 * MIB)
    machine.push(directory, machine.add(old))
    packs = state_of(directory, tmp_path / "seen").state.packs
    entry = LogEntry("ab" * 16, 0, {}, (), condemn_packs=tuple(packs))
    Directory(directory).create(log_key(1), entry.encode())
    new = edited(old, 2 * MIB)
    done = machine.push(directory, machine.add(old, new))
    assert done.objects == 2 and done.bytes > 4 * MIB
    remove(directory, 3, packs)
    assert_arrives(directory, tmp_path, old, new)


def test_packs_that_are_condemned_while_we_push_are_replaced(machine: Machine, directory: Path, tmp_path: Path) -> None:
    old = random_bytes(1, 4 * MIB)
    kept = random_bytes(2, 1000)
    machine.push(directory, machine.add(old, kept))
    packs = state_of(directory, tmp_path / "seen").state.packs

    class Condemning(Around):
        def create(self, key: str, body: Body) -> bool:
            if key == log_key(1):
                entry = LogEntry("ab" * 16, 0, {}, (), condemn_packs=tuple(packs))
                self.inner.create(key, entry.encode())
            return super().create(key, body)

    new = edited(old, 2 * MIB)
    backend = Counted(Directory(directory))
    done = machine.push(Condemning(backend), machine.add(old, new, kept))
    assert done.objects == 3, "those that were there were only in the condemned packs"
    remove(directory, 3, packs)
    assert_arrives(directory, tmp_path, old, new, kept)
    unused = packs_in(directory) - state_of(directory, tmp_path / "seen").state.packs.keys()
    sizes = [(directory / pack_key(id)).stat().st_size for id in unused]
    assert max(sizes) < 1000, "of the first round only the recipe, with runs in condemned packs, was in vain"


def remove(directory: Path, seq: int, packs: object) -> None:
    """Take packs out of a store, as its clean-up would."""
    ids = tuple(packs)  # type: ignore[call-overload]
    assert Directory(directory).create(log_key(seq), LogEntry("cd" * 16, 0, {}, (), remove_packs=ids).encode())
    for id in ids:
        (directory / pack_key(id)).unlink()


# the journal


class LosingLog(Around):
    """A store that cannot be reached when the log entry should go there."""

    def create(self, key: str, body: Body) -> bool:
        if key.startswith(("log/", "index/")):
            raise NotInStore("gone")
        return super().create(key, body)


def cut_off(machine: Machine, directory: Path, wanted: dict[Oid, list[bytes]]) -> None:
    with pytest.raises(NotInStore):
        machine.push(LosingLog(Directory(directory)), wanted)
    assert list(machine.directory.rglob("journal/*"))


def test_packs_of_a_push_that_was_cut_off_are_used_by_another_push(
    machine: Machine, directory: Path, tmp_path: Path
) -> None:
    large = random_bytes(1, 4 * MIB)
    cut_off(machine, directory, machine.add(b"small", large))
    done = machine.push(directory, machine.add(b"other", edited(large, MIB)))
    assert done.bytes < 200_000
    assert_arrives(directory, tmp_path, b"other", edited(large, MIB))
    done = machine.push(directory, machine.add(b"small", large))
    assert done.bytes < 5000
    assert list(machine.directory.rglob("journal/*")) == []
    assert_arrives(directory, tmp_path, b"small", large)


def test_a_pack_that_did_not_arrive_is_sent_again(machine: Machine, directory: Path, tmp_path: Path) -> None:
    wanted = machine.add(random_bytes(1, 2 * MIB))
    cut_off(machine, directory, wanted)
    for id in packs_in(directory):
        (directory / pack_key(id)).unlink()
    assert machine.push(directory, wanted).bytes > 2 * MIB
    assert_arrives(directory, tmp_path, random_bytes(1, 2 * MIB))


def test_an_old_unclaimed_pack_is_not_reused(
    machine: Machine, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = machine.add(random_bytes(1, 2 * MIB))
    cut_off(machine, directory, wanted)
    for path in machine.directory.rglob("journal/*"):
        os.utime(path, (0, 0))
    assert machine.push(directory, wanted).bytes > 2 * MIB
    assert upload_journal.KEPT_SECONDS < 7 * 24 * 3600


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"", lambda data: bytes(len(data))])
def test_a_damaged_journal_costs_time_only(
    machine: Machine, directory: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    data = random_bytes(1, 2 * MIB)
    wanted = machine.add(data)
    cut_off(machine, directory, wanted)
    for path in machine.directory.rglob("journal/*"):
        path.write_bytes(damage(path.read_bytes()))
    machine.push(directory, wanted)
    assert_arrives(directory, tmp_path, data)


# progress


class Told:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.started: list[tuple[str, int, int]] = []
        self.size = 0
        self.names: list[str] = []
        self.finished = 0

    def start(self, verb: str, files: int, size: int) -> None:
        self.started.append((verb, files, size))

    def moved(self, size: int) -> None:
        self.size += size

    def done(self, name: str) -> None:
        self.names.append(name)

    def finish(self) -> None:
        self.finished += 1


def test_progress_counts_every_byte_and_every_file(machine: Machine, directory: Path) -> None:
    old = random_bytes(1, 3 * MIB)
    contents = [b"one", b"two", old, edited(old, MIB)]
    wanted = machine.add(*contents)
    told = Told()
    store = machine.store(directory)
    store.create()
    upload.upload(store, machine.objects, wanted, {}, tmp=machine.directory / "tmp", progress=told)
    assert told.started == [("upload", 4, sum(map(len, contents)))]
    assert told.size == sum(map(len, contents))
    assert sorted(told.names) == ["file-0", "file-1", "file-2", "file-3"]
    assert told.finished == 1

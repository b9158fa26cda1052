"""Downloads: missing objects come in few requests, are verified, or are reported with a reason."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit.stores import Around, Counted, Machine, kind_of, state_of
from kit.work import random_bytes

from git_lds import hashing
from git_lds.errors import CorruptData, LdsError, NotAllowed, StoreUnreachable
from git_lds.hashing import FileId, Oid
from git_lds.store.backends.contract import Backend
from git_lds.store.backends.directory import Directory
from git_lds.store.backends.http import Http
from git_lds.store.format import packfile
from git_lds.store.format.index import IndexRow, encode
from git_lds.store.format.keys import KeyKind, index_key, log_key, pack_key
from git_lds.store.format.log import LogEntry
from git_lds.store.format.recipe import Recipe
from git_lds.transfer import download
from git_lds.transfer.download import Downloaded

MIB = 1 << 20
SMALL = [random_bytes(n, 1000 + n) for n in range(40)]
LARGE = [random_bytes(100 + n, 300_000 + n) for n in range(5)]
BIG = random_bytes(200, 6 * MIB)


@pytest.fixture
def writer(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "writer")


@pytest.fixture
def reader(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "reader")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "store"


def edited(data: bytes, *places: int, length: int = 100) -> bytes:
    changed = bytearray(data)
    for place in places:
        changed[place : place + length] = random_bytes(place, length)
    return bytes(changed)


def reasons(done: Downloaded) -> dict[Oid, tuple[str, ...]]:
    return {missing.oid: missing.reasons for missing in done.missing}


def assert_here(machine: Machine, *contents: bytes) -> None:
    assert all(machine.has(data) for data in contents)


def assert_only(machine: Machine, *contents: bytes) -> None:
    """The machine has these objects whole, and nothing under any other name."""
    assert_here(machine, *contents)
    assert set(machine.objects.cache) == {hashing.of_bytes(data) for data in contents}
    assert not any((machine.directory / "cache" / "tmp").glob("*"))


# what comes


@pytest.mark.parametrize("scheme", ["directory", "http"])
def test_small_and_large_objects_come(
    writer: Machine, reader: Machine, server: str, tmp_path: Path, scheme: str
) -> None:
    def backend() -> Backend:
        return Directory(tmp_path / "store") if scheme == "directory" else Http(f"{server}/org/set")

    everything = [*SMALL, *LARGE, BIG]
    writer.push(backend(), writer.add(*everything))
    done = reader.pull(backend(), *everything)
    assert done.objects == len(everything) and done.missing == ()
    assert sum(map(len, everything)) <= done.bytes < sum(map(len, everything)) * 1.05
    assert_only(reader, *everything)


def test_local_objects_are_not_fetched(writer: Machine, reader: Machine, directory: Path) -> None:
    writer.push(directory, writer.add(*SMALL, BIG))
    reader.add(*SMALL[:20])
    done = reader.pull(directory, *SMALL, BIG)
    assert done.objects == 21
    backend = Counted(Directory(directory))
    assert reader.pull(backend, *SMALL, BIG) == Downloaded(0, 0, ())
    assert backend.asked == []


def test_ten_thousand_small_objects_take_few_requests(writer: Machine, reader: Machine, server: str) -> None:
    blob = random_bytes(1, 2_010_000)
    contents = [blob[n * 200 : n * 200 + 300 + n % 100] for n in range(10_000)]
    writer.push(Http(f"{server}/set"), writer.add(*contents))
    backend = Http(f"{server}/set")
    assert reader.pull(backend, *contents).objects == 10_000
    assert backend.requests <= 12


def test_neighbours_come_together_whether_small_or_large(writer: Machine, reader: Machine, directory: Path) -> None:
    contents = [random_bytes(n, 200_000) for n in range(40)]
    writer.push(directory, writer.add(*contents))
    backend = Counted(Directory(directory))
    reader.pull(backend, *contents)
    assert sum(verb == "stream" and kind_of(key) is KeyKind.PACK for verb, key in backend.asked) <= 6
    assert_only(reader, *contents)


def test_few_of_many_are_fetched_without_the_others(writer: Machine, reader: Machine, directory: Path) -> None:
    contents = [random_bytes(n, 100_000) for n in range(30)]
    writer.push(directory, writer.add(*contents))
    done = reader.pull(directory, contents[3], contents[20])
    assert done.bytes < 250_000
    assert_only(reader, contents[3], contents[20])


def test_an_edit_of_a_large_object_fetches_about_the_edit(writer: Machine, reader: Machine, directory: Path) -> None:
    old = random_bytes(1, 16 * MIB)
    writer.push(directory, writer.add(old))
    reader.pull(directory, old)
    new = edited(old, *range(MIB, 15 * MIB, 2 * MIB))
    writer.push(directory, writer.add(new))
    assert reader.pull(directory, new).bytes < 8 * 120_000
    assert_only(reader, old, new)


def test_after_a_push_only_the_edit_of_the_next_version_is_fetched(
    writer: Machine, reader: Machine, directory: Path
) -> None:
    writer.push(directory, writer.add(BIG))
    reader.pull(directory, BIG)
    new = edited(BIG, 3 * MIB)
    reader.push(directory, reader.add(new))
    assert writer.pull(directory, new).bytes < 200_000
    assert_here(writer, new)


def test_versions_fetched_together_share_their_chunks(writer: Machine, reader: Machine, directory: Path) -> None:
    versions = [BIG, edited(BIG, MIB), edited(BIG, MIB, 4 * MIB), BIG[MIB:]]
    writer.push(directory, writer.add(*versions))
    assert reader.pull(directory, *versions).bytes < 7 * MIB
    assert_only(reader, *versions)


def test_an_object_of_one_repeated_byte_is_fetched(writer: Machine, reader: Machine, directory: Path) -> None:
    zeros = bytes(20 * MIB + 1)
    writer.push(directory, writer.add(zeros))
    assert reader.pull(directory, zeros).bytes < 200_000
    assert_only(reader, zeros)


def test_many_large_objects_come_in_waves(
    writer: Machine, reader: Machine, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "WAVE", 2)
    monkeypatch.setattr(download, "BATCH", 3)
    writer.push(directory, writer.add(*SMALL, *LARGE, BIG, edited(BIG, MIB)))
    done = reader.pull(directory, *SMALL, *LARGE, BIG, edited(BIG, MIB))
    assert done.missing == ()
    assert_only(reader, *SMALL, *LARGE, BIG, edited(BIG, MIB))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_history_of_edits_arrives(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    root = tmp_path_factory.mktemp("history")
    machines = [Machine(root / "a"), Machine(root / "b")]
    version = random_bytes(data.draw(st.integers(0, 3)), data.draw(st.integers(1, 2 * MIB)))
    for turn in range(data.draw(st.integers(2, 5))):
        here, there = machines[turn % 2], machines[(turn + 1) % 2]
        for _ in range(data.draw(st.integers(0, 3))):
            at = data.draw(st.integers(0, len(version)))
            new = random_bytes(data.draw(st.integers(0, 99)), data.draw(st.integers(0, 200_000)))
            version = version[:at] + new + version[at + data.draw(st.integers(0, 200_000)) :]
        if not version:
            version = b"x"
        here.push(root / "store", here.add(version))
        there.pull(root / "store", version)
        assert there.has(version)


# failures


class Tampering(Around):
    """Changes what it streams of packs, by `change`, for the first `times` streams."""

    def __init__(self, inner: Backend, change: Callable[[bytes], bytes], times: int) -> None:
        super().__init__(inner)
        self._change = change
        self._times = times

    @contextlib.contextmanager
    def stream(self, key: str, start: int, length: int) -> Iterator[Iterator[bytes]]:
        with self.inner.stream(key, start, length) as blocks:
            data = b"".join(blocks)
            if kind_of(key) is KeyKind.PACK and self._times > 0:
                self._times -= 1
                data = self._change(data)
            yield iter([data[at : at + 5000] for at in range(0, len(data), 5000)])


def flip(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]


@pytest.mark.parametrize(
    "change", [flip, lambda data: data + b"more", lambda data: b"more" + data], ids=["wrong", "long", "moved"]
)
def test_a_corrupt_response_is_requested_again(
    writer: Machine, reader: Machine, directory: Path, change: Callable[[bytes], bytes]
) -> None:
    everything = [*SMALL, *LARGE, BIG]
    writer.push(directory, writer.add(*everything))
    done = reader.pull(Tampering(Directory(directory), change, 1), *everything)
    assert done.missing == ()
    assert_only(reader, *everything)


@pytest.mark.parametrize(
    "change", [flip, lambda data: b"more" + data, lambda data: bytes(len(data))], ids=["wrong", "moved", "zeros"]
)
def test_a_corrupt_answer_is_never_kept(
    writer: Machine, reader: Machine, directory: Path, change: Callable[[bytes], bytes]
) -> None:
    writer.push(directory, writer.add(SMALL[0], BIG))
    done = reader.pull(Tampering(Directory(directory), change, 10**6), SMALL[0], BIG)
    assert reasons(done).keys() == {hashing.of_bytes(SMALL[0]), hashing.of_bytes(BIG)}
    assert_only(reader)
    # and the store that is in order gives them after all
    assert reader.pull(directory, SMALL[0], BIG).missing == ()
    assert_only(reader, SMALL[0], BIG)


def test_an_answer_that_breaks_off_is_a_store_that_cannot_be_reached(
    writer: Machine, reader: Machine, directory: Path
) -> None:
    writer.push(directory, writer.add(*SMALL, BIG))
    done = reader.pull(Tampering(Directory(directory), lambda data: data[:-1], 10**6), *SMALL, BIG)
    assert len(done.missing) == 41 - done.objects > 0
    assert all("ended early" in why for why in reasons(done).values() for why in why)
    assert len(set(reader.objects.cache)) == done.objects


def damage_object(directory: Path, tmp_path: Path, data: bytes) -> None:
    """Flip a byte of one object in the store's own file."""
    store = state_of(directory, tmp_path / "seen")
    oid = hashing.of_bytes(data)
    entry = store.find([oid])[oid]
    pack, at = entry.pack, entry.offset + entry.stored - 1
    if entry.recipe:
        with store.backend.stream(pack_key(pack), entry.offset, entry.stored) as blocks:
            frame = b"".join(blocks)
        from git_lds.store.format import frames

        run = Recipe.decode(frames.decode(frame, limit=frames.MAX_RECIPE)).runs[0]
        pack, at = run.pack, run.offset + run.stored // 2
    path = directory / pack_key(pack)
    contents = bytearray(path.read_bytes())
    contents[at] ^= 1
    path.chmod(0o644)
    path.write_bytes(contents)


@pytest.mark.parametrize("victim", [SMALL[7], LARGE[2]], ids=["small", "large"])
def test_a_damaged_object_does_not_stop_the_others(
    writer: Machine, reader: Machine, directory: Path, tmp_path: Path, victim: bytes
) -> None:
    everything = [*SMALL, *LARGE]
    writer.push(directory, writer.add(*everything))
    damage_object(directory, tmp_path, victim)
    done = reader.pull(directory, *everything)
    (missing,) = done.missing
    assert missing.oid == hashing.of_bytes(victim)
    for part in ("file-", missing.oid.hex(), str(directory)):
        assert part in missing.message
    assert_only(reader, *(data for data in everything if data is not victim))


def test_an_object_damaged_in_one_store_comes_from_the_next(writer: Machine, reader: Machine, tmp_path: Path) -> None:
    stores = [tmp_path / "first", tmp_path / "second"]
    for store in stores:
        writer.push(store, writer.add(*SMALL, BIG))
    damage_object(stores[0], tmp_path, SMALL[3])
    damage_object(stores[0], tmp_path, BIG)
    assert reader.pull(stores, *SMALL, BIG).missing == ()
    assert_only(reader, *SMALL, BIG)


def test_a_damaged_local_version_does_not_spoil_the_next(writer: Machine, reader: Machine, directory: Path) -> None:
    new = edited(BIG, 3 * MIB)
    writer.push(directory, writer.add(BIG, new))
    reader.pull(directory, BIG)
    path = reader.objects.path(hashing.of_bytes(BIG))
    assert path is not None
    path.chmod(0o644)
    path.write_bytes(flip(BIG)[: 5 * MIB])
    assert reader.pull(directory, new).missing == ()
    assert_here(reader, new)


def test_a_pointer_with_a_wrong_size_is_reported(writer: Machine, reader: Machine, directory: Path) -> None:
    writer.push(directory, writer.add(SMALL[0], BIG))
    wanted = {hashing.of_bytes(SMALL[0]): (7, b"small"), hashing.of_bytes(BIG): (7, b"big")}
    done = download.download([reader.store(directory)], reader.objects, wanted)
    assert len(done.missing) == 2
    assert all("bytes" in missing.message for missing in done.missing)


# where it is looked for


def test_objects_are_looked_up_in_one_store_after_the_other(writer: Machine, reader: Machine, tmp_path: Path) -> None:
    stores = [tmp_path / "first", tmp_path / "second"]
    writer.push(stores[0], writer.add(*SMALL[:10]))
    writer.push(stores[1], writer.add(*SMALL[10:20], BIG))
    done = reader.pull(stores, *SMALL[:30], BIG)
    assert done.objects == 21
    assert reasons(done).keys() == {hashing.of_bytes(data) for data in SMALL[20:30]}
    for missing in done.missing:
        assert missing.reasons == (f"not in {stores[0]}", f"not in {stores[1]}")
        assert missing.message.startswith(f"{missing.path.decode()} ({missing.oid.hex()}): ")


class Refusing(Around):
    """A store that refuses, from its operation number `at` on."""

    def __init__(self, inner: Backend, at: int, error: LdsError) -> None:
        super().__init__(inner)
        self._left = at
        self._error = error

    def read(self, key: str, start: int = 0, length: int | None = None, *, limit: int = 1 << 26) -> bytes:
        self._count()
        return super().read(key, start, length, limit=limit)

    def stream(self, key: str, start: int, length: int) -> contextlib.AbstractContextManager[Iterator[bytes]]:
        self._count()
        return super().stream(key, start, length)

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise self._error


@pytest.mark.parametrize("at", range(12))
@pytest.mark.parametrize("error", [StoreUnreachable("no route to the store"), NotAllowed("the store says 403")])
def test_a_store_that_refuses_is_passed_over_and_named(
    writer: Machine, reader: Machine, tmp_path: Path, at: int, error: LdsError
) -> None:
    stores = [tmp_path / "first", tmp_path / "second"]
    for store in stores:
        writer.push(store, writer.add(*SMALL, BIG))
    writer.push(stores[0], writer.add(LARGE[0]))
    refusing = Refusing(Directory(stores[0]), at, error)
    done = reader.pull([refusing, Directory(stores[1])], *SMALL, BIG, LARGE[0])
    for missing in done.missing:
        assert missing.oid == hashing.of_bytes(LARGE[0])
        assert error.message in missing.message and f"not in {stores[1]}" in missing.message
    assert_here(reader, *SMALL, BIG)


def test_a_missing_store_is_skipped_and_named(writer: Machine, reader: Machine, tmp_path: Path) -> None:
    writer.push(tmp_path / "second", writer.add(*SMALL))
    done = reader.pull([tmp_path / "first", tmp_path / "second"], *SMALL, BIG)
    (missing,) = done.missing
    assert f"there is no store at {tmp_path / 'first'}" in missing.message
    assert_here(reader, *SMALL)


def test_without_any_store_everything_is_missing(reader: Machine) -> None:
    done = reader.pull([], b"lost")
    assert done.missing[0].message.endswith("no store is configured")


def test_a_download_of_nothing_makes_no_request(reader: Machine, directory: Path) -> None:
    assert reader.pull(directory) == Downloaded(0, 0, ())


# packs that move


def moved(directory: Path, tmp_path: Path, contents: list[bytes]) -> Callable[[], None]:
    """Make what a clean-up makes of a store: its objects in new packs, the old packs gone. Return what ends it."""
    store = state_of(directory, tmp_path / "seen")
    old = tuple(store.state.packs)
    spare = Machine(tmp_path / "spare")
    backend = Directory(directory)
    condemned = LogEntry("ab" * 16, 0, {}, (), condemn_packs=old).encode()
    assert backend.create(log_key(store.state.seq + 1), condemned)
    spare.push(directory, spare.add(*contents))

    def remove() -> None:
        seq = state_of(directory, tmp_path / "seen").state.seq + 1
        assert backend.create(log_key(seq), LogEntry("cd" * 16, 0, {}, (), remove_packs=old).encode())
        for pack in old:
            (directory / pack_key(pack)).unlink()

    return remove


class Before(Around):
    """Does something once, before the first stream of a pack."""

    def __init__(self, inner: Backend, action: Callable[[], None]) -> None:
        super().__init__(inner)
        self._actions = [action]

    def stream(self, key: str, start: int, length: int) -> contextlib.AbstractContextManager[Iterator[bytes]]:
        if kind_of(key) is KeyKind.PACK and self._actions:
            self._actions.pop()()
        return super().stream(key, start, length)


def test_packs_deleted_during_a_download_are_looked_up_again(
    writer: Machine, reader: Machine, directory: Path, tmp_path: Path
) -> None:
    contents = [*SMALL, *LARGE, BIG]
    writer.push(directory, writer.add(*contents))

    def clean_up() -> None:
        moved(directory, tmp_path, contents)()

    done = reader.pull(Before(Directory(directory), clean_up), *contents)
    assert done.missing == ()
    assert_only(reader, *contents)


def test_a_recipe_remembered_from_before_a_clean_up_is_not_used(
    writer: Machine, reader: Machine, directory: Path, tmp_path: Path
) -> None:
    writer.push(directory, writer.add(BIG))
    reader.pull(directory, BIG)
    path = reader.objects.path(hashing.of_bytes(BIG))
    assert path is not None
    path.unlink()
    moved(directory, tmp_path, [BIG])()
    assert reader.pull(directory, BIG).missing == ()
    assert_only(reader, BIG)


def test_packs_that_are_gone_for_good_are_reported_once(writer: Machine, reader: Machine, directory: Path) -> None:
    writer.push(directory, writer.add(*SMALL, BIG))
    for path in (directory / "pack").rglob("*"):
        if path.is_file() and path.stat().st_size > 1000:
            path.unlink()
    backend = Counted(Directory(directory))
    done = reader.pull(backend, *SMALL, BIG)
    assert len(done.missing) == 41
    assert len(backend.asked) < 40


# a store that means harm


def hostile(directory: Path, entries: list[IndexRow], packs: dict[FileId, int]) -> None:
    backend = Directory(directory)
    machine = Machine(directory / ".." / "hostile")
    machine.store(backend).create()
    data = encode(entries, packs)
    id = FileId(hashing.of_bytes(data))
    backend.create(index_key(id), data)
    backend.create(log_key(0), LogEntry("ab" * 16, 0, packs, (id,)).encode())


def put_pack(directory: Path, *contents: bytes) -> packfile.PackInfo:
    path = directory / "made"
    directory.mkdir(exist_ok=True)
    with open(path, "wb") as file:
        writer = packfile.PackWriter(file.fileno())
        for data in contents:
            writer.add(hashing.of_bytes(data), data)
        info = writer.finish()
    Directory(directory).create(pack_key(info.id), path)
    path.unlink()
    return info


@pytest.mark.parametrize(
    "recipe",
    [
        b"rubbish",
        Recipe(hashing.of_bytes(BIG), 5, ()).encode(),
        Recipe(hashing.of_bytes(BIG), len(BIG), ()).encode(),
        Recipe(hashing.of_bytes(b"another"), len(BIG), ()).encode(),
    ],
)
def test_a_hostile_recipe_is_refused(reader: Machine, directory: Path, recipe: bytes) -> None:
    info = put_pack(directory, recipe)
    chunk = info.chunks[0]
    entry = IndexRow(hashing.of_bytes(BIG), info.id, chunk.offset, chunk.stored, chunk.length, recipe=True)
    hostile(directory, [entry], {info.id: info.size})
    assert len(reader.pull(directory, BIG).missing) == 1
    assert_only(reader)


def test_another_object_under_a_name_is_refused(reader: Machine, directory: Path) -> None:
    info = put_pack(directory, b"the wrong one")
    chunk = info.chunks[0]
    entry = IndexRow(
        hashing.of_bytes(b"the right one"), info.id, chunk.offset, chunk.stored, chunk.length, recipe=False
    )
    hostile(directory, [entry], {info.id: info.size})
    assert len(reader.pull(directory, b"the right one").missing) == 1
    assert_only(reader)


# here


def test_a_disk_without_room_ends_it_in_our_words(writer: Machine, reader: Machine, directory: Path) -> None:
    writer.push(directory, writer.add(*SMALL, BIG))
    (reader.directory / "cache").mkdir(parents=True)
    (reader.directory / "cache" / "tmp").write_bytes(b"a file where a directory should be")
    with pytest.raises(LdsError, match="tmp"):
        reader.pull(directory, BIG)


def test_two_downloads_at_once_into_one_cache(writer: Machine, directory: Path, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    everything = [*SMALL, *LARGE, BIG]
    writer.push(directory, writer.add(*everything))
    machines = [Machine(tmp_path / "reader") for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda machine: machine.pull(directory, *everything), machines))
    assert all(result.missing == () for result in results)
    for machine in machines:
        assert_here(machine, *everything)


def test_progress_counts_fetched_bytes(writer: Machine, reader: Machine, directory: Path) -> None:
    told: list[object] = []

    class Told:
        def start(self, verb: str, files: int, size: int) -> None:
            told.append((verb, files, size))

        def moved(self, size: int) -> None:
            sizes.append(size)

        def done(self, name: str) -> None:
            names.append(name)

        def finish(self) -> None:
            told.append("end")

    sizes: list[int] = []
    names: list[str] = []
    writer.push(directory, writer.add(SMALL[0], BIG))
    wanted = {hashing.of_bytes(SMALL[0]): (len(SMALL[0]), b"s"), hashing.of_bytes(BIG): (len(BIG), b"b")}
    download.download([reader.store(directory)], reader.objects, wanted, Told())
    assert told == [("download", 2, len(SMALL[0]) + len(BIG)), "end"]
    assert sum(sizes) == len(SMALL[0]) + len(BIG)
    assert sorted(names) == ["b", "s"]


@pytest.mark.parametrize("after", [1, 2500, 9_000])
def test_a_pack_deleted_during_its_download_fails_each_remaining_object(
    writer: Machine, reader: Machine, directory: Path, after: int
) -> None:
    """The one that was just coming is one of them, and comes with the second try."""

    class Vanishing(Around):
        def __init__(self, inner: Backend) -> None:
            super().__init__(inner)
            self.asked = 0

        @contextlib.contextmanager
        def stream(self, key: str, start: int, length: int) -> Iterator[Iterator[bytes]]:
            self.asked += kind_of(key) is KeyKind.PACK
            with super().stream(key, start, length) as blocks:
                yield self.broken(blocks) if self.asked == 1 and kind_of(key) is KeyKind.PACK else blocks

        def broken(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
            yield b"".join(blocks)[:after]
            raise CorruptData("it became shorter")

    contents = [random_bytes(n, 1000) for n in range(10)]
    writer.push(directory, writer.add(*contents))
    done = reader.pull(Vanishing(Directory(directory)), *contents)
    assert done.missing == () and done.objects == len(contents)

"""The smart client: the end of the log, look-ups, and how a push gets into the log whatever the store does."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit.damage import damaged
from kit.stores import Around, Counted
from kit.work import random_bytes

from git_lds import hashing
from git_lds.errors import LdsError, NotAllowed, NotInStore, StoreUnreachable
from git_lds.hashing import FileId, Oid
from git_lds.store.backends.contract import READ_LIMIT, Backend, Body
from git_lds.store.backends.directory import Directory
from git_lds.store.backends.http import Http
from git_lds.store.client import store as store_module
from git_lds.store.client.log_reader import CHECKPOINT_EVERY
from git_lds.store.client.store import PacksCondemned, Store
from git_lds.store.format import frames, packfile
from git_lds.store.format.index import IndexRow, encode
from git_lds.store.format.keys import HEAD, MAX_SIZES, KeyKind, checkpoint_key, index_key, log_key, pack_key
from git_lds.store.format.log import EMPTY, Hint, LogEntry, StoreState, encode_checkpoint

PACK_SIZE = 1000


def a_push_id() -> str:
    return os.urandom(16).hex()


def some_oid(number: int) -> Oid:
    return hashing.of_bytes(b"object %d" % number)


def some_pack() -> FileId:
    return FileId(os.urandom(32))


def index_with(pack: FileId, oids: Iterable[Oid]) -> bytes:
    return encode((IndexRow(oid, pack, 24, 50, 40, recipe=False) for oid in oids), {pack: PACK_SIZE})


def push(store: Store, *oids: Oid, pack: FileId | None = None, built_on: Sequence[FileId] = ()) -> int:
    """Commit a pack that is not there, with an index of `oids` in it."""
    pack = pack or some_pack()
    return store.commit(a_push_id(), {pack: PACK_SIZE}, index_with(pack, oids), built_on)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def opened(directory: Path, tmp_path: Path) -> Callable[..., Store]:
    """Open the store with or without a cache of it."""

    def open_store(cache: str = "known", backend: Backend | None = None) -> Store:
        return Store(backend or Directory(directory), tmp_path / cache)

    return open_store


@pytest.fixture
def store(opened: Callable[..., Store]) -> Store:
    store = opened()
    store.create()
    store.refresh()
    return store


# the store itself


def test_a_missing_store_is_reported_with_a_hint(opened: Callable[..., Store]) -> None:
    with pytest.raises(NotInStore, match="there is no store at") as caught:
        opened().refresh()
    assert caught.value.hint is not None and "git lds init" in caught.value.hint


def test_two_that_create_a_store_at_once_get_the_same_one(opened: Callable[..., Store]) -> None:
    assert opened("one").create() == opened("two").create()


def test_a_new_store_is_empty(store: Store) -> None:
    assert store.state == EMPTY
    assert store.find([some_oid(1)]) == {}


# reading


def test_another_reader_finds_committed_objects(store: Store, opened: Callable[..., Store]) -> None:
    push(store, some_oid(1), some_oid(2))
    other = opened("other")
    other.refresh()
    assert other.find([some_oid(1), some_oid(3)]).keys() == {some_oid(1)}


def test_the_newest_index_wins(store: Store) -> None:
    packs = [some_pack(), some_pack()]
    for pack in packs:
        push(store, some_oid(1), pack=pack)
    assert store.find([some_oid(1)])[some_oid(1)].pack == packs[1]


def test_rows_in_removed_packs_do_not_hide_older_rows(store: Store) -> None:
    old, new = some_pack(), some_pack()
    push(store, some_oid(1), pack=old)
    push(store, some_oid(1), some_oid(2), pack=new)
    entry = LogEntry(a_push_id(), 0, {}, (), remove_packs=(new,))
    store.backend.create(log_key(2), entry.encode())
    store.refresh()
    found = store.find([some_oid(1), some_oid(2)])
    assert found.keys() == {some_oid(1)} and found[some_oid(1)].pack == old


def test_condemned_packs_are_read_but_not_reused(store: Store) -> None:
    pack = some_pack()
    push(store, some_oid(1), pack=pack)
    store.backend.create(log_key(1), LogEntry(a_push_id(), 0, {}, (), condemn_packs=(pack,)).encode())
    store.refresh()
    assert some_oid(1) in store.find([some_oid(1)])
    assert store.find([some_oid(1)], reusable_only=True) == {}
    assert not store.is_live(pack)


def test_many_objects_are_found_in_many_indexes_as_are_few(store: Store) -> None:
    for number in range(5):
        push(store, *(some_oid(n) for n in range(number * 100, number * 100 + 100)))
    everything = [some_oid(n) for n in range(600)]
    assert store.find(everything).keys() == set(everything[:500])
    assert store.find(everything[498:502]).keys() == set(everything[498:500])


def test_looking_again_asks_for_a_handful_of_files_only(
    store: Store, directory: Path, opened: Callable[..., Store]
) -> None:
    for number in range(10):
        push(store, some_oid(number))
    backend = Counted(Directory(directory))
    again = opened("known", backend)
    again.refresh()
    assert again.find([some_oid(3)])
    assert len(backend.asked) <= 6


def test_a_log_without_hint_is_not_read_one_by_one(store: Store, directory: Path, opened: Callable[..., Store]) -> None:
    entries = 300
    for seq in range(entries):
        store.backend.create(log_key(seq), LogEntry(a_push_id(), seq, {some_pack(): PACK_SIZE}, ()).encode())
    in_flight = Crowded(Directory(directory))
    new = opened("new", in_flight)
    assert new.refresh().seq == entries - 1
    assert in_flight.most >= 8
    assert len(in_flight.asked) < 2 * entries


class Crowded(Counted):
    """Counts how many reads there were at a time."""

    now = most = 0

    def read(self, key: str, start: int = 0, length: int | None = None, *, limit: int = READ_LIMIT) -> bytes:
        self.now += 1
        self.most = max(self.most, self.now)
        time.sleep(0.002)
        try:
            return super().read(key, start, length, limit=limit)
        finally:
            self.now -= 1


def test_a_state_too_large_for_a_checkpoint_still_gets_its_hint(
    store: Store, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(CHECKPOINT_EVERY + 1):
        push(store, some_oid(number))
    before = Hint.decode((directory / HEAD).read_bytes())
    monkeypatch.setitem(MAX_SIZES, KeyKind.CHECKPOINT, 100)  # type: ignore[arg-type]
    for number in range(CHECKPOINT_EVERY + 1):
        push(store, some_oid(100 + number))
    after = Hint.decode((directory / HEAD).read_bytes())
    assert before is not None and after is not None
    assert (after.seq, after.checkpoint) == (store.state.seq, before.checkpoint)


def test_a_new_reader_starts_from_a_checkpoint(store: Store, directory: Path, opened: Callable[..., Store]) -> None:
    for number in range(2 * CHECKPOINT_EVERY + 5):
        push(store, some_oid(number))
    backend = Counted(Directory(directory))
    new = opened("new", backend)
    new.refresh()
    assert new.state == store.state
    assert sum(key.startswith("log/0") for _, key in backend.asked) <= 12


def test_a_log_without_hint_is_read_from_its_first_entry(
    store: Store, directory: Path, opened: Callable[..., Store]
) -> None:
    for number in range(CHECKPOINT_EVERY + 5):
        push(store, some_oid(number))
    (directory / HEAD).unlink()
    new = opened("new")
    new.refresh()
    assert new.state == store.state


@pytest.mark.parametrize(
    "hint",
    [
        b"",
        b"rubbish",
        Hint(10**15, None).encode(),
        Hint(0, None).encode(),
        Hint(10**15, checkpoint_key(10**15, FileId(bytes(32)))).encode(),
        Hint(20, checkpoint_key(12, FileId(bytes(32)))).encode(),
    ],
)
def test_a_hint_that_lies_changes_nothing(
    store: Store, directory: Path, opened: Callable[..., Store], hint: bytes
) -> None:
    for number in range(15):
        push(store, some_oid(number))
    (directory / HEAD).write_bytes(hint)
    for cache in ("new", "known"):
        seen = opened(cache)
        seen.refresh()
        assert seen.state == store.state


def test_a_checkpoint_of_another_log_is_not_followed(
    store: Store, directory: Path, opened: Callable[..., Store]
) -> None:
    for number in range(15):
        push(store, some_oid(number))
    forged = encode_checkpoint(StoreState(14, {some_pack(): PACK_SIZE}, frozenset(), ()))
    key = checkpoint_key(14, FileId(hashing.of_bytes(forged)))
    store.backend.create(key, forged)
    store.backend.write(HEAD, Hint(14, key).encode())
    new = opened("new")
    assert new.refresh() == store.state


def test_a_store_restored_from_an_older_copy_is_noticed(
    store: Store, directory: Path, tmp_path: Path, opened: Callable[..., Store]
) -> None:
    for number in range(3):
        push(store, some_oid(number))
    shutil.copytree(directory, tmp_path / "backup")
    for number in range(3, 3 + CHECKPOINT_EVERY):
        push(store, some_oid(number))
    hint = (directory / HEAD).read_bytes()
    checkpoints = directory / "checkpoint"
    shutil.copytree(checkpoints, tmp_path / "backup" / "checkpoint", dirs_exist_ok=True)
    shutil.rmtree(directory)
    shutil.copytree(tmp_path / "backup", directory)
    (directory / HEAD).write_bytes(hint)

    known = opened()
    known.refresh()
    assert known.state.seq == 2
    assert known.find([some_oid(1), some_oid(5)]).keys() == {some_oid(1)}
    # and the log goes on differently
    for number in range(100, 100 + CHECKPOINT_EVERY):
        push(known, some_oid(number))
    for seen in (store, opened("new"), opened()):
        seen.refresh()
        assert seen.state == known.state
        assert seen.find([some_oid(5), some_oid(100)]).keys() == {some_oid(100)}


def test_the_cache_may_be_damaged_or_deleted(store: Store, opened: Callable[..., Store], tmp_path: Path) -> None:
    for number in range(3):
        push(store, some_oid(number))
    for path in sorted(p for p in (tmp_path / "known").rglob("*") if p.is_file()):
        path.write_bytes(path.read_bytes()[:-7] + b"garbage")
    again = opened()
    again.refresh()
    assert again.state == store.state
    shutil.rmtree(tmp_path / "known")
    again = opened()
    again.refresh()
    assert again.find([some_oid(2)])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_damaged_store_is_refused_in_our_words(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    root = tmp_path_factory.mktemp("damaged")
    store = Store(Directory(root / "store"), root / "known")
    store.create()
    store.refresh()
    for number in range(2):
        push(store, some_oid(number))
    keys = [key for key in Directory(root / "store").list() if not key.startswith("pack/")]
    key = data.draw(st.sampled_from(keys))
    path = root / "store" / key
    broken = data.draw(damaged(path.read_bytes()))
    path.unlink()
    path.write_bytes(broken)
    reader = Store(Directory(root / "store"), root / "new")
    try:
        reader.refresh()
        reader.find([some_oid(0), some_oid(1)])
    except LdsError as error:
        assert error.message


def test_an_index_with_a_checksum_mismatch_is_refused(
    store: Store, directory: Path, opened: Callable[..., Store]
) -> None:
    pack = some_pack()
    data = index_with(pack, [some_oid(1)])
    store.commit(a_push_id(), {pack: PACK_SIZE}, data, ())
    path = directory / index_key(FileId(hashing.of_bytes(data)))
    path.unlink()
    path.write_bytes(index_with(pack, [some_oid(2)]))
    for damage, said in ((lambda: None, "does not match its name"), (path.unlink, "is not in the store")):
        damage()
        new = opened("new")
        new.refresh()
        assert new.find([some_oid(1), some_oid(2)]) == {}
        (error,) = new.damaged_indexes.values()
        assert said in error.message and path.name in error.message


@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "flipped"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_damaged_index_does_not_hide_the_others(
    store: Store, directory: Path, opened: Callable[..., Store], damage: str, number: int
) -> None:
    for n in range(3):
        push(store, some_oid(n))
    path = directory / index_key(store.state.indexes[number])
    data = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes({"empty": b"", "cut": data[:-1], "flipped": data[:-1] + bytes([data[-1] ^ 1])}[damage])
    backend = Counted(Directory(directory))
    new = opened("new", backend)
    new.refresh()
    for _ in range(2):
        assert new.find(map(some_oid, range(3))).keys() == {some_oid(n) for n in range(3) if n != number}
        asked, backend.asked = backend.asked, []
    assert list(new.damaged_indexes) == [store.state.indexes[number]]
    assert asked == [], "it is not looked for again and again"
    push(new, some_oid(number))
    assert len(new.find(map(some_oid, range(3)))) == 3


def test_rows_outside_packs_do_not_hide_right_ones(store: Store, opened: Callable[..., Store]) -> None:
    oid = some_oid(1)
    push(store, oid)
    (right,) = store.find([oid]).values()
    other = some_pack()
    wrong = [
        (IndexRow(oid, other, 24, 50, 100, False), {other: PACK_SIZE}),
        (right._replace(offset=PACK_SIZE + 1), {right.pack: 2 * PACK_SIZE}),
        (right._replace(offset=PACK_SIZE + 1), {right.pack: PACK_SIZE}),
        (right._replace(length=frames.MAX_CHUNK + 1), {right.pack: PACK_SIZE}),
    ]
    for row, sizes in wrong:
        store.commit(a_push_id(), {}, encode([row], sizes), ())
    new = opened("new")
    new.refresh()
    assert new.find([oid]) == {oid: right}
    assert new.find_all([oid]) == {oid: [right]}


def test_all_places_of_an_object_are_found_the_newest_first(store: Store) -> None:
    for _ in range(3):
        push(store, some_oid(1))
    (newest,) = store.find([some_oid(1)]).values()
    rows = store.find_all([some_oid(1), some_oid(2)])
    assert list(rows) == [some_oid(1)] and len(rows[some_oid(1)]) == 3 and rows[some_oid(1)][0] == newest


# footers


def a_real_pack(directory: Path, chunks: Sequence[bytes]) -> packfile.PackInfo:
    path = directory / "made"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    writer = packfile.PackWriter(fd)
    for chunk in chunks:
        writer.add(hashing.of_bytes(chunk), chunk)
    info = writer.finish()
    os.close(fd)
    target = directory / pack_key(info.id)
    target.parent.mkdir(parents=True, exist_ok=True)
    path.rename(target)
    return info


@pytest.mark.parametrize("count", [1, 3, 3000])
def test_footers_of_own_packs_come_from_the_cache(
    store: Store, directory: Path, opened: Callable[..., Store], count: int
) -> None:
    info = a_real_pack(directory, [random_bytes(n, 200) for n in range(count)])
    store.commit(a_push_id(), {info.id: info.size}, None, ())
    store.cache_footer(info.id, packfile.encode_footer(info.chunks))
    backend = Counted(Directory(directory))
    seen = opened("known", backend)
    seen.refresh()
    before = len(backend.asked)
    tail = seen.footer(info.id)
    assert tail is not None and packfile.decode_footer(tail, info.size) == info.chunks
    assert packfile.decode_chunks(tail) == info.chunks and packfile.size_with(tail) == info.size
    assert seen.cached_footers() == [info.id]
    assert len(backend.asked) == before


def test_a_footer_that_another_machine_wrote_is_not_known(
    store: Store, directory: Path, opened: Callable[..., Store]
) -> None:
    info = a_real_pack(directory, [b"x" * 100])
    store.commit(a_push_id(), {info.id: info.size}, None, ())
    store.cache_footer(info.id, packfile.encode_footer(info.chunks))
    other = opened("other")
    other.refresh()
    assert other.footer(info.id) is None and other.cached_footers() == []


def test_a_damaged_cached_footer_is_ignored(store: Store, directory: Path) -> None:
    info = a_real_pack(directory, [b"x" * 100])
    store.commit(a_push_id(), {info.id: info.size}, None, ())
    store.cache_footer(info.id, packfile.encode_footer(info.chunks))
    path = store.directory / "made" / info.id.hex()
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-4] + b"oops")
    assert store.footer(info.id) is None


# committing


class Answering(Around):
    """Answers the next creations of log entries as scripted: "lose" puts and then cuts the line, "cut" does not put,
    "exists" puts and then says that something was there, "refuse" says no. Others go through."""

    def __init__(self, inner: Backend, *answers: str) -> None:
        super().__init__(inner)
        self.answers = list(answers)

    def create(self, key: str, body: Body) -> bool:
        answer = self.answers.pop(0) if key.startswith("log/") and self.answers else ""
        if answer in ("lose", "exists"):
            self.inner.create(key, body)
        if answer in ("lose", "cut"):
            raise StoreUnreachable("the store said nothing for 60 seconds")
        if answer == "refuse":
            raise NotAllowed("the store is for reading only")
        return False if answer == "exists" else self.inner.create(key, body)


@pytest.mark.parametrize("answers", [["lose"], ["cut"], ["exists"], ["cut", "cut"], ["cut", "lose"], ["cut", "exists"]])
def test_a_commit_exists_once_whatever_the_store_answers(
    directory: Path, opened: Callable[..., Store], store: Store, answers: list[str]
) -> None:
    push(store, some_oid(0))
    unsure = opened("other", Answering(Directory(directory), *answers))
    unsure.refresh()
    assert push(unsure, some_oid(1)) == 1
    store.refresh()
    assert store.state == unsure.state and store.state.seq == 1
    assert store.find([some_oid(0), some_oid(1)]).keys() == {some_oid(0), some_oid(1)}


@pytest.mark.parametrize(("answer", "error"), [("cut", StoreUnreachable), ("refuse", NotAllowed)])
def test_a_commit_that_the_store_never_accepts_fails(
    directory: Path, opened: Callable[..., Store], store: Store, answer: str, error: type[LdsError]
) -> None:
    unsure = opened("other", Answering(Directory(directory), *[answer] * 10))
    unsure.refresh()
    with pytest.raises(error):
        push(unsure, some_oid(1))
    assert store.refresh() == EMPTY


def test_of_many_commits_at_once_each_gets_a_number_of_its_own(store: Store, opened: Callable[..., Store]) -> None:
    seqs: list[int] = []

    def commit(number: int) -> None:
        mine = opened(f"cache-{number}")
        mine.refresh()
        barrier.wait()
        for n in range(5):
            seqs.append(push(mine, some_oid(10 * number + n)))

    barrier = threading.Barrier(6)
    threads = [threading.Thread(target=commit, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seqs)) == 30
    store.refresh()
    assert len(store.find(some_oid(10 * number + n) for number in range(6) for n in range(5))) == 30


def test_a_pack_that_is_condemned_meanwhile_stops_the_commit(store: Store, opened: Callable[..., Store]) -> None:
    pack = some_pack()
    push(store, some_oid(1), pack=pack)
    other = opened("other")
    other.refresh()
    store.backend.create(log_key(1), LogEntry(a_push_id(), 0, {}, (), condemn_packs=(pack,)).encode())
    with pytest.raises(PacksCondemned):
        push(other, some_oid(2), built_on=[pack])
    assert other.state.seq == 1
    assert push(other, some_oid(2)) == 2


class RestoredMeanwhile(Around):
    """A store that is put back to an older copy just before a log entry is created."""

    def __init__(self, inner: Backend, restore: Callable[[], None]) -> None:
        super().__init__(inner)
        self.restore: Callable[[], None] | None = restore

    def create(self, key: str, body: Body) -> bool:
        if key.startswith("log/") and self.restore is not None:
            self.restore()
            self.restore = None
        return super().create(key, body)


@pytest.mark.parametrize("entries", [1, 3])
def test_a_store_restored_while_we_push_gets_no_gap_in_its_log(
    store: Store, directory: Path, opened: Callable[..., Store], entries: int
) -> None:
    packs = [some_pack() for _ in range(4)]
    for number, pack in enumerate(packs):
        push(store, some_oid(number), pack=pack)

    def restore() -> None:
        for seq in range(entries, 4):
            (directory / log_key(seq)).unlink()

    pushing = opened("other", RestoredMeanwhile(Directory(directory), restore))
    pushing.refresh()
    with pytest.raises(PacksCondemned):
        push(pushing, some_oid(9), built_on=packs)
    assert push(pushing, some_oid(9), built_on=packs[:entries]) == entries
    assert store.refresh().seq == entries


def test_a_store_restored_before_we_commit_is_noticed(store: Store, directory: Path) -> None:
    packs = [some_pack() for _ in range(3)]
    for number, pack in enumerate(packs):
        push(store, some_oid(number), pack=pack)
    for seq in (1, 2):
        (directory / log_key(seq)).unlink()
    with pytest.raises(PacksCondemned):
        push(store, some_oid(9), built_on=[packs[2]])
    assert push(store, some_oid(9), built_on=[packs[0]]) == 1


# upkeep


def test_small_indexes_are_merged_and_everything_is_still_found(store: Store, opened: Callable[..., Store]) -> None:
    packs = {}
    for number in range(3 * store_module.MERGE_FROM):
        packs[number] = some_pack()
        push(store, some_oid(number), some_oid(-1), pack=packs[number])
        assert len(store.state.indexes) <= store_module.MERGE_FROM
    assert len(store.state.indexes) < store_module.MERGE_FROM
    for seen in (store, opened("new"), opened()):
        seen.refresh()
        found = seen.find([some_oid(number) for number in packs] + [some_oid(-1)])
        assert {found[some_oid(number)].pack for number in packs} == set(packs.values())
        assert found[some_oid(-1)].pack == packs[max(packs)]


def test_large_indexes_are_left_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "MERGE_LIMIT", 30)
    push(store, *(some_oid(n) for n in range(1000, 1050)))
    large = store.state.indexes[0]
    for number in range(20):
        push(store, some_oid(number))
    assert store.state.indexes[0] == large
    assert len(store.state.indexes) < store_module.MERGE_FROM
    assert len(store.find(some_oid(n) for n in [*range(20), *range(1000, 1050)])) == 70


def test_a_merge_keeps_all_rows_of_an_object_in_order(store: Store, opened: Callable[..., Store]) -> None:
    """The newest row may be forged, and dropping the others would lose the right one for good."""
    oid, packs = some_oid(0), [some_pack() for _ in range(3)]
    for number in range(store_module.MERGE_FROM + 2):
        push(
            store,
            oid if number in (2, 5, 9) else some_oid(number + 1),
            pack=packs.pop() if number in (2, 5, 9) else None,
        )
    before = store.find_all([oid])
    new = opened("new")
    new.refresh()
    assert len(new.state.indexes) < store_module.MERGE_FROM, "they were merged"
    assert len(before[oid]) == 3 and new.find_all([oid]) == before


def test_a_bad_index_does_not_prevent_merging_newer_ones(
    store: Store, directory: Path, opened: Callable[..., Store]
) -> None:
    push(store, some_oid(0))
    (directory / index_key(store.state.indexes[0])).unlink()
    pack = some_pack()
    rubbish = IndexRow(some_oid(1), pack, PACK_SIZE + 1, 50, 40, recipe=False)
    seen = opened("new")
    seen.refresh()
    seen.commit(a_push_id(), {pack: PACK_SIZE}, encode([rubbish], {pack: PACK_SIZE}), ())
    for number in range(2, store_module.MERGE_FROM + 4):
        push(seen, some_oid(number))
    assert len(seen.state.indexes) < store_module.MERGE_FROM
    assert len(seen.find(map(some_oid, range(store_module.MERGE_FROM + 4)))) == store_module.MERGE_FROM + 2


@pytest.mark.parametrize("each", [1, 7, 100, 9000, 60_000])
def test_merges_keep_indexes_few_and_write_a_row_few_times(each: int) -> None:
    counts: list[int] = []
    merges = written = most = 0
    for _ in range(2000):
        counts.append(each)
        if count := store_module.how_many_to_merge(counts):
            merges, written = merges + 1, written + sum(counts[-count:])
            counts[-count:] = [sum(counts[-count:])]
            assert counts[-1] <= store_module.MERGE_LIMIT
        most = max(most, len(counts))
    assert sum(counts) == 2000 * each
    full = 2000 * each // (store_module.MERGE_LIMIT // 2)
    assert most <= 2 * store_module.MERGE_FROM + full
    assert written <= 8 * 2000 * each
    assert merges <= 2000 // 7


class NoUpkeep(Around):
    """A store that takes pushes, but neither hints nor checkpoints nor merged indexes."""

    def create(self, key: str, body: Body) -> bool:
        if key.startswith("checkpoint/") or (isinstance(body, bytes) and b'"drop_indexes":["' in body):
            raise NotAllowed("no")
        return super().create(key, body)

    def write(self, key: str, body: Body) -> None:
        raise StoreUnreachable("no")


def test_upkeep_that_fails_never_fails_a_push(directory: Path, opened: Callable[..., Store], store: Store) -> None:
    stubborn = opened("other", NoUpkeep(Directory(directory)))
    stubborn.refresh()
    for number in range(CHECKPOINT_EVERY + 3):
        assert push(stubborn, some_oid(number)) == number
    store.refresh()
    assert len(store.find(some_oid(n) for n in range(CHECKPOINT_EVERY + 3))) == CHECKPOINT_EVERY + 3


def test_a_reader_of_an_older_state_still_finds_objects_after_a_merge(
    store: Store, directory: Path, opened: Callable[..., Store]
) -> None:
    for number in range(store_module.MERGE_FROM - 1):
        push(store, some_oid(number))
    late = opened("late")
    late.refresh()
    push(store, some_oid(99))
    for path in (directory / "index").rglob("*"):  # as a clean-up would
        if path.is_file() and path.name not in {id.hex() for id in store.state.indexes}:
            path.unlink()
    assert len(late.find(some_oid(n) for n in range(15))) == 15


def test_cached_indexes_that_left_the_store_long_ago_are_deleted(
    store: Store, opened: Callable[..., Store], tmp_path: Path
) -> None:
    for number in range(store_module.MERGE_FROM):
        push(store, some_oid(number))
    kept = list((tmp_path / "known").rglob("index/*"))
    for path in kept:
        os.utime(path, (0, 0))
    other = opened("other")
    other.refresh()
    push(other, some_oid(50))
    store.refresh()
    assert len(list((tmp_path / "known").rglob("index/*"))) == 1
    assert len(kept) > 1
    assert store.find([some_oid(3), some_oid(50)]).keys() == {some_oid(3), some_oid(50)}


# over a socket


def test_it_works_over_http(server: str, tmp_path: Path) -> None:
    store = Store(Http(f"{server}/set"), tmp_path / "known")
    store.create()
    store.refresh()
    (tmp_path / "made").mkdir()
    for number in range(store_module.MERGE_FROM + CHECKPOINT_EVERY):
        info = a_real_pack(tmp_path / "made", [random_bytes(number, 100)])
        chunk = info.chunks[0]
        store.backend.create(pack_key(info.id), tmp_path / "made" / pack_key(info.id))
        entry = IndexRow(chunk.id, info.id, chunk.offset, chunk.stored, chunk.length, recipe=False)
        store.commit(a_push_id(), {info.id: info.size}, encode([entry], {info.id: info.size}), ())
    new = Store(Http(f"{server}/set"), tmp_path / "new")
    new.refresh()
    assert new.state == store.state
    assert chunk.id in new.find([chunk.id])
    store.close()
    new.close()


def test_an_unwritable_cache_is_a_clear_error(store: Store, opened: Callable[..., Store]) -> None:
    push(store, some_oid(1))
    other = opened("other")
    other.refresh()
    (other.directory / "tmp").rmdir()
    (other.directory / "tmp").write_bytes(b"a file where a directory should be")
    with pytest.raises(LdsError, match="tmp"):
        other.find([some_oid(1)])

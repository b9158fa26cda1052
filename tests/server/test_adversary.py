"""A hostile writer, or one with a broken program, at a real `git lds serve`: refused, without effect on others."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import httpx
import pytest
from kit.lds_server import Served, entry, id_of, index_of, pack_of, pack_with, packed, serving
from kit.stores import Machine
from kit.work import Work, random_bytes

from git_lds import hashing
from git_lds.hashing import FileId, Oid
from git_lds.store.backends.http import Http
from git_lds.store.client.store import Store
from git_lds.store.format import frames, index, packfile
from git_lds.store.format.index import IndexRow
from git_lds.store.format.keys import HEAD, checkpoint_key, index_key, log_key, pack_key
from git_lds.store.format.log import Hint, StoreState, encode_checkpoint
from git_lds.store.format.packfile import ChunkAt
from git_lds.store.format.recipe import FrameRun, Recipe

LARGE = random_bytes(1, 700_000)
HONEST = [b"small one", b"small two", random_bytes(2, 90_000), LARGE, LARGE[:300_000] + random_bytes(3, 200_000)]
REFUSED = {403, 405, 409, 422}
A, B = random_bytes(4, 5_000), random_bytes(5, 6_000)


def raw(data: bytes) -> bytes:
    """Return a frame that stores `data` uncompressed."""
    return frames.HEADER.pack(frames.RAW, bytes(3), len(data), len(data)) + data


def oid(data: bytes) -> Oid:
    return hashing.of_bytes(data)


class Hostile:
    """A user who may write to a store, and knows its contents."""

    def __init__(self, url: str, directory: Path) -> None:
        self.machine = Machine(directory)
        self._url = url
        self._client = httpx.Client(timeout=30)
        self.answers: list[int] = []
        """What the server said to that which it must refuse."""

    def close(self) -> None:
        self._client.close()
        self.store.close()

    def put(self, key: str, body: bytes) -> int:
        return self._client.put(f"{self._url}/{key}", content=body, headers={"If-None-Match": "*"}).status_code

    def try_put(self, key: str, body: bytes) -> None:
        self.answers.append(self.put(key, body))

    def try_pack(self, body: bytes) -> None:
        self.try_put(pack_of(body), body)

    def try_delete(self, key: str) -> None:
        self.answers.append(self._client.delete(f"{self._url}/{key}").status_code)

    def gives(self, key: str) -> bool:
        return self._client.head(f"{self._url}/{key}").status_code == 200

    def pack(self, body: bytes) -> FileId:
        """Put a pack that is right."""
        assert self.put(pack_of(body), body) in (201, 412)
        return id_of(body)

    def index(self, data: bytes) -> FileId:
        """Put an index that is right."""
        assert self.put(index_of(data), data) in (201, 412)
        return id_of(data)

    @cached_property
    def store(self) -> Store:
        """The store as it was before the attack, which changes nothing of it."""
        store = self.machine.store(Http(self._url))
        store.refresh()
        return store

    @property
    def state(self) -> StoreState:
        return self.store.state

    def find(self, data: bytes) -> IndexRow:
        """Where an object of the store is."""
        return self.store.find([oid(data)])[oid(data)]

    def recipe(self, data: bytes) -> Recipe:
        """The recipe that the store has of an object."""
        found = self.find(data)
        size = found.offset + found.stored - 1
        headers = {"Range": f"bytes={found.offset}-{size}"}
        frame = self._client.get(f"{self._url}/{pack_key(found.pack)}", headers=headers).content
        return Recipe.decode(frames.decode(frame, limit=frames.MAX_RECIPE))

    def try_rows(self, *rows: IndexRow, sizes: dict[FileId, int] | None = None) -> None:
        """Put an index of these rows, and an entry that adds it."""
        data = index.encode(rows, {**self.state.packs, **(sizes or {})})
        self.try_put(index_of(data), data)
        self.try_entry(add_indexes=(id_of(data),), add_packs=sizes or {})

    def try_recipe(self, of: bytes, recipe: Recipe) -> None:
        """Put a recipe, and say that it is that of the object `of`."""
        data = recipe.encode()
        body = packed(data)
        self.pack(body)
        row = IndexRow(oid(of), id_of(body), packfile.HEADER_SIZE, len(raw(data)), len(data), recipe=True)
        self.try_rows(row, sizes={id_of(body): len(body)})

    def try_entry(self, **fields: object) -> None:
        self.try_put(log_key(self.state.seq + 1), entry(99, **fields))  # type: ignore[arg-type]


# packs


def exchanged_ids(hostile: Hostile) -> None:
    hostile.try_pack(pack_with([(oid(B), raw(A)), (oid(A), raw(B))]))
    hostile.try_pack(pack_with([(oid(A), raw(A)), (oid(A), raw(B))]))


def wrong_places(hostile: Hostile) -> None:
    first, second = raw(A), raw(B)
    body = packfile.MAGIC + bytes(16) + first + second
    right = [ChunkAt(oid(A), 24, len(first), 0, len(A)), ChunkAt(oid(B), 24 + len(first), len(second), len(A), len(B))]
    for one, other in [
        (right[0]._replace(stored=len(first) - 1), right[1]._replace(offset=23 + len(first), stored=len(second) + 1)),
        (right[0]._replace(length=len(A) + 1), right[1]._replace(logical=len(A) + 1)),
        (right[0]._replace(length=2**32 - 1), right[1]),
        (right[0], right[1]._replace(offset=24)),
        (right[0], right[1]._replace(logical=0)),
        (right[0], right[1]._replace(stored=len(second) - 5)),
        (right[0], right[1]._replace(length=len(B) - 1)),
        (right[1], right[0]),
    ]:
        hostile.try_pack(body + packfile.encode_footer([one, other]))
    hostile.try_pack(body + b"x" + packfile.encode_footer(right))
    hostile.try_pack(body + packfile.encode_footer(right[:1]))
    hostile.try_pack(body + packfile.encode_footer(right)[1:])
    hostile.try_pack(b"LDSPACK2" + body[8:] + packfile.encode_footer(right))
    for end in (b"", b"x", b"LDSPEND1", struct.pack("<I4s8s", 2**32 - 1, bytes(4), b"LDSPEND1")):
        hostile.try_pack(body + end)


def frames_that_are_none(hostile: Hostile) -> None:
    bomb = frames.compress(bytes(50 << 20))
    assert bomb is not None and len(bomb) < 10_000
    zeros = bytes(frames.MAX_CHUNK)
    hostile.try_pack(pack_with([(oid(zeros), frames.HEADER.pack(1, bytes(3), len(bomb), len(zeros)) + bomb)]))
    many = bytes(16 << 20)
    stored = frames.compress(many)
    assert stored is not None
    hostile.try_pack(pack_with([(oid(many), frames.HEADER.pack(1, bytes(3), len(stored), len(many)) + stored)]))
    hostile.try_pack(pack_with([(oid(A), frames.HEADER.pack(1, bytes(3), 100, len(A)) + random_bytes(9, 100))]))
    hostile.try_pack(pack_with([(oid(A), frames.HEADER.pack(2, bytes(3), len(A), len(A)) + A)]))
    hostile.try_pack(pack_with([(oid(A), frames.HEADER.pack(0, b"xyz", len(A), len(A)) + A)]))
    hostile.try_pack(pack_with([(oid(A + B), frames.HEADER.pack(0, bytes(3), len(A), len(A)) + A + B)]))


# indexes


def rows_for_what_is_not_there(hostile: Hostile) -> None:
    there = hostile.find(HONEST[0])
    nowhere = FileId(random_bytes(8, 32))
    hostile.try_rows(there._replace(oid=oid(A)))
    hostile.try_rows(there._replace(oid=oid(A), offset=there.offset + 1))
    hostile.try_rows(there._replace(stored=there.stored - 1))
    hostile.try_rows(there._replace(length=there.length + 1))
    hostile.try_rows(there._replace(oid=oid(A), pack=nowhere), sizes={nowhere: 10_000})
    data = index.encode([there], {there.pack: hostile.state.packs[there.pack] + 1})
    hostile.try_put(index_of(data), data)


def a_wrong_newer_row(hostile: Hostile) -> None:
    one, other = hostile.find(HONEST[0]), hostile.find(HONEST[1])
    hostile.try_rows(other._replace(oid=one.oid))
    body = packed(A)
    hostile.pack(body)
    row = IndexRow(one.oid, id_of(body), packfile.HEADER_SIZE, len(raw(A)), len(A), recipe=False)
    hostile.try_rows(row, sizes={id_of(body): len(body)})


def indexes_that_are_none(hostile: Hostile) -> None:
    rows = [hostile.find(HONEST[0]), hostile.find(HONEST[1])]
    right = index.encode(rows, hostile.state.packs)
    unsorted = right[:-96] + right[-48:] + right[-96:-48]
    for data in (unsorted, right[:-1], right + b"x", b"", b"LDSINDX1", b"LDSINDX2" + right[8:]):
        hostile.try_put(index_of(data), data)


# recipes


def rows_with_another_recipe(hostile: Hostile) -> None:
    large, other, small = hostile.find(LARGE), hostile.find(HONEST[4]), hostile.find(HONEST[0])
    hostile.try_rows(small._replace(recipe=True))
    hostile.try_rows(other._replace(oid=large.oid))
    hostile.try_rows(large._replace(oid=oid(A)))
    hostile.try_rows(large._replace(recipe=False))


def recipes_of_what_is_not_there(hostile: Hostile) -> None:
    right = hostile.recipe(LARGE)
    run = right.runs[0]
    nowhere = FileId(random_bytes(8, 32))
    for wrong in (
        run._replace(pack=nowhere),
        run._replace(offset=run.offset + 1),
        run._replace(logical=run.logical + 1),
        run._replace(stored=run.stored - 1),
        run._replace(chunks=run.chunks + 1),
    ):
        hostile.try_recipe(LARGE, right._replace(runs=(wrong, *right.runs[1:])))


def recipes_of_frames_that_are_no_chunks(hostile: Hostile) -> None:
    table = Recipe(oid(A), 9_000, tuple(FrameRun(id_of(A), 24 + n, 13, n, 1, 1) for n in range(9_000))).encode()
    body = pack_with([(oid(table), raw(table)), (oid(A), raw(A))])
    hostile.pack(body)
    run = FrameRun(id_of(body), 24, len(raw(table)) + len(raw(A)), 0, len(table) + len(A), 2)
    hostile.try_recipe(table + A, Recipe(oid(table + A), len(table + A), (run,)))


def objects_in_packs_that_no_entry_adds(hostile: Hostile) -> None:
    chunks = packed(random_bytes(20, 200_000))
    hostile.pack(chunks)
    run = FrameRun(id_of(chunks), 24, 200_000 + 24, 0, 200_000, 2)
    recipe = Recipe(oid(random_bytes(20, 200_000)), 200_000, (run,)).encode()
    body = packed(recipe)
    row = IndexRow(oid(random_bytes(20, 200_000)), hostile.pack(body), 24, len(raw(recipe)), len(recipe), recipe=True)
    data = index.encode([row], {id_of(body): len(body)})
    added = (hostile.index(data),)
    hostile.try_entry(add_packs={id_of(body): len(body)}, add_indexes=added)
    hostile.try_entry(add_packs={id_of(chunks): len(chunks)}, add_indexes=added)


# the log


def entries_for_what_is_not_there(hostile: Hostile) -> None:
    nowhere = FileId(random_bytes(8, 32))
    body = packed(A)
    orphan = hostile.pack(body)
    live, size = next(iter(hostile.state.packs.items()))
    hostile.try_entry(add_packs={nowhere: 1000})
    hostile.try_entry(add_packs={orphan: len(body), nowhere: 1000})
    hostile.try_entry(add_packs={orphan: len(body) + 1})
    hostile.try_entry(add_packs={live: size + 1})
    hostile.try_entry(add_indexes=(nowhere,))


def entries_that_drop_indexes(hostile: Hostile) -> None:
    state = hostile.state
    hostile.try_entry(drop_indexes=state.indexes)
    hostile.try_entry(drop_indexes=state.indexes[:1])
    one = index.encode([hostile.find(data) for data in HONEST[1:]], state.packs)
    hostile.try_entry(drop_indexes=state.indexes, add_indexes=(hostile.index(one),))
    # in a pack that no entry adds, an object is not there for anybody
    body = packed(HONEST[0])
    row = IndexRow(oid(HONEST[0]), hostile.pack(body), 24, len(raw(HONEST[0])), len(HONEST[0]), recipe=False)
    all_of_them = index.encode(
        [row, *(hostile.find(data) for data in HONEST[1:])], {**state.packs, row.pack: len(body)}
    )
    hostile.try_entry(drop_indexes=state.indexes, add_indexes=(hostile.index(all_of_them),))


def entries_that_remove(hostile: Hostile) -> None:
    packs = tuple(hostile.state.packs)
    hostile.try_entry(condemn_packs=packs)
    hostile.try_entry(remove_packs=packs)
    hostile.try_entry(remove_packs=packs[:1], drop_indexes=hostile.state.indexes)
    assert set(hostile.answers) == {403}


def wrong_checkpoints(hostile: Hostile) -> None:
    state = hostile.state
    for wrong in (
        StoreState(state.seq, {}, frozenset(), ()),
        state._replace(indexes=state.indexes[:-1]),
        state._replace(condemned=frozenset(state.packs)),
        state._replace(packs={pack: size + 1 for pack, size in state.packs.items()}),
        state._replace(seq=state.seq + 1000),
        state._replace(seq=0),
    ):
        data = encode_checkpoint(wrong)
        key = checkpoint_key(wrong.seq, id_of(data))
        hostile.try_put(key, data)
        hostile._client.put(f"{hostile._url}/{HEAD}", content=Hint(wrong.seq, key).encode())
    data = encode_checkpoint(state)
    hostile.try_put(checkpoint_key(state.seq - 1, id_of(data)), data)


def deletions(hostile: Hostile) -> None:
    state = hostile.state
    for key in (*map(pack_key, state.packs), *map(index_key, state.indexes), log_key(0), "lds.toml"):
        hostile.try_delete(key)
        assert hostile.gives(key)


ATTACKS: list[Callable[[Hostile], None]] = [
    exchanged_ids, wrong_places, frames_that_are_none, rows_for_what_is_not_there, a_wrong_newer_row, indexes_that_are_none,
    rows_with_another_recipe, recipes_of_what_is_not_there, recipes_of_frames_that_are_no_chunks,
    objects_in_packs_that_no_entry_adds, entries_for_what_is_not_there, entries_that_drop_indexes, entries_that_remove,
    wrong_checkpoints, deletions,
]  # fmt: skip


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Path]]:
    root = tmp_path_factory.mktemp("stores")
    with serving(root) as served:
        yield served, root


def new_store(url: str, directory: Path) -> None:
    """Push HONEST, in two pushes."""
    honest = Machine(directory)
    for contents in (HONEST[:2], HONEST[2:]):
        honest.push(Http(url), honest.add(*contents))


def assert_all_is_well(url: str, directory: Path, *more: bytes) -> None:
    """A new user gets everything that was pushed, and pushes more; the next user gets that, too."""
    first, second = Machine(directory / "first"), Machine(directory / "second")
    assert first.pull(Http(url), *HONEST, *more).missing == ()
    new = [os.urandom(50_000), LARGE[:250_000] + os.urandom(200_000), A, B]
    first.push(Http(url), first.add(*new))
    assert second.pull(Http(url), *HONEST, *more, *new).missing == ()
    assert all(second.has(data) for data in (*HONEST, *more, *new))


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_hostile_writer_is_refused_without_effect_on_others(
    shared: tuple[Served, Path], tmp_path: Path, attack: Callable[[Hostile], None]
) -> None:
    name = os.urandom(8).hex()
    url, store = f"{shared[0].url}/{name}", shared[1] / name
    new_store(url, tmp_path / "honest")
    before = [path for path in (store / "log").iterdir() if path.name != "HEAD"]
    hostile = Hostile(url, tmp_path / "hostile")
    attack(hostile)
    hostile.close()
    assert hostile.answers and set(hostile.answers) <= REFUSED, hostile.answers
    assert sorted(path for path in (store / "log").iterdir() if path.name != "HEAD") == sorted(before)
    assert list((store / "tmp").iterdir()) == []
    assert_all_is_well(url, tmp_path)


def test_a_server_on_a_bucket_refuses_the_same(bucket: str, tmp_path: Path) -> None:
    with serving(bucket) as served:
        url = f"{served.url}/ds"
        new_store(url, tmp_path / "honest")
        for attack in ATTACKS:
            hostile = Hostile(url, tmp_path / "hostile" / attack.__name__)
            attack(hostile)
            hostile.close()
            assert hostile.answers and set(hostile.answers) <= REFUSED, (attack, hostile.answers)
        assert_all_is_well(url, tmp_path)


def test_after_all_attacks_clones_and_pushes_work(served: Work, server: str, tmp_path: Path) -> None:
    for number, data in enumerate(HONEST[:2]):
        served.write(f"images/{number}.bin", data)
    served.commit("small")
    served.git("push", "-q", "origin", "HEAD")
    for number, data in enumerate(HONEST[2:], 2):
        served.write(f"images/{number}.bin", data)
    served.commit("large")
    served.git("push", "-q", "origin", "HEAD")
    for attack in ATTACKS:
        hostile = Hostile(f"{server}/dataset", tmp_path / "hostile" / attack.__name__)
        attack(hostile)
        hostile.close()
        assert set(hostile.answers) <= REFUSED, (attack, hostile.answers)
    clone = Work(tmp_path / "clone", tmp_path / "clone's cache")
    Work(tmp_path, clone.cache).git("clone", "-q", tmp_path / "origin.git", clone.path)
    assert [clone.read(f"images/{number}.bin") for number in range(len(HONEST))] == HONEST
    clone.write("images/new.bin", LARGE[:400_000] + A + B)
    clone.write("images/a.bin", A)
    clone.commit("more")
    clone.git("push", "-q", "origin", "HEAD")
    served.git("pull", "-q", "origin", "main", GIT_LDS_CACHE=tmp_path / "third cache")
    assert served.read("images/new.bin") == LARGE[:400_000] + A + B
    assert served.read("images/a.bin") == A

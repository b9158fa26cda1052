"""The recipe cache helps if it can, and never harms."""

from __future__ import annotations

import contextlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from git_lds import hashing
from git_lds.hashing import FileId, Oid
from git_lds.store.client.cache_files import read_cache, write_cache
from git_lds.store.client.recipe_cache import RecipeCache
from git_lds.store.client.stretches import Stretch
from git_lds.store.format.index import IndexRow
from git_lds.store.format.packfile import ChunkAt
from git_lds.store.format.recipe import FrameRun, Recipe

PACKS = [FileId(bytes([n]) * 32) for n in range(4)]


def recipe(name: int, size: int, *parts: tuple[int, int, int]) -> Recipe:
    """A recipe whose parts are (pack, first, last) in logical offsets; the rest of its size is in a pack of its own."""
    runs = [FrameRun(PACKS[pack], 24 + first, last - first + 12, first, last - first, 1) for pack, first, last in parts]
    rest = size - sum(run.length for run in runs)
    own = FileId(hashing.of_bytes(b"pack of %d" % name))
    return Recipe(hashing.of_bytes(b"object %d" % name), size, (*runs, FrameRun(own, 24, rest + 12, 0, rest, 1)))


def name_of(oid: Oid) -> int:
    return next(n for n in range(1000) if hashing.of_bytes(b"object %d" % n) == oid)


@pytest.fixture
def book(tmp_path: Path) -> RecipeCache:
    return RecipeCache(tmp_path / "directory" / "recipes")


def test_recipes_are_remembered_by_the_next_process(book: RecipeCache, tmp_path: Path) -> None:
    made = [recipe(n, 1000 + n) for n in range(5)]
    book.add(made)
    book.close()
    again = RecipeCache(tmp_path / "directory" / "recipes")
    assert again.get([made[3].oid, hashing.of_bytes(b"unknown")]) == {made[3].oid: made[3]}


def test_the_last_recipe_of_an_object_counts(book: RecipeCache) -> None:
    book.add([recipe(1, 1000, (0, 0, 500))])
    book.add([recipe(1, 1000, (1, 0, 500))])
    (remembered,) = book.get([hashing.of_bytes(b"object 1")]).values()
    assert remembered.runs[0].pack == PACKS[1]


def test_objects_that_share_bytes_are_found_those_that_share_most_first(book: RecipeCache) -> None:
    book.add(
        [
            recipe(1, 1000, (0, 0, 100)),
            recipe(2, 1000, (0, 50, 300), (1, 0, 200)),
            recipe(3, 1000, (0, 300, 400)),
            recipe(4, 1000, (2, 0, 400)),
        ]
    )
    asked = recipe(9, 1000, (0, 20, 250), (1, 50, 150))
    assert [name_of(oid) for oid in book.sharing(asked, 10)] == [2, 1]
    assert [name_of(oid) for oid in book.sharing(asked, 1)] == [2]


def test_objects_near_in_size_are_found_the_nearest_first(book: RecipeCache) -> None:
    book.add(recipe(n, size) for n, size in enumerate([100, 900, 995, 1010, 1200, 5000]))
    assert [found.size for found in book.near(1000, 2)] == [995, 1010, 900, 1200]


@pytest.mark.parametrize("contents", [b"", b"not a database", b"SQLite format 3\0" + bytes(500)])
def test_a_damaged_file_is_replaced(tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "recipes"
    path.write_bytes(contents)
    for _ in range(2):
        book = RecipeCache(path)
        book.add([recipe(1, 1000)])
        book.near(1000, 3)
        book.close()
    assert RecipeCache(path).near(1000, 3) != []


def test_a_damaged_recipe_is_not_given(book: RecipeCache, tmp_path: Path) -> None:
    book.add([recipe(1, 1000), recipe(2, 1000)])
    book.close()
    with sqlite3.connect(tmp_path / "directory" / "recipes") as file:
        file.execute("UPDATE recipe SET data = x'00' WHERE oid = ?", (hashing.of_bytes(b"object 1"),))
        file.execute("UPDATE recipe SET data = 7 WHERE oid = ?", (hashing.of_bytes(b"object 2"),))
    again = RecipeCache(tmp_path / "directory" / "recipes")
    assert again.get([hashing.of_bytes(b"object 1"), hashing.of_bytes(b"object 2")]) == {}
    assert again.near(1000, 3) == []


def test_an_unwritable_place_caches_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    book = RecipeCache(tmp_path / "file" / "recipes")
    book.add([recipe(1, 1000)])
    assert book.near(1000, 3) == []
    assert book.get([hashing.of_bytes(b"object 1")]) == {}
    assert book.sharing(recipe(1, 1000), 3) == []


def test_many_write_at_once(tmp_path: Path) -> None:
    def write(number: int) -> None:
        book = RecipeCache(tmp_path / "recipes")
        for n in range(5):
            book.add([recipe(10 * number + n, 1000)])
        book.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    assert len(RecipeCache(tmp_path / "recipes").near(1000, 100)) == 30


def test_a_cache_file_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "directory" / "file"
    assert read_cache(path) is None
    write_cache(path, b"data", tmp_path)
    assert read_cache(path) == b"data"
    write_cache(path, b"", tmp_path)
    assert read_cache(path) == b""
    write_cache(path, b"data", tmp_path)
    for damage in (path.read_bytes()[:-1], path.read_bytes() + b"x", b"", b"x" + path.read_bytes()[1:]):
        path.write_bytes(damage)
        assert read_cache(path) is None
        assert not path.exists()
        write_cache(path, b"data", tmp_path)


def test_data_that_cannot_be_cached_are_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    write_cache(tmp_path / "file" / "below", b"data", tmp_path)
    assert read_cache(tmp_path / "file" / "below") is None


# what was proven


def stretch(oid: Oid, at: int, ids: tuple[Oid, ...] = ()) -> Stretch:
    return Stretch(oid, at, PACKS[1], 24 + at, at, ((50, 40), (62, 50)), ids)


def row(name: int, offset: int = 24) -> IndexRow:
    return IndexRow(hashing.of_bytes(b"object %d" % name), PACKS[0], offset, 50, 40, name % 2 == 0)


def test_stretches_are_remembered_with_the_ids_that_were_learnt_later(book: RecipeCache, tmp_path: Path) -> None:
    oid, ids = hashing.of_bytes(b"object"), (hashing.of_bytes(b"a"), hashing.of_bytes(b"b"))
    book.add_stretches([stretch(oid, 200), stretch(oid, 0)])
    book.add_stretches([stretch(oid, 200, ids)])
    book.close()
    again = RecipeCache(tmp_path / "directory" / "recipes")
    assert again.stretches_of(PACKS[1]) == [stretch(oid, 0), stretch(oid, 200, ids)]
    assert again.stretches_of(PACKS[0]) == []
    assert list(stretch(oid, 200, ids).chunks()) == [
        ChunkAt(ids[0], 224, 50, 200, 40),
        ChunkAt(ids[1], 274, 62, 240, 50),
    ]


def test_a_row_is_proven_only_as_it_was(book: RecipeCache) -> None:
    book.add_proven([row(1), row(2)])
    assert book.proven_oids([row(1), row(2), row(3)]) == {row(1).oid, row(2).oid}
    changed = [{"pack": PACKS[1]}, {"offset": 25}, {"stored": 51}, {"length": 41}, {"recipe": True}]
    assert all(not book.proven_oids([row(1)._replace(**change)]) for change in changed)  # type: ignore[arg-type]


def test_a_proof_with_a_flipped_bit_is_ignored(book: RecipeCache, tmp_path: Path) -> None:
    oid = hashing.of_bytes(b"object")
    book.add_stretches([stretch(oid, 0, (oid, oid))])
    book.close()
    whole = stretch(oid, 0, (oid, oid)).encode()
    for at in range(len(whole)):
        broken = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        with contextlib.closing(sqlite3.connect(tmp_path / "directory" / "recipes")) as file, file:
            file.execute("UPDATE stretch SET data = ?", (broken,))
        assert RecipeCache(tmp_path / "directory" / "recipes").stretches_of(PACKS[1]) == []
    for other in (b"", b"x", 7, None):
        assert Stretch.decode(other) is None

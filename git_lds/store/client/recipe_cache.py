"""Caches the recipes of objects that were pushed or fetched here, to find objects that share bytes.

It also has what was proven of a store: stretches of its packs (see `stretches`), and rows of its indexes. A row is stored as its
BLAKE3, and a stretch has a seal, so that a damaged file proves nothing.

The cache is an SQLite file. It may be deleted at any time: a file that cannot be read or written counts as empty, and nothing
here raises.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from git_lds import hashing
from git_lds.errors import CorruptData
from git_lds.hashing import FileId, Oid
from git_lds.store.client.stretches import Stretch
from git_lds.store.format.index import IndexRow
from git_lds.store.format.recipe import Recipe

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS recipe (oid BLOB PRIMARY KEY, size INTEGER, data BLOB);
    CREATE INDEX IF NOT EXISTS recipe_size ON recipe (size);
    CREATE TABLE IF NOT EXISTS part (pack BLOB, oid BLOB, first INTEGER, last INTEGER, PRIMARY KEY (pack, oid)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS stretch (oid BLOB, at INTEGER, pack BLOB, data BLOB, PRIMARY KEY (oid, at));
    CREATE INDEX IF NOT EXISTS stretch_pack ON stretch (pack);
    CREATE TABLE IF NOT EXISTS proven (row BLOB PRIMARY KEY) WITHOUT ROWID;
"""
_PATIENCE = 5.0
"""Seconds to wait for another process that writes; afterwards the cache counts as empty."""


class RecipeCache:
    """The recipe cache of one store. For one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._is_usable = True

    def get(self, oids: Iterable[Oid]) -> dict[Oid, Recipe]:
        """Return the cached recipes of `oids`."""
        recipes = {}
        for oid in oids:
            for (data,) in self._ask("SELECT data FROM recipe WHERE oid = ?", oid):
                if (recipe := _decoded(data)) is not None and recipe.oid == oid:
                    recipes[oid] = recipe
        return recipes

    def add(self, recipes: Iterable[Recipe]) -> None:
        """Cache `recipes`, replacing former ones of the same objects."""
        rows = []
        parts = []
        for recipe in recipes:
            rows.append((recipe.oid, recipe.size, recipe.encode()))
            parts += [(pack, recipe.oid, first, last) for pack, (first, last) in _extents(recipe).items()]
        # rows of a replaced recipe stay in `part`: they only say where to look
        self._write(
            ("INSERT OR REPLACE INTO recipe VALUES (?, ?, ?)", rows),
            ("INSERT OR REPLACE INTO part VALUES (?, ?, ?, ?)", parts),
        )

    def sharing(self, recipe: Recipe, limit: int) -> list[Oid]:
        """Return at most `limit` objects that may share bytes with that of `recipe`, those that share most first."""
        shared: dict[Oid, int] = {}
        for pack, (first, last) in _extents(recipe).items():
            question = "SELECT oid, first, last FROM part WHERE pack = ? AND first < ? AND last > ?"
            for oid, other_first, other_last in self._ask(question, pack, last, first):
                if oid != recipe.oid:
                    shared[oid] = shared.get(oid, 0) + min(last, other_last) - max(first, other_first)
        return sorted(shared, key=lambda oid: -shared[oid])[:limit]

    def near(self, size: int, limit: int) -> list[Recipe]:
        """Return the recipes of the objects nearest to `size` bytes, at most `limit` smaller and `limit` larger ones."""
        rows = self._ask("SELECT data FROM recipe WHERE size >= ? ORDER BY size LIMIT ?", size, limit)
        rows += self._ask("SELECT data FROM recipe WHERE size < ? ORDER BY size DESC LIMIT ?", size, limit)
        recipes = [recipe for (data,) in rows if (recipe := _decoded(data)) is not None]
        return sorted(recipes, key=lambda recipe: abs(recipe.size - size))

    # proofs

    def add_stretches(self, stretches: Collection[Stretch]) -> None:
        """Cache stretches, replacing former ones of the same places in their objects."""
        rows = [(one.oid, one.at, one.pack, one.encode()) for one in stretches]
        self._write(("INSERT OR REPLACE INTO stretch VALUES (?, ?, ?, ?)", rows))

    def stretches_of(self, pack: FileId) -> list[Stretch]:
        """Return the cached stretches of a pack, in their order in the pack."""
        rows = self._ask("SELECT data FROM stretch WHERE pack = ?", pack)
        stretches = [
            stretch for (data,) in rows if (stretch := Stretch.decode(data)) is not None and stretch.pack == pack
        ]
        return sorted(stretches, key=lambda stretch: stretch.offset)

    def add_proven(self, entries: Iterable[IndexRow]) -> None:
        """Record that the objects of these rows are where the rows say."""
        self._write(("INSERT OR IGNORE INTO proven VALUES (?)", [(_row_digest(entry),) for entry in entries]))

    def proven_oids(self, entries: Iterable[IndexRow]) -> set[Oid]:
        """Return the oids of those `entries` that were proven exactly as they are."""
        return {entry.oid for entry in entries if self._ask("SELECT 1 FROM proven WHERE row = ?", _row_digest(entry))}

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # SQLite answers values of any type, hence Any; _decoded and the callers accept whatever a damaged file holds
    def _ask(self, question: str, *values: bytes | int) -> list[Any]:
        if (connection := self._opened()) is None:
            return []
        try:
            return connection.execute(question, values).fetchall()
        except sqlite3.Error as error:
            self._give_up(error)
            return []

    def _write(self, *orders: tuple[str, Sequence[tuple[bytes | int, ...]]]) -> None:
        """Write the rows of all `orders`, or none."""
        if not any(rows for _, rows in orders) or (connection := self._opened()) is None:
            return
        try:
            with connection:
                for order, rows in orders:
                    connection.executemany(order, rows)
        except sqlite3.Error as error:
            self._give_up(error)

    def _opened(self) -> sqlite3.Connection | None:
        if self._connection is None and self._is_usable:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._connection = sqlite3.connect(self._path, timeout=_PATIENCE, check_same_thread=False)
                self._connection.executescript(_SCHEMA)
                # rows lost in a crash of the machine are made again: not worth a sync for every download
                self._connection.execute("PRAGMA synchronous = OFF")
            except (sqlite3.Error, OSError) as error:
                self._give_up(error)
        return self._connection

    def _give_up(self, error: Exception) -> None:
        """Stop using the cache. A damaged file is deleted, so that the next process starts a new one."""
        self._is_usable = False
        self.close()
        if type(error) is sqlite3.DatabaseError:  # not a database, or malformed; subclasses mean other errors
            with contextlib.suppress(OSError):
                self._path.unlink()


def _row_digest(entry: IndexRow) -> bytes:
    """Return the BLAKE3 of a row of an index, which stands for the proven row."""
    numbers = (entry.offset, entry.stored, entry.length, entry.recipe)
    return hashing.of_bytes(entry.oid + entry.pack + b"".join(number.to_bytes(4, "little") for number in numbers))


def _extents(recipe: Recipe) -> dict[FileId, tuple[int, int]]:
    """Return the first and the last logical offset that `recipe` uses, by pack."""
    extents: dict[FileId, tuple[int, int]] = {}
    for run in recipe.runs:
        first, last = extents.get(run.pack, (run.logical, run.logical))
        extents[run.pack] = min(first, run.logical), max(last, run.logical + run.length)
    return extents


def _decoded(data: object) -> Recipe | None:
    try:
        return Recipe.decode(data) if isinstance(data, bytes) else None
    except CorruptData:
        return None

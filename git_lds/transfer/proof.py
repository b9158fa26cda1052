"""Proves what the indexes of a store say, before a push relies on it: that an object which was added here is there.

A row is proven when it points at a frame that this machine made of that object, when the object came from there in a download,
or when all of it was read back and hashed to its oid. What was proven once is remembered (see `store/client/recipe_cache`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from git_lds import hashing, workers
from git_lds.errors import CorruptData, LdsError, NotInStore
from git_lds.fast_typing import NamedTuple
from git_lds.hashing import FileId, Oid
from git_lds.local.lookup import LocalObjects
from git_lds.progress import SILENT, Progress
from git_lds.store.client.store import Store
from git_lds.store.format import packfile
from git_lds.store.format.index import IndexRow
from git_lds.store.format.keys import pack_key
from git_lds.store.format.packfile import ChunkAt
from git_lds.store.format.recipe import FrameRun, Recipe
from git_lds.transfer import ranges, small_objects
from git_lds.transfer.assembly import FetchedRecipe, recipe_part
from git_lds.transfer.pack_contents import made_here
from git_lds.transfer.ranges import Range, WantedFrames
from git_lds.transfer.small_objects import SmallObject, SmallObjectWriter
from git_lds.workers import Stop

_AT_ONCE = 8 << 20
"""Bytes of a large object that are in memory while it is read, unless they are one run."""

_BATCH = 1024
"""Large objects whose recipes are in memory at a time."""

_CHECKERS = 8
"""Packs that are looked at side by side."""


class StoreCheck(NamedTuple):
    """What a check of objects in a store found: those that it has, and packs that are damaged or gone there."""

    whole: set[Oid]
    damaged: set[FileId]


def proven_rows(store: Store, objects: LocalObjects, oids: Collection[Oid]) -> dict[Oid, IndexRow]:
    """Return the rows of those `oids` that the store has and a push need not send, looked up and proven.

    Rows in condemned packs do not count. Raises the errors of the store.
    """
    store.ensure_loaded()
    rows = store.find(oids, reusable_only=True)
    good = proven(store, objects, rows)
    return {oid: row for oid, row in rows.items() if oid in good}


def proven(store: Store, objects: LocalObjects, entries: Mapping[Oid, IndexRow]) -> set[Oid]:
    """Return those of `entries`, what the store says that it has, whose objects a push need not send.

    Nothing would be lost with an object that is not in the local store of this repository, so that needs no proof. Rows
    that are in doubt are proven by reading the objects back.
    """
    own = [entry for oid, entry in entries.items() if objects.own.has(oid)]
    return entries.keys() - {entry.oid for entry in own} | _proven(store, own)


def present(store: Store, entries: Mapping[Oid, IndexRow]) -> StoreCheck:
    """Return those of `entries` that lie in packs which are in the store with the size that its log says."""
    needed = _needed(store, entries.values(), remembered=True)
    return _check(store, entries, needed, lambda pack, stop: _has_another_size(store, pack))


def whole(store: Store, entries: Mapping[Oid, IndexRow], progress: Progress = SILENT) -> StoreCheck:
    """Return those of `entries` that are whole in the store. Reads all packs that they lie in, each once; and the objects
    themselves where their rows are not proven."""
    needed = _needed(store, entries.values(), remembered=False)
    packs = {entry.pack for entry in entries.values()}.union(*needed.values())
    progress.start("check", len(packs), sum(store.state.packs.get(pack, 0) for pack in packs))
    try:
        checked = _check(store, entries, needed, lambda pack, stop: _has_other_bytes(store, pack, progress, stop))
    finally:
        progress.finish()
    return checked._replace(whole=_proven(store, [entries[oid] for oid in checked.whole]))


# packs


def _check(
    store: Store,
    entries: Mapping[Oid, IndexRow],
    needed: Mapping[Oid, Collection[FileId]],
    is_bad: Callable[[FileId, Stop], bool],
) -> StoreCheck:
    """Return which objects lie in good packs alone, and which packs are bad."""
    packs = {entry.pack for entry in entries.values()}.union(*needed.values())
    asked = workers.run(packs, lambda pack, stop: (pack, is_bad(pack, stop)), store.backend.close, count=_CHECKERS)
    damaged = {pack for pack, bad in asked if bad}
    sound = {
        oid
        for oid, entry in entries.items()
        if entry.pack not in damaged and (not entry.recipe or (oid in needed and damaged.isdisjoint(needed[oid])))
    }
    return StoreCheck(sound, damaged)


def _needed(store: Store, entries: Iterable[IndexRow], *, remembered: bool) -> dict[Oid, tuple[FileId, ...]]:
    """Return the packs that large objects are made of; none for one whose recipe is not to be had."""
    same: dict[FileId, FileId] = {}
    needed = {}
    for batch in _large(entries):
        recipes = store.recipes.get(entry.oid for entry in batch) if remembered else {}
        recipes |= _recipes(store, [entry for entry in batch if entry.oid not in recipes])
        for oid, recipe in recipes.items():
            needed[oid] = tuple({same.setdefault(run.pack, run.pack) for run in recipe.runs})
    return needed


def _large(entries: Iterable[IndexRow]) -> Iterator[list[IndexRow]]:
    """Yield the rows of large objects in the order of their places, some at a time: recipes take memory."""
    large = sorted((entry for entry in entries if entry.recipe), key=lambda entry: (entry.pack, entry.offset))
    for start in range(0, len(large), _BATCH):
        yield large[start : start + _BATCH]


def _has_another_size(store: Store, pack: FileId) -> bool:
    return store.backend.size(pack_key(pack)) != store.state.packs.get(pack)


def _has_other_bytes(store: Store, pack: FileId, progress: Progress, stop: Stop) -> bool:
    hasher = hashing.new()
    try:
        with store.backend.stream(pack_key(pack), 0, store.state.packs.get(pack, 0)) as blocks:
            for block in blocks:
                stop.check()
                hasher.update(block)
                progress.moved(len(block))
    except (NotInStore, CorruptData):
        return True
    finally:
        progress.done(pack.hex())
    return hasher.digest() != pack


# rows


def _proven(store: Store, entries: Sequence[IndexRow]) -> set[Oid]:
    """Return the objects of those rows that are right."""
    sure = _made_here(store, entries)
    doubtful = [entry for entry in entries if entry.oid not in sure]
    sure |= store.recipes.proven_oids(doubtful)
    doubtful = [entry for entry in doubtful if entry.oid not in sure]
    if doubtful:
        read = _ReadBack(store).read(doubtful)
        store.recipes.add_proven(entry for entry in doubtful if entry.oid in read)
        sure |= read
    return sure


def _made_here(store: Store, entries: Iterable[IndexRow]) -> set[Oid]:
    """Return those small objects that were put where their rows say by this machine."""
    by_pack: dict[FileId, list[IndexRow]] = {}
    for entry in entries:
        if not entry.recipe:
            by_pack.setdefault(entry.pack, []).append(entry)
    found: set[Oid] = set()
    for pack, rows in by_pack.items():
        if (made := made_here(store, pack)) is not None:
            chunks = {chunk.offset: chunk for chunk in packfile.decode_chunks(made.tail)}
            found |= {row.oid for row in rows if (chunk := chunks.get(row.offset)) and _is_of(row, chunk)}
    return found


def _is_of(row: IndexRow, chunk: ChunkAt) -> bool:
    return (row.oid, row.stored, row.length) == (chunk.id, chunk.stored, chunk.length)


def _recipes(store: Store, entries: Sequence[IndexRow]) -> dict[Oid, Recipe]:
    """Return the recipes that the store has of large objects where their rows, sorted by their places, say."""
    found: list[Recipe] = []
    outcome = _Arrivals()
    parts = (recipe_part(entry, FetchedRecipe(entry.oid, None, found.append, outcome)) for entry in entries)
    backend = store.backend
    for _ in workers.run(ranges.joined(parts), lambda job, stop: ranges.fetch(backend, job, stop), backend.close):
        pass
    return {recipe.oid: recipe for recipe in found}


class _Arrivals:
    """Remembers what came. Told from many threads."""

    def __init__(self) -> None:
        self.came: set[Oid] = set()

    def arrived(self, oid: Oid) -> None:
        self.came.add(oid)

    def failed(self, oid: Oid, error: LdsError) -> None: ...

    def moved(self, oid: Oid, size: int) -> None: ...


class _ReadBack:
    """Reads objects back from a store, and keeps nothing of them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._outcome = _Arrivals()
        self._keeper = SmallObjectWriter(None, self._outcome)

    def read(self, entries: Sequence[IndexRow]) -> set[Oid]:
        """Return those objects that are what their oids say, and lie in packs that can be relied on."""
        usable = [entry for entry in entries if self._store.is_live(entry.pack)]
        placed = sorted(usable, key=lambda entry: (entry.pack, entry.offset))
        one_frame = (
            SmallObject(entry.pack, entry.offset, entry.offset + entry.stored, entry.oid)
            for entry in placed
            if not entry.recipe
        )
        recipes = (recipe for batch in _large(placed) for recipe in _recipes(self._store, batch).values())
        jobs = itertools.chain[Range[SmallObject] | Recipe](ranges.joined(one_frame), recipes)
        for _ in workers.run(jobs, self._work, self._store.backend.close):
            pass
        return self._outcome.came

    def _work(self, job: Range[SmallObject] | Recipe, stop: Stop) -> None:
        if not isinstance(job, Recipe):
            small_objects.fetch(self._store.backend, job, self._keeper, stop)
        elif self._is_whole(job, stop):
            self._outcome.arrived(job.oid)

    def _is_whole(self, recipe: Recipe, stop: Stop) -> bool:
        packs = self._store.state.packs
        if any(not self._store.is_live(run.pack) or run.offset + run.stored > packs[run.pack] for run in recipe.runs):
            return False
        hashed = _OrderedHasher()
        for runs in _batches(recipe.runs):
            for wanted in ranges.joined(hashed.parts_of(runs)):
                ranges.fetch(self._store.backend, wanted, stop)
            if hashed.error is not None:
                return False
        return hashed.hasher.digest() == recipe.oid


def _batches(runs: Iterable[FrameRun]) -> Iterator[list[FrameRun]]:
    """Yield the runs of an object in their order, as many at a time as fit into memory: at least one."""
    batch: list[FrameRun] = []
    size = 0
    for run in runs:
        if batch and size + run.length > _AT_ONCE:
            yield batch
            batch, size = [], 0
        batch.append(run)
        size += run.length
    if batch:
        yield batch


class _OrderedHasher:
    """Hashes an object whose parts come in any order, a batch of runs at a time. A taker of parts."""

    def __init__(self) -> None:
        self.hasher = hashing.new()
        self.error: LdsError | None = None
        self._at = 0
        self._waiting: dict[int, list[bytes]] = {}

    def parts_of(self, runs: Sequence[FrameRun]) -> list[WantedFrames]:
        """Return the parts to fetch for the runs that come next, sorted."""
        at = self._at
        parts = []
        for run in runs:
            parts.append(WantedFrames(run.pack, run.offset, run.offset + run.stored, run.length, self, (at,)))
            at += run.length
        return sorted(parts, key=lambda part: (part.pack, part.start, part.end))

    def write(self, at: int, data: Sequence[bytes]) -> None:
        self._waiting[at] = list(data)
        while (pieces := self._waiting.pop(self._at, None)) is not None:
            for piece in pieces:
                self.hasher.update(piece)
                self._at += len(piece)

    def note(self, part: WantedFrames, stored: int, length: int) -> None: ...

    def finish(self) -> None: ...

    def fail(self, error: LdsError) -> None:
        self.error = self.error or error

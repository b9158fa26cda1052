"""Proves rows of a store's indexes before a push relies on them: that a locally added object is really in the store.

A row is proven if it points to a frame that this machine made of the object, if the object came from there in a download, or
if the whole object was read back and matches its oid. Proofs are cached (see `store/client/recipe_cache`).
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
from git_lds.transfer.pack_contents import pack_made_here
from git_lds.transfer.ranges import Range, WantedFrames
from git_lds.transfer.small_objects import SmallObject, SmallObjectWriter
from git_lds.workers import Stop

_AT_ONCE = 8 << 20
"""Bytes of a large object that are in memory while it is read, unless one run is larger."""

_BATCH = 1024
"""Large objects whose recipes are in memory at a time."""

_CHECKERS = 8
"""Packs that are checked in parallel."""


class StoreCheck(NamedTuple):
    """The result of a check of objects in a store: those that are whole, and the packs that are damaged or missing."""

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
    """Return the oids of those `entries`, rows of the store, whose objects a push need not send.

    An object that is not in the local store of this repository needs no proof, because a wrong row would lose nothing. Doubtful
    rows are proven by reading the objects back. Raises the errors of the store.
    """
    own = [entry for oid, entry in entries.items() if objects.own.has(oid)]
    return entries.keys() - {entry.oid for entry in own} | _proven(store, own)


def present(store: Store, entries: Mapping[Oid, IndexRow]) -> StoreCheck:
    """Check which of `entries` are in packs that exist in the store with the size in its log. Raises its errors."""
    needed = _needed(store, entries.values(), remembered=True)
    return _check(store, entries, needed, lambda pack, stop: _has_another_size(store, pack))


def whole(store: Store, entries: Mapping[Oid, IndexRow], progress: Progress = SILENT) -> StoreCheck:
    """Check which of `entries` are whole in the store, by reading all their packs once.

    Objects whose rows are not proven are read too. Raises the errors of the store.
    """
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
    """Check which objects are only in good packs, and which packs are bad."""
    packs = {entry.pack for entry in entries.values()}.union(*needed.values())
    checked = workers.run(packs, lambda pack, stop: (pack, is_bad(pack, stop)), store.backend.close, count=_CHECKERS)
    damaged = {pack for pack, bad in checked if bad}
    sound = {
        oid
        for oid, entry in entries.items()
        if entry.pack not in damaged and (not entry.recipe or (oid in needed and damaged.isdisjoint(needed[oid])))
    }
    return StoreCheck(sound, damaged)


def _needed(store: Store, entries: Iterable[IndexRow], *, remembered: bool) -> dict[Oid, tuple[FileId, ...]]:
    """Return the packs of large objects by oid, without those whose recipes cannot be read."""
    same: dict[FileId, FileId] = {}
    needed = {}
    for batch in _large(entries):
        recipes = store.recipes.get(entry.oid for entry in batch) if remembered else {}
        recipes |= _recipes(store, [entry for entry in batch if entry.oid not in recipes])
        for oid, recipe in recipes.items():
            needed[oid] = tuple({same.setdefault(run.pack, run.pack) for run in recipe.runs})
    return needed


def _large(entries: Iterable[IndexRow]) -> Iterator[list[IndexRow]]:
    """Yield the rows of large objects sorted by place, in batches, because recipes take memory."""
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
    """Return the oids of the rows that are right."""
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
    """Return the small objects that this machine put where their rows say."""
    by_pack: dict[FileId, list[IndexRow]] = {}
    for entry in entries:
        if not entry.recipe:
            by_pack.setdefault(entry.pack, []).append(entry)
    oids: set[Oid] = set()
    for pack, rows in by_pack.items():
        if (made := pack_made_here(store, pack)) is not None:
            chunks = {chunk.offset: chunk for chunk in packfile.decode_chunks(made.tail)}
            oids |= {row.oid for row in rows if (chunk := chunks.get(row.offset)) and _is_of(row, chunk)}
    return oids


def _is_of(row: IndexRow, chunk: ChunkAt) -> bool:
    return (row.oid, row.stored, row.length) == (chunk.id, chunk.stored, chunk.length)


def _recipes(store: Store, entries: Sequence[IndexRow]) -> dict[Oid, Recipe]:
    """Return the recipes of large objects from the places in their rows, which are sorted by place."""
    recipes: list[Recipe] = []
    arrivals = _Arrivals()
    parts = (recipe_part(entry, FetchedRecipe(entry.oid, None, recipes.append, arrivals)) for entry in entries)
    backend = store.backend
    for _ in workers.run(ranges.joined(parts), lambda job, stop: ranges.fetch(backend, job, stop), backend.close):
        pass
    return {recipe.oid: recipe for recipe in recipes}


class _Arrivals:
    """Records which objects arrived. A `DownloadListener`, called from many threads."""

    def __init__(self) -> None:
        self.oids: set[Oid] = set()

    def arrived(self, oid: Oid) -> None:
        self.oids.add(oid)

    def failed(self, oid: Oid, error: LdsError) -> None: ...

    def moved(self, oid: Oid, size: int) -> None: ...


class _ReadBack:
    """Reads objects back from a store and discards them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._arrivals = _Arrivals()
        self._writer = SmallObjectWriter(None, self._arrivals)

    def read(self, entries: Sequence[IndexRow]) -> set[Oid]:
        """Return the objects that match their oids and are in reusable packs. Raises the errors of the store."""
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
        return self._arrivals.oids

    def _work(self, job: Range[SmallObject] | Recipe, stop: Stop) -> None:
        if not isinstance(job, Recipe):
            small_objects.fetch(self._store.backend, job, self._writer, stop)
        elif self._is_whole(job, stop):
            self._arrivals.arrived(job.oid)

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
    """Yield the runs of an object in order, as many at a time as fit into memory, at least one."""
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
    """Hashes an object whose parts arrive in any order, a batch of runs at a time. A `Taker`."""

    def __init__(self) -> None:
        self.hasher = hashing.new()
        self.error: LdsError | None = None
        self._at = 0
        self._waiting: dict[int, list[bytes]] = {}

    def parts_of(self, runs: Sequence[FrameRun]) -> list[WantedFrames]:
        """Return the parts to fetch for the next runs, sorted."""
        at = self._at
        parts = []
        for run in runs:
            parts.append(WantedFrames(run.pack, run.offset, run.offset + run.stored, run.length, self, (at,)))
            at += run.length
        return sorted(parts, key=lambda part: (part.pack, part.start, part.end))

    def write(self, at: int, data: Sequence[bytes]) -> None:
        self._waiting[at] = list(data)
        while (blocks := self._waiting.pop(self._at, None)) is not None:
            for block in blocks:
                self.hasher.update(block)
                self._at += len(block)

    def note(self, part: WantedFrames, stored: int, length: int) -> None: ...

    def finish(self) -> None: ...

    def fail(self, error: LdsError) -> None:
        self.error = self.error or error

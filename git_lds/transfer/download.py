"""Downloads objects: those that are not here are taken from remotes on this machine, or looked up in the first store, what it
does not give in all the others at a time. They come in few requests into the cache, or in a backup into the local store.

An object gets its name only when its contents hash to it. One that came out wrong is fetched once more, by itself and from
the store alone; what still is wrong, or in no store, is told in the end, when all the others are here.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

from git_lds import files, workers
from git_lds.errors import CorruptData, LdsError, NotAllowed, NotInStore, StoreUnreachable
from git_lds.fast_typing import NamedTuple
from git_lds.hashing import Oid
from git_lds.local.lookup import LocalObjects
from git_lds.progress import SILENT, Progress
from git_lds.store.client.store import Store
from git_lds.store.format.index import IndexRow
from git_lds.store.format.recipe import Recipe
from git_lds.transfer import nearby, partial, ranges, small_objects
from git_lds.transfer.assembly import CopyJob, FetchedRecipe, LargePlan, copy, plan_large, recipe_part
from git_lds.transfer.ranges import P, Range, WantedFrames
from git_lds.transfer.small_objects import SmallObject, SmallObjectWriter
from git_lds.transfer.store_lookup import LookupResult, look_up_in
from git_lds.workers import Stop

BATCH = 4096
"""Large objects whose recipes are in memory at a time."""

WAVE = 128
"""Large objects that are planned together. Their files may all be open at once, and systems allow 256 to 1024."""

TRIES = 16
"""Places in one store in which an object is looked for that did not come out right, at most."""

RELATIVES = 8
"""Objects here that a large object is put together from, at most."""


_Job = Range[SmallObject] | Range[WantedFrames] | CopyJob


class Missing(NamedTuple):
    """An object that did not come; `reasons` says so for each store that was asked."""

    oid: Oid
    size: int
    path: bytes
    reasons: tuple[str, ...]

    @property
    def message(self) -> str:
        """One line for people: the path, the oid, and what became of it."""
        return f"{self.name}: {self.why}"

    @property
    def name(self) -> str:
        """The path and the oid, for people."""
        return f"{files.printable(self.path)} ({self.oid.hex()})"

    @property
    def why(self) -> str:
        """The reasons on one line, without the file."""
        return "; ".join(self.reasons) or "no store is configured"


class Downloaded(NamedTuple):
    """What a download did: how many objects came, the bytes that came for them, and which objects did not come.

    `hint` is what to do about a store that refused or could not be reached, where one did.
    """

    objects: int
    bytes: int
    missing: tuple[Missing, ...]
    hint: str | None = None


def download(
    stores: Sequence[Store],
    objects: LocalObjects,
    wanted: Mapping[Oid, tuple[int, bytes]],
    progress: Progress = SILENT,
) -> Downloaded:
    """Bring those objects of `wanted` that are not here to where downloads go; return what came and what did not.

    `wanted` has for each oid its size and a path by which people know it. An object comes from the first store in order
    that has it. Where the first gives all, no other is asked.
    """
    left = {oid: about for oid, about in wanted.items() if not objects.has(oid)}
    if not left:
        return Downloaded(0, 0, ())
    partial.sweep(objects.downloads.root)
    reasons: dict[Oid, list[str]] = {}
    count, came = len(left), 0
    hint: str | None = None
    progress.start("download", count, sum(size for size, _ in left.values()))
    told = OnceOnlyProgress(progress)

    def arrived(oid: Oid) -> None:
        nonlocal came
        size, path = left.pop(oid)
        came += size
        told.arrived(oid, size, path)

    try:
        if objects.remotes:
            nearby.take(objects.remotes, objects.downloads, {oid: size for oid, (size, _) in left.items()}, arrived)
        for visit in _visits(stores, objects, left, told) if left else ():
            came += visit.came
            hint = hint or visit.hint
            for oid in left:
                reasons.setdefault(oid, []).append(visit.reason(oid))
    finally:
        progress.finish()
    missing = [Missing(oid, size, path, tuple(reasons.get(oid, ()))) for oid, (size, path) in left.items()]
    return Downloaded(count - len(left), came, tuple(missing), hint)


def _visits(
    stores: Sequence[Store], objects: LocalObjects, left: dict[Oid, tuple[int, bytes]], told: OnceOnlyProgress
) -> Iterator[_StoreDownload]:
    """Visit one store after the other for what is in `left`; yield each visit when it was made."""
    for store in stores[:1] if left else ():
        visit = _StoreDownload(store, objects, left, told)
        visit.fetch_all()
        yield visit
    if not left:
        return
    for answer in look_up_in(stores[1:], list(left)):
        visit = _StoreDownload(answer.store, objects, left, told)
        visit.fetch_all(answer)
        yield visit
        if not left:
            return


class OnceOnlyProgress:
    """Tells a progress of each byte of an object once, also where an object comes a second time since it was wrong."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._told: dict[Oid, int] = {}
        self._again: dict[Oid, int] = {}

    def moved(self, oid: Oid, size: int) -> None:
        """So many bytes of a large object are here, not verified yet."""
        with self._lock:
            again = min(self._again.get(oid, 0), size)
            if again:
                self._again[oid] -= again
            if size > again:
                self._told[oid] = self._told.get(oid, 0) + size - again
                self._progress.moved(size - again)

    def begins(self, oid: Oid) -> None:
        """A large object is tried, perhaps not for the first time: as much as was told of it is not told again."""
        with self._lock:
            if oid in self._told:
                self._again[oid] = self._told[oid]

    def arrived(self, oid: Oid, size: int, path: bytes) -> None:
        """An object is here, verified: whatever was not told of it is told now."""
        with self._lock:
            rest = size - self._told.pop(oid, 0)
            self._again.pop(oid, None)
            if rest > 0:
                self._progress.moved(rest)
            self._progress.done(files.printable(path))


class _StoreDownload:
    """One visit to one store, for the objects in `left`: takes out what came, and knows why the others did not.

    Is an `assembly.DownloadListener`, told from many threads.
    """

    def __init__(
        self, store: Store, objects: LocalObjects, left: dict[Oid, tuple[int, bytes]], told: OnceOnlyProgress
    ) -> None:
        self._store = store
        self._objects = objects
        self._left = left
        self._told = told
        self._keeper = SmallObjectWriter(objects.downloads, self)
        self._lock = threading.Lock()
        self._errors: dict[Oid, LdsError] = {}
        self._rows: dict[Oid, IndexRow] = {}
        """Rows whose recipes were fetched."""
        self._plans: dict[Oid, LargePlan] = {}
        self._whole: list[Oid] = []
        """Large objects that are here now, of which is not yet remembered how they came."""
        self._given: list[Oid] = []
        self._refusal: LdsError | None = None
        self._is_over = False
        self.came = 0

    def fetch_all(self, answer: LookupResult | None = None) -> None:
        """Fetch what the store has, as it answered, or looked up now. A store that refuses or cannot be reached has
        nothing from then on."""
        try:
            self._fetch(
                self._not_at_hand(self._looked_up() if answer is None else self._taken_from(answer)), alone=False
            )
            if self._errors:
                for entries in self._further_tries():
                    self._fetch(entries, alone=True)
        except (NotInStore, NotAllowed, StoreUnreachable, CorruptData) as error:
            self._refusal = error
        finally:
            with self._lock:
                self._is_over = True  # a worker that was told to stop may still come to an end
            self._store.note_received(self._given)

    @property
    def hint(self) -> str | None:
        """What to do about the store, where it refused."""
        return self._refusal.hint if self._refusal is not None else None

    def reason(self, oid: Oid) -> str:
        """Return why an object did not come."""
        url = self._store.url
        error = self._errors.get(oid) or self._refusal
        if error is None:
            return f"not in {url}{self._damaged()}"
        return error.message if url in error.message else f"{url}: {error.message}"

    def _damaged(self) -> str:
        """Say of a store whose indexes are damaged that it may have the object for all that."""
        damaged = self._store.damaged_indexes
        return "".join(f"; its index {id.hex()[:12]} is damaged: {error.message}" for id, error in damaged.items())

    # being told

    def moved(self, oid: Oid, size: int) -> None:
        self._told.moved(oid, size)

    def arrived(self, oid: Oid) -> None:
        with self._lock:
            if self._is_over:
                return
            size, path = self._left.pop(oid)
            self._errors.pop(oid, None)
            self._given.append(oid)
            if oid in self._plans:
                self._whole.append(oid)
        self._told.arrived(oid, size, path)

    def failed(self, oid: Oid, error: LdsError) -> None:
        with self._lock:
            self._errors[oid] = error

    # doing

    def _looked_up(self) -> Mapping[Oid, IndexRow]:
        return self._store.look_up(self._left.keys())

    def _taken_from(self, answer: LookupResult) -> Mapping[Oid, IndexRow]:
        if answer.error is not None:
            raise answer.error
        return {oid: entry for oid, entry in answer.found.items() if oid in self._left}

    def _not_at_hand(self, found: Mapping[Oid, IndexRow]) -> Iterable[IndexRow]:
        """Take what came from the store before from where its bytes are at hand; return the rest of what was found there."""
        if not self._objects.shortcuts:
            return found.values()
        sizes = {oid: self._left[oid][0] for oid in self._store.received() if oid in found}
        nearby.take(self._objects.shortcuts, self._objects.downloads, sizes, self.arrived)
        return [entry for oid, entry in found.items() if oid in self._left]

    def _further_tries(self) -> Iterator[list[IndexRow]]:
        """Yield where to look again for what failed: what lay in a pack that is gone may be in another by now, and a row of
        a newer index may be wrong where that of an older one is right."""
        gone = [oid for oid, error in self._errors.items() if isinstance(error, NotInStore)]
        tried = {entry for entry in self._store.find(gone).values() if not entry.recipe} if gone else set[IndexRow]()
        if gone:
            self._store.refresh()
        rows = self._store.find_all(self._errors)
        for _ in range(TRIES):
            left = (next((row for row in rows.get(oid, ()) if row not in tried), None) for oid in self._errors)
            entries = [entry for entry in left if entry is not None]
            if not entries:
                return
            tried.update(entries)
            yield entries

    def _fetch(self, entries: Iterable[IndexRow], *, alone: bool) -> None:
        """Fetch the objects of `entries`; with `alone` each by requests of its own, and from nothing but the store."""
        placed = sorted(entries, key=lambda entry: (entry.pack, entry.offset))
        del entries  # of 100,000 objects 10 MB
        large = [entry for entry in placed if entry.recipe]
        self._run(_joined(self._small(placed), alone=alone))
        del placed
        for start in range(0, len(large), BATCH):
            recipes = self._recipes(large[start : start + BATCH], alone=alone)
            with contextlib.ExitStack() as opened:
                self._run(self._large_jobs(recipes, opened, alone=alone))

    def _run(self, jobs: Iterable[_Job]) -> None:
        for came in workers.run(jobs, self._work, self._store.backend.close):
            self.came += came
            if self._whole:
                self._remember_origins()

    def _remember_origins(self) -> None:
        """Remember of large objects that are here how they came: that is proven of the store."""
        with self._lock:
            plans = [self._plans.pop(oid) for oid in self._whole]
            self._whole.clear()
        book = self._store.recipes
        book.add_stretches([stretch for made in plans for stretch in made.stretches()])
        from_store = [made.target.oid for made in plans if made.is_from_store()]
        book.add_proven(self._rows[oid] for oid in from_store if oid in self._rows)

    def _work(self, job: _Job, stop: Stop) -> int:
        if isinstance(job, CopyJob):
            copy(job, self._objects, stop)
            return 0
        if isinstance(job.parts[0], WantedFrames):
            return ranges.fetch(self._store.backend, cast(Range[WantedFrames], job), stop)
        return small_objects.fetch(self._store.backend, cast(Range[SmallObject], job), self._keeper, stop)

    def _small(self, entries: Iterable[IndexRow]) -> Iterator[SmallObject]:
        """Yield the small objects of `entries`, which are in the order of packs and offsets, as are all below."""
        for entry in entries:
            if entry.recipe:
                continue
            if entry.length == (size := self._left[entry.oid][0]):
                yield SmallObject(entry.pack, entry.offset, entry.offset + entry.stored, entry.oid)
            else:
                self.failed(entry.oid, CorruptData(f"it has {entry.length} bytes, and its pointer says {size}"))

    def _recipes(self, entries: Iterable[IndexRow], *, alone: bool) -> list[Recipe]:
        """Return the recipes of large objects: those remembered, the others fetched, and then remembered."""
        remembered = {} if alone else self._store.recipes.get(entry.oid for entry in entries)
        known = [recipe for recipe in remembered.values() if self._is_readable(recipe)]
        oids = {recipe.oid for recipe in known}
        fetched: list[Recipe] = []
        self._rows |= {entry.oid: entry for entry in entries if entry.oid not in oids}
        parts = (
            recipe_part(entry, FetchedRecipe(entry.oid, self._left[entry.oid][0], fetched.append, self))
            for entry in entries
            if entry.oid not in oids
        )
        self._run(_joined(parts, alone=alone))
        self._store.recipes.add(fetched)
        return known + fetched

    def _is_readable(self, recipe: Recipe) -> bool:
        """Tell whether the store has all that the recipe is made of. A recipe may be older than a clean-up there."""
        packs = self._store.state.packs
        return recipe.size == self._left[recipe.oid][0] and all(
            run.offset + run.stored <= packs.get(run.pack, 0) for run in recipe.runs
        )

    def _large_jobs(self, recipes: Sequence[Recipe], opened: contextlib.ExitStack, *, alone: bool) -> Iterator[_Job]:
        """Yield what is to be fetched and copied for large objects, neighbours in the store together."""
        by_place = sorted(recipes, key=lambda recipe: (recipe.runs[0].pack, recipe.runs[0].offset))
        for start in range(0, len(by_place), WAVE):
            plans = [
                self._plan(recipe, alone=alone) for recipe in by_place[start : start + WAVE] if self._has_packs(recipe)
            ]
            for made in plans:
                opened.callback(made.target.close)
            parts = sorted((part for made in plans for part in made.parts), key=lambda p: (p.pack, p.start, p.end))
            yield from _joined(parts, alone=alone)
            for made in plans:
                yield from made.copies

    def _has_packs(self, recipe: Recipe) -> bool:
        if self._is_readable(recipe):
            return True
        self.failed(recipe.oid, NotInStore("it is made of packs that are not there"))
        return False

    def _plan(self, recipe: Recipe, *, alone: bool) -> LargePlan:
        self._told.begins(recipe.oid)
        relatives = [] if alone else self._relatives(recipe)
        made = plan_large(recipe, relatives, self._objects.downloads, self, afresh=alone)
        self._plans[recipe.oid] = made
        return made

    def _relatives(self, recipe: Recipe) -> list[Recipe]:
        """Return the recipes of objects here that share bytes with that of `recipe`."""
        oids = self._store.recipes.sharing(recipe, 4 * RELATIVES)
        here = [oid for oid in oids if self._objects.has(oid)]
        return list(self._store.recipes.get(here[:RELATIVES]).values())


def _joined(parts: Iterable[P], *, alone: bool) -> Iterator[Range[P]]:
    return ranges.joined(parts, gap=0, longest=0) if alone else ranges.joined(parts)

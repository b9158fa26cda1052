"""Downloads missing objects into the cache, or in a backup into the local store.

They are copied from remotes on this machine, or fetched in few requests from the first store; what it lacks is looked up in
all other stores at the same time. Each object is verified before it gets its name. A wrong one is fetched once more, on its own
and from the store only. Objects that are still wrong or missing are reported at the end, after all others have arrived.
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
"""Large objects that are planned together. Their files may all be open at once; systems allow 256 to 1024."""

TRIES = 16
"""Places of one store from which a wrong object is fetched at most."""

RELATIVES = 8
"""Local objects that a large object is assembled from at most."""


_Job = Range[SmallObject] | Range[WantedFrames] | CopyJob


FEW_MISSING = 3
"""Up to so many missing objects with the same reasons, messages repeat the reasons for each."""


class Missing(NamedTuple):
    """An object that could not be fetched. `reasons` has one reason for each store that was asked."""

    oid: Oid
    size: int
    path: bytes
    reasons: tuple[str, ...]

    @property
    def message(self) -> str:
        """One line for people: the path, the oid and the reasons."""
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
    """What a download did: the number of objects, the bytes fetched for them, and the objects that are missing.

    `hint` is what to do about a store that refused or could not be reached, if there was one.
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
    """Download those objects of `wanted` that are not local; return what was fetched and what is missing.

    `wanted` maps each oid to its size and a path by which people know it. An object comes from the first store in order that
    has it. If the first has all, no other is asked. Errors of stores are in the result; raises LdsError if the disk fails.
    """
    missing = {oid: about for oid, about in wanted.items() if not objects.has(oid)}
    if not missing:
        return Downloaded(0, 0, ())
    partial.sweep(objects.downloads.root)
    reasons: dict[Oid, list[str]] = {}
    count, fetched = len(missing), 0
    hint: str | None = None
    progress.start("download", count, sum(size for size, _ in missing.values()))
    reports = OnceOnlyProgress(progress)

    def arrived(oid: Oid) -> None:
        nonlocal fetched
        size, path = missing.pop(oid)
        fetched += size
        reports.arrived(oid, size, path)

    try:
        if objects.remotes:
            nearby.take(objects.remotes, objects.downloads, {oid: size for oid, (size, _) in missing.items()}, arrived)
        for done in _from_stores(stores, objects, missing, reports) if missing else ():
            fetched += done.fetched
            hint = hint or done.hint
            for oid in missing:
                reasons.setdefault(oid, []).append(done.reason(oid))
    finally:
        progress.finish()
    reported = [Missing(oid, size, path, tuple(reasons.get(oid, ()))) for oid, (size, path) in missing.items()]
    return Downloaded(count - len(missing), fetched, tuple(reported), hint)


def _from_stores(
    stores: Sequence[Store], objects: LocalObjects, missing: dict[Oid, tuple[int, bytes]], reports: OnceOnlyProgress
) -> Iterator[_StoreDownload]:
    """Download the objects in `missing` from one store after the other; yield each download when it is done."""
    for store in stores[:1] if missing else ():
        done = _StoreDownload(store, objects, missing, reports)
        done.fetch_all()
        yield done
    if not missing:
        return
    for answer in look_up_in(stores[1:], list(missing)):
        done = _StoreDownload(answer.store, objects, missing, reports)
        done.fetch_all(answer)
        yield done
        if not missing:
            return


class OnceOnlyProgress:
    """Reports each byte of an object once to a progress, even if a wrong object is fetched a second time."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._reported: dict[Oid, int] = {}
        self._again: dict[Oid, int] = {}

    def moved(self, oid: Oid, size: int) -> None:
        """Report bytes of a large object that arrived and are not verified yet."""
        with self._lock:
            again = min(self._again.get(oid, 0), size)
            if again:
                self._again[oid] -= again
            if size > again:
                self._reported[oid] = self._reported.get(oid, 0) + size - again
                self._progress.moved(size - again)

    def begins(self, oid: Oid) -> None:
        """Begin a try of a large object: bytes that were reported in an earlier try are not reported again."""
        with self._lock:
            if oid in self._reported:
                self._again[oid] = self._reported[oid]

    def arrived(self, oid: Oid, size: int, path: bytes) -> None:
        """Report a verified object: bytes that were not reported yet are reported now."""
        with self._lock:
            rest = size - self._reported.pop(oid, 0)
            self._again.pop(oid, None)
            if rest > 0:
                self._progress.moved(rest)
            self._progress.done(files.printable(path))


class _StoreDownload:
    """The download from one store: removes fetched objects from `missing`, and knows why the others failed.

    It is a `DownloadListener`, called from many threads.
    """

    def __init__(
        self, store: Store, objects: LocalObjects, missing: dict[Oid, tuple[int, bytes]], reports: OnceOnlyProgress
    ) -> None:
        self._store = store
        self._objects = objects
        self._missing = missing
        self._reports = reports
        self._writer = SmallObjectWriter(objects.downloads, self)
        self._lock = threading.Lock()
        self._errors: dict[Oid, LdsError] = {}
        self._rows: dict[Oid, IndexRow] = {}
        """Rows whose recipes were fetched."""
        self._plans: dict[Oid, LargePlan] = {}
        self._arrived_large: list[Oid] = []
        """Large objects that have arrived, whose origin is not cached yet."""
        self._received: list[Oid] = []
        self._refusal: LdsError | None = None
        self._is_over = False
        self.fetched = 0

    def fetch_all(self, answer: LookupResult | None = None) -> None:
        """Fetch what the store has, by `answer` or a look-up now. Errors of the store end the download from it."""
        try:
            self._fetch(
                self._without_shortcuts(self._looked_up() if answer is None else self._rows_in(answer)), alone=False
            )
            if self._errors:
                for entries in self._further_tries():
                    self._fetch(entries, alone=True)
        except (NotInStore, NotAllowed, StoreUnreachable, CorruptData) as error:
            self._refusal = error
        finally:
            with self._lock:
                self._is_over = True  # a stopped worker may still finish its job
            self._store.note_received(self._received)

    @property
    def hint(self) -> str | None:
        """What to do about the store, if it refused."""
        return self._refusal.hint if self._refusal is not None else None

    def reason(self, oid: Oid) -> str:
        """Return why an object could not be fetched."""
        url = self._store.url
        error = self._errors.get(oid) or self._refusal
        if error is None:
            return f"not in {url}{self._damaged()}"
        return error.message if url in error.message else f"{url}: {error.message}"

    def _damaged(self) -> str:
        """Return a note on damaged indexes of the store, which may have the object after all."""
        damaged = self._store.damaged_indexes
        return "".join(f"; its index {id.hex()[:12]} is damaged: {error.message}" for id, error in damaged.items())

    # reports of workers

    def moved(self, oid: Oid, size: int) -> None:
        self._reports.moved(oid, size)

    def arrived(self, oid: Oid) -> None:
        with self._lock:
            if self._is_over:
                return
            size, path = self._missing.pop(oid)
            self._errors.pop(oid, None)
            self._received.append(oid)
            if oid in self._plans:
                self._arrived_large.append(oid)
        self._reports.arrived(oid, size, path)

    def failed(self, oid: Oid, error: LdsError) -> None:
        with self._lock:
            self._errors[oid] = error

    # steps

    def _looked_up(self) -> Mapping[Oid, IndexRow]:
        return self._store.look_up(self._missing.keys())

    def _rows_in(self, answer: LookupResult) -> Mapping[Oid, IndexRow]:
        if answer.error is not None:
            raise answer.error
        return {oid: entry for oid, entry in answer.rows.items() if oid in self._missing}

    def _without_shortcuts(self, rows: Mapping[Oid, IndexRow]) -> Iterable[IndexRow]:
        """Copy objects that the store gave before from local shortcuts; return the rows of the others."""
        if not self._objects.shortcuts:
            return rows.values()
        sizes = {oid: self._missing[oid][0] for oid in self._store.received() if oid in rows}
        nearby.take(self._objects.shortcuts, self._objects.downloads, sizes, self.arrived)
        return [entry for oid, entry in rows.items() if oid in self._missing]

    def _further_tries(self) -> Iterator[list[IndexRow]]:
        """Yield other rows of the objects that failed.

        An object of a deleted pack may be in another one by now, and a row of a newer index may be wrong while that of an older
        one is right.
        """
        gone = [oid for oid, error in self._errors.items() if isinstance(error, NotInStore)]
        tried = {entry for entry in self._store.find(gone).values() if not entry.recipe} if gone else set[IndexRow]()
        if gone:
            self._store.refresh()
        rows = self._store.find_all(self._errors)
        for _ in range(TRIES):
            untried = (next((row for row in rows.get(oid, ()) if row not in tried), None) for oid in self._errors)
            entries = [entry for entry in untried if entry is not None]
            if not entries:
                return
            tried.update(entries)
            yield entries

    def _fetch(self, entries: Iterable[IndexRow], *, alone: bool) -> None:
        """Fetch the objects of `entries`; with `alone`, each by its own requests and only from the store."""
        placed = sorted(entries, key=lambda entry: (entry.pack, entry.offset))
        del entries  # 10 MB for 100,000 objects
        large = [entry for entry in placed if entry.recipe]
        self._run(_joined(self._small(placed), alone=alone))
        del placed
        for start in range(0, len(large), BATCH):
            recipes = self._recipes(large[start : start + BATCH], alone=alone)
            with contextlib.ExitStack() as opened:
                self._run(self._large_jobs(recipes, opened, alone=alone))

    def _run(self, jobs: Iterable[_Job]) -> None:
        for size in workers.run(jobs, self._work, self._store.backend.close):
            self.fetched += size
            if self._arrived_large:
                self._remember_origins()

    def _remember_origins(self) -> None:
        """Cache how the arrived large objects were made, which is proven of the store."""
        with self._lock:
            plans = [self._plans.pop(oid) for oid in self._arrived_large]
            self._arrived_large.clear()
        cache = self._store.recipes
        cache.add_stretches([stretch for made in plans for stretch in made.stretches()])
        from_store = [made.target.oid for made in plans if made.is_from_store()]
        cache.add_proven(self._rows[oid] for oid in from_store if oid in self._rows)

    def _work(self, job: _Job, stop: Stop) -> int:
        if isinstance(job, CopyJob):
            copy(job, self._objects, stop)
            return 0
        if isinstance(job.parts[0], WantedFrames):
            return ranges.fetch(self._store.backend, cast(Range[WantedFrames], job), stop)
        return small_objects.fetch(self._store.backend, cast(Range[SmallObject], job), self._writer, stop)

    def _small(self, entries: Iterable[IndexRow]) -> Iterator[SmallObject]:
        """Yield the small objects of `entries`, which are sorted by pack and offset here and below."""
        for entry in entries:
            if entry.recipe:
                continue
            if entry.length == (size := self._missing[entry.oid][0]):
                yield SmallObject(entry.pack, entry.offset, entry.offset + entry.stored, entry.oid)
            else:
                self.failed(entry.oid, CorruptData(f"it has {entry.length} bytes, and its pointer says {size}"))

    def _recipes(self, entries: Iterable[IndexRow], *, alone: bool) -> list[Recipe]:
        """Return the recipes of large objects: cached ones, and others that are fetched and cached."""
        cached = {} if alone else self._store.recipes.get(entry.oid for entry in entries)
        known = [recipe for recipe in cached.values() if self._is_readable(recipe)]
        oids = {recipe.oid for recipe in known}
        fetched: list[Recipe] = []
        self._rows |= {entry.oid: entry for entry in entries if entry.oid not in oids}
        parts = (
            recipe_part(entry, FetchedRecipe(entry.oid, self._missing[entry.oid][0], fetched.append, self))
            for entry in entries
            if entry.oid not in oids
        )
        self._run(_joined(parts, alone=alone))
        self._store.recipes.add(fetched)
        return known + fetched

    def _is_readable(self, recipe: Recipe) -> bool:
        """Return whether the store has all packs of the recipe, which may be older than a clean-up of the store."""
        packs = self._store.state.packs
        return recipe.size == self._missing[recipe.oid][0] and all(
            run.offset + run.stored <= packs.get(run.pack, 0) for run in recipe.runs
        )

    def _large_jobs(self, recipes: Sequence[Recipe], opened: contextlib.ExitStack, *, alone: bool) -> Iterator[_Job]:
        """Yield the jobs that fetch and copy the parts of large objects, neighbours in the store together."""
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
        self.failed(recipe.oid, NotInStore("it is made of packs that are missing in the store"))
        return False

    def _plan(self, recipe: Recipe, *, alone: bool) -> LargePlan:
        self._reports.begins(recipe.oid)
        relatives = [] if alone else self._relatives(recipe)
        made = plan_large(recipe, relatives, self._objects.downloads, self, afresh=alone)
        self._plans[recipe.oid] = made
        return made

    def _relatives(self, recipe: Recipe) -> list[Recipe]:
        """Return the recipes of local objects that share bytes with that of `recipe`."""
        oids = self._store.recipes.sharing(recipe, 4 * RELATIVES)
        local = [oid for oid in oids if self._objects.has(oid)]
        return list(self._store.recipes.get(local[:RELATIVES]).values())


def _joined(parts: Iterable[P], *, alone: bool) -> Iterator[Range[P]]:
    return ranges.joined(parts, gap=0, longest=0) if alone else ranges.joined(parts)

"""Plans an upload: which chunks go into which new pack, and which chunks the store has already.

Planning reads local objects only, and writes nothing. It yields one pack at a time, so that the first packs are sent while
later objects are still read, and the chunks of a large push are never all in memory.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Callable, Iterator, Sequence

from git_lds import hashing
from git_lds.hashing import Oid
from git_lds.store.format import chunker
from git_lds.store.format.index import IndexRow
from git_lds.store.format.packfile import target_size
from git_lds.store.format.recipe import Recipe, runs_of
from git_lds.transfer.chunk_sources import ChunkSources
from git_lds.transfer.objects_to_send import LocalChunk, ObjectsToSend
from git_lds.transfer.pack_contents import KnownPack

MAX_CHUNKS = 1 << 13
"""Chunks in one pack at most: with more files of a few bytes the footer would outgrow them."""

RECIPE_RUNS = 40_000
"""Runs of recipes that go into one pack: 1 MB of it, and 10 MB of memory."""


class PlannedPack:
    """The chunks that will make one pack. `number` stands for the pack until it has an id."""

    def __init__(self, number: int, target: int) -> None:
        self.number = number
        self.target = target
        self.chunks: list[LocalChunk] = []
        self.size = 0

    def is_full(self) -> bool:
        return self.size >= self.target or len(self.chunks) >= MAX_CHUNKS


class PlannedRecipes:
    """The recipes of one batch of large objects, and the bytes of those that the store lacks."""

    def __init__(self, number: int, recipes: Sequence[Recipe], new: Sequence[tuple[Oid, bytes]]) -> None:
        self.number = number
        self.recipes = recipes
        self.new = new


def plan_upload(objects: ObjectsToSend, sources: ChunkSources, on_reused: Callable[[LocalChunk], None]) -> UploadPlan:
    """Return the plan for sending `objects` to a store that has the packs of `sources`.

    `on_reused` is called, while the plan is read, for each chunk that need not be sent.
    """
    return UploadPlan(objects, sources, on_reused)


class UploadPlan:
    """What an upload sends and reuses. For one thread, in this order: `packs`, `recipes`, then `rows` and `used_packs`.

    Call `record` with each pack once it is in the store.
    """

    def __init__(self, objects: ObjectsToSend, sources: ChunkSources, on_reused: Callable[[LocalChunk], None]) -> None:
        self._objects = objects
        self._sources = sources
        self._on_reused = on_reused
        sizes = objects.sizes.values()
        large = sum(size for size in sizes if size > chunker.SMALL)
        # the first estimate of what is new: how much of the large objects the store lacks shows as they are read
        self._expected = sum(sizes) - min(large, sources.size)
        self._new = 0
        self._small: array[int] = array("Q")  # the places of the objects of `sizes` that are one chunk, in that order
        self._large: dict[Oid, array[int]] = {}
        self._recipes: dict[Oid, int] = {}

    @property
    def large(self) -> Sequence[Oid]:
        """The objects that have recipes."""
        return list(self._large)

    def packs(self) -> Iterator[PlannedPack]:
        """Yield the packs to make as the objects are read, and note the place of every chunk.

        Raises CorruptData for an object that does not match its oid.
        """
        pack = self._next_pack()
        for oid in self._objects.sizes:
            places: array[int] = array("Q")
            for chunk in self._objects.chunks(oid):
                place = self._sources.find(chunk.id, places[-1] if places else None)
                if place is None:
                    if pack.is_full():
                        yield pack
                        pack = self._next_pack()
                    place = self._add(chunk, pack)
                else:
                    self._on_reused(chunk)
                places.append(place)
            self._note(oid, places)
        if pack.chunks:
            yield pack

    def record(self, number: int, pack: KnownPack) -> None:
        """Record that the planned pack `number` is in the store, as `pack`."""
        self._sources.fill(number, pack)

    def recipes(self, *, reuse: bool) -> Iterator[PlannedRecipes]:
        """Yield the recipes of the large objects, as many at a time as go into one pack. All packs must be recorded.

        With `reuse`, recipes that an interrupted push has put into the store are not sent again.
        """
        for batch in self._recipe_batches():
            number = self._sources.reserve()
            new: list[tuple[Oid, bytes]] = []
            for recipe in batch:
                data = recipe.encode()
                id = hashing.of_bytes(data)
                place = self._sources.find(id) if reuse else None
                if place is None:
                    place = self._sources.plan(id, number, len(new))
                    new.append((id, data))
                self._recipes[recipe.oid] = place
            yield PlannedRecipes(number, batch, new)

    def rows(self) -> Iterator[IndexRow]:
        """Yield the rows of the index that names all objects of the upload."""
        small = (oid for oid in self._objects.sizes if not self._objects.is_large(oid))
        for is_recipe, places in ((False, zip(small, self._small, strict=True)), (True, self._recipes.items())):
            for oid, place in places:
                pack, chunk = self._sources.chunk(place)
                yield IndexRow(oid, pack, chunk.offset, chunk.stored, chunk.length, is_recipe)

    def recipe_rows(self) -> Iterator[IndexRow]:
        """Yield the rows of the large objects."""
        return (row for row in self.rows() if row.recipe)

    def used_packs(self) -> list[KnownPack]:
        """Return the packs that the objects of the upload are made of, new and old."""
        return self._sources.used(itertools.chain(self._small, self._recipes.values(), *self._large.values()))

    def _next_pack(self) -> PlannedPack:
        return PlannedPack(self._sources.reserve(), target_size(max(self._expected, self._new)))

    def _add(self, chunk: LocalChunk, pack: PlannedPack) -> int:
        self._new += chunk.length
        pack.chunks.append(chunk)
        pack.size += chunk.length
        return self._sources.plan(chunk.id, pack.number, len(pack.chunks) - 1)

    def _note(self, oid: Oid, places: array[int]) -> None:
        if self._objects.is_large(oid):
            self._large[oid] = places
        else:
            self._small.append(places[0])

    def _recipe_batches(self) -> Iterator[list[Recipe]]:
        batch: list[Recipe] = []
        runs = 0
        for oid, places in self._large.items():
            recipe = Recipe(oid, self._objects.sizes[oid], runs_of(self._sources.chunk(place) for place in places))
            batch.append(recipe)
            runs += len(recipe.runs)
            if runs > RECIPE_RUNS or len(batch) >= MAX_CHUNKS:
                yield batch
                batch, runs = [], 0
        if batch:
            yield batch

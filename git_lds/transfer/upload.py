"""Uploads objects: those that a store lacks are packed, sent, and named in its log.

Nothing of a push is visible in the store before its entry in the log, which comes last: packs, then the recipes of large
objects in a pack of their own, then an index, then the entry. A push that was cut off is begun again: what the store has
of its packs by then is built upon (see `journal`), and the rest is sent.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from git_lds import files, hashing, workers
from git_lds.errors import CorruptData, ObjectsMissing, counted
from git_lds.fast_typing import NamedTuple
from git_lds.files import Scratch
from git_lds.hashing import FileId, Oid
from git_lds.local.lookup import LocalObjects
from git_lds.progress import SILENT, Progress
from git_lds.store.client.store import PacksCondemned, Store
from git_lds.store.format import chunker, index
from git_lds.store.format.index import IndexRow
from git_lds.store.format.keys import pack_key
from git_lds.store.format.packfile import PackWriter, target_size
from git_lds.store.format.recipe import Recipe, runs_of
from git_lds.transfer.chunk_sources import ChunkSources
from git_lds.transfer.disk_errors import disk_errors
from git_lds.transfer.pack_contents import KnownPack, packs_to_build_on
from git_lds.transfer.proof import proven
from git_lds.transfer.upload_journal import UploadJournal
from git_lds.workers import Stop

MAX_PIECES = 1 << 13
"""Chunks in one pack at most: for files of a few bytes the footer would outgrow them."""

RECIPE_RUNS = 40_000
"""Runs of recipes that are gathered for a pack: 1 MB of it, and 10 MB of memory."""

_TRIES = 3
_SHOWN = 10


class Uploaded(NamedTuple):
    """What an upload did: how many objects the store got, in how many packs, and the bytes sent for them."""

    objects: int
    packs: int
    bytes: int


def upload(
    store: Store,
    objects: LocalObjects,
    wanted: Mapping[Oid, Sequence[bytes]],
    *,
    tmp: Path,
    again: Collection[Oid] = (),
    avoid: Collection[FileId] = (),
    progress: Progress = SILENT,
) -> Uploaded:
    """Bring those objects of `wanted` to the store that it lacks; return what that took.

    What the store says that it has of objects that were added here is proven before it is relied upon. `again` are objects
    that it lacks whatever it says, `avoid` packs on which nothing is built, as they are damaged there.
    `wanted` has for each oid the paths by which people know it. Packs are written in the directory `tmp` before they are
    sent. Raises ObjectsMissing, before anything is sent, when an object is neither in the store nor here, and CorruptData
    when what is here of one is not what its oid says; then nothing is committed.
    """
    files.sweep(tmp)
    condemned: PacksCondemned | None = None
    for _ in range(_TRIES):
        store.ensure_loaded()
        found = store.find([oid for oid in wanted if oid not in again], reusable_only=True)
        good = proven(store, objects, found)
        found = {oid: entry for oid, entry in found.items() if oid in good}
        lacking = {oid: paths for oid, paths in wanted.items() if oid not in found} if found else wanted
        if not lacking:
            return Uploaded(0, 0, 0)
        sizes = _sizes(objects, lacking, store)
        progress.start("upload", len(lacking), sum(sizes.values()))
        try:
            push = _Push(store, objects, tmp, lacking, sizes, avoid, progress)
            return push.run({entry.pack for entry in found.values()})
        except PacksCondemned as error:
            condemned = error  # what was sent is in the journal; only what was in those packs is sent in the next round
        finally:
            progress.finish()
    assert condemned is not None
    raise condemned


def _sizes(objects: LocalObjects, lacking: Mapping[Oid, Sequence[bytes]], store: Store) -> dict[Oid, int]:
    """Return the sizes of the objects, which are all here. In the order of their paths: what is near in the working tree is
    fetched together, and versions of one file share chunks."""
    sizes = {}
    absent = []
    for oid in sorted(lacking, key=lambda oid: (lacking[oid][0] if lacking[oid] else b"", oid)):
        if (size := objects.size(oid)) is None:
            absent.append(_named(oid, lacking))
        else:
            sizes[oid] = size
    if absent:
        rest = [f"and {len(absent) - _SHOWN} more"] if len(absent) > _SHOWN else []
        count = counted(len(absent), "object is", "objects are")
        raise ObjectsMissing(
            f"{count} neither here nor in {store.url}:\n  " + "\n  ".join(absent[:_SHOWN] + rest),
            hint="fetch them from where they are (git lds fetch REMOTE), or store them again: git add --renormalize PATH",
        )
    return sizes


def _named(oid: Oid, paths: Mapping[Oid, Sequence[bytes]]) -> str:
    return f"{', '.join(files.printable(path) for path in paths[oid][:3])} ({oid.hex()})"


class Piece(NamedTuple):
    """A chunk of an object that is here: where it is in the object, and what it hashes to."""

    oid: Oid
    offset: int
    length: int
    id: Oid


class PackPlan:
    """The pieces that will make a pack, and the number by which its places are known until it has a name."""

    def __init__(self, number: int, target: int) -> None:
        self.number = number
        self.target = target
        self.pieces: list[Piece] = []
        self.size = 0

    def is_full(self) -> bool:
        return self.size >= self.target or len(self.pieces) >= MAX_PIECES


class _Push:
    """One push to one store, from the objects that it lacks to the entry in its log."""

    def __init__(
        self,
        store: Store,
        objects: LocalObjects,
        tmp: Path,
        paths: Mapping[Oid, Sequence[bytes]],
        sizes: Mapping[Oid, int],
        avoid: Collection[FileId],
        progress: Progress,
    ) -> None:
        self._store = store
        self._objects = objects
        self._tmp = tmp
        self._paths = paths
        self._sizes = sizes
        self._progress = progress
        self._journal = UploadJournal(store)
        large = [size for size in sizes.values() if size > chunker.SMALL]
        self._sources = ChunkSources([*self._journal.arrived(), *packs_to_build_on(store, objects, large, avoid)])
        # what must be new, as a start: how much of the large objects is will be seen as they are read
        self._expected = sum(sizes.values()) - min(sum(large), self._sources.size)
        self._new = 0
        self._small: array[int] = array("Q")  # the places of those objects of `sizes` that are one chunk, in that order
        self._large: dict[Oid, array[int]] = {}
        self._recipes: dict[Oid, int] = {}
        self._sent: list[KnownPack] = []
        self._files = _Files(tmp)
        self._making = threading.Lock()
        """Held by the one thread that makes a pack. Several at small files hand Python's lock to and fro for each: 10,000
        took 0.9 s and 1.2 s of CPU, so 0.57 and 0.63. Large files take as long either way."""

    def run(self, found_in: set[FileId]) -> Uploaded:
        """Pack, send, and commit. `found_in` are the packs that have the other objects of the push."""
        with self._files:
            for plan, pack in workers.run(self._plans(), self._send_plan, self._store.backend.close):
                self._sent.append(pack)
                self._sources.fill(plan.number, pack)
                for piece in plan.pieces:
                    self._tell_there(piece)
            for recipes in self._gathered_recipes():
                self._send_recipes(recipes)
        index_size = self._commit(found_in)
        for oid in self._large:
            self._progress.done(self._name(oid))
        return Uploaded(len(self._sizes), len(self._sent), sum(pack.size for pack in self._sent) + index_size)

    # planning: what is in which pack

    def _plans(self) -> Iterator[PackPlan]:
        """Yield the packs to make, as the objects are read, and note the place of every chunk."""
        plan = self._next_plan()
        for oid in self._sizes:
            places: array[int] = array("Q")
            for piece in self._pieces(oid):
                place = self._sources.find(piece.id, places[-1] if places else None)
                if place is None:
                    if plan.is_full():
                        yield plan
                        plan = self._next_plan()
                    place = self._add(piece, plan)
                else:
                    self._tell_there(piece)
                places.append(place)
            self._note(oid, places)
        if plan.pieces:
            yield plan

    def _next_plan(self) -> PackPlan:
        return PackPlan(self._sources.reserve(), target_size(max(self._expected, self._new)))

    def _add(self, piece: Piece, plan: PackPlan) -> int:
        self._new += piece.length
        plan.pieces.append(piece)
        plan.size += piece.length
        return self._sources.plan(piece.id, plan.number, len(plan.pieces) - 1)

    def _note(self, oid: Oid, places: array[int]) -> None:
        if self._is_large(oid):
            self._large[oid] = places
        else:
            self._small.append(places[0])

    def _is_large(self, oid: Oid) -> bool:
        return self._sizes[oid] > chunker.SMALL

    def _pieces(self, oid: Oid) -> Iterator[Piece]:
        """Yield the chunks of an object. Raises CorruptData once all was read, if that is not the object."""
        if not self._is_large(oid):
            yield Piece(oid, 0, self._sizes[oid], oid)
            return
        with contextlib.closing(self._open(oid)) as stream:
            hashed = _Hashed(stream)
            offset = 0
            for data in chunker.cut(cast(BinaryIO, hashed)):
                yield Piece(oid, offset, len(data), hashing.of_bytes(data))
                offset += len(data)
        if hashed.hasher.digest() != oid:
            raise self._damaged(oid)

    # sending

    def _send_plan(self, plan: PackPlan, stop: Stop) -> tuple[PackPlan, KnownPack]:
        return plan, self._send(self._contents(plan.pieces, stop))

    def _send(self, contents: Iterable[tuple[Oid, bytes]]) -> KnownPack:
        """Make a pack of `contents` and put it into the store."""
        with disk_errors(self._tmp), self._files.one() as scratch:
            with self._making:
                writer = PackWriter(scratch.fd)
                for id, data in contents:
                    writer.add(id, data)
                made = writer.finish()
                os.ftruncate(scratch.fd, made.size)
            pack = self._journal.note(made)
            self._store.backend.create(pack_key(pack.id), scratch.path)
            return pack

    def _contents(self, pieces: Iterable[Piece], stop: Stop) -> Iterator[tuple[Oid, bytes]]:
        """Yield the chunks that `pieces` stand for, verified. Raises CorruptData where one is not what it was."""
        for oid, of_one in itertools.groupby(pieces, lambda piece: piece.oid):
            with contextlib.closing(self._open(oid)) as stream:
                for piece in of_one:
                    stop.check()
                    stream.seek(piece.offset)
                    data = stream.read(piece.length)
                    if hashing.of_bytes(data) != piece.id:
                        raise self._damaged(oid)
                    yield piece.id, data

    def _tell_there(self, piece: Piece) -> None:
        """A piece is in the store."""
        self._progress.moved(piece.length)
        if not self._is_large(piece.oid):
            self._progress.done(self._name(piece.oid))

    # what makes it visible

    def _gathered_recipes(self) -> Iterator[list[Recipe]]:
        """Yield the recipes of the large objects, as many at a time as one pack is to hold."""
        gathered: list[Recipe] = []
        runs = 0
        for oid, places in self._large.items():
            recipe = Recipe(oid, self._sizes[oid], runs_of(self._sources.chunk(place) for place in places))
            gathered.append(recipe)
            runs += len(recipe.runs)
            if runs > RECIPE_RUNS or len(gathered) >= MAX_PIECES:
                yield gathered
                gathered, runs = [], 0
        if gathered:
            yield gathered

    def _send_recipes(self, recipes: Sequence[Recipe]) -> None:
        """Put those recipes into the store that a push that was cut off has not put there already."""
        number = self._sources.reserve()
        new: list[tuple[Oid, bytes]] = []
        for recipe in recipes:
            data = recipe.encode()
            id = hashing.of_bytes(data)
            # an index of the same rows as one that is damaged would have its name, and could not be put there
            place = None if self._store.damaged_indexes else self._sources.find(id)
            if place is None:
                place = self._sources.plan(id, number, len(new))
                new.append((id, data))
            self._recipes[recipe.oid] = place
        if new:
            pack = self._send(new)
            self._sent.append(pack)
            self._sources.fill(number, pack)
        self._store.recipes.keep(recipes)

    def _commit(self, found_in: set[FileId]) -> int:
        """Put the index and the entry in the log; return the size of the index."""
        places = itertools.chain(self._small, self._recipes.values(), *self._large.values())
        used = self._sources.used(places)
        live = self._store.state.packs
        data = index.encode(self._entries(), {pack.id: pack.size for pack in used})
        new = [pack for pack in used if pack.id not in live]
        built_on = {pack.id for pack in used if pack.id in live} | found_in
        self._store.commit(os.urandom(16).hex(), {pack.id: pack.size for pack in new}, data, built_on)
        self._journal.settle(new)
        if self._recipes:
            self._store.recipes.add_proven(entry for entry in self._entries() if entry.recipe)
        return len(data)

    def _entries(self) -> Iterator[IndexRow]:
        small = (oid for oid in self._sizes if not self._is_large(oid))
        for is_recipe, places in ((False, zip(small, self._small, strict=True)), (True, self._recipes.items())):
            for oid, place in places:
                pack, chunk = self._sources.chunk(place)
                yield IndexRow(oid, pack, chunk.offset, chunk.stored, chunk.length, is_recipe)

    # objects here

    def _open(self, oid: Oid) -> BinaryIO:
        with disk_errors(self._tmp):
            stream = self._objects.open(oid)
        if stream is None:
            raise self._damaged(oid)
        return stream

    def _damaged(self, oid: Oid) -> CorruptData:
        return CorruptData(
            f"{self._name(oid)}: what is here of object {oid.hex()} is damaged, and nothing was pushed",
            hint="if the file is whole in the working tree, store it again: git add --renormalize PATH",
        )

    def _name(self, oid: Oid) -> str:
        return files.printable(self._paths[oid][0]) if self._paths[oid] else oid.hex()


class _Files:
    """Files to write packs to, each from its start on and for one thread at a time. They are used again: 1 GiB of them would
    be as much memory for the system to find."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._spare: list[Scratch] = []
        self._is_over = False
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def one(self) -> Iterator[Scratch]:
        with self._lock:
            scratch = self._spare.pop() if self._spare else Scratch(self._directory)
        os.lseek(scratch.fd, 0, os.SEEK_SET)
        try:
            yield scratch
        finally:
            with self._lock:
                self._spare.append(scratch)
                if self._is_over:
                    self._close()

    def _close(self) -> None:
        while self._spare:
            self._spare.pop().close()

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *_: object) -> None:
        """Delete the files; one that a worker is still at, which was told to stop, when it lets go of it."""
        with self._lock:
            self._is_over = True
            self._close()


class _Hashed:
    """A stream that hashes what is read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.hasher = hashing.new()

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self.hasher.update(data)
        return data

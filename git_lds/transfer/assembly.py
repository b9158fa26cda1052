"""Makes objects out of what comes in, from the stores or from other objects here, and keeps them once they are verified."""

from __future__ import annotations

import contextlib
import os
import threading
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO, Protocol

from git_lds import hashing
from git_lds.errors import CorruptData, LdsError
from git_lds.fast_typing import NamedTuple
from git_lds.files import Scratch, read_at
from git_lds.hashing import FileId, Oid
from git_lds.local.lookup import LocalObjects
from git_lds.local.objects import ObjectDirectory
from git_lds.store.client.stretches import Stretch
from git_lds.store.format import frames
from git_lds.store.format.index import IndexRow
from git_lds.store.format.recipe import Copy, Fetch, Recipe, plan
from git_lds.transfer import partial, small_objects
from git_lds.transfer.disk_errors import disk_errors
from git_lds.transfer.partial import Partial
from git_lds.transfer.ranges import WantedFrames
from git_lds.workers import Stop, Stopped

SHARE = 32 << 20
"""Bytes that one worker copies at a time. Four of them together write twice as fast as one."""

_MOST_BUFFERS = 1024
"""Buffers that one pwritev takes: IOV_MAX of limits.h."""


class DownloadListener(small_objects.ArrivalListener, Protocol):
    """Is told what became of objects. Called from worker threads."""

    def moved(self, oid: Oid, size: int) -> None:
        """`size` more bytes of the object are here, not verified yet."""


class FetchedRecipe:
    """A recipe that is one frame. A taker of parts, of one. `size` is that of the object, where it is known."""

    def __init__(self, oid: Oid, size: int | None, keep: Callable[[Recipe], None], outcome: DownloadListener) -> None:
        self._oid = oid
        self._size = size
        self._keep = keep
        self._outcome = outcome
        self._recipe: Recipe | None = None

    def write(self, at: int, data: Sequence[bytes]) -> None:
        recipe = Recipe.decode(b"".join(data))
        if recipe.oid != self._oid:
            raise CorruptData("the store has the recipe of another object under its name")
        if self._size is not None and recipe.size != self._size:
            raise CorruptData(f"it has {recipe.size} bytes, and its pointer says {self._size}")
        self._recipe = recipe

    def note(self, part: WantedFrames, stored: int, length: int) -> None: ...

    def finish(self) -> None:
        if self._recipe is not None:
            self._keep(self._recipe)

    def fail(self, error: LdsError) -> None:
        self._outcome.failed(self._oid, error)


def recipe_part(entry: IndexRow, taker: FetchedRecipe) -> WantedFrames:
    """Return the part that is the one frame of `entry`."""
    return WantedFrames(
        entry.pack, entry.offset, entry.offset + entry.stored, entry.length, taker, limit=frames.MAX_RECIPE
    )


class LargeObject:
    """An object that is put together from parts, written anywhere in any order by any thread. Close it in the end.

    With the last part it is read again as a whole, and kept if it hashes to its oid. What came of a larger one stays for
    another try (see `partial`) unless it turned out wrong; with `afresh` nothing of an earlier try is used.
    """

    def __init__(
        self, oid: Oid, size: int, directory: ObjectDirectory, outcome: DownloadListener, *, afresh: bool
    ) -> None:
        self.oid = oid
        self._size = size
        self._left = 0
        self._directory = directory
        self._outcome = outcome
        self._afresh = afresh
        self._error: LdsError | None = None
        self._scratch: Scratch | None = None
        self._is_closed = False
        self._users = 0
        self._lock = threading.Lock()

    def expect(self, parts: int) -> None:
        """That many parts will come."""
        self._left = parts

    def left_of(self, steps: Iterable[Fetch]) -> Iterator[Fetch]:
        """Yield what must still be fetched of `steps`."""
        kept = None
        if (
            not self._afresh
            and self._size >= partial.WORTH_KEEPING
            and partial.is_begun(self._directory.root, self.oid)
        ):
            with self._lock:
                kept = self._opened()
        for step in steps:
            left = kept.left_of(step) if isinstance(kept, Partial) else step
            here = step.run.length - (left.run.length if left is not None else 0)
            if here:
                self._outcome.moved(self.oid, here)
            if left is not None:
                yield left

    def write(self, at: int, data: Sequence[bytes]) -> None:
        if self._error is None:
            with self._in_use() as scratch, disk_errors(self._directory.root):
                count = _write_at(scratch.fd, data, at, self._lock)
            self._outcome.moved(self.oid, count)

    def note(self, part: WantedFrames, stored: int, length: int) -> None:
        if isinstance(self._scratch, Partial):
            with disk_errors(self._directory.root):
                self._scratch.note(part.pack, part.start, stored, part.places, length)

    def finish(self) -> None:
        self._one_less(None)

    def fail(self, error: LdsError) -> None:
        self._one_less(error)

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            self._close_unused()

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[Scratch]:
        """The file. It stays open for the time of the block: a worker that is told to stop may still be at it when the value
        is closed, and the number of its descriptor must not become that of another file under its hands."""
        with self._lock:
            if self._is_closed:
                raise Stopped
            scratch = self._opened()
            self._users += 1
        try:
            yield scratch
        finally:
            with self._lock:
                self._users -= 1
                if self._is_closed:
                    self._close_unused()

    def _close_unused(self) -> None:
        if self._scratch is not None and not self._users:
            self._scratch.close()
            self._scratch = None

    def _opened(self) -> Scratch:
        # opened with the first bytes, so that few files are open however many objects are under way
        if self._scratch is None:
            with disk_errors(self._directory.root):
                kept = partial.begin(self._directory.root, self.oid) if self._size >= partial.WORTH_KEEPING else None
                if kept is not None and self._afresh:
                    kept.empty()
                self._scratch = kept or self._directory.scratch()
        return self._scratch

    def _one_less(self, error: LdsError | None) -> None:
        with self._lock:
            self._error = self._error or error
            self._left -= 1
            is_last = self._left == 0
        if is_last:
            self._end()

    def _end(self) -> None:
        """All parts have come, or failed: keep the object, or tell why not."""
        error = self._error
        if error is None:
            with self._in_use() as scratch, disk_errors(self._directory.root):
                if oid_of(scratch.fd, self._size) == self.oid:
                    self._directory.adopt(self.oid, scratch, sync=True)
                else:
                    error = CorruptData("what was put together hashes to something else")
        if isinstance(error, CorruptData) and isinstance(self._scratch, Partial):
            self._scratch.discard()
        self.close()
        if error is None:
            self._outcome.arrived(self.oid)
        else:
            self._outcome.failed(self.oid, error)


class CopyJob(NamedTuple):
    """Bytes of a large object that another object here has. They count as one part of it."""

    target: LargeObject
    have: Oid
    steps: Sequence[Copy]


class LargePlan(NamedTuple):
    """How a large object is made: the parts that are fetched for it, and what is copied from objects here."""

    target: LargeObject
    parts: Sequence[WantedFrames]
    copies: Sequence[CopyJob]

    def stretches(self) -> Iterator[Stretch]:
        """Yield what frames the object came in, once it is here."""
        for part in self.parts:
            frames = tuple(zip(part.frames[::2], part.frames[1::2], strict=True))
            yield Stretch(self.target.oid, part.places[0], part.pack, part.start, part.logical, frames)

    def is_from_store(self) -> bool:
        """Return whether all of the object came from the store, none of it from another object here."""
        return not any(copies.steps for copies in self.copies)


def plan_large(
    recipe: Recipe, relatives: Sequence[Recipe], directory: ObjectDirectory, outcome: DownloadListener, *, afresh: bool
) -> LargePlan:
    """Return how to make the object of `recipe` in `directory` when the objects of `relatives` are here.

    With `afresh` what came of it in an earlier try is not used.
    """
    steps = plan(recipe, relatives)
    target = LargeObject(recipe.oid, recipe.size, directory, outcome, afresh=afresh)
    parts = _parts(target, target.left_of(step for step in steps if isinstance(step, Fetch)))
    shares = _shares(step for step in steps if isinstance(step, Copy))
    copies = [CopyJob(target, relatives[share[0].have].oid, share) for share in shares]
    if not parts and not copies:
        copies = [CopyJob(target, recipe.oid, ())]  # all of it is there: a worker has it read again, and kept
    target.expect(len(parts) + len(copies))
    return LargePlan(target, parts, copies)


def _parts(target: LargeObject, steps: Iterable[Fetch]) -> list[WantedFrames]:
    """Return the parts to fetch: one for each stretch of a pack, however often the object has it, as zeros do."""
    places: dict[tuple[FileId, int, int, int, int], array[int]] = {}
    for step in steps:
        run = step.run
        key = (run.pack, run.offset, run.stored, run.length, run.logical)
        places.setdefault(key, array("Q")).append(step.target)
    return [
        WantedFrames(pack, at, at + stored, length, target, of, logical=logical)
        for (pack, at, stored, length, logical), of in places.items()
    ]


def _shares(steps: Iterable[Copy]) -> Iterator[list[Copy]]:
    """Yield the steps in shares of one source and at most SHARE bytes each, for one worker each."""
    share: list[Copy] = []
    size = 0
    for step in _cut(steps):
        if share and (step.have != share[0].have or size + step.length > SHARE):
            yield share
            share, size = [], 0
        share.append(step)
        size += step.length
    if share:
        yield share


def _cut(steps: Iterable[Copy]) -> Iterator[Copy]:
    for step in steps:
        for done in range(0, step.length, SHARE):
            yield Copy(step.have, step.source + done, step.target + done, min(SHARE, step.length - done))


def copy(copies: CopyJob, objects: LocalObjects, stop: Stop) -> None:
    """Copy the bytes of `copies` to their places."""
    if not copies.steps:
        copies.target.finish()
        return
    try:
        with disk_errors(objects.downloads.root):
            stream = objects.open(copies.have)
        if stream is None:
            raise CorruptData("an object here that shares bytes with it has just gone")
        with stream:
            for step in copies.steps:
                _copy_step(step, stream, copies.target, stop)
    except CorruptData as error:
        copies.target.fail(error)
    else:
        copies.target.finish()


def _copy_step(step: Copy, stream: BinaryIO, target: LargeObject, stop: Stop) -> None:
    stream.seek(step.source)
    done = 0
    while done < step.length:
        stop.check()
        data = stream.read(min(hashing.READ_SIZE, step.length - done))
        if not data:
            raise CorruptData("an object here that shares bytes with it is too short")
        target.write(step.target + done, [data])
        done += len(data)


def oid_of(fd: int, size: int) -> Oid | None:
    """Return the oid of the file's contents, or None when it has not `size` bytes."""
    if os.fstat(fd).st_size != size:
        return None
    hasher = hashing.new()
    for at in range(0, size, hashing.READ_SIZE):
        hasher.update(read_at(fd, hashing.READ_SIZE, at))
    return Oid(hasher.digest())


def _write_at(fd: int, data: Sequence[bytes], at: int, lock: threading.Lock) -> int:
    """Write all of `data` at byte `at` of the file; return how many bytes that was."""
    size = sum(map(len, data))
    if hasattr(os, "pwritev") and len(data) <= _MOST_BUFFERS and os.pwritev(fd, data, at) == size:
        return size
    view = memoryview(b"".join(data))  # many small ones, or a disk that is filling up
    while view:
        if hasattr(os, "pwrite"):
            count = os.pwrite(fd, view, at)
        else:
            with lock:
                os.lseek(fd, at, os.SEEK_SET)
                count = os.write(fd, view)
        view, at = view[count:], at + count
    return size

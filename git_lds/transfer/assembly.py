"""Assembles objects from fetched parts and from other local objects, and stores them after verification."""

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
"""Bytes that one worker copies at a time. Four workers write twice as fast as one."""

_MOST_BUFFERS = 1024
"""Buffers in one pwritev at most: IOV_MAX of limits.h."""


class DownloadListener(small_objects.ArrivalListener, Protocol):
    """Receives the progress and the outcome of each object. Called from worker threads."""

    def moved(self, oid: Oid, size: int) -> None:
        """`size` more bytes of the object have arrived, not verified yet."""


class FetchedRecipe:
    """A recipe to fetch, which is one frame. A `Taker` of one part. `size` is that of the object, if known."""

    def __init__(
        self, oid: Oid, size: int | None, on_fetched: Callable[[Recipe], None], listener: DownloadListener
    ) -> None:
        self._oid = oid
        self._size = size
        self._on_fetched = on_fetched
        self._listener = listener
        self._recipe: Recipe | None = None

    def write(self, at: int, data: Sequence[bytes]) -> None:
        recipe = Recipe.decode(b"".join(data))
        if recipe.oid != self._oid:
            raise CorruptData("checksum mismatch: the store has the recipe of another object under its name")
        if self._size is not None and recipe.size != self._size:
            raise CorruptData(f"it has {recipe.size} bytes, and its pointer says {self._size}")
        self._recipe = recipe

    def note(self, part: WantedFrames, stored: int, length: int) -> None: ...

    def finish(self) -> None:
        if self._recipe is not None:
            self._on_fetched(self._recipe)

    def fail(self, error: LdsError) -> None:
        self._listener.failed(self._oid, error)


def recipe_part(entry: IndexRow, taker: FetchedRecipe) -> WantedFrames:
    """Return the part for the one frame of `entry`."""
    return WantedFrames(
        entry.pack, entry.offset, entry.offset + entry.stored, entry.length, taker, limit=frames.MAX_RECIPE
    )


class LargeObject:
    """An object that any threads assemble from parts, in any order. Close it at the end. A `Taker`.

    After the last part the whole object is read again, and stored if it matches its oid. An incomplete larger object stays for
    the next try (see `partial`) unless it is wrong; with `afresh` nothing of an earlier try is used.
    """

    def __init__(
        self, oid: Oid, size: int, directory: ObjectDirectory, listener: DownloadListener, *, afresh: bool
    ) -> None:
        self.oid = oid
        self._size = size
        self._remaining = 0
        self._directory = directory
        self._listener = listener
        self._afresh = afresh
        self._error: LdsError | None = None
        self._scratch: Scratch | None = None
        self._is_closed = False
        self._users = 0
        self._lock = threading.Lock()

    def expect(self, parts: int) -> None:
        """Set the number of parts."""
        self._remaining = parts

    def remaining_of(self, steps: Iterable[Fetch]) -> Iterator[Fetch]:
        """Yield the parts of `steps` that must still be fetched."""
        kept = None
        if (
            not self._afresh
            and self._size >= partial.WORTH_KEEPING
            and partial.is_begun(self._directory.root, self.oid)
        ):
            with self._lock:
                kept = self._opened()
        for step in steps:
            rest = kept.remaining_of(step) if isinstance(kept, Partial) else step
            kept_bytes = step.run.length - (rest.run.length if rest is not None else 0)
            if kept_bytes:
                self._listener.moved(self.oid, kept_bytes)
            if rest is not None:
                yield rest

    def write(self, at: int, data: Sequence[bytes]) -> None:
        if self._error is None:
            with self._in_use() as scratch, disk_errors(self._directory.root):
                count = _write_at(scratch.fd, data, at, self._lock)
            self._listener.moved(self.oid, count)

    def note(self, part: WantedFrames, stored: int, length: int) -> None:
        if isinstance(self._scratch, Partial):
            with disk_errors(self._directory.root):
                self._scratch.note(part.pack, part.start, stored, part.places, length)

    def finish(self) -> None:
        self._count_down(None)

    def fail(self, error: LdsError) -> None:
        self._count_down(error)

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            self._close_unused()

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[Scratch]:
        """The file, kept open for the time of the block.

        A stopped worker may still write when the object is closed, and its descriptor must not become that of another file.
        """
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
        # opened with the first bytes, so that few files are open at a time
        if self._scratch is None:
            with disk_errors(self._directory.root):
                kept = partial.begin(self._directory.root, self.oid) if self._size >= partial.WORTH_KEEPING else None
                if kept is not None and self._afresh:
                    kept.empty()
                self._scratch = kept or self._directory.scratch()
        return self._scratch

    def _count_down(self, error: LdsError | None) -> None:
        with self._lock:
            self._error = self._error or error
            self._remaining -= 1
            is_last = self._remaining == 0
        if is_last:
            self._end()

    def _end(self) -> None:
        """Store the object after all parts arrived, or report why not."""
        error = self._error
        if error is None:
            with self._in_use() as scratch, disk_errors(self._directory.root):
                if oid_of(scratch.fd, self._size) == self.oid:
                    self._directory.adopt(self.oid, scratch, sync=True)
                else:
                    error = CorruptData("checksum mismatch of the assembled object")
        if isinstance(error, CorruptData) and isinstance(self._scratch, Partial):
            self._scratch.discard()
        self.close()
        if error is None:
            self._listener.arrived(self.oid)
        else:
            self._listener.failed(self.oid, error)


class CopyJob(NamedTuple):
    """Bytes of a large object to copy from another local object. A job counts as one part of the object."""

    target: LargeObject
    have: Oid
    steps: Sequence[Copy]


class LargePlan(NamedTuple):
    """How to make a large object: the parts to fetch, and the bytes to copy from local objects."""

    target: LargeObject
    parts: Sequence[WantedFrames]
    copies: Sequence[CopyJob]

    def stretches(self) -> Iterator[Stretch]:
        """Yield the stretches in which the object arrived."""
        for part in self.parts:
            frames = tuple(zip(part.frames[::2], part.frames[1::2], strict=True))
            yield Stretch(self.target.oid, part.places[0], part.pack, part.start, part.logical, frames)

    def is_from_store(self) -> bool:
        """Return whether the whole object came from the store, and nothing from another local object."""
        return not any(copies.steps for copies in self.copies)


def plan_large(
    recipe: Recipe, relatives: Sequence[Recipe], directory: ObjectDirectory, listener: DownloadListener, *, afresh: bool
) -> LargePlan:
    """Return the plan for making the object of `recipe` in `directory`, using the local objects of `relatives`.

    With `afresh`, contents from an earlier try are not used. Raises LdsError if the disk fails.
    """
    steps = plan(recipe, relatives)
    target = LargeObject(recipe.oid, recipe.size, directory, listener, afresh=afresh)
    parts = _parts(target, target.remaining_of(step for step in steps if isinstance(step, Fetch)))
    shares = _shares(step for step in steps if isinstance(step, Copy))
    copies = [CopyJob(target, relatives[share[0].have].oid, share) for share in shares]
    if not parts and not copies:
        copies = [CopyJob(target, recipe.oid, ())]  # it is complete: a worker verifies and stores it
    target.expect(len(parts) + len(copies))
    return LargePlan(target, parts, copies)


def _parts(target: LargeObject, steps: Iterable[Fetch]) -> list[WantedFrames]:
    """Return the parts to fetch: one per stretch of a pack, even if the object repeats it, as for zeros."""
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
    """Yield the steps in shares for one worker each, of one source and at most SHARE bytes."""
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
    """Copy the bytes of `copies` to their places. Raises LdsError if the disk fails, and Stopped."""
    if not copies.steps:
        copies.target.finish()
        return
    try:
        with disk_errors(objects.downloads.root):
            stream = objects.open(copies.have)
        if stream is None:
            raise CorruptData("a local object that it shares chunks with was deleted during the download")
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
            raise CorruptData("a local object that it shares chunks with is too short")
        target.write(step.target + done, [data])
        done += len(data)


def oid_of(fd: int, size: int) -> Oid | None:
    """Return the oid of the contents of a file, or None if its size is not `size`. Raises OSError."""
    if os.fstat(fd).st_size != size:
        return None
    hasher = hashing.new()
    for at in range(0, size, hashing.READ_SIZE):
        hasher.update(read_at(fd, hashing.READ_SIZE, at))
    return Oid(hasher.digest())


def _write_at(fd: int, data: Sequence[bytes], at: int, lock: threading.Lock) -> int:
    """Write all of `data` at byte `at` of the file; return the number of bytes."""
    size = sum(map(len, data))
    if hasattr(os, "pwritev") and len(data) <= _MOST_BUFFERS and os.pwritev(fd, data, at) == size:
        return size
    view = memoryview(b"".join(data))  # too many blocks, or a short write
    while view:
        if hasattr(os, "pwrite"):
            count = os.pwrite(fd, view, at)
        else:
            with lock:
                os.lseek(fd, at, os.SEEK_SET)
                count = os.write(fd, view)
        view, at = view[count:], at + count
    return size

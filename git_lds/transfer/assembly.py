"""Makes objects out of what comes in, from the stores or from other objects here, and keeps them once they are verified."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from git_lds import hashing
from git_lds.errors import CorruptData, LdsError
from git_lds.files import Scratch, read_at
from git_lds.hashing import Oid
from git_lds.local.layers import LocalObjects
from git_lds.local.objects import ObjectFolder
from git_lds.pack.recipe import Copy, Fetch, Recipe, plan
from git_lds.transfer.disk import disk_errors
from git_lds.transfer.ranges import Part
from git_lds.transfer.workers import Stop

SHARE = 32 << 20
"""Bytes that one worker copies at a time. Four of them together write twice as fast as one."""


class Outcome(Protocol):
    """Is told what became of objects. Called from worker threads."""

    def moved(self, size: int) -> None:
        """`size` more bytes of contents are here."""

    def arrived(self, oid: Oid) -> None:
        """The object is here, verified."""

    def failed(self, oid: Oid, error: LdsError) -> None:
        """The object did not come."""


class SmallObject:
    """An object that is one frame. A taker of parts, of one."""

    def __init__(self, oid: Oid, folder: ObjectFolder, outcome: Outcome) -> None:
        self._oid = oid
        self._folder = folder
        self._outcome = outcome

    def write(self, at: int, data: bytes) -> None:
        if hashing.of_bytes(data) != self._oid:
            raise CorruptData("the store has other bytes under its name")
        with disk_errors(self._folder.root):
            self._folder.put(self._oid, data)
        self._outcome.moved(len(data))

    def finish(self) -> None:
        self._outcome.arrived(self._oid)

    def fail(self, error: LdsError) -> None:
        self._outcome.failed(self._oid, error)


class FetchedRecipe:
    """A recipe that is one frame. A taker of parts, of one."""

    def __init__(self, oid: Oid, size: int, keep: Callable[[Recipe], None], outcome: Outcome) -> None:
        self._oid = oid
        self._size = size
        self._keep = keep
        self._outcome = outcome
        self._recipe: Recipe | None = None

    def write(self, at: int, data: bytes) -> None:
        recipe = Recipe.decode(data)
        if recipe.oid != self._oid:
            raise CorruptData("the store has the recipe of another object under its name")
        if recipe.size != self._size:
            raise CorruptData(f"it has {recipe.size} bytes, and its pointer says {self._size}")
        self._recipe = recipe

    def finish(self) -> None:
        if self._recipe is not None:
            self._keep(self._recipe)

    def fail(self, error: LdsError) -> None:
        self._outcome.failed(self._oid, error)


class LargeObject:
    """An object that is put together from `parts` parts, written anywhere in any order by any thread. Close it in the end.

    With the last part it is read again as a whole, and kept if it hashes to its oid.
    """

    def __init__(self, oid: Oid, size: int, parts: int, folder: ObjectFolder, outcome: Outcome) -> None:
        self.oid = oid
        self._size = size
        self._left = parts
        self._folder = folder
        self._outcome = outcome
        self._error: LdsError | None = None
        self._scratch: Scratch | None = None
        self._lock = threading.Lock()

    def write(self, at: int, data: bytes) -> None:
        if self._error is None:
            with disk_errors(self._folder.root):
                _write_at(self._opened().fd, data, at, self._lock)
            self._outcome.moved(len(data))

    def finish(self) -> None:
        self._one_less(None)

    def fail(self, error: LdsError) -> None:
        self._one_less(error)

    def close(self) -> None:
        with self._lock:
            if self._scratch is not None:
                self._scratch.close()
                self._scratch = None

    def _opened(self) -> Scratch:
        # opened with the first bytes, so that few files are open however many objects are under way
        with self._lock:
            if self._scratch is None:
                self._scratch = self._folder.scratch()
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
            with disk_errors(self._folder.root):
                scratch = self._opened()
                if _oid_of(scratch.fd, self._size) == self.oid:
                    self._folder.adopt(self.oid, scratch)
                else:
                    error = CorruptData("what was put together hashes to something else")
        self.close()
        if error is None:
            self._outcome.arrived(self.oid)
        else:
            self._outcome.failed(self.oid, error)


@dataclass(frozen=True, slots=True)
class Copies:
    """Bytes of a large object that another object here has. They count as one part of it."""

    target: LargeObject
    have: Oid
    steps: Sequence[Copy]


@dataclass(frozen=True, slots=True)
class LargePlan:
    """How a large object is made: the parts that are fetched for it, and what is copied from objects here."""

    target: LargeObject
    parts: Sequence[Part]
    copies: Sequence[Copies]


def plan_large(recipe: Recipe, relatives: Sequence[Recipe], folder: ObjectFolder, outcome: Outcome) -> LargePlan:
    """Return how to make the object of `recipe` in `folder` when the objects of `relatives` are here."""
    steps = plan(recipe, relatives)
    fetches = [step for step in steps if isinstance(step, Fetch)]
    shares = list(_shares(step for step in steps if isinstance(step, Copy)))
    target = LargeObject(recipe.oid, recipe.size, len(fetches) + len(shares), folder, outcome)
    parts = [
        Part(step.run.pack, step.run.offset, step.run.offset + step.run.stored, step.run.length, target, step.target)
        for step in fetches
    ]
    return LargePlan(target, parts, [Copies(target, relatives[share[0].have].oid, share) for share in shares])


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


def copy(copies: Copies, objects: LocalObjects, stop: Stop) -> None:
    """Copy the bytes of `copies` to their places."""
    try:
        with disk_errors(objects.cache.root):
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
        target.write(step.target + done, data)
        done += len(data)


def _oid_of(fd: int, size: int) -> Oid | None:
    """Return the oid of the file's contents, or None when it has not `size` bytes."""
    if os.fstat(fd).st_size != size:
        return None
    hasher = hashing.new()
    for at in range(0, size, hashing.READ_SIZE):
        hasher.update(read_at(fd, hashing.READ_SIZE, at))
    return Oid(hasher.digest())


def _write_at(fd: int, data: bytes | memoryview, at: int, lock: threading.Lock) -> None:
    """Write all of `data` at byte `at` of the file."""
    view = memoryview(data)
    while view:
        if hasattr(os, "pwrite"):
            count = os.pwrite(fd, view, at)
        else:
            with lock:
                os.lseek(fd, at, os.SEEK_SET)
                count = os.write(fd, view)
        view, at = view[count:], at + count

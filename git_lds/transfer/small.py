"""Fetches objects that are one frame each, many of them in one request, and keeps each once it is verified."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from git_lds import hashing
from git_lds.errors import CorruptData, LdsError, NotInStore
from git_lds.hashing import FileId, Oid
from git_lds.local.objects import ObjectFolder
from git_lds.pack import frames
from git_lds.pack.layout import pack_key
from git_lds.remote.backend import Backend
from git_lds.transfer.disk import disk_errors
from git_lds.transfer.ranges import Blocks, Range
from git_lds.workers import Stop


class Outcome(Protocol):
    """Is told what became of objects. Called from worker threads."""

    def arrived(self, oid: Oid) -> None:
        """The object is here, verified."""

    def failed(self, oid: Oid, error: LdsError) -> None:
        """The object did not come."""


class Small(NamedTuple):
    """An object of one frame, from `start` to `end` of a pack. Of 100,000 objects there are as many, hence the tuple."""

    pack: FileId
    start: int
    end: int
    oid: Oid


def fetch(backend: Backend, wanted: Range[Small], folder: ObjectFolder, outcome: Outcome, stop: Stop) -> int:
    """Fetch the objects of one range into `folder`; return how many bytes came.

    What is wrong with an object or its pack is told; what is wrong with the store is raised.
    """
    told = 0
    try:
        with backend.stream(pack_key(wanted.pack), wanted.start, wanted.end - wanted.start) as blocks:
            source, at = Blocks(blocks), wanted.start
            for small in wanted.parts:
                stop.check()
                at = _take(source, at, small, folder, outcome)
                told += 1
            for _ in source.take(wanted.end - at):
                stop.check()
    except (NotInStore, CorruptData) as error:
        _fail(wanted.parts[told:], error, outcome)
        return 0
    return wanted.end - wanted.start


def _take(source: Blocks, at: int, small: Small, folder: ObjectFolder, outcome: Outcome) -> int:
    """Take one object from `source`, which stands at byte `at` of the pack; return where it stands then."""
    if small.start < at:
        outcome.failed(small.oid, CorruptData("the index has it across another object"))
        return at
    for _ in source.take(small.start - at):
        pass
    frame = b"".join(source.take(small.end - small.start))
    try:
        data = frames.decode(frame)
        if hashing.of_bytes(data) != small.oid:
            raise CorruptData("the store has other bytes under its name")
    except CorruptData as error:
        outcome.failed(small.oid, error)
    else:
        with disk_errors(folder.root):
            folder.put(small.oid, data)
        outcome.arrived(small.oid)
    return small.end


def _fail(left: Sequence[Small], error: LdsError, outcome: Outcome) -> None:
    for small in left:
        outcome.failed(small.oid, error)

"""Fetches objects that are one frame each, many of them in one request, and keeps each once it is verified."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from git_lds import hashing
from git_lds.errors import CorruptData, LdsError, NotInStore
from git_lds.hashing import FileId, Oid
from git_lds.local.objects import ObjectDirectory
from git_lds.store.backends.contract import Backend
from git_lds.store.format import frames
from git_lds.store.format.keys import pack_key
from git_lds.transfer.disk_errors import disk_errors
from git_lds.transfer.ranges import Blocks, Range
from git_lds.workers import Stop

TURN = 1 << 20
"""Bytes of frames that are gathered before they are kept."""


class ArrivalListener(Protocol):
    """Is told what became of objects. Called from worker threads."""

    def arrived(self, oid: Oid) -> None:
        """The object is here, verified."""

    def failed(self, oid: Oid, error: LdsError) -> None:
        """The object did not come."""


class SmallObject(NamedTuple):
    """An object of one frame, from `start` to `end` of a pack. Of 100,000 objects there are as many, hence the tuple."""

    pack: FileId
    start: int
    end: int
    oid: Oid


class SmallObjectWriter:
    """Keeps objects that came, in `directory`, and tells what became of them. Without a directory they are only verified.

    For one thread at a time, and many objects in each turn: where Python's lock went to and fro for each object, a download of
    10,000 took 0.9 s of CPU, and 0.5 so.
    """

    def __init__(self, directory: ObjectDirectory | None, outcome: ArrivalListener) -> None:
        self.outcome = outcome
        self._directory = directory
        self._turn = threading.Lock()

    def keep(self, came: Sequence[tuple[Oid, bytes]]) -> None:
        """Keep the objects whose frames these are, each if it is what its oid says."""
        whole: list[tuple[Oid, bytes]] = []
        with self._turn:
            for oid, frame in came:
                try:
                    data = frames.decode(frame)
                    if hashing.of_bytes(data) != oid:
                        raise CorruptData("the store has other bytes under its name")
                except CorruptData as error:
                    self.outcome.failed(oid, error)
                else:
                    whole.append((oid, data))
            if self._directory is not None:
                with disk_errors(self._directory.root):
                    self._directory.put_all(whole)
            for oid, _ in whole:
                self.outcome.arrived(oid)


def fetch(backend: Backend, wanted: Range[SmallObject], keeper: SmallObjectWriter, stop: Stop) -> int:
    """Fetch the objects of one range and have them kept; return how many bytes came.

    What is wrong with an object or its pack is told; what is wrong with the store is raised.
    """
    came: list[tuple[Oid, bytes]] = []
    held = told = 0
    try:
        with backend.stream(pack_key(wanted.pack), wanted.start, wanted.end - wanted.start) as blocks:
            source, at = Blocks(blocks), wanted.start
            for _, start, end, oid in wanted.parts:
                if start < at:
                    keeper.outcome.failed(oid, CorruptData("the index has it across another object"))
                    told += 1
                    continue
                for _ in source.take(start - at):
                    stop.check()
                came.append((oid, b"".join(source.take(end - start))))
                told += 1
                at = end
                held += end - start
                if held >= TURN:
                    stop.check()
                    turn, came, held = came, [], 0
                    keeper.keep(turn)
            for _ in source.take(wanted.end - at):
                stop.check()
    except (NotInStore, CorruptData) as error:
        for small in wanted.parts[told:]:
            keeper.outcome.failed(small.oid, error)
        return 0
    finally:
        keeper.keep(came)
    return wanted.end - wanted.start

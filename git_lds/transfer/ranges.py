"""Fetches parts of packs in few requests: neighbouring parts are requested together, and separated as they arrive.

A part is a series of whole frames of one pack whose contents a taker wants. Parts may overlap, because versions of an object
share frames; shared frames are fetched once.
"""

from __future__ import annotations

import contextlib
import itertools
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from git_lds.errors import CorruptData, LdsError, NotInStore, StoreUnreachable
from git_lds.hashing import FileId
from git_lds.store.backends.contract import Backend
from git_lds.store.format import frames
from git_lds.store.format.keys import pack_key
from git_lds.workers import Stop, Stopped

GAP = 64 << 10
"""Bytes between two parts that are fetched and discarded instead of splitting the request: a round trip costs more."""

LONGEST = 8 << 20
"""Bytes in one request of joined parts at most: so requests run in parallel, and each is worth its round trip."""

MOST = 1 << 13
"""Parts in one request at most, for the same reason: some objects have a few bytes."""

BLOCK = 1 << 20
"""Bytes of a part that are passed to its taker at once, instead of a frame at a time, which takes 27,000 writes for 1 GiB: a
clone of it 4.6 s, was 5.7."""


class Taker(Protocol):
    """Receives parts, in worker threads. Each part ends with one call of `finish` or `fail`."""

    def write(self, at: int, data: Sequence[bytes]) -> None:
        """Write the blocks of `data`, in order, to byte `at` of the target. May raise CorruptData."""

    def note(self, part: WantedFrames, stored: int, length: int) -> None:
        """Record that the frames in the first `stored` bytes of the part are written, `length` bytes of contents."""

    def finish(self) -> None:
        """Record that one part is written completely. Must not raise CorruptData."""

    def fail(self, error: LdsError) -> None:
        """Record that one part could not be fetched."""


class WantedFrames:
    """A part: the frames from `start` to `end` of a pack, `length` bytes that `taker` wants at each of `places`.

    `limit` is the largest allowed contents of a frame, `logical` the sum of the lengths of the frames before them in the pack.
    `frames` is filled as they arrive: the stored size and the contents' length of each.
    """

    __slots__ = (
        "_arrived", "_held", "_is_over", "_stored", "_written",
        "end", "frames", "length", "limit", "logical", "pack", "places", "start", "taker",
    )  # fmt: skip

    def __init__(
        self,
        pack: FileId,
        start: int,
        end: int,
        length: int,
        taker: Taker,
        places: Sequence[int] = (0,),
        limit: int = frames.MAX_CHUNK,
        logical: int = 0,
    ) -> None:
        self.pack = pack
        self.start = start
        self.end = end
        self.length = length
        self.taker = taker
        self.places = places
        self.limit = limit
        self.logical = logical
        self.frames = array("I")
        self._stored = self._arrived = self._written = 0
        self._held: list[bytes] = []
        self._is_over = False

    def take(self, stored: int, data: bytes) -> None:
        """Accept the contents of the next frame, which takes `stored` bytes of the pack."""
        if self._is_over:
            return
        self._stored += stored
        self._arrived += len(data)
        if self._arrived > self.length:
            self.fail(CorruptData("frames have more bytes than the index or the recipe says"))
            return
        self._held.append(data)
        self.frames.append(stored)
        self.frames.append(len(data))
        if self._arrived - self._written >= BLOCK:
            self._pass_on()

    def finish(self) -> None:
        """End the part: all frames have arrived."""
        if not self._is_over and self._arrived < self.length:
            self.fail(CorruptData("frames have fewer bytes than the index or the recipe says"))
        self._pass_on()
        if not self._is_over:
            self._is_over = True
            self.taker.finish()

    def fail(self, error: LdsError) -> None:
        """End the part with an error: frames are missing or wrong."""
        if not self._is_over:
            self._is_over = True
            self._held.clear()
            self.taker.fail(error)

    def abandon(self) -> None:
        """End the part early, for a known reason: write what arrived, if possible."""
        with contextlib.suppress(LdsError, Stopped):
            self._pass_on()

    def _pass_on(self) -> None:
        if self._is_over or not self._held:
            return
        try:
            for place in self.places:
                self.taker.write(place + self._written, self._held)
        except CorruptData as error:
            self.fail(error)
            return
        self._held.clear()
        self._written = self._arrived
        self.taker.note(self, self._stored, self._written)


class Placed(Protocol):
    """Something that lies from `start` to `end` of a pack."""

    @property
    def pack(self) -> FileId: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


P = TypeVar("P", bound=Placed)


class Range(NamedTuple, Generic[P]):
    """The bytes of a pack that one request fetches, and the parts in them, sorted by their starts."""

    pack: FileId
    start: int
    end: int
    parts: Sequence[P]


def joined(parts: Iterable[P], *, gap: int = GAP, longest: int = LONGEST) -> Iterator[Range[P]]:
    """Yield ranges that cover all `parts`, which are sorted by pack and start."""
    group: list[P] = []
    end = 0
    for part in parts:
        if group and not _belongs(part, group, end, gap, longest):
            yield Range(group[0].pack, group[0].start, end, group)
            group = []
        end = max(end, part.end) if group else part.end
        group.append(part)
    if group:
        yield Range(group[0].pack, group[0].start, end, group)


def _belongs(part: Placed, group: Sequence[Placed], end: int, gap: int, longest: int) -> bool:
    """Return whether `part` joins the range that ends at `end`: it overlaps, or is near and the range stays short."""
    first = group[0]
    if part.pack != first.pack:
        return False
    return part.start < end or (part.start - end <= gap and part.end - first.start <= longest and len(group) < MOST)


def fetch(backend: Backend, wanted: Range[WantedFrames], stop: Stop) -> int:
    """Fetch one range and pass its parts to their takers; return how many bytes were fetched.

    Errors of the pack fail its parts. Raises errors of the store (StoreUnreachable, NotAllowed) and Stopped.
    """
    try:
        with backend.stream(pack_key(wanted.pack), wanted.start, wanted.end - wanted.start) as blocks:
            source = Blocks(blocks)
            for start, end, parts in _segments(wanted):
                _pass_to_parts(source.take(end - start), parts, stop)
                for part in parts:
                    if part.end == end:
                        part.finish()
    except (NotInStore, CorruptData) as error:
        for part in wanted.parts:
            part.fail(error)
        return 0
    except BaseException:
        for part in wanted.parts:
            part.abandon()
        raise
    return wanted.end - wanted.start


def _segments(wanted: Range[WantedFrames]) -> Iterator[tuple[int, int, list[WantedFrames]]]:
    """Yield the segments (start, end, parts) into which the ends of the parts cut the range.

    All bytes of a segment belong to all of its parts; a gap has none. Each segment consists of whole frames.
    """
    ends = sorted({end for part in wanted.parts for end in (part.start, part.end)})
    waiting = iter(wanted.parts)
    upcoming = next(waiting, None)
    inside: list[WantedFrames] = []
    for start, end in itertools.pairwise(ends):
        inside = [part for part in inside if part.end > start]
        while upcoming is not None and upcoming.start == start:
            inside.append(upcoming)
            upcoming = next(waiting, None)
        yield start, end, list(inside)


def _pass_to_parts(blocks: Iterator[memoryview], parts: Sequence[WantedFrames], stop: Stop) -> None:
    """Pass the contents of the frames in `blocks` to `parts`, and read `blocks` to their end in any case."""
    try:
        if parts:
            for stored, contents in frames.measured(blocks, limit=max(part.limit for part in parts)):
                stop.check()
                for part in parts:
                    part.take(stored, contents)
    except CorruptData as error:
        for part in parts:
            part.fail(error)
    for _ in blocks:
        stop.check()


class Blocks:
    """A stream of blocks, read by count without joining them."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")

    def take(self, count: int) -> Iterator[memoryview]:
        """Yield the next `count` bytes, to be consumed before the next call. Raises StoreUnreachable at an early end."""
        while count:
            if not self._rest:
                self._rest = memoryview(next(self._blocks, b""))
                if not self._rest:
                    raise StoreUnreachable("the response ended early")
            block, self._rest = self._rest[:count], self._rest[count:]
            count -= len(block)
            yield block

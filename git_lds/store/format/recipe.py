"""Recipes: how an object larger than a chunk is assembled from frames of packs, and from local objects.

    "LDSRCPE1", oid 32, size u64, packs u32, runs u32
    32 bytes for each pack: its id
    24 bytes for each run: pack number u32, offset u32, stored u32, logical u32, length u32, chunks u32

The runs are in the order of the object.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from git_lds.errors import CorruptData, LdsError
from git_lds.fast_typing import NamedTuple
from git_lds.hashing import DIGEST_SIZE, FileId, Oid
from git_lds.pointer import MAX_SIZE
from git_lds.store.format import frames, packfile
from git_lds.store.format.packfile import ChunkAt

MAGIC = b"LDSRCPE1"
_HEADER = struct.Struct("<8s32sQII")
_RUN = struct.Struct("<IIIIII")


class FrameRun(NamedTuple):
    """A run of consecutive frames: `stored` bytes of a pack from `offset`, which hold `length` bytes in `chunks` frames.

    `logical` is the sum of the lengths of the frames before them in the pack. `chunks` is 0 if unknown, in a part of a run
    that `plan` cut out.
    """

    pack: FileId
    offset: int
    stored: int
    logical: int
    length: int
    chunks: int


class Recipe(NamedTuple):
    """The composition of the object `oid` of `size` bytes: the contents of its runs, one after the other."""

    oid: Oid
    size: int
    runs: tuple[FrameRun, ...]

    def encode(self) -> bytes:
        """Return the bytes of the recipe. Raises LdsError if the object has more runs than a recipe can hold."""
        numbers: dict[FileId, int] = {}
        rows = [
            _RUN.pack(numbers.setdefault(r.pack, len(numbers)), r.offset, r.stored, r.logical, r.length, r.chunks)
            for r in self.runs
        ]
        header = _HEADER.pack(MAGIC, self.oid, self.size, len(numbers), len(rows))
        data = b"".join((header, *numbers, *rows))
        if len(data) > frames.MAX_RECIPE:
            raise LdsError(f"object {self.oid.hex()} shares more small parts with other objects than a recipe can hold")
        return data

    @classmethod
    def decode(cls, data: bytes) -> Recipe:
        """Return the recipe in `data`. Raises CorruptData."""
        oid, size, packs, rows = _split(data)
        runs = tuple(_read_runs(rows, packs))
        if sum(run.length for run in runs) != size or not 0 < size <= MAX_SIZE:
            raise CorruptData(f"the runs of a recipe do not add up to the {size} bytes of the object")
        return cls(oid, size, runs)


def _split(data: bytes) -> tuple[Oid, int, list[FileId], memoryview]:
    """Return the oid, the size, the packs and the bytes of the runs of a recipe."""
    if len(data) < _HEADER.size:
        raise CorruptData("a recipe is shorter than its header")
    magic, oid, size, packs, runs = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise CorruptData("a recipe does not begin with a recipe's magic")
    runs_from = _HEADER.size + packs * DIGEST_SIZE
    if len(data) != runs_from + runs * _RUN.size:
        raise CorruptData(f"a recipe of {len(data)} bytes claims {runs} runs in {packs} packs")
    ids = [FileId(data[at : at + DIGEST_SIZE]) for at in range(_HEADER.size, runs_from, DIGEST_SIZE)]
    return Oid(oid), size, ids, memoryview(data)[runs_from:]


def _read_runs(rows: memoryview, packs: Sequence[FileId]) -> Iterator[FrameRun]:
    for number, offset, stored, logical, length, chunks in _RUN.iter_unpack(rows):
        if number >= len(packs):
            raise CorruptData(f"a recipe has {len(packs)} packs, and a run in number {number}")
        run = FrameRun(packs[number], offset, stored, logical, length, chunks)
        if not _fits_pack(run):
            raise CorruptData(f"a recipe has a run that no pack can hold, at offset {offset}")
        yield run


def _fits_pack(run: FrameRun) -> bool:
    return (
        run.offset >= packfile.HEADER_SIZE
        and run.offset + run.stored <= packfile.MAX_SIZE
        and run.logical + run.length <= packfile.MAX_LOGICAL
        and 0 < run.chunks <= run.length <= run.chunks * frames.MAX_CHUNK
        and run.chunks * packfile.MIN_STORED <= run.stored <= run.length + run.chunks * frames.HEADER_SIZE
    )


def runs_of(chunks: Iterable[tuple[FileId, ChunkAt]]) -> tuple[FrameRun, ...]:
    """Return the runs of `chunks`, which are in the order of the object. Neighbours in a pack are joined."""
    builder = RunBuilder()
    for pack, chunk in chunks:
        builder.add(pack, chunk)
    return builder.runs()


class RunBuilder:
    """Joins chunks into runs, one chunk at a time."""

    def __init__(self) -> None:
        self._runs: list[FrameRun] = []

    def add(self, pack: FileId, chunk: ChunkAt) -> None:
        """Append the next chunk of the object."""
        last = self._runs[-1] if self._runs else None
        if last is not None and last.pack == pack and last.offset + last.stored == chunk.offset:
            self._runs[-1] = FrameRun(
                pack, last.offset, last.stored + chunk.stored, last.logical, last.length + chunk.length, last.chunks + 1
            )
        else:
            self._runs.append(FrameRun(pack, chunk.offset, chunk.stored, chunk.logical, chunk.length, 1))

    def runs(self) -> tuple[FrameRun, ...]:
        """Return the runs so far."""
        return tuple(self._runs)


class Copy(NamedTuple):
    """Copy `length` bytes at `source` of the object of recipe number `have` to `target` of the new object."""

    have: int
    source: int
    target: int
    length: int


class Fetch(NamedTuple):
    """Fetch the frames of `run`, and write their contents to `target` of the new object."""

    run: FrameRun
    target: int


def plan(new: Recipe, have: Sequence[Recipe]) -> list[Copy | Fetch]:
    """Return the steps that make the object of `new` from the local objects of `have`, from its first byte to its last.

    Frames that one of `have` contains are not fetched. Recipes are trusted here, so the result must be verified, as every
    object is. If recipes contradict each other about a pack, the run is fetched whole.
    """
    known = _known_parts(new, have)
    steps: list[Copy | Fetch] = []
    target = 0
    for run in new.runs:
        steps += _plan_run(run, target, known.get(run.pack, ()))
        target += run.length
    return _joined(steps)


class _LocalExtent(NamedTuple):
    """A part of a pack that a local object contains.

    It is from `start` to `end` in logical offsets, from `first` to `last` in file offsets, and at `source` of the object of
    recipe number `have`.
    """

    start: int
    end: int
    first: int
    last: int
    have: int
    source: int


def _known_parts(new: Recipe, have: Sequence[Recipe]) -> dict[FileId, list[_LocalExtent]]:
    """Return for each pack of `new` the parts that local objects contain, sorted and without overlaps.

    Each part ends where a run ends, and starts where a run starts or where the part before it ends. So both ends of every gap
    between parts are known as file offsets too, although recipes do not list single frames.
    """
    wanted = {run.pack for run in new.runs}
    extents: dict[FileId, list[_LocalExtent]] = {pack: [] for pack in wanted}
    for number, recipe in enumerate(have):
        source = 0
        for run in recipe.runs:
            if run.pack in wanted:
                part = _LocalExtent(
                    run.logical, run.logical + run.length, run.offset, run.offset + run.stored, number, source
                )
                extents[run.pack].append(part)
            source += run.length
    return {pack: list(_without_overlaps(parts)) for pack, parts in extents.items()}


def _without_overlaps(parts: list[_LocalExtent]) -> Iterator[_LocalExtent]:
    end = last = 0
    for part in sorted(parts, key=lambda p: (p.start, -p.end)):
        if part.end <= end:
            continue
        if part.start < end:
            part = _LocalExtent(end, part.end, last, part.last, part.have, part.source + end - part.start)
        end, last = part.end, part.last
        yield part


def _plan_run(run: FrameRun, target: int, parts: Sequence[_LocalExtent]) -> list[Copy | Fetch]:
    """Return the steps that make `run`: copies of local parts, and fetches of the gaps between them."""
    steps: list[Copy | Fetch] = []
    at, offset = run.logical, run.offset
    end, last = run.logical + run.length, run.offset + run.stored
    number = bisect_right(parts, at, key=lambda part: part.end)
    while at < end:
        part = parts[number] if number < len(parts) and parts[number].start < end else None
        if part is not None and part.start <= at:
            length = min(part.end, end) - at
            steps.append(Copy(part.have, part.source + at - part.start, target + at - run.logical, length))
            at, offset = at + length, part.last
            number += 1
            continue
        gap_end, gap_last = (part.start, part.first) if part is not None else (end, last)
        whole = at == run.logical and gap_end == end
        gap = FrameRun(run.pack, offset, gap_last - offset, at, gap_end - at, run.chunks if whole else 0)
        if gap.stored < packfile.MIN_STORED or offset < run.offset or gap_last > last:
            return [Fetch(run, target)]
        steps.append(Fetch(gap, target + at - run.logical))
        at, offset = gap_end, gap_last
    return steps


def _joined(steps: Iterable[Copy | Fetch]) -> list[Copy | Fetch]:
    """Return `steps` with copies joined that are adjacent in source and target."""
    joined: list[Copy | Fetch] = []
    for step in steps:
        last = joined[-1] if joined else None
        if (
            isinstance(step, Copy)
            and isinstance(last, Copy)
            and step.have == last.have
            and step.source == last.source + last.length
        ):
            joined[-1] = Copy(last.have, last.source, last.target, last.length + step.length)
        else:
            joined.append(step)
    return joined

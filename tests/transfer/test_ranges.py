"""Parts of packs come in few requests, each to its taker, whatever overlaps and whatever is broken."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.stores import Counted

from git_lds import hashing
from git_lds.errors import CorruptData, LdsError, NotInStore
from git_lds.hashing import FileId
from git_lds.store.backends.directory import Directory
from git_lds.store.format.keys import pack_key
from git_lds.store.format.packfile import PackInfo, PackWriter
from git_lds.transfer import ranges
from git_lds.transfer.ranges import GAP, LONGEST, WantedFrames, fetch, joined
from git_lds.workers import Stop, Stopped

CHUNKS = [bytes([65 + n]) * (1 + 37 * n) for n in range(12)]


@dataclass
class Box:
    """A taker that keeps what it gets."""

    data: bytearray = field(default_factory=bytearray)
    ends: list[LdsError | None] = field(default_factory=list)
    notes: list[tuple[int, int]] = field(default_factory=list)

    def note(self, part: WantedFrames, stored: int, length: int) -> None:
        self.notes.append((part.start + stored, length))

    def write(self, at: int, data: Sequence[bytes]) -> None:
        joined = b"".join(data)
        self.data[at : at + len(joined)] = joined

    def finish(self) -> None:
        self.ends.append(None)

    def fail(self, error: LdsError) -> None:
        self.ends.append(error)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PackInfo]:
    directory = tmp_path_factory.mktemp("store")
    with open(directory / "pack-made", "wb") as file:
        writer = PackWriter(file.fileno())
        for chunk in CHUNKS:
            writer.add(hashing.of_bytes(chunk), chunk)
        info = writer.finish()
    target = directory / pack_key(info.id)
    target.parent.mkdir(parents=True)
    (directory / "pack-made").rename(target)
    return directory, info


def part_of(info: PackInfo, first: int, last: int, box: Box) -> tuple[WantedFrames, bytes]:
    """The part with chunks `first` to `last`, and what it holds."""
    start, end = info.chunks[first].offset, info.chunks[last].offset + info.chunks[last].stored
    contents = b"".join(CHUNKS[first : last + 1])
    return WantedFrames(info.id, start, end, len(contents), box), contents


spans = st.tuples(st.integers(0, 11), st.integers(0, 11)).map(lambda pair: (min(pair), max(pair)))


@settings(deadline=None)
@given(
    spans=st.lists(spans, min_size=1, max_size=8),
    gap=st.sampled_from([0, 20, GAP]),
    longest=st.sampled_from([0, 200, LONGEST]),
)
def test_every_taker_gets_its_bytes_however_the_parts_lie(
    stored: tuple[Path, PackInfo], spans: list[tuple[int, int]], gap: int, longest: int
) -> None:
    directory, info = stored
    boxes = [Box() for _ in spans]
    made = [part_of(info, first, last, box) for (first, last), box in zip(spans, boxes, strict=True)]
    parts = sorted((part for part, _ in made), key=lambda part: part.start)
    backend = Counted(Directory(directory))
    found = list(joined(parts, gap=gap, longest=longest))
    for one in found:
        fetch(backend, one, Stop())
    for box, (_, contents) in zip(boxes, made, strict=True):
        assert box.ends == [None]
        assert bytes(box.data) == contents
        assert box.notes[-1][1] == len(contents)
    assert len(backend.asked) == len(found)
    for before, after in itertools.pairwise(found):
        assert before.end <= after.start, "what overlaps is fetched once"


def test_near_parts_are_joined_and_far_or_long_ones_are_not() -> None:
    box = Box()

    def part(pack: int, start: int, end: int) -> WantedFrames:
        return WantedFrames(FileId(bytes([pack]) * 32), start, end, 1, box)

    parts = [
        part(1, 100, 200),
        part(1, 200 + GAP, 300 + GAP),
        part(1, 301 + 2 * GAP, 400 + 2 * GAP),
        part(2, 400 + 2 * GAP, 10**6),
    ]
    assert [len(one.parts) for one in joined(parts)] == [2, 1, 1]
    long = [part(1, 0, LONGEST), part(1, LONGEST, LONGEST + 1), part(1, LONGEST + 1, 3 * LONGEST)]
    assert [len(one.parts) for one in joined(long)] == [1, 1, 1]


def test_a_taker_hears_how_far_a_part_is(stored: tuple[Path, PackInfo], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "BLOCK", 1)
    directory, info = stored
    box = Box()
    part, _ = part_of(info, 2, 5, box)
    fetch(Directory(directory), next(joined([part])), Stop())
    ends = [chunk.offset + chunk.stored for chunk in info.chunks[2:6]]
    sizes = list(itertools.accumulate(chunk.length for chunk in info.chunks[2:6]))
    assert box.notes[:4] == list(zip(ends, sizes, strict=True))


def test_a_part_for_many_places_is_fetched_once(stored: tuple[Path, PackInfo]) -> None:
    directory, info = stored
    box = Box(bytearray(3000))
    part, contents = part_of(info, 3, 3, box)
    part.places = [0, 1000, 2000]
    assert fetch(Directory(directory), next(joined([part])), Stop()) == info.chunks[3].stored
    assert [bytes(box.data[at : at + len(contents)]) for at in part.places] == [contents] * 3
    assert box.ends == [None]


@pytest.mark.parametrize("broken", range(5))
def test_a_broken_frame_fails_the_parts_that_have_it_and_no_other(
    stored: tuple[Path, PackInfo], tmp_path: Path, broken: int
) -> None:
    directory, info = stored
    data = bytearray((directory / pack_key(info.id)).read_bytes())
    data[info.chunks[broken].offset] ^= 0xFF
    path = tmp_path / pack_key(info.id)
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    boxes = [Box() for _ in range(5)]
    parts = [part_of(info, number, number, box)[0] for number, box in enumerate(boxes)]
    (one,) = joined(parts)
    fetch(Directory(tmp_path), one, Stop())
    for number, box in enumerate(boxes):
        assert [type(end) for end in box.ends] == [CorruptData if number == broken else type(None)]


@pytest.mark.parametrize("change", [lambda length: length - 1, lambda length: length + 1])
def test_contents_of_another_length_than_claimed_are_refused(
    stored: tuple[Path, PackInfo], change: Callable[[int], int]
) -> None:
    directory, info = stored
    box = Box()
    part, contents = part_of(info, 2, 4, box)
    part.length = change(part.length)
    fetch(Directory(directory), next(joined([part])), Stop())
    assert [type(end) for end in box.ends] == [CorruptData]
    assert len(box.data) <= len(contents)


def test_a_pack_that_is_gone_or_cut_short_fails_all_parts_of_the_range(
    stored: tuple[Path, PackInfo], tmp_path: Path
) -> None:
    _, info = stored
    for data, error in ((None, NotInStore), (b"short", CorruptData)):
        if data is not None:
            (tmp_path / pack_key(info.id)).parent.mkdir(parents=True)
            (tmp_path / pack_key(info.id)).write_bytes(data)
        boxes = [Box(), Box()]
        parts = [part_of(info, number, number, box)[0] for number, box in enumerate(boxes)]
        assert fetch(Directory(tmp_path), next(joined(parts)), Stop()) == 0
        assert [type(end) for box in boxes for end in box.ends] == [error, error]


def test_a_fetch_stops_on_the_signal(stored: tuple[Path, PackInfo]) -> None:
    directory, info = stored
    stop = Stop()
    threading.Thread(target=stop.set).start()
    with pytest.raises(Stopped):
        while True:
            fetch(Directory(directory), next(joined([part_of(info, 0, 11, Box())[0]])), stop)

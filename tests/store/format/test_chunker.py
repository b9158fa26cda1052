"""The chunker: where the cuts fall is a promise to every store there is."""

from __future__ import annotations

import io
import struct
import subprocess
import sys

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from git_lds.store.format import chunker, frames

GOLDEN_INPUT = blake3(b"git-lds golden cut points").digest(length=1 << 20)
GOLDEN = [
    *(25073, 26228, 56481, 38376, 36366, 42230, 46274, 9505, 9994, 11774, 33895, 41248, 71990),
    *(77675, 45195, 41806, 46916, 48104, 42984, 95798, 64628, 11995, 39325, 34168, 23633, 26915),
]
GEAR_TABLE = "9af822d1e10df25d0157a43ccd0a73b56d1c1d0a5d77acb4e6e979522d0fe149"
TEXT = b"".join(b"%d,%d\n" % (i, i * i) for i in range(40000))
GOLDEN_TEXT = [
    *(44907, 41048, 56287, 32415, 33619, 22288, 36226, 32852),
    *(44981, 65418, 48747, 66499, 33146, 34146, 30062),
]


class Dripping(io.RawIOBase):
    """A stream whose reads return as many bytes as `sizes` say, in turn."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._data = io.BytesIO(data)
        self._sizes = sizes
        self._turn = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        self._turn += 1
        return self._data.read(min(size, self._sizes[self._turn % len(self._sizes)]))


def lengths(data: bytes) -> list[int]:
    return [len(chunk) for chunk in chunker.cut(io.BytesIO(data))]


def whole_cuts(data: bytes) -> list[bytes]:
    return [bytes(chunk.data) for chunk in chunker._chunker().cut_buf(data)]


def test_cut_points_are_the_golden_ones() -> None:
    assert lengths(GOLDEN_INPUT) == GOLDEN
    assert lengths(TEXT) == GOLDEN_TEXT
    assert lengths(bytes(300_000)) == [131072, 131072, 37856]


def test_slow_fallback_cuts_alike() -> None:
    from pyfastcdc.py import FastCDC

    slow = FastCDC(32768, min_size=8192, max_size=131072, normalized_chunking=1)
    assert [chunk.length for chunk in slow.cut_buf(GOLDEN_INPUT[:400_000])] == lengths(GOLDEN_INPUT[:400_000])


@pytest.mark.parametrize("length", [0, 1, 8191, 8192, 8193, 131072, 131073])
def test_lengths_around_the_limits(length: int) -> None:
    chunks = list(chunker.cut(io.BytesIO(GOLDEN_INPUT[:length])))
    assert b"".join(chunks) == GOLDEN_INPUT[:length]
    assert all(0 < len(chunk) <= chunker.MAXIMUM for chunk in chunks)
    assert all(len(chunk) >= chunker.MINIMUM for chunk in chunks[:-1])


@pytest.mark.parametrize("over", [-1, 0, 1, chunker.MINIMUM, chunker.MAXIMUM - 1, chunker.MAXIMUM, chunker.MAXIMUM + 1])
def test_windows_leave_no_trace(over: int) -> None:
    data = blake3(b"windows").digest(length=2 * chunker._WINDOW + over)
    assert list(chunker.cut(io.BytesIO(data))) == whole_cuts(data)


@settings(max_examples=30, deadline=None)
@given(
    start=st.integers(0, 1 << 19),
    end=st.integers(0, 1 << 20),
    sizes=st.lists(st.integers(1, 300_000), min_size=1, max_size=5),
)
def test_cuts_do_not_depend_on_how_reads_arrive(start: int, end: int, sizes: list[int]) -> None:
    data = GOLDEN_INPUT[start:end]
    assert list(chunker.cut(Dripping(data, [max(size, 200) for size in sizes]))) == whole_cuts(data)  # type: ignore[arg-type]


@settings(max_examples=20, deadline=None)
@given(window=st.integers(chunker.MAXIMUM + 1, 1 << 19), zeros=st.integers(0, 1 << 19))
def test_cuts_do_not_depend_on_the_window(window: int, zeros: int) -> None:
    data = GOLDEN_INPUT[:500_000] + bytes(zeros) + GOLDEN_INPUT[500_000:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunker, "_WINDOW", window)
        assert list(chunker.cut(io.BytesIO(data))) == whole_cuts(data)


def test_an_insertion_changes_few_chunks() -> None:
    edited = GOLDEN_INPUT[:500_000] + b"inserted" + GOLDEN_INPUT[500_000:]
    old, new = set(chunker.cut(io.BytesIO(GOLDEN_INPUT))), set(chunker.cut(io.BytesIO(edited)))
    assert len(new - old) <= 2


def test_memory_does_not_grow_with_the_stream() -> None:
    import tracemalloc

    class Endless(io.RawIOBase):
        left = 64 << 20

        def read(self, size: int = -1) -> bytes:
            size = min(size, self.left)
            self.left -= size
            return GOLDEN_INPUT[:size] if size <= len(GOLDEN_INPUT) else GOLDEN_INPUT

    tracemalloc.start()
    for _ in chunker.cut(Endless()):  # type: ignore[arg-type]
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 << 20


def test_a_chunk_fits_a_frame() -> None:
    assert chunker.MAXIMUM == chunker.SMALL == frames.MAX_CHUNK


def test_importing_the_module_loads_no_chunker() -> None:
    code = "import sys, git_lds.store.format.chunker; sys.exit('pyfastcdc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_missing_compiled_part_is_reported_without_a_python_warning() -> None:
    code = """
import sys, warnings
warnings.simplefilter("error")
sys.modules["pyfastcdc.cy"] = None
from git_lds.store.format import chunker
import io
assert not chunker.is_fast() and "pyfastcdc" in chunker.SLOW
assert [len(c) for c in chunker.cut(io.BytesIO(bytes(131073)))] == [131072, 1]
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert chunker.is_fast()


def described_lengths(data: bytes) -> list[int]:
    """Cut as docs/format.md says, byte by byte."""
    from pyfastcdc.py.constants import GEAR

    assert blake3(struct.pack("<256Q", *GEAR)).hexdigest() == GEAR_TABLE
    found = []
    while data:
        limit = min(len(data), 131072)
        cut = limit
        state = 0
        if len(data) > 8192:
            for at in range(8192, limit // 2 * 2):
                state = (2 * state + GEAR[data[at]]) % 2**64
                if state & (0x0000D90303537000 if at < 32768 else 0x0000D90313530000) == 0:
                    cut = at
                    break
        found.append(cut)
        data = data[cut:]
    return found


@pytest.mark.parametrize("length", [8193, 131071, 131073, 300_001])
def test_the_description_of_the_format_cuts_alike(length: int) -> None:
    for data in (GOLDEN_INPUT, TEXT):
        assert described_lengths(data[-length:]) == lengths(data[-length:])

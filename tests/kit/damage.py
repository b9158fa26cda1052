"""What the decoders of a store's formats must stand: bytes cut short, flipped, grown, or made up by an enemy."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

from hypothesis import strategies as st

from git_lds.errors import CorruptData

NUMBERS = [0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1]


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Draw `whole` with one to three damages."""
    data = whole
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        kind = draw(st.sampled_from(["cut", "flip", "number", "grow", "lose"]))
        if kind == "cut":
            data = data[:at]
        elif kind == "flip" and data:
            data = data[:at] + bytes([data[at] ^ 1 << draw(st.integers(0, 7))]) + data[at + 1 :]
        elif kind == "number":
            data = data[:at] + draw(st.sampled_from(NUMBERS)).to_bytes(4, "little") + data[at + 4 :]
        elif kind == "grow":
            data = data[:at] + draw(st.binary(max_size=50)) + data[at:]
        elif kind == "lose":
            data = data[:at] + data[at + draw(st.integers(1, 50)) :]
    return data


def reads_or_refuses(decode: Callable[[], object]) -> None:
    """Run `decode`: it may return or raise CorruptData; anything else fails the test."""
    try:
        decode()
    except CorruptData as e:
        assert e.message


def refused_cheaply(decode: Callable[[], object], limit: int = 1 << 20) -> None:
    """Assert that `decode` raises CorruptData and allocates at most `limit` bytes on the way."""
    tracemalloc.start()
    try:
        decode()
    except CorruptData as e:
        assert e.message
    else:
        raise AssertionError("it was taken for sound")
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak <= limit, f"{peak} bytes were allocated"

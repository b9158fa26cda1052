"""Cuts large files into chunks at content-defined places (FastCDC), so that an edit changes few chunks.

The cut points are part of the store's format: all writers of a store must cut alike to share chunks.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from pyfastcdc import FastCDC

ALGORITHM = "fastcdc-2020"
MINIMUM = 8 * 1024
AVERAGE = 32 * 1024
MAXIMUM = 128 * 1024
NORMALISATION: Final = 1

SMALL = MAXIMUM
"""An object of at most this many bytes is one chunk, without asking FastCDC, and has no recipe."""

SLOW = "the fast part of pyfastcdc is not installed for this Python: cutting large files takes 200 times longer"
"""The warning to print once if `is_fast` returns False."""

_WINDOW = 1 << 20
"""Bytes cut at a time. Measured: 0.5 to 2 MiB 2.4 GB/s; 256 KiB 1.4 (much is cut twice); 8 MiB 1.5 (exceeds the cache)."""


def cut(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the chunks of `stream` up to its end. Cuts depend on the contents only, not on the sizes of reads."""
    fastcdc = _chunker()
    buffer = bytearray(_WINDOW)
    window = memoryview(buffer)
    kept = 0
    while True:
        filled = _fill(stream, window, kept)
        at_end = filled < _WINDOW
        done = 0
        # A cut is final once MAXIMUM bytes from its start were in the window; the rest is cut again with what follows.
        for chunk in fastcdc.cut_buf(window[:filled]):
            if filled - done < MAXIMUM and not at_end:
                break
            yield bytes(chunk.data)
            done += chunk.length
        if at_end:
            return
        kept = filled - done
        window[:kept] = window[done:filled]


def is_fast() -> bool:
    """Return whether the compiled part of pyfastcdc is installed; without it cutting is slow (see `SLOW`)."""
    return _load()[1]


def _chunker() -> FastCDC:
    # one per stream: pyfastcdc does not promise that threads may share one
    chunker, _ = _load()
    return chunker(AVERAGE, min_size=MINIMUM, max_size=MAXIMUM, normalized_chunking=NORMALISATION)


@functools.cache
def _load() -> tuple[type[FastCDC], bool]:
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # it warns on import if only the slow fallback is installed; is_fast() reports that
        from pyfastcdc import FastCDC
    return FastCDC, not FastCDC.__module__.startswith("pyfastcdc.py.")


def _fill(stream: BinaryIO, window: memoryview, filled: int) -> int:
    """Fill `window`, which has `filled` bytes, until it is full or the stream ends; return its new size."""
    while filled < len(window):
        block = stream.read(len(window) - filled)
        if not block:
            break
        window[filled : filled + len(block)] = block
        filled += len(block)
    return filled

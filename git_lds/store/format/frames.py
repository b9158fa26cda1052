"""Frames: the form of chunks and recipes in a pack, compressed where that saves space.

    codec          u8     0: uncompressed; 1: one zstd frame
    zero           3 bytes
    stored length  u32    of the bytes that follow
    length         u32    of the contents
    the stored bytes

A chunk or recipe that zstd would not make 5 % smaller is stored uncompressed.
"""

from __future__ import annotations

import struct
import sys
import threading
from collections.abc import Iterable, Iterator

from git_lds.errors import CorruptData

HEADER = struct.Struct("<B3sII")
HEADER_SIZE = HEADER.size
RAW = 0
ZSTD = 1

MAX_CHUNK = 128 * 1024
"""The largest chunk, in bytes."""

MAX_RECIPE = 16 << 20
"""The largest recipe, in bytes: 700,000 runs, which take ten times as much memory once they are read."""

_LEVEL = 1
_PROBE_FROM = 16 * 1024
_PROBE_SIZE = 4 * 1024
_ZEROS = bytes(3)


def encode(data: bytes) -> tuple[bytes, bytes]:
    """Return the header and the stored bytes of the frame of `data`. Raises ValueError if `data` is empty."""
    if not data:
        raise ValueError("a frame holds at least one byte")
    stored = compress(data)
    if stored is None:
        return HEADER.pack(RAW, _ZEROS, len(data), len(data)), data
    return HEADER.pack(ZSTD, _ZEROS, len(stored), len(data)), stored


def decode(frame: bytes | memoryview, *, limit: int = MAX_CHUNK) -> bytes:
    """Return the contents of `frame`, one whole frame. Raises CorruptData, also if it holds more than `limit` bytes."""
    if len(frame) < HEADER_SIZE:
        raise CorruptData("a frame is shorter than its header")
    codec, stored, length = _read_header(frame[:HEADER_SIZE], limit)
    if stored != len(frame) - HEADER_SIZE:
        raise CorruptData(f"a frame has {len(frame) - HEADER_SIZE} stored bytes, and its header says {stored}")
    return _contents(codec, memoryview(frame)[HEADER_SIZE:], length)


def read(blocks: Iterable[bytes | memoryview], *, limit: int = MAX_CHUNK) -> Iterator[bytes]:
    """Yield the contents of consecutive frames in `blocks`. Raises CorruptData, also for more than `limit` bytes."""
    return (contents for _, contents in measured(blocks, limit=limit))


def measured(blocks: Iterable[bytes | memoryview], *, limit: int = MAX_CHUNK) -> Iterator[tuple[int, bytes]]:
    """Yield the stored size and the contents of each of the consecutive frames in `blocks`. Raises as `read` does."""
    source = _BlockReader(blocks)
    while header := source.take(HEADER_SIZE):
        codec, stored, length = _read_header(header, limit)
        payload = source.take(stored)
        if len(payload) < stored:
            raise CorruptData("the data end within a frame")
        yield HEADER_SIZE + stored, _contents(codec, payload, length)


def compress(data: bytes | bytearray) -> bytes | None:
    """Return `data` as one zstd frame, or None if that saves less than 5 %."""
    compressor = _codec().compressor
    # Random bytes with the probe: 7 GB/s, was 0.9. A probe that shrinks only a little decides nothing.
    if len(data) >= _PROBE_FROM:
        middle = len(data) // 2
        probe = compressor.compress(memoryview(data)[middle : middle + _PROBE_SIZE], compressor.FLUSH_FRAME)
        if len(probe) * 100 > _PROBE_SIZE * 98:
            return None
    stored = compressor.compress(data, compressor.FLUSH_FRAME)
    return stored if len(stored) * 100 <= len(data) * 95 else None


def _read_header(header: bytes | memoryview, limit: int) -> tuple[int, int, int]:
    if len(header) < HEADER_SIZE:
        raise CorruptData("the data end within a frame's header")
    codec, zeros, stored, length = HEADER.unpack(header)
    if codec not in (RAW, ZSTD) or zeros != _ZEROS:
        raise CorruptData(f"not a frame: its header is {bytes(header).hex()}")
    if not 0 < length <= limit:
        raise CorruptData(f"a frame claims {length} bytes, where 1 to {limit} are allowed")
    # zstd needs at least 4 bytes per block of 128 KiB, so a few bytes cannot claim a large allocation
    if (stored != length) if codec == RAW else not stored < length <= stored << 15:
        raise CorruptData(f"a frame claims that {length} bytes are stored as {stored}")
    return codec, stored, length


def _contents(codec: int, payload: bytes | memoryview, length: int) -> bytes:
    if codec == RAW:
        return bytes(payload)
    return decompress(payload, length)


def decompress(payload: bytes | memoryview, length: int) -> bytes:
    """Return the `length` bytes that `compress` turned into `payload`. Raises CorruptData."""
    # zstd allocates the window; it need not be larger than the contents that the header announced
    codec = _codec()
    window: dict[int, int] = {codec.window_log: max(10, (length - 1).bit_length())}
    decompressor = codec.decompressor(options=window)
    try:
        data = decompressor.decompress(payload, max_length=length + 1)
    except codec.error as e:
        raise CorruptData(f"a frame's zstd data are broken: {e}") from e
    if len(data) != length or not decompressor.eof or decompressor.unused_data:
        raise CorruptData(f"a frame's zstd data do not hold the {length} bytes of its header")
    return data


class _ThreadZstd:
    """zstd with a compressor for one thread, loaded on first use. Making a compressor for each frame takes 8 µs."""

    def __init__(self) -> None:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
        self.compressor = zstd.ZstdCompressor(level=_LEVEL)
        self.decompressor = zstd.ZstdDecompressor
        self.window_log = zstd.DecompressionParameter.window_log_max
        self.error = zstd.ZstdError


class _Thread(threading.local):
    codec: _ThreadZstd | None = None


_thread = _Thread()


def _codec() -> _ThreadZstd:
    if _thread.codec is None:
        _thread.codec = _ThreadZstd()
    return _thread.codec


class _BlockReader:
    """Reads byte blocks of any size by count. Bytes within one block are not copied."""

    def __init__(self, blocks: Iterable[bytes | memoryview]) -> None:
        self._blocks = iter(blocks)
        self._rest = memoryview(b"")

    def take(self, count: int) -> bytes | memoryview:
        """Return the next `count` bytes, or fewer at the end. Memory grows with what arrives, not with `count`."""
        if len(self._rest) < count:
            return self._gather(count)
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken

    def _gather(self, count: int) -> bytes:
        parts = [self._rest]
        missing = count - len(self._rest)
        self._rest = memoryview(b"")
        while missing and (block := next(self._blocks, None)) is not None:
            view = memoryview(block)
            parts.append(view[:missing])
            self._rest = view[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)

"""Frames: what goes in comes out, and nothing that an enemy writes costs more than it should."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
from collections.abc import Iterator

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.damage import damaged, reads_or_refuses, refused_cheaply

from git_lds.errors import CorruptData
from git_lds.store.format import frames

NOISE = random.Random(1).randbytes(frames.MAX_CHUNK)
TEXT = b"the same words again and again, " * 4096


def frame(data: bytes) -> bytes:
    return b"".join(frames.encode(data))


def blocks_of(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        yield data[at : at + size]
        at, turn = at + size, turn + 1


contents = st.one_of(
    st.binary(min_size=1, max_size=300),
    st.builds(lambda n: NOISE[:n], st.integers(1, frames.MAX_CHUNK)),
    st.builds(lambda n: TEXT[:n], st.integers(1, frames.MAX_CHUNK)),
    st.builds(lambda n: bytes(n), st.integers(1, frames.MAX_CHUNK)),
)


@given(st.lists(contents, max_size=6), st.lists(st.integers(0, 50_000), min_size=1).filter(any))
@settings(deadline=None)
def test_frames_come_back_however_the_blocks_are_cut(data: list[bytes], sizes: list[int]) -> None:
    whole = b"".join(map(frame, data))
    assert list(frames.read(blocks_of(whole, [*sizes, 1000]))) == data
    assert [frames.decode(frame(d)) for d in data] == data


def test_the_header_is_twelve_bytes() -> None:
    assert frames.encode(b"abc") == (b"\0\0\0\0\3\0\0\0\3\0\0\0", b"abc")
    header, payload = frames.encode(TEXT)
    assert header == b"\1\0\0\0" + struct.pack("<II", len(payload), len(TEXT))
    assert zstd.decompress(payload) == TEXT


def test_noise_is_stored_as_it_is() -> None:
    header, payload = frames.encode(NOISE)
    assert header[0] == frames.RAW and payload is NOISE
    assert frames.encode(NOISE[:5000])[0][0] == frames.RAW


def test_data_that_shrink_less_than_5_percent_are_stored_uncompressed() -> None:
    mixed = NOISE[:97_000] + bytes(3_000)
    assert frames.encode(mixed)[0][0] == frames.RAW
    assert frames.encode(NOISE[:90_000] + bytes(10_000))[0][0] in (frames.RAW, frames.ZSTD)
    assert frames.encode(bytes(10_000) + NOISE[:9_000])[0][0] == frames.ZSTD


def test_an_empty_frame_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="at least one byte"):
        frames.encode(b"")


def test_larger_frames_need_a_larger_limit() -> None:
    recipe = os.urandom(frames.MAX_CHUNK) + bytes(frames.MAX_CHUNK)
    with pytest.raises(CorruptData):
        frames.decode(frame(recipe))
    assert frames.decode(frame(recipe), limit=frames.MAX_RECIPE) == recipe
    assert list(frames.read([frame(recipe)], limit=frames.MAX_RECIPE)) == [recipe]


@given(st.data())
@settings(deadline=None)
def test_damage_is_corrupt_data_or_other_contents(data: st.DataObject) -> None:
    whole = b"".join(frame(d) for d in data.draw(st.lists(contents, min_size=1, max_size=3)))
    bad = data.draw(damaged(whole))
    reads_or_refuses(lambda: list(frames.read([bad])))
    reads_or_refuses(lambda: list(frames.read(blocks_of(bad, [7]) if len(bad) < 5000 else [bad])))
    reads_or_refuses(lambda: frames.decode(bad))


@given(st.binary(max_size=200))
def test_made_up_bytes_are_corrupt_data_or_contents(data: bytes) -> None:
    reads_or_refuses(lambda: list(frames.read([data])))
    reads_or_refuses(lambda: frames.decode(data))


@pytest.mark.parametrize("cut", [1, 11, 12, 13, 50])
def test_truncation_is_never_an_end(cut: int) -> None:
    whole = frame(NOISE[:100])
    with pytest.raises(CorruptData):
        list(frames.read([whole, whole[:cut]]))


@pytest.mark.parametrize("codec", [0, 1])
@pytest.mark.parametrize("stored", [0, 1, 1000, 2**32 - 1])
@pytest.mark.parametrize("length", [0, 1, 1000, frames.MAX_CHUNK + 1, 2**32 - 1])
def test_announced_lengths_allocate_nothing(codec: int, stored: int, length: int) -> None:
    data = struct.pack("<B3xII", codec, stored, length) + b"few bytes"
    refused_cheaply(lambda: list(frames.read([data])), 100_000)
    refused_cheaply(lambda: list(frames.read([data], limit=frames.MAX_RECIPE)), 100_000)


def rle_bomb(window_log: int, blocks: int) -> bytes:
    """A zstd frame of 4 bytes for each 128 KiB that it swells to; its window is 2**window_log."""
    head = zstd.compress(b"")[:4] + bytes([0, (window_log - 10) << 3])
    block = (128 * 1024 << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    return head + block * (blocks - 1) + (128 * 1024 << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"\0"


def test_the_bomb_is_one() -> None:
    assert len(zstd.decompress(rle_bomb(17, 100))) == 100 * 128 * 1024


@pytest.mark.parametrize(
    "bomb",
    [zstd.compress(bytes(64 << 20)), rle_bomb(17, 4000), rle_bomb(27, 1), rle_bomb(31, 4000)],
    ids=["one-shot", "blocks", "window", "window-and-blocks"],
)
def test_a_bomb_yields_no_more_than_it_announced(bomb: bytes) -> None:
    bad = struct.pack("<B3xII", frames.ZSTD, len(bomb), frames.MAX_CHUNK) + bomb
    refused_cheaply(lambda: frames.decode(bad), 600_000)
    refused_cheaply(lambda: list(frames.read([bad])), 600_000)


def test_a_window_larger_than_the_contents_is_not_allocated() -> None:
    # zstd's own allocations are not Python's, so a limit on the whole process shows them
    code = f"""
import resource
from git_lds.errors import CorruptData
from git_lds.store.format import frames
frames.decode(b"".join(frames.encode(bytes(1000))))
with open("/proc/self/statm") as f:
    size = int(f.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (16 << 20), size + (16 << 20)))
try:
    frames.decode(bytes.fromhex("{(struct.pack("<B3xII", 1, 10, 131072) + rle_bomb(27, 1)).hex()}"))
except CorruptData as e:
    assert "memory" in e.message
else:
    raise SystemExit(1)
"""
    if sys.platform != "linux":
        pytest.skip("needs /proc")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_two_zstd_frames_in_one_are_refused() -> None:
    half = zstd.compress(bytes(500))
    for payload in (half + half, half + b"x", zstd.compress(bytes(1000))[:-1], zstd.compress(b"")):
        bad = struct.pack("<B3xII", frames.ZSTD, len(payload), 1000) + payload
        with pytest.raises(CorruptData):
            frames.decode(bad)


def test_frames_with_a_checksum_are_read() -> None:
    payload = zstd.compress(TEXT, options={zstd.CompressionParameter.checksum_flag: 1})
    good = struct.pack("<B3xII", frames.ZSTD, len(payload), len(TEXT)) + payload
    assert frames.decode(good) == TEXT


def test_threads_do_not_share_a_compressor() -> None:
    from concurrent.futures import ThreadPoolExecutor

    data = [TEXT[i : i + 100_000] for i in range(200)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda d: frames.decode(frame(d)), data)) == data


def test_importing_the_module_loads_no_zstd() -> None:
    code = "import sys, git_lds.store.format.frames; sys.exit('backports.zstd' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

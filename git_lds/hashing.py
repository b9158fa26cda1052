"""BLAKE3, the only hash of git-lds: the oid of an object is the BLAKE3 of its contents, as `b3sum` prints it."""

from __future__ import annotations

from blake3 import blake3

from git_lds.fast_typing import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    from typing import BinaryIO

Oid = NewType("Oid", bytes)
"""The 32 raw bytes of an object's BLAKE3. Also the id of a chunk: a file of one chunk has oid == chunk id."""

FileId = NewType("FileId", bytes)
"""The 32 raw bytes of the BLAKE3 of a pack, index or checkpoint file. They name the file in a store."""

DIGEST_SIZE = 32
READ_SIZE = 1 << 20
"""Bytes read at a time when a file is hashed or copied: with 1 MiB system calls are few and memory is small."""

_HEX = frozenset("0123456789abcdef")


def new() -> blake3:
    """Return an empty hasher, to be fed with `update` and read with `digest`."""
    return blake3()


def of_bytes(data: bytes | bytearray | memoryview) -> Oid:
    """Return the oid of `data`."""
    return Oid(blake3(data).digest())


def of_stream(stream: BinaryIO) -> tuple[Oid, int]:
    """Read `stream` to its end; return the oid and the size in bytes of what was read."""
    hasher = blake3()
    size = 0
    while block := stream.read(READ_SIZE):
        hasher.update(block)
        size += len(block)
    return Oid(hasher.digest()), size


def from_hex(text: str) -> bytes | None:
    """Return the 32 bytes that 64 lower-case hex digits stand for, or None for any other text."""
    if len(text) != 2 * DIGEST_SIZE or not _HEX.issuperset(text):
        return None
    return bytes.fromhex(text)

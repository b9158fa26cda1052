"""Pointers: the short text that git stores instead of an object.

    version git-lds/v1
    oid blake3:<64 lower-case hex>
    size <decimal>

A pointer is exactly these three lines, each ended by one newline. Each object has one pointer, so that equal contents are
equal git blobs. Text that differs in one byte is content, not an error.
"""

from __future__ import annotations

from git_lds.fast_typing import NamedTuple
from git_lds.hashing import Oid

MAX_SIZE = 2**63 - 1
"""The largest object: the largest signed 64-bit file offset."""

MAX_LENGTH = len("version git-lds/v1\n") + len("oid blake3:\n") + 64 + len("size \n") + len(str(MAX_SIZE))
"""The longest pointer, in bytes. Longer text is content and need not be read."""

_START = b"version git-lds/v1\noid blake3:"
_OID = slice(len(_START), len(_START) + 64)
_SIZE = slice(_OID.stop + len("\nsize "), None)


class Pointer(NamedTuple):
    """The oid and size in bytes of an object. The size is at least 1: git stores an empty file itself."""

    oid: Oid
    size: int

    def encode(self) -> bytes:
        """Return the text of this pointer."""
        return b"version git-lds/v1\noid blake3:%s\nsize %d\n" % (self.oid.hex().encode(), self.size)


def parse(blob: bytes) -> Pointer | None:
    """Return the pointer that `blob` holds, or None if it is content."""
    if len(blob) > MAX_LENGTH or not blob.startswith(_START):
        return None
    try:
        pointer = Pointer(Oid(bytes.fromhex(blob[_OID].decode("ascii"))), int(blob[_SIZE]))
    except ValueError:
        return None
    return pointer if 0 < pointer.size <= MAX_SIZE and pointer.encode() == blob else None

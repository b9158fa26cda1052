"""The pointer: the small text that git stores instead of an object.

    version git-lds/v1
    oid blake3:<64 lower-case hex>
    size <decimal>

Exactly these three lines, each ended by one newline. There is one form for each object, so equal data is an equal git blob.
Whatever differs in a byte is content, never an error.
"""

from __future__ import annotations

from git_lds.fast_typing import NamedTuple
from git_lds.hashing import Oid

MAX_SIZE = 2**63 - 1
"""The largest object: what a signed 64-bit file offset can reach."""

MAX_LENGTH = len("version git-lds/v1\n") + len("oid blake3:\n") + 64 + len("size \n") + len(str(MAX_SIZE))
"""The longest pointer, in bytes. Any longer text is content without a look at it."""

_START = b"version git-lds/v1\noid blake3:"
_OID = slice(len(_START), len(_START) + 64)
_SIZE = slice(_OID.stop + len("\nsize "), None)


class Pointer(NamedTuple):
    """An object's oid and its size in bytes, at least 1: an empty file is an empty blob, not an object."""

    oid: Oid
    size: int

    def encode(self) -> bytes:
        """Return the one text of this pointer."""
        return b"version git-lds/v1\noid blake3:%s\nsize %d\n" % (self.oid.hex().encode(), self.size)


def parse(blob: bytes) -> Pointer | None:
    """Return the pointer that `blob` is, or None when it is content."""
    if len(blob) > MAX_LENGTH or not blob.startswith(_START):
        return None
    try:
        found = Pointer(Oid(bytes.fromhex(blob[_OID].decode("ascii"))), int(blob[_SIZE]))
    except ValueError:
        return None
    return found if 0 < found.size <= MAX_SIZE and found.encode() == blob else None

"""Stretches: frames of a pack that held consecutive bytes of an object which a download verified.

So the contents of these frames are known from a local copy of the object, whatever the store claims. The ids of the chunks are
added on first use: hashing each chunk would slow down every download.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from git_lds import hashing
from git_lds.fast_typing import NamedTuple
from git_lds.hashing import DIGEST_SIZE, FileId, Oid
from git_lds.store.format.packfile import ChunkAt

_HEADER = struct.Struct("<QIII")
_FRAME = struct.Struct("<II")


class Stretch(NamedTuple):
    """Consecutive frames from `offset` of `pack`, which hold the bytes of object `oid` from `at` on.

    `logical` is the sum of the lengths of the frames before them in the pack, as a recipe claims. `frames` has the stored size
    and the contents' length of each frame, `ids` the BLAKE3 of each contents, or nothing yet.
    """

    oid: Oid
    at: int
    pack: FileId
    offset: int
    logical: int
    frames: tuple[tuple[int, int], ...]
    ids: tuple[Oid, ...] = ()

    def chunks(self) -> Iterator[ChunkAt]:
        """Yield the place of each chunk, or nothing while their ids are unknown."""
        offset, logical = self.offset, self.logical
        for id, (stored, length) in zip(self.ids, self.frames, strict=False):
            yield ChunkAt(id, offset, stored, logical, length)
            offset, logical = offset + stored, logical + length

    def encode(self) -> bytes:
        """Return the bytes for caching a stretch, sealed with their BLAKE3."""
        header = _HEADER.pack(self.at, self.offset, self.logical, len(self.frames))
        frames = b"".join(_FRAME.pack(*frame) for frame in self.frames)
        data = b"".join((self.oid, self.pack, header, frames, *self.ids))
        return hashing.of_bytes(data) + data

    @classmethod
    def decode(cls, data: object) -> Stretch | None:
        """Return the stretch that was cached as `data`, or None if it is damaged."""
        if not isinstance(data, bytes) or hashing.of_bytes(data[DIGEST_SIZE:]) != data[:DIGEST_SIZE]:
            return None
        names, start = data[DIGEST_SIZE : 3 * DIGEST_SIZE], 3 * DIGEST_SIZE
        at, offset, logical, count = _HEADER.unpack_from(data, start)
        start += _HEADER.size
        end = start + count * _FRAME.size
        frames = tuple(_FRAME.iter_unpack(data[start:end]))
        ids = tuple(Oid(data[n : n + DIGEST_SIZE]) for n in range(end, len(data), DIGEST_SIZE))
        return cls(Oid(names[:DIGEST_SIZE]), at, FileId(names[DIGEST_SIZE:]), offset, logical, frames, ids)

"""The objects of an upload as this machine has them: their sizes, their chunks, and their verified contents."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from git_lds import files, hashing
from git_lds.errors import CorruptData, ObjectsMissing, counted
from git_lds.fast_typing import NamedTuple
from git_lds.hashing import Oid
from git_lds.local.lookup import LocalObjects
from git_lds.store.format import chunker
from git_lds.transfer.disk_errors import disk_errors
from git_lds.workers import Stop

_SHOWN = 10
"""How many objects an error lists before it counts the rest."""


class LocalChunk(NamedTuple):
    """A chunk of an object on this machine: its place in the object, and the BLAKE3 of its contents."""

    oid: Oid
    offset: int
    length: int
    id: Oid


class ObjectsToSend:
    """The objects that an upload sends, read from this machine by any number of threads.

    `sizes` has them in the order of their paths: files near each other in the working tree are fetched together, and
    versions of one file share chunks.
    """

    def __init__(self, objects: LocalObjects, paths: Mapping[Oid, Sequence[bytes]], tmp: Path, store_url: str) -> None:
        """Look up the size of each oid in `paths`, which maps it to the paths by which people know it.

        Raises ObjectsMissing if this machine lacks some.
        """
        self._objects = objects
        self._paths = paths
        self._tmp = tmp
        self.sizes = self._measure(store_url)

    def is_large(self, oid: Oid) -> bool:
        """Return whether the object is cut into chunks, and so needs a recipe."""
        return self.sizes[oid] > chunker.SMALL

    def chunks(self, oid: Oid) -> Iterator[LocalChunk]:
        """Yield the chunks of an object. Raises CorruptData at its end if its contents do not match its oid."""
        if not self.is_large(oid):
            yield LocalChunk(oid, 0, self.sizes[oid], oid)
            return
        with contextlib.closing(self._open(oid)) as stream:
            hashed = _HashingStream(stream)
            offset = 0
            for data in chunker.cut(cast(BinaryIO, hashed)):
                yield LocalChunk(oid, offset, len(data), hashing.of_bytes(data))
                offset += len(data)
        if hashed.hasher.digest() != oid:
            raise self._damaged(oid)

    def contents(self, chunks: Iterable[LocalChunk], stop: Stop) -> Iterator[tuple[Oid, bytes]]:
        """Yield the verified contents of `chunks`. Raises CorruptData if one changed since it was cut."""
        for oid, of_one in itertools.groupby(chunks, lambda chunk: chunk.oid):
            with contextlib.closing(self._open(oid)) as stream:
                for chunk in of_one:
                    stop.check()
                    stream.seek(chunk.offset)
                    data = stream.read(chunk.length)
                    if hashing.of_bytes(data) != chunk.id:
                        raise self._damaged(oid)
                    yield chunk.id, data

    def name(self, oid: Oid) -> str:
        """Return a path of the object for people, or its oid if it has none."""
        return files.printable(self._paths[oid][0]) if self._paths[oid] else oid.hex()

    def _measure(self, store_url: str) -> dict[Oid, int]:
        paths = self._paths
        sizes = {}
        absent = []
        for oid in sorted(paths, key=lambda oid: (paths[oid][0] if paths[oid] else b"", oid)):
            if (size := self._objects.size(oid)) is None:
                absent.append(f"{', '.join(files.printable(path) for path in paths[oid][:3])} ({oid.hex()})")
            else:
                sizes[oid] = size
        if absent:
            rest = [f"and {len(absent) - _SHOWN} more"] if len(absent) > _SHOWN else []
            count = counted(len(absent), "object is", "objects are")
            raise ObjectsMissing(
                f"{count} neither here nor in {store_url}:\n  " + "\n  ".join(absent[:_SHOWN] + rest),
                hint="fetch them from where they are (git lds fetch REMOTE), or store them again: git add --renormalize PATH",
            )
        return sizes

    def _open(self, oid: Oid) -> BinaryIO:
        with disk_errors(self._tmp):
            stream = self._objects.open(oid)
        if stream is None:
            raise self._damaged(oid)
        return stream

    def _damaged(self, oid: Oid) -> CorruptData:
        return CorruptData(
            f"{self.name(oid)}: the local copy of object {oid.hex()} is damaged; nothing was pushed",
            hint="if the file is whole in the working tree, store it again: git add --renormalize PATH",
        )


class _HashingStream:
    """A stream that hashes everything that is read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.hasher = hashing.new()

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self.hasher.update(data)
        return data

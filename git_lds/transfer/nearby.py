"""Copies objects from other object directories on this machine: the local stores of remotes, and the cache.

These directories belong to others or may be damaged: nothing is written there, files that cannot be read count as missing,
and every object is verified while it is copied.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator, Mapping, Sequence

from git_lds import workers
from git_lds.errors import CorruptData
from git_lds.hashing import Oid
from git_lds.local.lookup import belongs_to
from git_lds.local.objects import SMALL, ObjectDirectory, copy
from git_lds.transfer.assembly import oid_of
from git_lds.transfer.disk_errors import disk_errors
from git_lds.transfer.small_objects import TURN
from git_lds.workers import Stop

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of the disk that is written to. Any other error while copying is one of the source."""


def take(
    directories: Sequence[ObjectDirectory],
    target: ObjectDirectory,
    wanted: Mapping[Oid, int],
    arrived: Callable[[Oid], None],
) -> None:
    """Copy those objects of `wanted` (oid: size in bytes) to `target` that one of `directories` has whole.

    `arrived` is called, in this thread, for each copied object. Raises LdsError if `target` cannot be written.
    """
    missing = dict(wanted)
    for directory in directories:
        if not missing:
            return
        for oid in _copied(directory, target, missing):
            del missing[oid]
            arrived(oid)


def has(directories: Sequence[ObjectDirectory], oid: Oid) -> bool:
    """Return whether one of `directories` claims to have the object."""
    for directory in directories:
        with contextlib.suppress(OSError):
            if directory.has(oid) and _packs_belong(directory):
                return True
    return False


def _packs_belong(directory: ObjectDirectory) -> bool:
    packs = directory.root / "packs"
    return not packs.exists() or all(belongs_to(path, directory.root) for path in (packs, *packs.iterdir()))


def _copied(directory: ObjectDirectory, target: ObjectDirectory, wanted: Mapping[Oid, int]) -> Iterator[Oid]:
    """Copy the objects of `wanted` that `directory` has; yield each after it was copied."""
    yield from _copied_small(directory, target, wanted)
    large = [oid for oid, size in wanted.items() if size > SMALL and _has_large(directory, oid, size)]

    def work(oid: Oid, stop: Stop) -> Oid | None:
        return oid if _copy_large(directory, target, oid, wanted[oid]) else None

    for oid in workers.run(large, work):
        if oid is not None:
            yield oid


def _copied_small(directory: ObjectDirectory, target: ObjectDirectory, wanted: Mapping[Oid, int]) -> Iterator[Oid]:
    turn: list[tuple[Oid, bytes]] = []
    held = 0
    try:
        if not _packs_belong(directory):
            return
    except OSError:
        return
    for oid in [oid for oid, size in wanted.items() if size <= SMALL]:
        try:
            data = directory.read(oid)
        except OSError:
            continue
        if data is not None and len(data) == wanted[oid]:
            turn.append((oid, data))
            held += len(data)
        if held >= TURN:
            yield from _written(target, turn)
            turn, held = [], 0
    yield from _written(target, turn)


def _written(target: ObjectDirectory, turn: Sequence[tuple[Oid, bytes]]) -> Iterator[Oid]:
    with disk_errors(target.root):
        target.put_all(turn)
    yield from (oid for oid, _ in turn)


def _has_large(directory: ObjectDirectory, oid: Oid, size: int) -> bool:
    try:
        return directory.size(oid) == size  # a pipe or a device has no size
    except OSError:
        return False


def _copy_large(directory: ObjectDirectory, target: ObjectDirectory, oid: Oid, size: int) -> bool:
    """Copy a large object; return whether it is whole. Raises LdsError if `target` cannot be written."""
    try:
        path = directory.data_path(oid)
        stream = directory.open(oid) if path is not None and belongs_to(path, directory.root) else None
    except OSError:
        stream = None
    if stream is None:
        return False
    with stream, disk_errors(target.root), target.scratch() as scratch:
        try:
            copy(stream, scratch.fd, size)
        except CorruptData:
            return False
        except OSError as error:
            if error.errno in _FULL:
                raise
            return False
        if oid_of(scratch.fd, size) != oid:
            return False
        target.adopt(oid, scratch, sync=True)
    return True

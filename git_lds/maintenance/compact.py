"""Keeps the local store small: large objects that no index names any more become chunks, which versions of a file share.

A new object is stored as a whole file: that is the fastest way to store it and to check it out. When the old objects, with
existing chunks, take more space than the current ones, their files are rewritten, all at once. The first old version thus
costs nothing, each object is rewritten once, and the local store has at most twice the bytes of the current data, or the
current data and what the old versions really add.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from git_lds import locks, sharing
from git_lds.errors import CorruptData
from git_lds.fast_typing import NamedTuple
from git_lds.git.objects import blob_id
from git_lds.hashing import Oid
from git_lds.local.objects import LargeFile, ObjectDirectory
from git_lds.pointer import Pointer
from git_lds.progress import SILENT, Progress
from git_lds.repo import Repo
from git_lds.snapshots import pointers
from git_lds.store.format import chunker

FLOOR = 16 << 20
"""Bytes of old objects that are never worth rewriting."""

BATCH = 16 << 20
"""Bytes of objects that become chunks before these are synced to the disk together and the files are deleted. At most this
much space is needed, or that of the largest object."""

BATCH_COUNT = 256
"""Objects in a batch at most."""


class CompactPlan(NamedTuple):
    """The old objects to rewrite as chunks; none if that is not due."""

    objects: tuple[LargeFile, ...]

    @property
    def size(self) -> int:
        """The bytes of the objects to rewrite."""
        return sum(file.size for file in self.objects)


class Compacted(NamedTuple):
    """The number and bytes of the rewritten objects, the bytes written for them, and the damaged files, which stay."""

    objects: int
    size: int
    written: int
    damaged: tuple[Path, ...]


NOTHING = Compacted(0, 0, 0, ())


def plan_compact(repo: Repo) -> CompactPlan:
    """Return the old objects of the local store if they take more space than the current ones, else none."""
    large = list(repo.own.large())
    if sum(file.size for file in large) <= FLOOR:
        return CompactPlan(())
    plan = CompactPlan(tuple(_old(repo, large)))
    size = plan.size
    current = sum(file.size for file in large) - size
    is_due = size > FLOOR and size + repo.own.old.chunks_size() > current
    return plan if is_due else CompactPlan(())


def _old(repo: Repo, large: Iterable[LargeFile]) -> list[LargeFile]:
    """Return those of `large` that are not current: no index has their pointer.

    A pointer has one form, so the id of its blob can be computed. For 100,000 objects this takes a fifth of the time in
    which git would read the pointers of the index.
    """
    current = pointers.blobs_in_indexes(repo.common_dir)

    def is_current(file: LargeFile) -> bool:
        return blob_id(Pointer(*file).encode(), repo.hash_size).hex().encode() in current

    return [file for file in large if not is_current(file)]


def compact(directory: ObjectDirectory, old: Sequence[LargeFile], progress: Progress = SILENT) -> Compacted:
    """Turn the files of `old` into chunks; return what was done. Killed anywhere, each object exists as a file, chunks or both.

    Does nothing while another process compacts. Raises OSError if the disk is full; no object is lost.
    """
    if not old:
        return NOTHING
    with _alone(directory.old.root) as is_alone:
        if not is_alone:
            return NOTHING
        progress.start("compact", len(old), sum(file.size for file in old))
        try:
            return _compact(directory, old, progress)
        finally:
            progress.finish()


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[bool]:
    """Hold the lock on the chunked objects for writing; give False if another process holds it."""
    sharing.make_directory(root)
    path = root / "lock"
    fd = locks.open_or_create(path)
    try:
        is_alone = locks.own(fd, path)
        try:
            yield is_alone
        finally:
            if is_alone:
                locks.disown(path)
    finally:
        os.close(fd)


def _compact(directory: ObjectDirectory, old: Iterable[LargeFile], progress: Progress) -> Compacted:
    objects = size = 0
    damaged: list[Path] = []
    before = directory.old.chunks_size()
    try:
        directory.old.sync_tails()
        for batch in _batches(old):
            whole = _as_chunks(directory, batch, damaged, progress)
            for file in whole:
                if _delete(directory.path(file.oid)):
                    objects, size = objects + 1, size + file.size
    finally:
        directory.old.close()
    return Compacted(objects, size, directory.old.chunks_size() - before, tuple(damaged))


def _batches(old: Iterable[LargeFile]) -> Iterator[list[LargeFile]]:
    batch: list[LargeFile] = []
    size = 0
    for file in old:
        batch.append(file)
        size += file.size
        if len(batch) >= BATCH_COUNT or size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _as_chunks(
    directory: ObjectDirectory, batch: Iterable[LargeFile], damaged: list[Path], progress: Progress
) -> list[LargeFile]:
    """Return those of `batch` that are on the disk as chunks, read back and whole."""
    old = directory.old
    done, fresh = [], []
    try:
        for file in batch:
            # a process that was killed before it deleted the file leaves both
            if old.is_whole(file.oid):
                old.sync_later(file.oid)
                progress.moved(file.size)
                done.append(file)
            elif (path := directory.path(file.oid)) is not None:
                if _cut(directory, file.oid, path, progress.moved):
                    fresh.append(file)
                else:
                    damaged.append(path)
            progress.done(file.oid.hex())
        old.sync()
    except OSError:
        old.roll_back()
        raise
    return done + [file for file in fresh if old.is_whole(file.oid)]


def _cut(directory: ObjectDirectory, oid: Oid, path: Path, moved: Callable[[int], None]) -> bool:
    """Write the chunks of an object; return False if its file is damaged."""

    def chunks() -> Iterator[bytes]:
        with open(path, "rb") as file:
            for chunk in chunker.cut(file):
                yield chunk
                moved(len(chunk))

    with directory.scratch() as scratch:
        try:
            directory.old.put(oid, chunks(), scratch)
        except CorruptData:
            return False
    return True


def _delete(path: Path | None) -> bool:
    """Delete the file of an object that is stored as chunks; return False if that fails, as for an open file on Windows."""
    try:
        if path is not None:
            if sys.platform == "win32":
                os.chmod(path, 0o666)
            path.unlink()
    except OSError:
        return False
    return path is not None

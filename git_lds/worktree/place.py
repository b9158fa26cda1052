"""Replaces pointers in a working tree by their contents, and records this in git's index.

git holds a smudged file whole in its memory. So the filter gives git the pointer of a large file, and the contents replace it
when git is done: 1 GB takes 1.27 s and 24 MB instead of 8.3 s and 1,053 MB.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Container, Iterable, Mapping

from git_lds import files, hashing, pointer, sharing
from git_lds.errors import CorruptData, LdsError
from git_lds.fast_typing import TYPE_CHECKING, NamedTuple
from git_lds.files import Scratch, WorkTreePath
from git_lds.git import index_file
from git_lds.git.index_file import IndexRecord, Refreshed
from git_lds.git.objects import blob_id
from git_lds.git.run import Git, GitFailed
from git_lds.hashing import Oid
from git_lds.local.lookup import LocalObjects
from git_lds.local.objects import copy
from git_lds.pointer import Pointer

if TYPE_CHECKING:
    from pathlib import Path

    from git_lds.repo import Repo

_SECOND = 10**9

_LOCK_SECONDS = 1.0
"""Seconds to wait for git's index, which a `git status` in the background locks for a moment."""


class Placement(NamedTuple):
    """A pointer whose contents belong at `path`. `executable` is used only if the file does not exist."""

    path: bytes
    pointer: Pointer
    executable: bool = False


class WorkTree:
    """One working tree, and its index."""

    @classmethod
    def of(cls, repo: Repo) -> WorkTree:
        """Return the working tree of a repository. Raises LdsError in a bare repository."""
        return cls(repo.git, repo.require_work_tree(), repo.index, repo.hash_size, repo.tmp, repo.objects)

    def __init__(self, git: Git, root: Path, index: Path, hash_size: int, tmp: Path, objects: LocalObjects) -> None:
        self._git = git
        self._root = os.fsencode(root)
        self._index = index
        self._hash_size = hash_size
        self._tmp = tmp
        self._objects = objects
        self._swept = False
        self._placed: dict[bytes, tuple[Pointer, os.stat_result]] = {}
        self.trusted: set[Oid] = set()
        """Objects that this process has verified. Others are verified when they are placed."""

    def announce(self, items: Iterable[Placement]) -> None:
        """Make git read the files that will be placed, before it next trusts its index. Call it before `place`.

        Otherwise git treats a file as changed without reading it if its size differs from the recorded one, here that of
        the pointer. Raises LdsError if the index stays locked; nothing was changed then.
        """
        expected = {item.path: (blob_id(item.pointer.encode(), self._hash_size), item.pointer.size) for item in items}

        def renew(entry: IndexRecord) -> index_file.Forget | None:
            blob, size = expected.get(entry.path, (b"", 0))
            return index_file.FORGET if blob == entry.blob and entry.size not in (0, size & 0xFFFFFFFF) else None

        outcome = index_file.refresh(self._index, renew)
        if outcome is Refreshed.LOCKED and any(map(renew, index_file.read(self._index))):
            # an index with nothing to forget, as in a clone that failed, needs no lock
            outcome = self._refresh_patiently(renew)
            if outcome is Refreshed.LOCKED:
                stay = (
                    "1 file is still a pointer" if len(expected) == 1 else f"{len(expected)} files are still pointers"
                )
                raise LdsError(f"git's index is locked, so {stay}", hint="git lds checkout")
        if outcome is Refreshed.NOT_OURS and self._index.exists():
            self._announce_by_git({path: blob for path, (blob, _) in expected.items()})

    def _refresh_patiently(self, renew: index_file.Renew) -> Refreshed:
        deadline = time.monotonic() + _LOCK_SECONDS
        while (outcome := index_file.refresh(self._index, renew)) is Refreshed.LOCKED and time.monotonic() < deadline:
            time.sleep(0.05)
        return outcome

    def _announce_by_git(self, blobs: Mapping[bytes, bytes]) -> None:
        """Do the same in an index that only git can write: entries that are added again have no stat data."""
        from git_lds.git import index  # late: such an index is rare, and the filter loads this module

        records = b"".join(
            index.info_line(entry.mode, entry.blob, entry.path)
            for entry in index.entries(self._git)
            if entry.stage == b"0" and entry.path in blobs and entry.blob == blobs[entry.path].hex().encode()
        )
        if records:
            index.update(self._git, records)

    def holds(self, path: bytes, wanted: Pointer) -> bool:
        """Return whether the file at `path` holds exactly this pointer."""
        try:
            with WorkTreePath(self._root, path) as place:
                return _mode_of_pointer(place, wanted) is not None
        except OSError:
            return False

    def place(self, item: Placement, *, create: bool = False) -> bool:
        """Replace the pointer at a path by its contents; return whether this was done. With `create` also make a missing file.

        It is not done if the path holds anything but exactly this pointer: another file, a link, a file with a second
        name, a directory. Raises CorruptData if the local copy is damaged, OSError on a full disk.
        """
        try:
            with WorkTreePath(self._root, item.path, create=create) as place:
                mode = _mode_of_pointer(place, item.pointer)
                if mode is None and not (create and _is_absent(place)):
                    return False
                if mode is None:
                    mode = (0o777 if item.executable else 0o666) & ~sharing.umask()
                self._placed[item.path] = item.pointer, self._write(place, item, mode)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENOENT, errno.EISDIR) or error.errno is None:
                return False
            raise
        return True

    def _write(self, place: WorkTreePath, item: Placement, mode: int) -> os.stat_result:
        tmp = self._tmp
        sharing.make_directory(tmp)
        if not self._swept:
            self._swept = True
            files.sweep(tmp)
        if tmp.stat().st_dev != os.fstat(place.directory).st_dev:
            from pathlib import Path

            tmp = Path(f"/proc/self/fd/{place.directory}")  # a rename cannot cross file systems
        with Scratch(tmp) as scratch:
            self._fill(scratch, item)
            os.fchmod(scratch.fd, mode)
            # git compares by the second: the next `git status` would clean a file as young as its index again
            earlier = (self._index_second(int(time.time())) - 1) * _SECOND
            os.utime(scratch.fd, ns=(earlier, earlier))
            scratch.rename_into(place.directory, place.name)
            return os.fstat(scratch.fd)

    def _fill(self, scratch: Scratch, item: Placement) -> None:
        oid, size = item.pointer.oid, item.pointer.size
        if (data := self._objects.read(oid)) is not None:
            if len(data) != size:
                raise _of_other_size(item, len(data))
            files.write_all(scratch.fd, data)
            return
        stream = self._objects.open(oid)
        if stream is None:
            raise CorruptData(
                f"{files.printable(item.path)}: the local copy of {oid.hex()} is gone or damaged", "git lds pull"
            )
        with stream:
            length = stream.seek(0, os.SEEK_END)
            if length == size:
                with contextlib.suppress(CorruptData):
                    copy(stream, scratch.fd, size)
                    if oid in self.trusted or _hash_of(scratch.fd) == oid:
                        return
            else:
                stream.seek(0)
                if hashing.of_stream(stream)[0] == oid:
                    raise _of_other_size(item, length)
        raise damaged(self._objects, item.path, oid)

    def _index_second(self, now: int) -> int:
        try:
            return min(now, int(self._index.stat().st_mtime))
        except OSError:
            return now

    def tell_git(self, young: Container[bytes] = ()) -> None:
        """Record in git's index that the placed files are clean, and that those at the `young` paths still are.

        git does not trust an entry whose file is as young as the index, to the second. It cleans such a file again at each
        `git status` until the index is rewritten. A young file that is still exactly as git recorded it gets an older time
        stamp, which is recorded too. If the index stays locked, git itself reads the files again.
        """
        racy_from = self._index_second(int(time.time()))
        blobs = {path: blob_id(placed.encode(), self._hash_size) for path, (placed, _) in self._placed.items()}

        def renew(entry: IndexRecord) -> os.stat_result | None:
            if blobs.get(entry.path) == entry.blob:
                return self._unchanged(entry.path)
            if entry.mtime_ns // _SECOND >= racy_from and entry.path in young:
                return _age(self._root, entry, (racy_from - 1) * _SECOND)
            return None

        if not self._placed:
            index_file.refresh(self._index, renew)
        elif self._refresh_patiently(renew) is Refreshed.NOT_OURS and self._index.exists():
            # a `git status` since then may have recorded the pointers again
            with contextlib.suppress(GitFailed):
                self._announce_by_git(blobs)

    def _unchanged(self, path: bytes) -> os.stat_result | None:
        written = self._placed[path][1]
        with contextlib.suppress(OSError), WorkTreePath(self._root, path) as place:
            info = os.stat(place.name, dir_fd=place.directory, follow_symlinks=False)
            if all(
                getattr(info, n) == getattr(written, n) for n in ("st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")
            ):
                return info
        return None


def _age(root: bytes, entry: IndexRecord, earlier: int) -> os.stat_result | None:
    """Set back the time stamp of a file that is as git recorded it; return its new stat data, None for another file."""
    try:
        with WorkTreePath(root, entry.path) as place:
            fd = os.open(place.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place.directory)
            try:
                info = os.fstat(fd)
                if not stat.S_ISREG(info.st_mode) or info.st_mtime_ns != entry.mtime_ns or info.st_size != entry.size:
                    return None
                os.utime(fd, ns=(info.st_atime_ns, earlier))
                after = os.fstat(fd)
                return after if after.st_size == entry.size and after.st_mtime_ns == earlier else None
            finally:
                os.close(fd)
    except OSError:
        return None


def _mode_of_pointer(place: WorkTreePath, wanted: Pointer) -> int | None:
    """Return the permission bits of a file that has one name and holds exactly this pointer; None for another."""
    try:
        fd = os.open(place.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place.directory)
    except OSError:
        return None
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_nlink != 1 or info.st_size > pointer.MAX_LENGTH:
            return None
        return stat.S_IMODE(info.st_mode) if os.read(fd, pointer.MAX_LENGTH + 1) == wanted.encode() else None
    finally:
        os.close(fd)


def _is_absent(place: WorkTreePath) -> bool:
    try:
        os.stat(place.name, dir_fd=place.directory, follow_symlinks=False)
    except FileNotFoundError:
        return True
    return False


def damaged(objects: LocalObjects, path: bytes, oid: Oid) -> CorruptData:
    """Delete a damaged copy of an object, if it came from a store; return the error to raise."""
    kept = objects.data_path(oid)
    if objects.delete_damaged(oid):
        return CorruptData(
            f"{files.printable(path)}: the copy in the cache was damaged, and is deleted", "git lds pull"
        )
    return CorruptData(
        f"{files.printable(path)}: the local copy {kept} is damaged", f"delete {kept}, then: git lds pull"
    )


def _of_other_size(item: Placement, size: int) -> CorruptData:
    return CorruptData(
        f"{files.printable(item.path)}: its object has {size} bytes, and its pointer says {item.pointer.size}"
    )


def _hash_of(fd: int) -> Oid:
    hasher, offset = hashing.new(), 0
    while block := files.read_at(fd, hashing.READ_SIZE, offset):
        hasher.update(block)
        offset += len(block)
    return Oid(hasher.digest())

"""File operations: atomic replacement that survives crashes, and paths that cannot escape a working tree.

Paths below a working tree are bytes, as git gives them; our own directories are `pathlib` paths.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys

from git_lds import locks, sharing
from git_lds.fast_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

if sys.platform == "win32":
    fcntl = None
else:
    import fcntl

COPY_SIZE = 1 << 20

PLAIN = frozenset((b".gitattributes", b".gitignore", b".gitmodules", b".mailmap", b".ldsconfig", b".ldsdeps"))
"""Files that git and git-lds read from commits by name. They are never tracked, whatever a pattern says."""

_TRIES = 100
"""How often to create a file again that another process deletes at once."""

_FICLONE = 0x40049409
"""ioctl of linux/fs.h that shares the blocks of another file (btrfs, xfs). Other file systems answer with an error."""


def write_all(fd: int, data: bytes | bytearray | memoryview) -> None:
    """Write all of `data`, continuing after short writes. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def start_writing_back(fd: int, offset: int, length: int) -> None:
    """Start writing bytes of the page cache to the disk, without waiting, so that a later fsync is short.

    1 GiB through the clean filter: 1.6 s, was 2.0 s.
    """
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, offset, length, os.POSIX_FADV_DONTNEED)  # pages that are not on the disk yet stay


def read_at(fd: int, length: int, offset: int) -> bytes:
    """Return `length` bytes of the file from `offset`, or fewer at its end. Raises OSError."""
    if sys.platform != "win32":
        data = os.pread(fd, length, offset)
        while len(data) < length and (more := os.pread(fd, length - len(data), offset + len(data))):
            data += more
        return data
    os.lseek(fd, offset, os.SEEK_SET)
    data = os.read(fd, length)
    while len(data) < length and (more := os.read(fd, length - len(data))):
        data += more
    return data


def replace_with(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Replace the contents of `path` by `data` atomically: write a file beside it, sync it, rename it.

    Without `sync`, a crash of the machine may leave neither the old nor the new contents. Raises OSError.
    """
    beside = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    try:
        fd = sharing.create(beside, os.O_WRONLY)
        try:
            write_all(fd, data)
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def copy_contents(source: int, target: int, size: int) -> None:
    """Copy the first `size` bytes of the open file `source` into the empty open file `target`, and move to its end.

    Uses the cheapest means: shared blocks, else a copy within the kernel, else one through our memory. Raises OSError.
    """
    done = 0
    if fcntl is not None and os.fstat(source).st_size == size:
        with contextlib.suppress(OSError):
            fcntl.ioctl(target, _FICLONE, source)
            done = size
    if done < size and hasattr(os, "posix_fallocate"):
        # allocated now: ext4 would do it when the file replaces another one, 0.45 s for 1 GiB
        with contextlib.suppress(OSError):
            os.posix_fallocate(target, 0, size)
    if hasattr(os, "copy_file_range"):
        with contextlib.suppress(OSError):
            while done < size and (count := os.copy_file_range(source, target, size - done, done, done)):
                done += count
    os.lseek(target, done, os.SEEK_SET)
    while done < size and (block := read_at(source, min(COPY_SIZE, size - done), done)):
        write_all(target, block)
        done += len(block)
    if done < size:
        raise OSError("the file ended early while it was copied")


class Scratch:
    """A new file in `directory` that is deleted on close, unless it was moved to its final name.

    It is locked while it is open, and its name says which machine made it. So `sweep` can distinguish files that are in use
    from files of killed processes. Its methods raise OSError.
    """

    def __init__(self, directory: Path) -> None:
        self._moved = False
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        for _ in range(_TRIES):
            sharing.make_directory(directory)
            self.path = directory / f"{os.urandom(8).hex()}.{locks.machine()}"
            try:
                self.fd = os.open(self.path, flags, 0o600)
            except FileNotFoundError:
                continue  # the directory has just been deleted
            if self._is_ours():
                return
            os.close(self.fd)
        raise OSError(errno.EBUSY, "files created here are deleted at once", os.fspath(directory))

    def _is_ours(self) -> bool:
        """Return whether we have the lock. A sweep may have deleted the file before we took it."""
        try:
            lock = locks.try_lock(self.fd, self.path)
        except OSError:
            self.close()
            raise
        return lock is None or (lock and os.fstat(self.fd).st_nlink > 0)

    def file(self) -> BinaryIO:
        """Return a buffered stream of the file that does not close it."""
        return open(self.fd, "r+b", closefd=False)

    def empty(self) -> None:
        """Discard what was written so far."""
        os.ftruncate(self.fd, 0)
        os.lseek(self.fd, 0, os.SEEK_SET)

    def move_to(self, path: Path, *, mode: int = 0o444, sync: bool = True) -> None:
        """Rename the file to `path`, replacing a file there; with `sync`, its bytes are on the disk before."""
        if sync:
            os.fsync(self.fd)
        sharing.make_directory(path.parent)
        if sys.platform == "win32":
            os.close(self.fd)
            os.chmod(self.path, mode)
            self.fd = -1
        else:
            os.fchmod(self.fd, sharing.mode_in(path.parent, mode))
        try:
            os.replace(self.path, path)
        except FileNotFoundError:
            self.renew(sync=sync)
            sharing.make_directory(path.parent)
            os.replace(self.path, path)
        self._moved = True

    def renew(self, *, sync: bool = True) -> None:
        """Write the file again under another name, because the file or its directory was deleted.

        Raises FileNotFoundError if the file was closed already.
        """
        if self.fd < 0:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(self.path))
        state = os.fstat(self.fd)
        with Scratch(self.path.parent) as other:
            copy_contents(self.fd, other.fd, state.st_size)
            os.chmod(other.path, stat.S_IMODE(state.st_mode))
            if sync:
                os.fsync(other.fd)
            os.dup2(other.fd, self.fd)
            self.path, other._moved = other.path, True

    def rename_into(self, directory: int, name: bytes) -> None:
        """Rename the file into an open directory of a working tree, replacing a file there; its mode stays."""
        os.rename(self.path, name, dst_dir_fd=directory)
        self._moved = True

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        if not self._moved:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
            self._moved = True

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def sweep(directory: Path) -> int:
    """Delete the scratch files that killed processes left in `directory`; return how many."""
    count = 0
    try:
        names = os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return 0
    for name in names:
        with contextlib.suppress(OSError):
            maker = name.partition(".")[2]  # older versions wrote none
            count += _delete_if_abandoned(directory / name, from_this_machine=not maker or locks.is_this_machine(maker))
    return count


def _delete_if_abandoned(path: Path, *, from_this_machine: bool) -> bool:
    state = os.lstat(path)
    if not stat.S_ISREG(state.st_mode):
        return False
    try:
        fd = os.open(path, (os.O_RDWR if state.st_mode & stat.S_IWUSR else os.O_RDONLY) | getattr(os, "O_NOFOLLOW", 0))
    except PermissionError:  # it belongs to another user
        is_abandoned = locks.is_abandoned(None, state.st_mtime, from_this_machine=from_this_machine)
        if is_abandoned:
            os.unlink(path)
        return is_abandoned
    try:
        is_abandoned = locks.is_abandoned(locks.try_lock(fd, path), state.st_mtime, from_this_machine=from_this_machine)
        if is_abandoned:
            os.unlink(path)
        return is_abandoned
    finally:
        os.close(fd)


def sync_directory(directory: Path) -> None:
    """Sync the names in `directory` to the disk, where the system can. Raises OSError."""
    if sys.platform == "win32":
        return
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def is_safe_path(path: bytes) -> bool:
    """Return whether git's relative `path` stays inside a working tree and outside every spelling of `.git`.

    The spellings are those that git itself refuses for HFS+ and NTFS (core.protectHFS, core.protectNTFS): upper case,
    trailing dots and spaces, the short name git~1, alternate streams, ignorable Unicode characters.
    """
    if not path or path.startswith(b"/") or b"\0" in path:
        return False
    names = path.split(b"/")
    if path.isascii() and b"\\" not in path and b"git" not in path.lower():
        # nearly all paths: 1.8 µs, was 7.2
        return b"" not in names and b"." not in names and b".." not in names
    return all(_is_safe_name(name) for name in names)


_HFS_IGNORED = {*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF}


def _is_safe_name(name: bytes) -> bool:
    if name in (b"", b".", b".."):
        return False
    text = name.decode("utf-8", "surrogateescape").lower()
    if any(ord(c) in _HFS_IGNORED for c in text):
        text = "".join(c for c in text if ord(c) not in _HFS_IGNORED)
    # on Windows a backslash is a slash, and a colon, trailing dots and spaces do not belong to the name
    parts = text.split("\\")
    return ".." not in parts and all(p.split(":")[0].rstrip(". ") not in (".git", "git~1") for p in parts)


class WorkTreePath:
    """One path of a working tree, opened directory by directory without following a symlink.

    `directory` is an open descriptor of the last directory and `name` the last name, for the *at calls. With `create`,
    missing directories are created. Raises OSError (ELOOP, ENOTDIR, ENOENT) if a part is a symlink, a file or missing.
    """

    def __init__(self, work_tree: bytes, path: bytes, *, create: bool = False) -> None:
        if not is_safe_path(path):
            raise OSError(f"{os.fsdecode(path)}: not a path inside a working tree")
        *directories, self.name = path.split(b"/")
        self.directory = os.open(work_tree, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for name in directories:
                try:
                    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self.directory)
                except FileNotFoundError:
                    if not create:
                        raise
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(name, dir_fd=self.directory)
                    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self.directory)
                os.close(self.directory)
                self.directory = inner
        except BaseException:
            os.close(self.directory)
            raise

    def read(self, limit: int) -> bytes:
        """Return the contents of the file, at most `limit` bytes. Raises OSError if it is not a regular file."""
        with self.open() as stream:
            return read_at(stream.fileno(), limit, 0)

    def open(self) -> BinaryIO:
        """Return a stream of the contents of the file. Raises OSError if it is not a regular file."""
        fd = os.open(self.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self.directory)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "not a plain file", os.fsdecode(self.name))
        return os.fdopen(fd, "rb")

    def close(self) -> None:
        """Close the descriptor of the directory. Only the first call does anything."""
        if self.directory >= 0:
            os.close(self.directory)
            self.directory = -1

    def __enter__(self) -> WorkTreePath:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def printable(path: bytes) -> str:
    """Return a path for people: one line without control characters."""
    text = path.decode("utf-8", "backslashreplace")
    if text.isprintable():  # nearly all paths; the loop was 17 % of the time of a push of 10,000 files
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

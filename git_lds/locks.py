"""Exclusive ownership of files: by flock where it works, and by lock files where it does not.

There are three kinds of file systems. On most, flock excludes all other processes. On some it fails: Lustre without flock, NFS
without a lock daemon, many in user space. On some it succeeds and excludes no process, or none on other machines: Lustre
with localflock, NFS with nolock. The last cannot be detected, so a free lock proves a file abandoned only if this machine
made the file. A file that another machine made is abandoned after KEPT_SECONDS without a write.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from binascii import crc32
from collections.abc import Iterator
from functools import cache

from git_lds import sharing
from git_lds.errors import LdsError
from git_lds.fast_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

if sys.platform == "win32":
    fcntl = None
else:
    import fcntl

KEPT_SECONDS = 3 * 24 * 3600
"""Seconds without a write after which a file counts as abandoned, if locks prove nothing about it."""

PATIENCE = 60.0
"""Seconds to wait for the owner of a lock file: nothing shows when a killed process is gone."""

_BUSY = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.EBADF)
"""Some NFS answers EBADF to an exclusive lock on a file that is open for reading."""

_works: dict[int, bool] = {}
"""Whether flock excludes other processes of this machine, by the device of the file system."""


def try_lock(fd: int, path: str | Path | None = None, *, wait: bool = False) -> bool | None:
    """Take the exclusive lock on the open file `fd` at `path`; with `wait`, once it is free. It ends with the process.

    Return True if this process has it, False if another has it, None if locks do not work here. Raises OSError if the lock
    fails in another way.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        if error.errno in _BUSY:
            return False
        error.filename = os.fspath(path) if path is not None else None
        raise
    return True if path is None or _excludes_others(fd, path) else None


def _excludes_others(fd: int, path: str | Path) -> bool:
    """Return whether our lock on `fd` excludes a second open of the file, and so other processes."""
    state = os.fstat(fd)
    if (known := _works.get(state.st_dev)) is not None:
        return known
    try:
        other = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return True  # gone, or not writable for us: another file will show it
    try:
        if not os.path.samestat(os.fstat(other), state):
            return True
        _works[state.st_dev] = try_lock(other) is False
    finally:
        os.close(other)
    return _works[state.st_dev]


@cache
def machine() -> str:
    """Return the id of this machine for use in files: 8 digits of its boot id, a dot, 8 digits of its host name."""
    boot = name = ""
    with contextlib.suppress(OSError), open("/proc/sys/kernel/random/boot_id") as file:
        boot = file.read(8)
    if hasattr(os, "uname") and not (node := os.uname().nodename).startswith("localhost"):
        name = f"{crc32(node.encode()):08x}"
    return f"{boot}.{name}"


def is_this_machine(maker: str) -> bool:
    """Return whether `maker`, a former result of `machine`, is this machine.

    The boot id or the host name is enough: no process from before a reboot still has a file.
    """
    boot, _, name = maker.partition(".")
    our_boot, _, our_name = machine().partition(".")
    return (boot != "" and boot == our_boot) or (name != "" and name == our_name)


def is_abandoned(lock: bool | None, written: float, *, from_this_machine: bool) -> bool:
    """Return whether a file was abandoned, by the result of `try_lock`, the time of its last write, and its maker."""
    return lock is not False and ((lock is True and from_this_machine) or time.time() - written > KEPT_SECONDS)


def own(fd: int, path: str | Path, *, wait: bool = False) -> bool:
    """Make this process the only writer of the open file `fd` at `path`; return False if another process is.

    The owner has the lock on the file, and a file <path>.owner names it. With `wait` the call returns when the owner on this
    machine releases the lock. Ownership ends with `disown`, or with the process. Raises OSError.
    """
    lock = try_lock(fd, path, wait=wait)
    owner = _owner(path)
    if lock is False or not (_create_owner(owner) or _take_over(owner, lock)):
        return False
    try:
        with open(owner, "w") as file:
            file.write(_me())
    except OSError:
        os.unlink(owner)
        raise
    return True


def disown(path: str | Path) -> None:
    """Give up ownership of the file at `path`, if this process has it. The lock ends when the file is closed."""
    owner = _owner(path)
    if _read(owner) == _me():
        with contextlib.suppress(OSError):
            os.unlink(owner)


def _owner(path: str | Path) -> str:
    return os.fspath(path) + ".owner"


def _me() -> str:
    return f"{machine()} {os.getpid()}"


def _read(owner: str) -> str:
    try:
        with open(owner) as file:
            return file.read(100)
    except (OSError, ValueError):
        return ""


def _create_owner(owner: str) -> bool:
    try:
        os.close(sharing.create(owner))
    except FileExistsError:
        return False
    return True


def _take_over(owner: str, lock: bool | None) -> bool:
    """Replace an owner that is gone; return False if it may still be at work."""
    if lock is True and is_this_machine(_read(owner).partition(" ")[0]):
        os.unlink(owner)  # it may belong to another user, and not be writable for us
        return _create_owner(owner)
    aside = f"{owner}.{os.urandom(6).hex()}"
    try:
        if not is_abandoned(lock, os.stat(owner).st_mtime, from_this_machine=False):
            return False
        os.rename(owner, aside)  # of many processes that try it, one succeeds
    except OSError:
        return False
    try:
        if is_abandoned(lock, os.stat(aside).st_mtime, from_this_machine=False):
            return _create_owner(owner)
        os.link(aside, owner)  # another process has just become the owner: put its file back
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            os.unlink(aside)
    return False


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Own the file `path`, which is created if needed, for the time of the block; wait for another owner.

    Raises LdsError if locks do not work here and the owner file is still there after PATIENCE seconds.
    """
    sharing.make_directory(path.parent)
    fd = open_or_create(path)
    try:
        deadline = time.monotonic() + PATIENCE
        while not own(fd, path, wait=True):
            if time.monotonic() > deadline:
                raise LdsError(
                    f"{_owner(path)} exists: another git-lds is running",
                    hint=f"if none is running: rm {_owner(path)}",
                )
            time.sleep(0.1)
        try:
            yield
        finally:
            disown(path)
    finally:
        os.close(fd)


def open_or_create(path: Path) -> int:
    """Return a descriptor of the file at `path` for writing; an empty file is created if there is none."""
    try:
        return sharing.create(path)
    except FileExistsError:
        return os.open(path, os.O_RDWR)

"""Who has a file for itself: told by flock where that works, and by files that are made exclusively where it does not.

There are three kinds of file systems. On most, flock holds everybody back. On some it fails: Lustre without it, NFS without
a lock daemon, many in user space. And on some it succeeds and holds back nobody, or nobody on other machines: Lustre with
localflock, NFS with nolock. The last cannot be seen from here, so a free lock says only something about what this machine
made. Of what another made, only time tells that it was left: KEPT_SECONDS without a write.
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
"""After so long without a write, what no lock can be believed about is taken for left behind."""

PATIENCE = 60.0
"""Seconds to wait for who has a file where only the file beside it says so: nobody tells when a killed process is gone."""

_BUSY = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.EBADF)
"""EBADF is what some NFS says to an exclusive lock of a file that is open for reading."""

_believed: dict[int, bool] = {}
"""Whether flock holds other processes of this machine back, by the device of the file system."""


def try_lock(fd: int, path: str | Path | None = None, *, wait: bool = False) -> bool | None:
    """Take the exclusive lock of the open file `fd` at `path`, which ends with the process. Without `wait`: now or not at all.

    True: it is ours. False: another process has it. None: there are no locks here, or none that hold anybody back.
    Raises OSError where it cannot be told.
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
    return True if path is None or _is_believed(fd, path) else None


def _is_believed(fd: int, path: str | Path) -> bool:
    """Return whether the lock that we have on `fd` holds who opens the file anew back, as another process would."""
    state = os.fstat(fd)
    if (known := _believed.get(state.st_dev)) is not None:
        return known
    try:
        other = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return True  # gone, or not for us to write: to be learnt from another file
    try:
        if not os.path.samestat(os.fstat(other), state):
            return True
        _believed[state.st_dev] = try_lock(other) is False
    finally:
        os.close(other)
    return _believed[state.st_dev]


@cache
def machine() -> str:
    """Return what names this machine in names and contents of files: 8 digits of its boot, a dot, 8 digits of its name."""
    boot = name = ""
    with contextlib.suppress(OSError), open("/proc/sys/kernel/random/boot_id") as file:
        boot = file.read(8)
    if hasattr(os, "uname") and not (node := os.uname().nodename).startswith("localhost"):
        name = f"{crc32(node.encode()):08x}"
    return f"{boot}.{name}"


def is_this_machine(maker: str) -> bool:
    """Return whether `maker`, as `machine` returned it once, is this machine: by its boot, or by its name, for what it made
    before it was started again nobody has any more."""
    boot, _, name = maker.partition(".")
    our_boot, _, our_name = machine().partition(".")
    return (boot != "" and boot == our_boot) or (name != "" and name == our_name)


def is_abandoned(lock: bool | None, written: float, *, from_this_machine: bool) -> bool:
    """Return whether a file was left behind: by what `try_lock` said, the second of its last write, and who made it."""
    return lock is not False and ((lock is True and from_this_machine) or time.time() - written > KEPT_SECONDS)


def own(fd: int, path: str | Path, *, wait: bool = False) -> bool:
    """Make this process the only one that writes to the open file `fd` at `path`; False when another one is that.

    It has the lock of the file, and beside it is a file <path>.owner that says whose it is. With `wait` the call returns
    when the process of this machine that has the lock lets go of it. Ends with `disown`, or with the process.
    """
    lock = try_lock(fd, path, wait=wait)
    owner = _owner(path)
    if lock is False or not (_is_new(owner) or _is_taken_over(owner, lock)):
        return False
    try:
        with open(owner, "w") as file:
            file.write(_me())
    except OSError:
        os.unlink(owner)
        raise
    return True


def disown(path: str | Path) -> None:
    """Let others write to the file at `path`, if we own it. The lock goes when the file is closed."""
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


def _is_new(owner: str) -> bool:
    try:
        os.close(sharing.create(owner))
    except FileExistsError:
        return False
    return True


def _is_taken_over(owner: str, lock: bool | None) -> bool:
    """Take the place of an owner that is no more; False where it may still be at work."""
    if lock is True and is_this_machine(_read(owner).partition(" ")[0]):
        os.unlink(owner)  # it may be another user's, and not for us to write to
        return _is_new(owner)
    aside = f"{owner}.{os.urandom(6).hex()}"
    try:
        if not is_abandoned(lock, os.stat(owner).st_mtime, from_this_machine=False):
            return False
        os.rename(owner, aside)  # of many who try it one succeeds
    except OSError:
        return False
    try:
        if is_abandoned(lock, os.stat(aside).st_mtime, from_this_machine=False):
            return _is_new(owner)
        os.link(aside, owner)  # another process was quicker and has just become its owner: it stays
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            os.unlink(aside)
    return False


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the file `path`, which is made if need be, for the time of the block; wait for who has it.

    Raises LdsError where locks tell nothing about who has it and it is still there after PATIENCE seconds.
    """
    sharing.make_directory(path.parent)
    fd = opened(path)
    try:
        deadline = time.monotonic() + PATIENCE
        while not own(fd, path, wait=True):
            if time.monotonic() > deadline:
                raise LdsError(
                    f"{_owner(path)} is there: another git-lds is at work",
                    hint=f"wait for it; if none is running: rm {_owner(path)}",
                )
            time.sleep(0.1)
        try:
            yield
        finally:
            disown(path)
    finally:
        os.close(fd)


def opened(path: Path) -> int:
    """Return a descriptor of the file at `path` for writing; it is made, empty, if it is not there."""
    try:
        return sharing.create(path)
    except FileExistsError:
        return os.open(path, os.O_RDWR)

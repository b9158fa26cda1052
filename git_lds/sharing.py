"""Permissions of new files and directories: they are as shared as the directory that they are created in.

A setgid directory is shared by its group: `git init --shared` makes the directories of a repository so, and administrators
directories for several people. Files and directories created in one get its permissions, whatever the umask. In all others
the umask decides.
"""

from __future__ import annotations

import contextlib
import os
import stat

from git_lds.fast_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def permissions(directory: str | Path) -> int | None:
    """Return the permission bits of a shared directory, or None if it is not shared or does not exist."""
    try:
        mode = os.stat(directory).st_mode
    except OSError:
        return None
    return mode & 0o777 if mode & stat.S_ISGID else None


def mode_in(directory: str | Path, mode: int) -> int:
    """Return the mode of a file that is created in `directory` and may have at most `mode`."""
    shared = permissions(directory)
    return mode & (~umask() if shared is None else shared)


def create(path: str | Path, flags: int = os.O_RDWR) -> int:
    """Create a file and return its descriptor. Raises FileExistsError if the name is taken."""
    shared = permissions(os.path.dirname(path) or ".")
    fd = os.open(path, flags | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    if shared is not None:
        with contextlib.suppress(OSError):
            os.fchmod(fd, shared & 0o666)
    return fd


def make_directory(directory: str | Path) -> None:
    """Create a directory and its parents, unless it exists. Raises OSError."""
    if os.path.isdir(directory):
        return
    above = os.path.dirname(directory)
    if above and above != os.fspath(directory):
        make_directory(above)
    try:
        os.mkdir(directory)
    except FileExistsError:
        if not os.path.isdir(directory):
            raise
        return
    shared = permissions(above or ".")
    if shared is not None:
        with contextlib.suppress(OSError):
            os.chmod(directory, shared | 0o700 | stat.S_ISGID)


def umask() -> int:
    """Return the umask of the process: from /proc if possible, because os.umask changes it for other threads."""
    try:
        with open("/proc/self/status", "rb") as status:
            for line in status:
                if line.startswith(b"Umask:"):
                    return int(line.split()[1], 8)
    except OSError:
        pass
    mask = os.umask(0o022)
    os.umask(mask)
    return mask

"""Who may read and write what we make: it is as shared as the directory that it is made in, whatever the umask.

A directory is shared by its group when it is setgid, which is what `git init --shared` makes of a repository's
directories and what
an administrator does to a directory for several people. The directories and files made in one get its permissions. In all others
the umask decides, as ever.
"""

from __future__ import annotations

import contextlib
import os
import stat

from git_lds.fast_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def permissions(directory: str | Path) -> int | None:
    """Return the permission bits of a directory that its group shares, None for any other, or none."""
    try:
        mode = os.stat(directory).st_mode
    except OSError:
        return None
    return mode & 0o777 if mode & stat.S_ISGID else None


def mode_in(directory: str | Path, mode: int) -> int:
    """Return the mode that a file gets which is to have at most `mode` and is made in `directory`."""
    shared = permissions(directory)
    return mode & (~umask() if shared is None else shared)


def create(path: str | Path, flags: int = os.O_RDWR) -> int:
    """Make a new file and return its descriptor. Raises FileExistsError when the name is taken."""
    shared = permissions(os.path.dirname(path) or ".")
    fd = os.open(path, flags | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    if shared is not None:
        with contextlib.suppress(OSError):
            os.fchmod(fd, shared & 0o666)
    return fd


def make_directory(directory: str | Path) -> None:
    """Make a directory, and those above it, where it is not there."""
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
    """Return the process's umask. Read from /proc where that exists, for os.umask would change it for other threads."""
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

"""core.sharedRepository: who may read and write the files of a repository, applied to our directory in it."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

from git_lds import sharing
from git_lds.fast_typing import TYPE_CHECKING
from git_lds.git.run import Git

if TYPE_CHECKING:
    from pathlib import Path

_GROUP = 0o660
_ALL = 0o664

_MOST = 1 << 20
"""Bytes of a config file that are searched for the setting."""


def prepare(directory: Path) -> None:
    """Give `directory`, ours in a git repository, the permissions that core.sharedRepository asks for.

    Files and directories in it follow from that (see `sharing`). Nothing is done if the directory is shared already, or
    if the repository's own config, which `git init --shared` and `git config` write to, does not have the setting.
    """
    shared = sharing.permissions(directory)
    if (shared is not None and shared & stat.S_IWGRP) or not _is_mentioned(directory.parent / "config"):
        return
    from git_lds.git import config  # late: few repositories are shared

    file = os.fspath(directory.parent / "config")
    value = config.get_from_file(Git(directory.parent), file, "core.sharedRepository")
    wanted = permissions(value) if value is not None else None
    if wanted is None:
        return
    with contextlib.suppress(OSError):
        os.mkdir(directory)
    with contextlib.suppress(OSError):  # another user's stays unchanged, as with git
        if _give_mode(directory, *wanted):
            for path in _directories(directory):
                with contextlib.suppress(OSError):
                    _give_mode(path, *wanted)


def permissions(value: str) -> tuple[int, bool] | None:
    """Return the permission bits that a value of core.sharedRepository gives files, or None if the umask alone decides.

    The second value is whether files get exactly these bits; else they are added to those that the umask leaves.
    """
    word = value.lower()
    if word in ("", "group", "true", "yes", "on", "1"):
        return _GROUP, False
    if word in ("all", "world", "everybody", "2"):
        return _ALL, False
    try:
        bits = int(word, 8)
    except ValueError:
        return None
    return (bits & 0o666, True) if bits & 0o600 == 0o600 else None


def _give_mode(directory: str | Path, bits: int, is_all: bool) -> bool:
    """Give a directory the mode that git would give it; return whether it had another one. Readers may enter it."""
    before = stat.S_IMODE(os.stat(directory).st_mode)
    after = bits if is_all else before & 0o777 | bits
    after |= (after & 0o444) >> 2
    if after & 0o060:
        after |= stat.S_ISGID
    if after != before:
        os.chmod(directory, after)
    return after != before


def _is_mentioned(config: Path) -> bool:
    if not os.path.isfile(config):
        return False
    try:
        with open(config, "rb") as file:
            return b"sharedrepository" in file.read(_MOST).lower()
    except OSError:
        return False


def _directories(root: Path) -> Iterator[str]:
    return (path for path, _, _ in os.walk(root))

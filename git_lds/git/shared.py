"""core.sharedRepository: whom git lets read and write what is in a repository, for our directory in it."""

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
"""Bytes of a config file in which the setting is looked for."""


def prepare(directory: Path) -> None:
    """Make `directory`, which is ours in a git repository, as shared as core.sharedRepository wants its files to be.

    What is made below follows from that (see `sharing`). Nothing is done where the directory is shared, or is in no repository
    that is to be. The setting is looked for in the repository's own config, where `git init --shared` and `git config` put it.
    """
    shared = sharing.permissions(directory)
    if (shared is not None and shared & stat.S_IWGRP) or not _is_mentioned(directory.parent / "config"):
        return
    said = Git(directory.parent).maybe(
        "config", "--file", os.fspath(directory.parent / "config"), "core.sharedRepository"
    )
    wanted = permissions(said) if said is not None else None
    if wanted is None:
        return
    with contextlib.suppress(OSError):
        os.mkdir(directory)
    with contextlib.suppress(OSError):  # another user's: it stays as it is, as git's do
        if _give_mode(directory, *wanted):
            for path in _directories(directory):
                with contextlib.suppress(OSError):
                    _give_mode(path, *wanted)


def permissions(said: str) -> tuple[int, bool] | None:
    """Return the permission bits that a value of core.sharedRepository gives files, and whether they are all that these get
    (else they come on top of what the umask leaves); None where the umask decides alone."""
    word = said.lower()
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
    """Give a directory the mode that git would give it: who may read may enter. Return whether it had another one."""
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

"""Repositories that are made once and then copied: 10 ms instead of the second that git and its filters take.

Repositories that name each other by their paths are copied to where the first ones stood, for a URL in a commit cannot be
rewritten: `template_directory` is such a place.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from git_lds.git import index_file

_MADE: dict[str, list[Path]] = {}
"""For each template: where the copies of its directories are kept."""


def template_directory(base: Path, name: str) -> Path:
    """Return a directory below `base`, empty, and at the same path for each test of this process.

    What the test before left is moved away first: a process that it killed may still write there.
    """
    directory = base / name
    if directory.exists():
        away = Path(tempfile.mkdtemp(dir=base))
        directory.rename(away / name)
        shutil.rmtree(away, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def as_first_made(name: str, directories: list[Path], make: Callable[[], object]) -> None:
    """Fill `directories` by `make`, the first time really, and then with what it left in them then."""
    if name not in _MADE:
        make()
        kept = Path(tempfile.mkdtemp(prefix="git-lds-template-"))
        atexit.register(shutil.rmtree, kept, ignore_errors=True)
        _MADE[name] = [kept / str(number) for number in range(len(directories))]
        for directory, copy in zip(directories, _MADE[name], strict=True):
            if directory.exists():
                shutil.copytree(directory, copy, symlinks=True)
        return
    for directory, copy in zip(directories, _MADE[name], strict=True):
        if directory.exists():
            shutil.rmtree(directory)
        if copy.exists():
            shutil.copytree(copy, directory, symlinks=True)
            for index in directory.rglob(".git/index"):
                know_files(index.parent.parent)


def know_files(work_tree: Path) -> None:
    """Write into git's index that the copied files are the ones that it knows, as `git status` would by reading them."""

    def renewed(entry: index_file.IndexRecord) -> os.stat_result | None:
        try:
            info = os.lstat(os.path.join(os.fsencode(work_tree), entry.path))
        except OSError:
            return None
        is_same = (info.st_mtime_ns, info.st_size) == (entry.mtime_ns, entry.size)
        return info if is_same else None

    index_file.refresh(work_tree / ".git" / "index", renewed)

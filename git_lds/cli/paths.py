"""Paths as the user types them, from the current directory, and as our rooms want them, from the top of the working tree."""

from __future__ import annotations

import os
from pathlib import Path


def current_directory(top: Path) -> Path:
    """Return the directory that typed paths count from: the current one, or `top`, the top of the working tree, where the
    current one is outside of it (as GIT_WORK_TREE and core.worktree allow). So does git."""
    here = Path.cwd()
    return here if here.is_relative_to(os.path.realpath(top)) else top


def from_top(path: str, top: Path | None) -> str:
    """Return a typed path as it reads at the top of the working tree, where git is asked; git's magic ones stay."""
    if top is None or path.startswith(":"):
        return path
    return Path(os.path.relpath(os.path.join(current_directory(top), path), top)).as_posix()


def of_repository(url: str) -> str:
    """Return the address of a repository: a directory that is there, from the current one, as an absolute path."""
    return os.path.abspath(url) if "://" not in url and os.path.isdir(url) else url

"""Paths that users type, relative to the current directory, as paths from the top of the working tree."""

from __future__ import annotations

import os
from pathlib import Path


def current_directory(top: Path) -> Path:
    """Return the directory that typed paths are relative to: the current one, if it is in the working tree, else its top.

    As for git, GIT_WORK_TREE and core.worktree allow a current directory outside the working tree.
    """
    current = Path.cwd()
    return current if current.is_relative_to(os.path.realpath(top)) else top


def from_top(path: str, top: Path | None) -> str:
    """Return a typed path relative to the top of the working tree; pathspecs with git's magic stay."""
    if top is None or path.startswith(":"):
        return path
    return Path(os.path.relpath(os.path.join(current_directory(top), path), top)).as_posix()


def of_repository(url: str) -> str:
    """Return the URL of a repository, or the absolute path if it is an existing directory."""
    return os.path.abspath(url) if "://" not in url and os.path.isdir(url) else url

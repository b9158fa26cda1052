"""Paths as the user types them, from the current folder, and as our rooms want them, from the top of the work tree."""

from __future__ import annotations

import os
from pathlib import Path


def from_top(path: str, top: Path | None) -> str:
    """Return a typed path as it reads at the top of the work tree, where git is asked; git's magic ones stay."""
    if top is None or path.startswith(":"):
        return path
    return Path(os.path.relpath(os.path.join(os.getcwd(), path), top)).as_posix()


def of_repository(url: str) -> str:
    """Return the address of a repository: a folder that is there, from the current one, as an absolute path."""
    return os.path.abspath(url) if "://" not in url and os.path.isdir(url) else url

"""The directory of a page: `index.html`, and beside it `data/` and `pictures/`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from git_lds.errors import LdsError
from git_lds.review import page

ENTRIES_PER_PART = 50
"""Entries in one part of the data: a part takes some megabytes if each entry has a thousand annotations."""

_OURS = ("data", "pictures")
"""The subdirectories of a page."""

_HINT = "name another: git lds review -o DIR"


def check_directory(directory: Path) -> None:
    """Raise LdsError unless a page can be written: `directory` is missing, empty, or holds an earlier page.

    The directory may have come with a clone, so a symbolic link in it is refused: nothing is written or deleted through it.
    """
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
        raise LdsError(f"{directory} is not a directory", _HINT)
    for name in _OURS:
        for top, directories, names in os.walk(directory / name):
            if os.path.islink(top) or any(os.path.islink(os.path.join(top, name)) for name in (*directories, *names)):
                raise LdsError(f"{directory / name} contains symbolic links", f"delete it: rm -r {directory}")
    if directory.is_dir() and any(directory.iterdir()) and not (_is_page(directory) or _is_unfinished(directory)):
        raise LdsError(f"{directory} is not empty and was not made by git lds review", _HINT)


def _is_page(directory: Path) -> bool:
    with contextlib.suppress(OSError), open(directory / "index.html", "rb") as file:
        return page.MARK in file.read(200)
    return False


def _is_unfinished(directory: Path) -> bool:
    return all(path.name in _OURS or path.name.startswith(".index.html.") for path in directory.iterdir())


class PageWriter:
    """Writes the files of a page. The data of the entries come in any order; a part is written once it is complete."""

    def __init__(self, directory: Path, entries: int) -> None:
        """`entries` is the number of entries on the page."""
        self._directory = directory
        self._missing = [min(ENTRIES_PER_PART, entries - first) for first in range(0, entries, ENTRIES_PER_PART)]
        self._details: dict[int, dict[int, object]] = {}

    def add(self, number: int, detail: Mapping[str, object]) -> None:
        """Add the data of entry `number`."""
        part = number // ENTRIES_PER_PART
        self._details.setdefault(part, {})[number] = detail
        self._missing[part] -= 1
        if not self._missing[part]:
            page.write_part(self._directory, part, self._details.pop(part))

    def finish(self, title: str, index: Mapping[str, object], pictures: set[str]) -> None:
        """Write the page itself, and delete what an earlier page left; `pictures` are paths in the directory."""
        page.write_index(self._directory, title, index)
        self._sweep(pictures | {f"data/{part}.js" for part in range(len(self._missing))})

    def _sweep(self, current: set[str]) -> None:
        for subdirectory in _OURS:
            for top, _, names in os.walk(self._directory / subdirectory, topdown=False):
                for name in names:
                    path = Path(top, name)
                    if path.relative_to(self._directory).as_posix() not in current:
                        path.unlink()
                with contextlib.suppress(OSError):
                    os.rmdir(top)  # fails unless it is empty

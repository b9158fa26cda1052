"""Compares files of the working tree with a refreshed index by their stat data, as git does, without a process."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from git_lds.git.index_file import IndexRecord


class Comparison:
    """Compares with the index `copy`. It is sure only of files that git would not read."""

    def __init__(self, root: bytes, copy: Path) -> None:
        self._root = root
        try:
            self._written = copy.stat().st_mtime_ns
        except FileNotFoundError:
            self._written = 0
        self._directories: dict[bytes, bool] = {b"": True}

    def is_surely_clean(self, record: IndexRecord) -> bool:
        """Return whether the file of an entry is surely the one that git recorded."""
        try:
            info = os.lstat(os.path.join(self._root, record.path))
        except OSError:
            return record.is_skipped
        return (
            not record.is_skipped
            and not record.stage
            # a file as young as the index may have changed after git looked at it
            and info.st_mtime_ns < self._written
            and record.is_clean(info)
            and self._is_real(record.path.rpartition(b"/")[0])
        )

    def _is_real(self, directory: bytes) -> bool:
        """Return whether no part of a path is a symbolic link: git has no files behind one."""
        if directory not in self._directories:
            mode = os.lstat(os.path.join(self._root, directory)).st_mode
            self._directories[directory] = stat.S_ISDIR(mode) and self._is_real(directory.rpartition(b"/")[0])
        return self._directories[directory]

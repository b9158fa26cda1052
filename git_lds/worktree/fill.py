"""Writes new files whose contents are small objects on this machine, without git.

An import of 10,000 files takes 2.9 s instead of 4.1 s: git and our filter would pass each file to and fro. Files that git
changes in another way are left to it: other filters, line endings, encodings, `$Id$`, sparse checkouts.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from git_lds import files
from git_lds.errors import CorruptData
from git_lds.files import WorkTreePath
from git_lds.git import attributes
from git_lds.git.run import Git
from git_lds.git.trees import TreeEntry
from git_lds.local.objects import SMALL
from git_lds.pointer import Pointer
from git_lds.repo import Repo
from git_lds.transfer import download
from git_lds.transfer.disk_errors import disk_errors

_ATTRIBUTES = ("filter", "text", "ident", "working-tree-encoding")
_PLAIN = {"filter": (b"lds",), "text": (b"unset",)}
_NOT_SET = (b"unspecified", b"unset")

_SETTINGS = ("core.sparsecheckout", "filter.lds.process")

SmallFiles = dict[bytes, tuple[Pointer, TreeEntry]]
"""Files that are written without git, by path."""


def settings(repo: Repo) -> set[str]:
    """Return which settings have a value that decide who writes files: core.sparsecheckout, filter.lds.process."""
    return {key for key in _SETTINGS if any(value for value, _ in repo.settings.config.get(key, ()))}


def small_files(repo: Repo, entries: Mapping[bytes, TreeEntry], contents: Mapping[bytes, Pointer]) -> SmallFiles:
    """Return those of the `entries` that can be written without git, as far as their attributes allow it.

    `contents` are the pointers, by path, whose contents the files get.
    """
    return {
        path: (pointer, entries[path])
        for path, pointer in contents.items()
        if path in entries
        and entries[path].is_regular
        and 0 < pointer.size <= SMALL
        and files.is_safe_path(path)
        and repo.objects.has(pointer.oid)
    }


def with_other_attributes(git: Git, paths: Mapping[bytes, object]) -> list[bytes]:
    """Return the paths that have more attributes in the index of `git` than those of our filter."""
    values = attributes.check(git, _ATTRIBUTES, paths, cached=True)
    return [
        path
        for path, by_name in values.items()
        if any(value not in _PLAIN.get(name, _NOT_SET) for name, value in by_name.items())
    ]


def write(repo: Repo, new: Path, small: SmallFiles) -> None:
    """Write the files below the directory `new`, through no symbolic link.

    Raises CorruptData if an object is damaged and no store has it, LdsError if the disk is full.
    """
    with disk_errors(new), contextlib.closing(_Directories(os.fsencode(new))) as directories:
        for path, (pointer, file) in small.items():
            data = repo.objects.read(pointer.oid)
            if data is None:
                data = _fetch_again(repo, path, pointer)
            directory, name = directories.open(path)
            mode = 0o777 if file.mode == b"100755" else 0o666
            # O_TRUNC: if the file system takes two names for one, the last file wins, as when git writes them
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode, dir_fd=directory)
            try:
                files.write_all(fd, data)
            finally:
                os.close(fd)


def _fetch_again(repo: Repo, path: bytes, pointer: Pointer) -> bytes:
    """Return the contents of an object whose local copy is damaged, from a store. Raises CorruptData if none has it."""
    download.download(repo.open_stores or repo.reading_stores(), repo.objects, {pointer.oid: (pointer.size, path)})
    data = repo.objects.read(pointer.oid)
    if data is None:
        raise CorruptData(
            f"{files.printable(path)}: what is here of {pointer.oid.hex()} is damaged, and no store gave it again",
            "run the same command again when its store can be reached",
        )
    return data


class _Directories:
    """Opens the directories of paths. The last one stays open, because most paths share it with the one before."""

    def __init__(self, root: bytes) -> None:
        self._root = root
        self._name: bytes | None = None
        self._place: WorkTreePath | None = None

    def open(self, path: bytes) -> tuple[int, bytes]:
        """Return a descriptor of the directory of `path`, which is created if missing, and the name in it."""
        directory, _, name = path.rpartition(b"/")
        if self._place is None or directory != self._name:
            self.close()
            self._place, self._name = WorkTreePath(self._root, path, create=True), directory
        return self._place.directory, name

    def close(self) -> None:
        """Close the open directory."""
        if self._place is not None:
            self._place.close()
            self._place = None

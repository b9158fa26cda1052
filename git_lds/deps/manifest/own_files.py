"""Our own files, `.ldsdeps` and `.gitattributes`, read and edited separately in the index and in the working tree.

The user's unstaged changes to them therefore stay, and stay unstaged.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from git_lds.deps.manifest import manifest
from git_lds.deps.manifest.manifest import Dependency
from git_lds.errors import LdsError
from git_lds.files import printable
from git_lds.git import index
from git_lds.git.index import IndexEntry
from git_lds.git.trees import ATTRIBUTES, TreeEntry
from git_lds.repo import Repo
from git_lds.worktree.file_change import Bytes, FileChange, FromGit
from git_lds.worktree.state import Stamp, View

OWN = (ATTRIBUTES, manifest.NAME.encode())
"""The files that both we and the user write."""

_MAX_SIZE = 4 << 20
"""Bytes of the largest file that is rewritten."""


@dataclass(frozen=True, slots=True)
class OwnEdit:
    """An edit of one of our files, before its blob is written: the contents in the index, and those in the working tree."""

    path: bytes
    before: TreeEntry | None
    staged: bytes
    working: bytes
    expected: Stamp | None

    def change(self, blob: str) -> FileChange:
        """Return the change of the working tree and the index, where `blob` holds the staged contents."""
        after = TreeEntry(self.before.mode if self.before else b"100644", blob.encode())
        source = FromGit(after) if self.working == self.staged else Bytes(self.working)
        return FileChange(self.path, self.before, after, self.expected, source)


def edited(repo: Repo, view: View, path: bytes, edit: Callable[[bytes], bytes]) -> OwnEdit | None:
    """Return what `edit` makes of the file at `path`, or None if it changes nothing. `view` shows the path.

    Raises LdsError if the file is not a plain file.
    """
    assert repo.work_tree is not None
    before = view.files.get(path)
    if before is not None and not before.is_regular:
        raise LdsError(f"{printable(path)} is a symbolic link in git's index", "it must be a plain file")
    staged = read_staged(repo, before)
    working, expected = read_working(repo.work_tree, path)
    new_staged = edit(staged)
    new_working = new_staged if working == staged else edit(working if expected else staged)
    if new_staged == staged and new_working == working:
        return None
    return OwnEdit(path, before, new_staged, new_working, expected)


def read_manifest(repo: Repo, view: View | None = None) -> dict[str, Dependency]:
    """Return the dependencies, as the working tree has them, or the index where a sparse checkout leaves the file out.

    A `view` that shows the file saves a question. Raises LdsError if the file is damaged.
    """
    assert repo.work_tree is not None
    name = manifest.NAME.encode()
    data, stamp = read_working(repo.work_tree, name)
    if stamp is None:
        if view is not None:
            skipped = view.files.get(name) if name in view.skip_worktree else None
        else:
            skipped = next(
                (TreeEntry(e.mode, e.blob) for e in index.entries(repo.git, (name,)) if _is_skipped(e)), None
            )
        data = read_staged(repo, skipped)
    return manifest.parse(data)


def _is_skipped(entry: IndexEntry) -> bool:
    return entry.tag == b"S" and entry.path == manifest.NAME.encode()


def read_committed(repo: Repo, rev: str = "HEAD") -> dict[str, Dependency]:
    """Return the dependencies as a commit has them. Raises LdsError if the file is damaged."""
    answer = repo.git.reader.read(f"{rev}:{manifest.NAME}")
    return manifest.parse(answer[1] if answer is not None and answer[0].kind == "blob" else b"")


def read_staged(repo: Repo, file: TreeEntry | None) -> bytes:
    """Return the contents of one of our files in the index, b"" if missing."""
    answer = repo.git.reader.read(file.blob.decode()) if file is not None else None
    return answer[1] if answer is not None else b""


def read_working(work_tree: Path, path: bytes) -> tuple[bytes, Stamp | None]:
    """Return the contents and the stamp of one of our files in the working tree; b"" and None if missing.

    Follows no symbolic link. Raises LdsError if it is not a plain file or far too large.
    """
    full = os.path.join(os.fsencode(work_tree), path)
    try:
        fd = os.open(full, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        return b"", None
    except OSError as error:
        raise LdsError(f"{printable(path)} cannot be read: {error.strerror}", "it must be a plain file") from None
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_size > _MAX_SIZE:
            raise LdsError(f"{printable(path)} is not a plain file, or far too large")
        with open(fd, "rb", closefd=False) as file:
            return file.read(), Stamp.of(info)
    finally:
        os.close(fd)

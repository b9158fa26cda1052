"""Our own files, `.ldsdeps` and `.gitattributes`: read and changed in the index as in the working tree, each from
what it is there.

So what the user has changed in one of them and not staged stays, and stays not staged.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from git_lds.deps.manifest import manifest
from git_lds.deps.manifest.manifest import Dependency
from git_lds.errors import LdsError
from git_lds.files import printable
from git_lds.git import index
from git_lds.git.objects import BlobReader
from git_lds.git.trees import ATTRIBUTES, TreeEntry
from git_lds.repo import Repo
from git_lds.worktree.file_change import Bytes, FileChange, FromGit
from git_lds.worktree.state import Stamp, View

OWN = (ATTRIBUTES, manifest.NAME.encode())
"""The files that we write, and the user too."""

_MAX_SIZE = 4 << 20
"""Bytes of the largest file that is rewritten."""


def change(repo: Repo, view: View, path: bytes, edit: Callable[[bytes], bytes]) -> FileChange | None:
    """Return what `edit` changes in the file at `path`; None when that is nothing. `view` shows the path."""
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
    blob = repo.git.text("hash-object", "-w", "--no-filters", "--stdin", stdin=new_staged)
    after = TreeEntry(before.mode if before else b"100644", blob.encode())
    source = FromGit(after) if new_working == new_staged else Bytes(new_working)
    return FileChange(path, before, after, expected, source)


def read_manifest(repo: Repo) -> dict[str, Dependency]:
    """Return the dependencies, as the working tree has them, or the index where a sparse checkout leaves the file out."""
    assert repo.work_tree is not None
    name = manifest.NAME.encode()
    data, stamp = read_working(repo.work_tree, name)
    if stamp is None:
        for tag, mode, blob, _, path in index.entries(repo.git, (name,)):
            if tag == b"S" and path == name:
                data = read_staged(repo, TreeEntry(mode, blob))
    return manifest.parse(data)


def read_committed(repo: Repo, rev: str = "HEAD") -> dict[str, Dependency]:
    """Return the dependencies as a commit has them."""
    with BlobReader(repo.git) as blobs:
        return manifest.parse(blobs.read(f"{rev}:{manifest.NAME}".encode()) or b"")


def read_staged(repo: Repo, file: TreeEntry | None) -> bytes:
    """Return the contents of a file of ours in the index, b"" for none."""
    if file is None:
        return b""
    with BlobReader(repo.git) as blobs:
        return blobs.read(file.blob) or b""


def read_working(work_tree: Path, path: bytes) -> tuple[bytes, Stamp | None]:
    """Return the contents of a file of ours in the working tree and its stamp; b"" and None for none. Follows no symlink."""
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

"""The state of paths in git's index and in the working tree, and where the two differ.

git compares them in a copy of the index, which is refreshed first. So a file that was only touched does not count as
edited, and the user's own index stays as it is.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from git_lds import sharing
from git_lds.errors import LdsError
from git_lds.files import WorkTreePath, printable
from git_lds.git import index, index_file, refs, trees
from git_lds.git.config import configured
from git_lds.git.run import Git
from git_lds.git.trees import TreeEntry
from git_lds.repo import Repo

_CONFIG = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    # a copy lists every file: it shares nothing with the user's index, and has no sparse directory entries
    "core.splitIndex": "false",
    "index.sparse": "false",
}

_LITERAL = {"GIT_LITERAL_PATHSPECS": "1"}

Stages = tuple[TreeEntry | None, TreeEntry | None, TreeEntry | None]
"""The index entries of a path in conflict: base, ours, theirs."""

IndexState = TreeEntry | Stages | None
"""What the index has at a path: a file, a conflict, or nothing."""


class LocalEdits(LdsError):
    """Changes of the user would be lost; `paths` are the files."""

    def __init__(self, message: str, paths: Sequence[bytes], hint: str) -> None:
        named = [printable(path) for path in paths[:20]]
        more = [f"and {len(paths) - 20} more"] if len(paths) > 20 else []
        super().__init__("\n  ".join([message, *named, *more]), hint)
        self.paths = tuple(paths)


@dataclass(frozen=True, slots=True)
class Stamp:
    """Tells a file from a later one at its path, as git does: by time of modification in ns, and size."""

    mtime_ns: int
    size: int

    @classmethod
    def of(cls, info: os.stat_result) -> Stamp:
        return cls(info.st_mtime_ns, info.st_size)


@dataclass(frozen=True, slots=True)
class View:
    """The index at and below some paths, compared with the working tree."""

    files: Mapping[bytes, TreeEntry]
    edited: frozenset[bytes]
    """Paths whose file in the working tree differs from the index: changed or deleted."""
    stamps: Mapping[bytes, Stamp]
    """The stamps of the files in the working tree when they were compared."""
    skip_worktree: frozenset[bytes]
    """Paths outside of a sparse checkout, which have no file."""


def look(repo: Repo, paths: Iterable[str], copy: Path) -> View:
    """Return the index at and below `paths`, and its differences from the working tree.

    `copy` is the name of a scratch file. Raises LdsError if a path is in conflict.
    """
    git = _refreshed(repo, copy)
    pathspecs = tuple(paths)
    files, skip_worktree = {}, set()
    for entry in index.entries(git, pathspecs):
        if entry.stage != b"0":
            raise LdsError(f"{printable(entry.path)} is in conflict", "resolve it first: git status")
        files[entry.path] = TreeEntry(entry.mode, entry.blob)
        if entry.tag == b"S":
            skip_worktree.add(entry.path)
    edited = index.edited_paths(git, pathspecs)
    stamps = {entry.path: Stamp(entry.mtime_ns, entry.size) for entry in index_file.read(copy) if entry.path in files}
    return View(files, frozenset(edited), stamps, frozenset(skip_worktree))


def edited_files(repo: Repo, copy: Path) -> set[bytes]:
    """Return all paths whose file in the working tree differs from the index, or which are in conflict.

    `copy` is the name of a scratch file.
    """
    return index.edited_paths(_refreshed(repo, copy))


def _refreshed(repo: Repo, copy: Path) -> Git:
    """Return git on a copy of the index that is refreshed."""
    sharing.make_directory(copy.parent)
    with contextlib.suppress(FileNotFoundError):
        # with its time stamp: git rereads the files that are as young as the index
        shutil.copy2(repo.index, copy)
    git = on_index(repo.git, copy).with_environment(_LITERAL)
    index.refresh(git, unmerged=True)
    return git


def on_index(git: Git, copy: Path) -> Git:
    """Return git that uses `copy`, a copy of the user's index, as its index."""
    return configured(git, _CONFIG).with_environment({"GIT_INDEX_FILE": str(copy)})


def index_states(repo: Repo, paths: Iterable[bytes]) -> dict[bytes, IndexState]:
    """Return what git's index has at `paths`. The result may hold more paths: all that share a top directory."""
    tops = {path.split(b"/")[0] for path in paths}
    if not tops:
        return {}
    states: dict[bytes, IndexState] = {}
    for entry in index.entries(repo.git.with_environment(_LITERAL), sorted(tops)):
        file = TreeEntry(entry.mode, entry.blob)
        if entry.stage == b"0":
            states[entry.path] = file
        else:
            before = states.get(entry.path)
            stages: list[TreeEntry | None] = list(before) if isinstance(before, tuple) else [None, None, None]
            stages[int(entry.stage) - 1] = file
            states[entry.path] = (stages[0], stages[1], stages[2])
    return states


def committed(repo: Repo, path: str) -> dict[bytes, TreeEntry]:
    """Return the files at and below a path in the last commit; none on a branch without commits."""
    head = refs.head(repo.git)
    return trees.files(repo.git.with_environment(_LITERAL), head, (path,)) if head is not None else {}


def stamp_at(work_tree: Path, path: bytes) -> Stamp | None:
    """Return the stamp of the file at a path of the working tree, or None if it does not exist.

    Raises OSError if a directory on the way is a file or a symbolic link (ENOTDIR, ELOOP), or if the path itself is a
    directory (EISDIR).
    """
    try:
        with WorkTreePath(os.fsencode(work_tree), path) as place:
            info = os.stat(place.name, dir_fd=place.directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(info.st_mode):
        raise IsADirectoryError(path)
    return Stamp.of(info)


def in_the_way(work_tree: Path, path: bytes, leaving: Collection[bytes]) -> list[bytes]:
    """Return the files that a file at `path` would overwrite: at it, below it, or at one of the directories above it.

    Those in `leaving` do not count, because they will be removed first.
    """
    root = os.fsencode(work_tree)
    names = path.split(b"/")
    for count in range(1, len(names)):
        above = b"/".join(names[:count])
        try:
            mode = os.lstat(os.path.join(root, above)).st_mode
        except OSError:
            return []
        if not stat.S_ISDIR(mode):
            return [] if above in leaving else [above]
    full = os.path.join(root, path)
    if os.path.isdir(full) and not os.path.islink(full):
        return [name[len(root) + 1 :] for name in files_below(full) if name[len(root) + 1 :] not in leaving]
    return [path] if os.path.lexists(full) and path not in leaving else []


def files_below(directory: bytes) -> Iterator[bytes]:
    """Yield the files in a directory and below it, symbolic links among them; none if it does not exist."""
    for inner, directories, names in os.walk(directory):
        yield from (os.path.join(inner, name) for name in names)
        # a link to a directory is a file here
        yield from (path for name in directories if os.path.islink(path := os.path.join(inner, name)))

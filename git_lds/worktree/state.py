"""What the user has at a path: in git's index, in the working tree, and where the two differ.

Asked of a copy of the index, which is refreshed first, so that a file that was only touched does not count as edited and
the user's own index is left alone.
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
from git_lds.git import index_file
from git_lds.git.config import configured
from git_lds.git.run import Git
from git_lds.git.trees import TreeEntry
from git_lds.repo import Repo

_CONFIG = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    # a copy is one list of files: nothing shared with the user's index, no directory standing for its files
    "core.splitIndex": "false",
    "index.sparse": "false",
}


class LocalEdits(LdsError):
    """The user's own changes would be lost; `paths` are the files."""

    def __init__(self, message: str, paths: Sequence[bytes], hint: str) -> None:
        named = [printable(path) for path in paths[:20]]
        more = [f"and {len(paths) - 20} more"] if len(paths) > 20 else []
        super().__init__("\n  ".join([message, *named, *more]), hint)
        self.paths = tuple(paths)


@dataclass(frozen=True, slots=True)
class Stamp:
    """How a file is told from a later one at its path, as git does it: time of change in ns, and size."""

    mtime_ns: int
    size: int

    @classmethod
    def of(cls, info: os.stat_result) -> Stamp:
        return cls(info.st_mtime_ns, info.st_size)


@dataclass(frozen=True, slots=True)
class View:
    """The index under some paths, as it was when it was looked at."""

    files: Mapping[bytes, TreeEntry]
    edited: frozenset[bytes]
    """Paths whose file in the working tree is not what the index says: changed or deleted."""
    stamps: Mapping[bytes, Stamp]
    """The files in the working tree, as they were when they were compared with the index."""
    hidden: frozenset[bytes]
    """Paths outside of a sparse checkout, which have no file."""


def look(repo: Repo, paths: Iterable[str], copy: Path) -> View:
    """Return what git's index has at and below `paths`. `copy` is the name of a file that may be made.

    Raises LdsError when a path is in conflict.
    """
    git = _refreshed(repo, copy)
    asked = tuple(paths)
    files, hidden = {}, set()
    for tag, mode, blob, stage, path in entries(git, asked):
        if stage != b"0":
            raise LdsError(f"{printable(path)} is in conflict", "resolve it first: git status")
        files[path] = TreeEntry(mode, blob)
        if tag == b"S":
            hidden.add(path)
    edited = set(git.names("diff-files", "-z", "--name-only", "--", *asked))
    stamps = {entry.path: Stamp(entry.mtime_ns, entry.size) for entry in index_file.read(copy) if entry.path in files}
    return View(files, frozenset(edited), stamps, frozenset(hidden))


def edited_files(repo: Repo, copy: Path) -> set[bytes]:
    """Return the paths, of all, whose file in the working tree is not what git's index says, or which are in conflict."""
    return set(_refreshed(repo, copy).names("diff-files", "-z", "--name-only"))


def _refreshed(repo: Repo, copy: Path) -> Git:
    """Return git on a copy of the index, in which files that were only touched are as good as new."""
    sharing.make_directory(copy.parent)
    with contextlib.suppress(FileNotFoundError):
        # with its time stamp: by that git knows which files are too young to be judged by theirs
        shutil.copy2(repo.index, copy)
    git = on_index(repo.git, copy).with_environment({"GIT_LITERAL_PATHSPECS": "1"})
    git.ok("update-index", "-q", "--unmerged", "--refresh")
    return git


def committed(repo: Repo, output: str) -> dict[bytes, TreeEntry]:
    """Return the files at and below a path in the last commit."""
    git = repo.git.with_environment({"GIT_LITERAL_PATHSPECS": "1"})
    if not git.ok("rev-parse", "--verify", "--quiet", "HEAD"):
        return {}
    found = {}
    for entry in git.names("ls-tree", "-r", "-z", "--full-tree", "HEAD", "--", output):
        about, _, path = entry.partition(b"\t")
        mode, _, blob = about.split(b" ")
        found[path] = TreeEntry(mode, blob)
    return found


def on_index(git: Git, index: Path) -> Git:
    """Return git with `index`, a copy of the user's, in the place of that."""
    return configured(git, _CONFIG).with_environment({"GIT_INDEX_FILE": str(index)})


def entries(git: Git, paths: Sequence[str | bytes]) -> Iterator[tuple[bytes, bytes, bytes, bytes, bytes]]:
    """Yield (tag, mode, blob, stage, path) of the index entries at and below `paths`; tag is H, S (no file), M (conflict)."""
    for line in git.names("ls-files", "-t", "-s", "-z", "--full-name", "--", *paths):
        about, _, path = line.partition(b"\t")
        tag, mode, blob, stage = about.split(b" ")
        yield tag, mode, blob, stage, path


def stamp_at(work_tree: Path, path: bytes) -> Stamp | None:
    """Return the stamp of what is at a path of the working tree, or None when nothing is.

    Raises OSError where a directory on the way to it is a file or a symlink (ENOTDIR, ELOOP), or it is a directory
    itself (EISDIR).
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
    """Return the files that are where `path` should go: at it, below it, or in place of one of its directories.

    Those in `leaving` do not count, for they are on their way out.
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
    """Yield the files in a directory and below it, links among them; none where there is no directory."""
    for inner, directories, names in os.walk(directory):
        yield from (os.path.join(inner, name) for name in names)
        # a link to a directory is not one
        yield from (path for name in directories if os.path.islink(path := os.path.join(inner, name)))

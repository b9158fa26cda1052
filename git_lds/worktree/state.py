"""The state of paths in git's index and in the working tree, and where the two differ.

They are compared in a copy of the index, which git refreshes first. So a file that was only touched does not count as
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
from git_lds.git.index import IndexEntry
from git_lds.git.run import Git
from git_lds.git.trees import TreeEntry
from git_lds.repo import Repo
from git_lds.worktree.comparison import Comparison

_CONFIG = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    # a copy lists every file: it shares nothing with the user's index, and has no sparse directory entries
    "core.splitIndex": "false",
    "index.sparse": "false",
}

_LITERAL = {"GIT_LITERAL_PATHSPECS": "1"}

_FEW = 2000
"""Up to this many files are compared by us: git compares more of them faster than it starts."""

_SMALL_INDEX = 1 << 17
"""Bytes of the largest index that we read ourselves: 1,000 entries take 5 ms; a process takes 2 ms, elsewhere 10 to 30."""

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
    records = _records(copy, pathspecs)
    if records is None:
        return _look_by_git(git, pathspecs, copy)
    for record in records:
        if record.stage:
            raise _in_conflict(record.path)
    return View(
        {record.path: TreeEntry(b"%06o" % record.mode, record.blob.hex().encode()) for record in records},
        frozenset(_edited(repo, git, records, copy, pathspecs)),
        {record.path: Stamp(record.mtime_ns, record.size) for record in records},
        frozenset(record.path for record in records if record.is_skipped),
    )


def _look_by_git(git: Git, pathspecs: Sequence[str], copy: Path) -> View:
    """Return the same from an index that only git can read."""
    entries = list(index.entries(git, pathspecs))
    for entry in entries:
        if entry.stage != b"0":
            raise _in_conflict(entry.path)
    files = {entry.path: TreeEntry(entry.mode, entry.blob) for entry in entries}
    stamps = {record.path: Stamp(record.mtime_ns, record.size) for record in index_file.read(copy)}
    return View(
        files,
        frozenset(index.edited_paths(git, pathspecs)),
        {path: stamps[path] for path in files if path in stamps},
        frozenset(entry.path for entry in entries if entry.tag == b"S"),
    )


def _in_conflict(path: bytes) -> LdsError:
    return LdsError(f"{printable(path)} is in conflict", "resolve it first: git status")


def edited_files(repo: Repo, copy: Path) -> set[bytes]:
    """Return all paths whose file in the working tree differs from the index, or which are in conflict.

    `copy` is the name of a scratch file.
    """
    git = _refreshed(repo, copy)
    records = _records(copy, ())
    return index.edited_paths(git) if records is None else _edited(repo, git, records, copy, ())


def _refreshed(repo: Repo, copy: Path) -> Git:
    """Return git on a copy of the index that is refreshed and written again."""
    sharing.make_directory(copy.parent)
    with contextlib.suppress(FileNotFoundError):
        # with its time stamp: git rereads the files that are as young as the index
        shutil.copy2(repo.index, copy)
    git = on_index(repo.git, copy).with_environment(_LITERAL)
    index.refresh(git, unmerged=True, write=True)
    return git


def _records(copy: Path, pathspecs: Sequence[str]) -> list[index_file.IndexRecord] | None:
    """Return the entries at and below the paths, or all without any; None if only git can read the index."""
    records = index_file.read_whole(copy)
    if records is None or not pathspecs:
        return records
    tops = set(map(os.fsencode, pathspecs))
    return [record for record in records if not tops.isdisjoint(_with_directories(record.path))]


def _with_directories(path: bytes) -> list[bytes]:
    """Return a path and the directories above it."""
    names = path.split(b"/")
    return [b"/".join(names[:count]) for count in range(1, len(names) + 1)]


def _edited(
    repo: Repo, git: Git, records: Sequence[index_file.IndexRecord], copy: Path, pathspecs: Sequence[str]
) -> set[bytes]:
    """Return the paths whose file is not what git recorded. git is asked only if some may differ."""
    if len(records) <= _FEW:
        comparison = Comparison(os.fsencode(repo.require_work_tree()), copy)
        if all(comparison.is_surely_clean(record) for record in records):
            return set()
    return index.edited_paths(git, pathspecs)


def index_entries(repo: Repo) -> list[IndexEntry] | None:
    """Return all entries of git's index; None if git lists them faster, or if only git can read the index."""
    try:
        if repo.index.stat().st_size > _SMALL_INDEX:
            return None
    except FileNotFoundError:
        return []
    records = index_file.read_whole(repo.index)
    return [index.of_record(record) for record in records] if records is not None else None


def index_states(repo: Repo, paths: Iterable[bytes]) -> dict[bytes, IndexState]:
    """Return what git's index has at `paths`. The result may hold more paths: all that share a top directory."""
    tops = {path.split(b"/")[0] for path in paths}
    if not tops:
        return {}
    entries: Iterable[IndexEntry] | None = index_entries(repo)
    if entries is None:
        entries = index.entries(repo.git.with_environment(_LITERAL), sorted(tops))
    states: dict[bytes, IndexState] = {}
    for entry in entries:
        file = TreeEntry(entry.mode, entry.blob)
        if entry.stage == b"0":
            states[entry.path] = file
        else:
            before = states.get(entry.path)
            stages: list[TreeEntry | None] = list(before) if isinstance(before, tuple) else [None, None, None]
            stages[int(entry.stage) - 1] = file
            states[entry.path] = (stages[0], stages[1], stages[2])
    return states


def on_index(git: Git, copy: Path) -> Git:
    """Return git that uses `copy`, a copy of the user's index, as its index."""
    return configured(git, _CONFIG).with_environment({"GIT_INDEX_FILE": str(copy)})


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

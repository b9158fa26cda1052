"""Writes the new files of a transaction to its directory: as git would, or from what the caller has ready."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from git_lds.git import index
from git_lds.git.index import IndexEntry
from git_lds.git.run import Git
from git_lds.git.trees import ATTRIBUTES, TreeEntry
from git_lds.pointer import Pointer
from git_lds.repo import Repo
from git_lds.worktree import fill
from git_lds.worktree.file_change import Bytes, File, FileChange, FromGit, Keep
from git_lds.worktree.index_update import removals_first
from git_lds.worktree.journal import Move
from git_lds.worktree.state import Stamp, index_entries, on_index

_EARLIER_NS = 2 * 10**9
"""New files get a time stamp so much earlier: git compares by the second, and would clean a file as young as its index again."""


def write(
    repo: Repo, directory: Path, changes: Sequence[FileChange], contents: Mapping[bytes, Pointer]
) -> tuple[Move, ...]:
    """Write the new files below `directory`/files; return the moves that bring them to the working tree.

    `contents` are the pointers, by path, whose contents the files get. Raises LdsError if a file cannot be written.
    """
    skipped = _check_out(repo, directory, changes, contents)
    for change in changes:
        match change.source:
            case Bytes(data):
                _write_bytes(repo, directory / "files", change.path, data)
            case File(file):
                _link(directory / "files", change.path, file)
            case FromGit() | Keep():
                pass
    return tuple(_move(directory, change, skip_worktree=change.path in skipped) for change in changes)


def _check_out(
    repo: Repo, directory: Path, changes: Sequence[FileChange], contents: Mapping[bytes, Pointer]
) -> set[bytes]:
    """Write the files that come from git; return the paths that git leaves out (sparse checkout).

    `fill` writes those that git would not change. git writes the others from a scratch index, which also has the attributes
    files.
    """
    new = directory / "files"
    scratch = directory / "checkout"
    git = on_index(repo.git.at(str(new)), scratch)
    git = git.with_environment({"GIT_DIR": str(repo.git_dir), "GIT_WORK_TREE": str(new)})
    unchanged = _attributes_files(repo)
    entries = dict(unchanged)
    for change in changes:
        if change.keeps_file:
            continue
        unchanged.pop(change.path, None)
        entries.pop(change.path, None)
        if change.git_file is not None:
            entries[change.path] = change.git_file
    wanted = {path: file for path, file in entries.items() if path not in unchanged}
    settings = fill.git_settings(repo)
    direct = fill.direct_files(repo, wanted, contents, settings)
    by_git = {path: file for path, file in entries.items() if path not in direct or _is_attributes_file(path)}
    index.update(git, removals_first(by_git.items(), repo.hash_size))
    if others := fill.with_other_attributes(git, direct, settings):
        more = [(path, direct.pop(path)[1]) for path in others]
        index.update(git, removals_first(more, repo.hash_size))
    if wanted.keys() - direct.keys():
        _read_tree(repo, git, new, scratch)
    fill.write(repo, new, direct)
    if "core.sparsecheckout" not in settings:
        return set()
    return {entry.path for entry in index.entries(git) if entry.tag == b"S"}


def _read_tree(repo: Repo, git: Git, new: Path, scratch: Path) -> None:
    """Check out the index of `git`, the file `scratch`, in the directory `new`."""
    # the filter reads include and exclude patterns from here
    with contextlib.suppress(OSError):
        shutil.copyfile(repo.require_work_tree() / ".ldsconfig", new / ".ldsconfig", follow_symlinks=False)
    # unlike checkout-index this sends can-delay, so that large files bypass git's memory; and it knows sparse checkouts
    tree = index.write_tree(git)
    scratch.unlink()
    index.read_tree(git, tree, checkout=True)


def _is_attributes_file(path: bytes) -> bool:
    return path.rpartition(b"/")[2] == ATTRIBUTES


def _attributes_files(repo: Repo) -> dict[bytes, TreeEntry]:
    """Return the attributes files of the index, by path: git asks them while it checks out."""
    entries: Iterable[IndexEntry] | None = index_entries(repo)
    if entries is None:
        entries = index.entries(repo.git, (b":(top,glob)**/" + ATTRIBUTES,))
    return {
        entry.path: TreeEntry(entry.mode, entry.blob)
        for entry in entries
        if entry.stage == b"0" and _is_attributes_file(entry.path)
    }


def _write_bytes(repo: Repo, new: Path, name: bytes, data: bytes) -> None:
    """Write a file with the permissions of the one in the working tree."""
    path = new / os.fsdecode(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    with contextlib.suppress(FileNotFoundError):
        path.chmod(stat.S_IMODE(os.lstat(repo.require_work_tree() / os.fsdecode(name)).st_mode))


def _link(new: Path, name: bytes, file: Path) -> None:
    """Link a file that is kept elsewhere, or copy it if the file system cannot."""
    path = new / os.fsdecode(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, path, follow_symlinks=False)
    except OSError:
        shutil.copy2(file, path, follow_symlinks=False)


def _move(directory: Path, change: FileChange, *, skip_worktree: bool) -> Move:
    staged = None
    if change.writes_file and not skip_worktree:
        path = os.path.join(os.fsencode(directory / "files"), change.path)
        earlier = time.time_ns() - _EARLIER_NS
        if not isinstance(change.source, File) and os.lstat(path).st_mtime_ns > earlier:
            os.utime(path, ns=(earlier, earlier), follow_symlinks=False)
        staged = Stamp.of(os.lstat(path))
    match change.source:
        case Bytes():
            matches_index = False
        case File(matches_index=matches):
            matches_index = matches
        case FromGit() | Keep():
            matches_index = True
    return Move(
        change.path,
        change.index_before,
        change.index_after,
        change.expected,
        staged,
        matches_index=matches_index,
        skip_worktree=skip_worktree,
        keep=change.keeps_file,
    )

"""Moves the files of a transaction between its directory and the working tree, and back again.

Each move is a rename, so the files tell which moves were made.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator

from git_lds import files
from git_lds.files import WorkTreePath
from git_lds.repo import Repo
from git_lds.worktree import steps
from git_lds.worktree.journal import Transaction
from git_lds.worktree.state import files_below
from git_lds.worktree.steps import Step


def make_moves(repo: Repo, transaction: Transaction, begun: list[int]) -> None:
    """Make the moves that are not made yet. The number of each is added to `begun` before it starts.

    Raises OSError with some of them made: `roll_back` undoes those in `begun`.
    """
    root = os.fsencode(repo.require_work_tree())
    moves = transaction.moves
    outgoing = [number for number, move in enumerate(moves) if move.staged is None and move.moves_file]
    incoming = [number for number, move in enumerate(moves) if move.staged is not None]
    for number in outgoing:
        if not transaction.is_done(number):
            begun.append(number)
            _move_out(root, transaction, number)
    _move_directories(root, transaction, incoming, begun)
    for number in incoming:
        if not transaction.is_done(number):
            begun.append(number)
            _move_in(root, transaction, number)
    for number in outgoing:
        _prune(root, moves[number].path)


def roll_back(repo: Repo, transaction: Transaction, begun: list[int]) -> None:
    """Undo the moves in `begun`, the last one first, and remove them from the list.

    Raises OSError if that fails; the list then holds the rest.
    """
    root = os.fsencode(repo.require_work_tree())
    while begun:
        steps.before(Step.ROLL_BACK)
        number = begun[-1]
        move = transaction.moves[number]
        if move.staged is not None and transaction.is_done(number):
            new = transaction.new_path(move.path)
            os.makedirs(os.path.dirname(new), exist_ok=True)
            with WorkTreePath(root, move.path) as place:
                _rename_out(place, new)
        old = transaction.old_path(number)
        if os.path.lexists(old):
            with WorkTreePath(root, move.path, create=True) as place:
                _rename_in(old, place)
        else:
            _remove_empty_directories(root, move.path)
        begun.pop()


def _move_directories(root: bytes, transaction: Transaction, incoming: list[int], begun: list[int]) -> None:
    """Move new directories as a whole: 10,000 files in 0.19 s instead of 0.77 s one by one, under a profiler.

    Such a directory must hold just what comes, and nothing may exist at its path. Otherwise, and between file systems, its
    files go one by one.
    """
    by_path = {transaction.moves[number].path: number for number in incoming if not transaction.is_done(number)}
    for directory in _new_directories(root, transaction, by_path):
        begun += [number for path, number in by_path.items() if path.startswith(directory + b"/")]
        with contextlib.suppress(OSError), WorkTreePath(root, directory, create=True) as place:
            steps.before(Step.MOVE_DIRECTORY)
            os.rename(transaction.new_path(directory), place.name, dst_dir_fd=place.directory)


def _new_directories(root: bytes, transaction: Transaction, paths: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the topmost directories above `paths` that can be moved as a whole."""
    prefix = len(transaction.new_path(b""))
    coming = set(paths)
    seen: dict[bytes, bool] = {}
    """Whether a directory is moved as a whole."""
    for path in paths:
        at = path.find(b"/")
        while at > 0:
            directory = path[:at]
            if directory not in seen:
                seen[directory] = not os.path.lexists(os.path.join(root, directory)) and coming.issuperset(
                    name[prefix:] for name in files_below(transaction.new_path(directory))
                )
                if seen[directory]:
                    yield directory
            if seen[directory]:
                break
            at = path.find(b"/", at + 1)


def _move_out(root: bytes, transaction: Transaction, number: int) -> None:
    try:
        with WorkTreePath(root, transaction.moves[number].path) as place:
            steps.before(Step.MOVE_OUT)
            _rename_out(place, transaction.old_path(number))
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise


def _move_in(root: bytes, transaction: Transaction, number: int) -> None:
    """Move a new file to its path. A file at the path moves out first, and empty directories are removed."""
    path = transaction.moves[number].path
    with WorkTreePath(root, path, create=True) as place:
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISDIR(os.stat(place.name, dir_fd=place.directory, follow_symlinks=False).st_mode):
                _remove_tree_of_directories(os.path.join(root, path))
            else:
                steps.before(Step.MOVE_OUT)
                _rename_out(place, transaction.old_path(number))
        steps.before(Step.MOVE_IN)
        _rename_in(transaction.new_path(path), place)


def _prune(root: bytes, path: bytes) -> None:
    steps.before(Step.PRUNE)
    _remove_empty_directories(root, path)


def _remove_empty_directories(root: bytes, path: bytes) -> None:
    """Remove the directories above `path` that are empty, as git does."""
    while b"/" in path:
        path = path.rpartition(b"/")[0]
        try:
            os.rmdir(os.path.join(root, path))
        except FileNotFoundError:
            continue
        except OSError:
            return


def _remove_tree_of_directories(path: bytes) -> None:
    """Remove a directory that holds only directories. Raises OSError if it holds a file."""
    for directory, _, _ in os.walk(path, topdown=False):
        os.rmdir(directory)


# renames, between file systems too


def _rename_out(place: WorkTreePath, target: bytes) -> None:
    try:
        os.rename(place.name, target, src_dir_fd=place.directory)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy_and_delete(place.name, place.directory, target, None)


def _rename_in(source: bytes, place: WorkTreePath) -> None:
    try:
        os.rename(source, place.name, dst_dir_fd=place.directory)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy_and_delete(source, None, place.name, place.directory)


def _copy_and_delete(source: bytes, source_fd: int | None, target: bytes, target_fd: int | None) -> None:
    """Move a file between file systems: a data directory may be a disk of its own. The copy is whole before it has its name.

    The names count from the directories that the descriptors are open on.
    """
    temporary = os.path.join(os.path.dirname(target), b".git-lds-" + os.urandom(6).hex().encode())
    info = os.stat(source, dir_fd=source_fd, follow_symlinks=False)
    try:
        if stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(source, dir_fd=source_fd), temporary, dir_fd=target_fd)
        else:
            _copy_file(source, source_fd, temporary, target_fd, info)
        os.utime(temporary, ns=(info.st_atime_ns, info.st_mtime_ns), dir_fd=target_fd, follow_symlinks=False)
        os.rename(temporary, target, src_dir_fd=target_fd, dst_dir_fd=target_fd)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=target_fd)
        raise
    os.unlink(source, dir_fd=source_fd)


def _copy_file(
    source: bytes, source_fd: int | None, target: bytes, target_fd: int | None, info: os.stat_result
) -> None:
    binary = getattr(os, "O_BINARY", 0)
    reading = os.open(source, os.O_RDONLY | binary | getattr(os, "O_NOFOLLOW", 0), dir_fd=source_fd)
    try:
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | binary, 0o600, dir_fd=target_fd)
        try:
            files.copy_contents(reading, writing, info.st_size)
            os.fchmod(writing, stat.S_IMODE(info.st_mode))
        finally:
            os.close(writing)
    finally:
        os.close(reading)

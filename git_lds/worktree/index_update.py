"""Builds the new index of a transaction and replaces git's, under git's own lock."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from git_lds import files
from git_lds.errors import LdsError
from git_lds.git import index, index_file
from git_lds.git.trees import TreeEntry
from git_lds.repo import Repo
from git_lds.worktree import state, steps
from git_lds.worktree.journal import Move, Transaction
from git_lds.worktree.state import LocalEdits, Stamp
from git_lds.worktree.steps import Step

_MARK = b"git-lds switch\n"
"""The contents of our lock, by which the lock of a killed transaction differs from git's."""

LOCK_TIMEOUT = 5.0
"""Seconds to wait for another git that has the lock; a GUI's `git status` takes less."""


# the lock


@contextlib.contextmanager
def locked(repo: Repo, directory: Path) -> Iterator[None]:
    """Hold git's lock of the index, marked as ours. Raises LdsError if another git keeps it."""
    lock = _lock_of(repo)
    mark = directory / "mark"
    mark.write_bytes(_MARK)
    steps.before(Step.LOCK_INDEX)
    deadline = time.monotonic() + LOCK_TIMEOUT
    while not _create_lock(mark, lock):
        if time.monotonic() > deadline:
            raise LdsError(
                f"cannot lock git's index: {lock} already exists, another git seems to be running",
                f"when none is running: rm {lock}",
            )
        time.sleep(0.05)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def remove_own_lock(repo: Repo) -> None:
    """Delete the lock of a transaction that was killed. The caller holds the lock of the session, so no other one is alive."""
    lock = _lock_of(repo)
    with contextlib.suppress(OSError):
        if lock.stat().st_size == len(_MARK) and lock.read_bytes() == _MARK:
            lock.unlink()


def _lock_of(repo: Repo) -> Path:
    return repo.index.with_name(repo.index.name + ".lock")


def _create_lock(mark: Path, lock: Path) -> bool:
    """Create the lock and its mark, in one step if the file system can; return whether the lock was free."""
    try:
        os.link(mark, lock)
    except FileExistsError:
        return False
    except OSError:
        try:
            fd = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            return False
        try:
            files.write_all(fd, _MARK)
        finally:
            os.close(fd)
    return True


# comparing


def check_unchanged(repo: Repo, transaction: Transaction) -> None:
    """Raise LocalEdits if git's index is no longer what the transaction was prepared for."""
    states = _states(repo, transaction)
    changed = [move.path for move in transaction.moves if states.get(move.path) != move.index_before]
    if changed:
        raise LocalEdits(
            "git's index changed while the command was running; nothing was changed:",
            changed,
            "run the same command again",
        )


def is_unchanged(repo: Repo, transaction: Transaction) -> bool:
    """Return whether git's index is what the transaction was prepared for."""
    states = _states(repo, transaction)
    return all(states.get(move.path) == move.index_before for move in transaction.moves)


def is_replaced(repo: Repo, transaction: Transaction) -> bool:
    """Return whether git's index is the one that the transaction makes."""
    states = _states(repo, transaction)
    changing = [move for move in transaction.moves if move.index_before != move.index_after]
    return bool(changing) and all(states.get(move.path) == move.index_after for move in changing)


def _states(repo: Repo, transaction: Transaction) -> Mapping[bytes, state.IndexState]:
    return state.index_states(repo, (move.path for move in transaction.moves))


# replacing


def replace(repo: Repo, transaction: Transaction) -> None:
    """Replace git's index by a new one in which the moved files are clean. The caller holds the lock.

    Raises GitFailed, and OSError on a full disk; git's index is then as before.
    """
    # the name is new on each try: a git of an earlier try that was killed has left its lock, or is still at work
    new = transaction.directory / f"index-{os.urandom(4).hex()}"
    with contextlib.suppress(FileNotFoundError):
        shutil.copy2(repo.index, new)
    git = state.on_index(repo.git, new)
    steps.before(Step.WRITE_INDEX)
    index.update(git, _records(transaction.moves, repo.hash_size))
    skipped = [move.path for move in transaction.moves if move.skip_worktree and not move.is_conflict_after]
    if skipped:
        index.skip_worktree(git, skipped)
    clean = {move.path: stamp for move in transaction.moves if (stamp := _clean_stamp(move)) is not None}
    index_file.refresh(new, lambda entry: _stat_of(repo, entry.path, clean))
    steps.before(Step.REPLACE_INDEX)
    os.replace(new, repo.index)


def removals_first(entries: Iterable[tuple[bytes, TreeEntry | None]], hash_size: int) -> bytes:
    """Return the records that give paths their entries (None removes one): a file may be in the way of a new directory."""
    records = [
        (file is not None, index.info_line(*((file.mode, file.blob) if file else _none(hash_size)), path))
        for path, file in entries
    ]
    return b"".join(record for _, record in sorted(records))


def _records(moves: Iterable[Move], hash_size: int) -> bytes:
    """Return the records that make the index what it is after the moves."""
    plain: list[tuple[bytes, TreeEntry | None]] = []
    removed: list[tuple[bytes, None]] = []
    conflicts = b""
    for move in moves:
        if isinstance(move.index_before, tuple) or isinstance(move.index_after, tuple):
            removed.append((move.path, None))
        if isinstance(move.index_after, tuple):
            plain.append((move.path, None))
            conflicts += b"".join(
                index.info_line(file.mode, file.blob, move.path, stage)
                for stage, file in enumerate(move.index_after, 1)
                if file is not None
            )
        else:
            plain.append((move.path, move.index_after))
    return removals_first(removed, hash_size) + removals_first(plain, hash_size) + conflicts


def _none(hash_size: int) -> tuple[bytes, bytes]:
    return b"0", b"00" * hash_size


def _clean_stamp(move: Move) -> Stamp | None:
    """Return the stamp of the file that is in the working tree after the move, if it matches the index entry."""
    if move.is_conflict_after or move.index_after is None or not move.matches_index:
        return None
    return move.expected if move.keep else move.staged


def _stat_of(repo: Repo, path: bytes, clean: Mapping[bytes, Stamp]) -> os.stat_result | None:
    """Return the stat of a file that still has its stamp in `clean`; None for others."""
    if path not in clean:
        return None
    info = os.lstat(os.path.join(os.fsencode(repo.work_tree or b""), path))
    return info if Stamp.of(info) == clean[path] else None

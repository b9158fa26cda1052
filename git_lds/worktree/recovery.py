"""Completes a transaction that was killed on its way, or drops it.

The files tell which moves were made, and git's index whether it was replaced.
"""

from __future__ import annotations

from git_lds.git import index_file
from git_lds.repo import Repo
from git_lds.worktree import index_update, journal, moves
from git_lds.worktree.journal import Transaction
from git_lds.worktree.state import Stamp, stamp_at
from git_lds.worktree.transaction import AtCommit, check_files, ignore_note


def recover(repo: Repo, at_commit: AtCommit = ignore_note) -> Transaction | None:
    """Complete a transaction that was killed; return it, or None if there is nothing to complete.

    A transaction that the user has undone since, or whose index entries the user has changed, is dropped. The caller holds
    the lock of the session. Raises LocalEdits if files that are still to be replaced were changed, CorruptData if the journal
    is damaged, LdsError if another version wrote it or another git keeps the index locked, and what `at_commit` raises.
    """
    index_update.remove_own_lock(repo)
    transaction = journal.unfinished(repo)
    if transaction is None:
        return None
    with index_update.locked(repo, transaction.directory):
        is_complete = index_update.is_replaced(repo, transaction)
        if not is_complete and index_update.is_unchanged(repo, transaction) and not _was_undone(repo, transaction):
            check_files(repo, transaction)
            moves.make_moves(repo, transaction, [])
            index_update.replace(repo, transaction)
            is_complete = True
        if is_complete:
            at_commit(transaction.note)
    if not is_complete:
        journal.discard(transaction)
        return None
    journal.finish(repo, transaction)
    return transaction


def _was_undone(repo: Repo, transaction: Transaction) -> bool:
    """Return whether the user has undone a move that was made: deleted the new file, or checked out the old one."""
    work_tree = repo.require_work_tree()
    recorded = {entry.path: Stamp(entry.mtime_ns, entry.size) for entry in index_file.read(repo.index)}
    for number, move in enumerate(transaction.moves):
        if not move.moves_file or not transaction.is_done(number):
            continue
        try:
            current = stamp_at(work_tree, move.path)
        except OSError:
            continue  # a directory has replaced a file, or a file a directory
        if current is None and move.staged is not None:
            return True
        if current is not None and current == recorded.get(move.path):
            return True
    return False

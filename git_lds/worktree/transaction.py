"""Changes files in the working tree and in git's index, all or nothing.

`prepare` does everything that can fail for lack of a network or of space, in a directory of its own. `commit` then only
renames: each old file goes to `old`, each new one to its path, and last a new index replaces git's, under git's
`index.lock`. An error rolls everything back. A kill leaves the journal, with which `recovery.recover` completes the
transaction.

It knows nothing of why files change. What the caller wants to do on success is a callback, and what it has to know for that
after a kill is a note in the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from git_lds import sharing
from git_lds.errors import LdsError
from git_lds.files import printable
from git_lds.pointer import Pointer
from git_lds.repo import Repo
from git_lds.worktree import index_update, journal, moves, new_files, steps
from git_lds.worktree.file_change import FileChange
from git_lds.worktree.journal import Note, Transaction
from git_lds.worktree.state import LocalEdits, Stamp, in_the_way, stamp_at
from git_lds.worktree.steps import Step

AtCommit = Callable[[Note], None]
"""What the caller does when a transaction is made. It gets the note, and may be called again after a kill."""


def ignore_note(note: Note) -> None:
    """Do nothing at commit."""


def prepare(
    repo: Repo,
    directory: Path,
    changes: Sequence[FileChange],
    contents: Mapping[bytes, Pointer],
    note: Note | None = None,
    *,
    is_undoable: bool = False,
) -> Transaction:
    """Write the new files and the journal to `directory`; the working tree and the index stay as they are.

    The blobs of `changes` are in the repository. `contents` are the pointers, by path, whose contents the working tree gets,
    and these are on this machine. With `is_undoable` the replaced files are kept on success, until `journal.forget_undoable`.

    Raises LdsError if git leaves the pointers in the files (it does not know our filter), or if the disk is full.
    """
    steps.before(Step.PREPARE)
    sharing.make_directory(directory / "files")
    sharing.make_directory(directory / "old")
    prepared = new_files.write(repo, directory, changes, contents)
    for move in prepared:
        pointer = contents.get(move.path)
        if move.staged is not None and pointer is not None and move.staged.size != pointer.size:
            raise LdsError(f"{printable(move.path)}: git wrote the pointer instead of the contents", "git lds install")
    transaction = Transaction(directory, prepared, note or {}, is_undoable)
    journal.write(transaction)
    return transaction


def commit(repo: Repo, transaction: Transaction, at_commit: AtCommit = ignore_note) -> None:
    """Make a transaction. On any error everything is as before, and the transaction is deleted.

    `at_commit` is called when all checks have passed, before the first file is moved; an error there changes nothing.

    Raises LocalEdits if files or index entries are no longer those that were expected, LdsError if another git keeps the
    index locked, OSError if files cannot be moved, GitFailed if the index cannot be written, and what `at_commit` raises.
    """
    begun: list[int] = []
    try:
        with index_update.locked(repo, transaction.directory):
            index_update.check_unchanged(repo, transaction)
            check_files(repo, transaction)
            at_commit(transaction.note)
            try:
                moves.make_moves(repo, transaction, begun)
                index_update.replace(repo, transaction)
            except BaseException:
                if not index_update.is_replaced(repo, transaction):  # else an interrupt came after the last step
                    moves.roll_back(repo, transaction, begun)
                raise
            begun.clear()
    except BaseException:
        if not begun:
            journal.discard(transaction)
        raise  # if the roll back failed, the journal stays, and the next command recovers
    journal.finish(repo, transaction)


def check_files(repo: Repo, transaction: Transaction) -> None:
    """Raise LocalEdits if a file that is still to be replaced is not the expected one."""
    work_tree = repo.require_work_tree()
    leaving = {move.path for move in transaction.moves if move.staged is None and move.moves_file}
    changed: list[bytes] = []
    for number, move in enumerate(transaction.moves):
        if not move.moves_file or transaction.is_done(number):
            continue
        try:
            current = stamp_at(work_tree, move.path)
            if current is not None and not (move.expected and _is_same(current, move.expected)):
                changed.append(move.path)
        except OSError:
            changed += in_the_way(work_tree, move.path, leaving)
    if changed:
        raise LocalEdits(
            "these files changed while the command was running, and were not overwritten:",
            changed,
            "move them away, then run the same command again",
        )


def _is_same(current: Stamp, expected: Stamp) -> bool:
    """Return whether two stamps are of the same file; on some systems git knows only whole seconds."""
    if expected.mtime_ns % 10**9 == 0:
        current = Stamp(current.mtime_ns // 10**9 * 10**9, current.size)
    return current == expected

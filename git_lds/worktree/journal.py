"""A transaction as a value, and the journal that holds it on disk.

    <git dir>/lds/switch/<random>/files/…      the new files with their contents
    <git dir>/lds/switch/<random>/journal      which file goes where, and what must be there before; written last
    <git dir>/lds/switch/<random>/old/…        the files that were replaced, by the number of their move
    <git dir>/lds/update/                      the same of a transaction that can be undone

Each run has a directory of its own, because a git that outlives the killed process that started it may go on writing.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from git_lds import sharing
from git_lds.errors import CorruptData, LdsError
from git_lds.files import printable, replace_with
from git_lds.git.trees import TreeEntry
from git_lds.repo import Repo
from git_lds.worktree import steps
from git_lds.worktree.state import IndexState, Stages, Stamp
from git_lds.worktree.steps import Step

_VERSION = 3
_WITHOUT_NOTE = 2
"""The version before, in which what is now the note stood beside the moves."""

Note = Mapping[str, Any]
"""What the caller wants to know of a transaction when it is recovered or undone: a JSON object."""


@dataclass(frozen=True, slots=True)
class Move:
    """A change whose new file is ready.

    `staged` is the stamp of the new file; None if the working tree gets none. `matches_index` says that the file is what git
    checks out for the new index entry, so that the index may record it as clean. With `keep` the working tree stays as it
    is; with `skip_worktree` it has no file at the path (sparse checkout).
    """

    path: bytes
    index_before: IndexState
    index_after: IndexState
    expected: Stamp | None
    staged: Stamp | None
    matches_index: bool
    skip_worktree: bool
    keep: bool = False

    @property
    def moves_file(self) -> bool:
        """Whether the working tree changes."""
        return not self.skip_worktree and not self.keep

    @property
    def is_conflict_after(self) -> bool:
        """Whether the index has a conflict at the path afterwards."""
        return isinstance(self.index_after, tuple)


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction that is prepared in `directory`. With `is_undoable` the files that it replaces are kept on success."""

    directory: Path
    moves: tuple[Move, ...]
    note: Note
    is_undoable: bool = False

    def new_path(self, path: bytes) -> bytes:
        """Return where the new file or directory for `path` is prepared."""
        return b"%s/files/%s" % (os.fsencode(self.directory), path)

    def old_path(self, number: int) -> bytes:
        """Return where the file goes that move `number` replaces."""
        return b"%s/old/%d" % (os.fsencode(self.directory), number)

    def is_done(self, number: int) -> bool:
        """Return whether move `number` was made, judging by the files."""
        move = self.moves[number]
        if move.staged is None:
            return os.path.lexists(self.old_path(number))
        return not os.path.lexists(self.new_path(move.path))


# directories


def new_directory(repo: Repo) -> Path:
    """Make a directory for a transaction, and delete those that killed runs left. The caller holds the lock of the session."""
    shutil.rmtree(_directories(repo), ignore_errors=True)
    directory = _directories(repo) / os.urandom(8).hex()
    sharing.make_directory(directory)
    return directory


def discard_unless_prepared(directory: Path) -> None:
    """Delete the directory unless it has a journal: `recover` completes a transaction that has one."""
    if not (directory / "journal").exists():
        shutil.rmtree(directory, ignore_errors=True)
        with contextlib.suppress(OSError):
            directory.parent.rmdir()


def discard(transaction: Transaction) -> None:
    """Delete a transaction. The working tree and the index stay as they are."""
    steps.before(Step.DISCARD)
    (transaction.directory / "journal").unlink(missing_ok=True)
    discard_unless_prepared(transaction.directory)


def finish(repo: Repo, transaction: Transaction) -> None:
    """Delete a transaction that was made, or keep it to be undone."""
    if not transaction.is_undoable:
        discard(transaction)
        return
    steps.before(Step.DISCARD)
    forget_undoable(repo)
    os.replace(transaction.directory, _undoable_directory(repo))
    with contextlib.suppress(OSError):
        transaction.directory.parent.rmdir()


def unfinished(repo: Repo) -> Transaction | None:
    """Return the transaction that a killed run left, or None.

    Raises CorruptData if its journal is damaged, LdsError if another version wrote it.
    """
    path = next(_directories(repo).glob("*/journal"), None)
    return _read(path) if path is not None else None


def undoable(repo: Repo) -> Transaction | None:
    """Return the last undoable transaction of this working tree, or None. Raises as `unfinished` does."""
    path = _undoable_directory(repo) / "journal"
    return _read(path) if path.exists() else None


def forget_undoable(repo: Repo) -> None:
    """Delete the undoable transaction and the files that it replaced."""
    (_undoable_directory(repo) / "journal").unlink(missing_ok=True)
    shutil.rmtree(_undoable_directory(repo), ignore_errors=True)


def _directories(repo: Repo) -> Path:
    return repo.git_dir / "lds" / "switch"


def _undoable_directory(repo: Repo) -> Path:
    return repo.git_dir / "lds" / "update"


# the file


def write(transaction: Transaction) -> None:
    """Write the journal of a transaction, whole or not at all."""
    moves = [
        {
            "path": os.fsdecode(move.path),
            "index_before": _encoded_state(move.index_before),
            "index_after": _encoded_state(move.index_after),
            "expected": _encoded_stamp(move.expected),
            "staged": _encoded_stamp(move.staged),
            "matches_index": move.matches_index,
            "skip_worktree": move.skip_worktree,
            "keep": move.keep,
        }
        for move in transaction.moves
    ]
    about = {"version": _VERSION, "undoable": transaction.is_undoable, "note": transaction.note}
    replace_with(transaction.directory / "journal", json.dumps({**about, "moves": moves}).encode("ascii"))


def _read(path: Path) -> Transaction:
    try:
        journal = json.loads(path.read_bytes())
        if journal["version"] == _WITHOUT_NOTE:
            return _read_without_note(path.parent, journal)
        if journal["version"] == _VERSION:
            moves = tuple(map(_move, journal["moves"]))
            return Transaction(path.parent, moves, dict(journal["note"]), bool(journal["undoable"]))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise CorruptData(f"{printable(os.fsencode(path))} is damaged: {error}", f"delete it: rm {path}") from None
    raise LdsError(
        "another version of git-lds began an import and did not complete it",
        f"complete it with that version, or give it up: rm {path}",
    )


def _move(move: Mapping[str, Any]) -> Move:
    return Move(
        os.fsencode(move["path"]),
        _state(move["index_before"]),
        _state(move["index_after"]),
        _stamp(move["expected"]),
        _stamp(move["staged"]),
        matches_index=move["matches_index"],
        skip_worktree=move["skip_worktree"],
        keep=move["keep"],
    )


def _read_without_note(directory: Path, journal: dict[str, Any]) -> Transaction:
    """Return the transaction of a journal in version 2. All but the moves is the note of today."""
    moves = tuple(
        Move(
            os.fsencode(move["path"]),
            _state(move["was"] or move["before"]),
            _state(move["stages"] or move["after"]),
            _stamp(move["expected"]),
            _stamp(move["staged"]),
            matches_index=move["exact"],
            skip_worktree=move["hidden"],
            keep=move["keep"],
        )
        for move in journal["moves"]
    )
    note = {name: value for name, value in journal.items() if name not in ("version", "moves")}
    return Transaction(directory, moves, note, is_undoable=note["pending"] is not None)


def _encoded_state(state: IndexState) -> list[Any] | None:
    return [_encoded_file(file) for file in state] if isinstance(state, tuple) else _encoded_file(state)


def _encoded_file(file: TreeEntry | None) -> list[str] | None:
    return [file.mode.decode(), file.blob.decode()] if file is not None else None


def _encoded_stamp(stamp: Stamp | None) -> list[int] | None:
    return [stamp.mtime_ns, stamp.size] if stamp is not None else None


def _state(state: list[Any] | None) -> IndexState:
    """Return the state of a path: two strings are a file, three files (or None) a conflict."""
    if state is None or len(state) == 2:
        return _file(state)
    base, ours, theirs = state
    stages: Stages = (_file(base), _file(ours), _file(theirs))
    return stages


def _file(pair: list[str] | None) -> TreeEntry | None:
    return TreeEntry(pair[0].encode(), pair[1].encode()) if pair is not None else None


def _stamp(stamp: list[int] | None) -> Stamp | None:
    return Stamp(*stamp) if stamp is not None else None

"""Ends an update that had conflicts: take a side for a path, continue when all are resolved, or abort.

The conflicts are in git's index, where `git status`, `git checkout --theirs` and `git add` see them, and git does not commit
while one is left. The new pinned commit is in the index with them. A user who resolves all with git alone and commits has
done everything; `--continue` only checks this, and deletes what was kept for an abort.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from git_lds.deps.manifest.own_files import OWN
from git_lds.deps.session import UpdateNote, exclusive_session
from git_lds.deps.upstream import fetch_contents, imported_attributes
from git_lds.errors import LdsError
from git_lds.git import refs
from git_lds.git.trees import TreeEntry
from git_lds.pointer import Pointer
from git_lds.progress import SILENT, Progress
from git_lds.repo import Repo
from git_lds.worktree import journal, state, transaction
from git_lds.worktree.file_change import File, FileChange, FromGit, Keep
from git_lds.worktree.journal import Move, Transaction
from git_lds.worktree.state import IndexState, LocalEdits, Stages, Stamp

OURS, THEIRS = 1, 2
"""The index of a side in the stages of a conflict."""

_HINT = "resolve each: git lds update --ours PATH, --theirs PATH, or edit it and git add PATH; or go back: git lds update --abort"
_NONE = "no update is under way"


@dataclass(frozen=True, slots=True)
class Resolved:
    """The paths that are resolved now, and those that are not yet."""

    paths: tuple[bytes, ...]
    remaining: tuple[bytes, ...]


def check_none_pending(repo: Repo) -> None:
    """Raise LdsError if an update left conflicts that are not resolved. Forget one that is over."""
    pending = journal.undoable(repo)
    if pending is None:
        return
    left = _unresolved(repo, pending.moves)
    if left:
        raise LdsError(_listing("an update is under way, with conflicts left in:", left), _HINT)
    journal.forget_undoable(repo)


def continue_update(repo: Repo) -> None:
    """End an update whose conflicts are resolved. Raises LdsError if none is under way, or if conflicts are left."""
    with exclusive_session(repo):
        pending = journal.undoable(repo)
        if pending is None:
            raise LdsError(_NONE, "git lds update")
        left = _unresolved(repo, pending.moves)
        if left:
            raise LdsError(_listing("these conflicts are not resolved yet:", left), _HINT)
        journal.forget_undoable(repo)


def take(repo: Repo, paths: Sequence[str], side: int, *, progress: Progress = SILENT) -> Resolved:
    """Resolve the conflicts at and below `paths` ("." for all) with one side's file, OURS or THEIRS.

    Raises LdsError if there is no such conflict or no update is under way, LocalEdits if untracked files would be
    overwritten, and ObjectsMissing if contents are in no store. Then nothing was changed.
    """
    with exclusive_session(repo) as session:
        pending = _pending(repo)
        conflicts = _conflicts(repo, pending.moves)
        chosen = {path: stages for path, stages in conflicts.items() if _is_below(path, paths)}
        if not chosen:
            raise LdsError(f"there is no conflict at {', '.join(paths)}", "git status")
        kept = {move.path: move.expected for move in pending.moves if move.keep}
        changes = [_taking(repo, path, stages, stages[side], kept.get(path)) for path, stages in chosen.items()]
        _check_free(repo, changes)
        contents = _bring_contents(repo, changes, progress)
        transaction.commit(repo, transaction.prepare(repo, session.directory, changes, contents))
        return Resolved(tuple(chosen), tuple(path for path in conflicts if path not in chosen))


def abort(repo: Repo, *, progress: Progress = SILENT) -> tuple[str, ...]:
    """Undo the update in working tree, index and `.ldsdeps`; return the outputs of its dependencies.

    Resolutions of conflicts are lost. Raises LdsError if no update is under way, and LocalEdits if other files of the update
    were edited since. Then nothing was changed.
    """
    with exclusive_session(repo) as session:
        pending = _pending(repo)
        outputs = UpdateNote.of(pending).outputs
        nows = _now(repo, pending, session.directory / "seen")
        later = [now.move.path for now in nows if not (now.is_back or now.is_untouched or now.move.is_conflict_after)]
        if later:
            raise LocalEdits(
                "these files were edited since the update; nothing was changed:",
                later,
                "copy them to another place, then take them back: git checkout -- PATH",
            )
        changes = [_back(pending, now) for now in nows if not now.is_back]
        if changes:
            contents = _bring_contents(repo, changes, progress)
            note = UpdateNote(outputs).encode()
            transaction.commit(repo, transaction.prepare(repo, session.directory, changes, contents, note))
        journal.forget_undoable(repo)
        return outputs


def _pending(repo: Repo) -> Transaction:
    """Return the update that is under way. Raises LdsError if there is none, or if it was resolved and committed."""
    pending = journal.undoable(repo)
    if pending is None:
        raise LdsError(_NONE, "git lds update")
    if not _unresolved(repo, pending.moves) and (refs.head(repo.git) or "") != UpdateNote.of(pending).pending:
        journal.forget_undoable(repo)
        raise LdsError("the update was committed, so it is no longer under way", "to undo it: git revert, or git reset")
    return pending


def _conflicts(repo: Repo, moves: Iterable[Move]) -> dict[bytes, Stages]:
    states = state.index_states(repo, (move.path for move in moves))
    return {move.path: entry for move in moves if isinstance(entry := states.get(move.path), tuple)}


def _unresolved(repo: Repo, moves: Iterable[Move]) -> list[bytes]:
    return list(_conflicts(repo, moves))


def _listing(message: str, paths: Sequence[bytes]) -> str:
    return LocalEdits(message, paths, "").message


def _is_below(path: bytes, places: Sequence[str]) -> bool:
    names = [os.fsencode(place) for place in places]
    return any(name == b"." or path == name or path.startswith(name + b"/") for name in names)


# one side


def _taking(repo: Repo, path: bytes, was: Stages, file: TreeEntry | None, kept: Stamp | None) -> FileChange:
    there = _stamp_at(repo, path)
    stays = there is None if file is None else file == was[OURS] and kept is not None and there == kept
    return FileChange(path, was, file, there, Keep() if stays else FromGit(file))


def _stamp_at(repo: Repo, path: bytes) -> Stamp | None:
    assert repo.work_tree is not None
    try:
        return state.stamp_at(repo.work_tree, path)
    except OSError:
        return None


def _check_free(repo: Repo, changes: Sequence[FileChange]) -> None:
    assert repo.work_tree is not None
    leaving = {change.path for change in changes if change.index_after is None}
    blocked = [
        name
        for change in changes
        if change.writes_file and change.expected is None
        for name in state.in_the_way(repo.work_tree, change.path, leaving)
    ]
    if blocked:
        raise LocalEdits(
            "these files are in the way:", blocked, "resolve them with the same command, or move them away"
        )


def _bring_contents(repo: Repo, changes: Sequence[FileChange], progress: Progress) -> Mapping[bytes, Pointer]:
    """Bring what the files hold to this machine, where they are tracked here; return the pointers by path."""
    files = {
        change.path: change.git_file.blob
        for change in changes
        if change.git_file is not None and change.git_file.is_regular
    }
    if not files:
        return {}
    known = fetch_contents.pointers(repo.git, files.values())
    tracked = imported_attributes.tracked_here(repo.git, [path for path, blob in files.items() if blob in known])
    due = fetch_contents.wanted_in_work_tree(repo, {path: known[files[path]] for path in tracked})
    if any(not repo.objects.has(at.oid) for at in due.values()):
        fetch_contents.fetch(
            repo, repo.reading_stores(), {at.oid: (at.size, path) for path, at in due.items()}, progress
        )
    return due


# back


@dataclass(frozen=True, slots=True)
class _Now:
    """A path that the update changed, as it is now: in the index, and in the working tree."""

    number: int
    move: Move
    entry: IndexState
    there: Stamp | None
    edited: bool
    """Whether the file in the working tree is not what the index says."""

    @property
    def is_back(self) -> bool:
        """Whether it is what it was before the update: the user has seen to that, or an abort that was killed."""
        return (
            self.entry == self.move.index_before and not self.edited and (self.entry is not None or self.there is None)
        )

    @property
    def is_untouched(self) -> bool:
        """Whether it is what the update made it."""
        as_placed = self.there == self.move.staged if self.entry is None else not self.edited
        return self.entry == self.move.index_after and (self.there == self.move.staged or as_placed)


def _now(repo: Repo, pending: Transaction, copy: Path) -> list[_Now]:
    indexed = state.index_states(repo, (move.path for move in pending.moves))
    edited = state.edited_files(repo, copy)
    return [
        _Now(number, move, indexed.get(move.path), _stamp_at(repo, move.path), move.path in edited)
        for number, move in enumerate(pending.moves)
    ]


def _back(pending: Transaction, now: _Now) -> FileChange:
    """Return what brings a path back to what it was: the very file, where the update took it away."""
    move = now.move
    file = move.index_before if isinstance(move.index_before, TreeEntry) else None
    change = FileChange(move.path, now.entry, move.index_before, now.there, FromGit(file))
    if move.keep:
        return replace(change, source=Keep()) if now.there == move.expected else change
    old = Path(os.fsdecode(pending.old_path(now.number)))
    # the working tree may have had another version of our own files than the index
    return replace(change, source=File(old, move.path not in OWN)) if os.path.lexists(old) else change

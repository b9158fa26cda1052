"""What an update brings to one dependency: upstream's files merged with ours, and the file changes that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from git_lds.deps.history import records
from git_lds.deps.manifest import manifest
from git_lds.deps.manifest.manifest import Dependency
from git_lds.deps.merge import base as merge_base
from git_lds.deps.merge import file_merge, inputs, moved
from git_lds.deps.merge.inputs import MergeInputs
from git_lds.deps.merge.three_way import Conflict, Files, MergeResult
from git_lds.deps.session import Session
from git_lds.deps.upstream import snapshot as upstream
from git_lds.deps.upstream.clone import UpstreamClone
from git_lds.deps.upstream.latest import Goal
from git_lds.deps.upstream.snapshot import Snapshot
from git_lds.git.run import Git
from git_lds.repo import Repo
from git_lds.worktree import state
from git_lds.worktree.file_change import FileChange, FromGit, Keep
from git_lds.worktree.state import LocalEdits, View


@dataclass(frozen=True, slots=True)
class IncomingUpdate:
    """A dependency as it will be, its files upstream, and the file changes that an import or update makes."""

    dependency: Dependency
    clone: UpstreamClone
    snapshot: Snapshot
    changes: tuple[FileChange, ...]
    objects: Git
    """git that has the blobs of the changes."""
    renamed_here: Mapping[bytes, bytes] = field(default_factory=dict)
    """For files that were renamed here: by their path, the path that upstream's name gives."""
    conflicts: tuple[Conflict, ...] = ()


def merge_incoming(
    session: Session, clone: UpstreamClone, pinned: Dependency, goal: Goal, view: View, *, is_moved: bool
) -> IncomingUpdate:
    """Merge upstream's files at `goal` with those of a dependency here. Nothing is changed.

    `is_moved` says that the user moved its files to another directory. Raises LocalEdits if the changes would overwrite
    uncommitted changes or untracked files, and LdsError if upstream cannot be read or has nothing to import.
    """
    snapshot = upstream.take(clone, goal.commit, pinned.path, pinned.includes)
    clone.fetch_blobs(snapshot.blobs())
    dependency = replace(pinned, rev=goal.rev, commit=goal.commit, tree=goal.tree, store=goal.store, read=goal.read)
    manifest.check(dependency)
    if goal.tree == pinned.tree and not is_moved:
        return IncomingUpdate(dependency, clone, snapshot, (), clone.git)
    base = merge_base.pinned_files(session.repo, clone, pinned, view.files)
    ours = merge_base.at_output(view.files, pinned.output)
    git = clone.git if ours == base else file_merge.joined(session.repo, session.directory, clone)
    ours = moved.as_before(git, base, ours) if is_moved else ours
    sent = records.sent(session, git, clone, pinned, goal.commit) if ours != base else {}
    merge = inputs.merged(session, git, MergeInputs(pinned, base, ours, snapshot, clone, sent=sent))
    changes = _changes(pinned, merge, view)
    _check_committed(session.repo, pinned, base, changes, view)
    _check_untracked(session.repo, pinned, changes, view)
    conflicts = tuple(merge.conflicts.values())
    return IncomingUpdate(dependency, clone, snapshot, changes, git, merge.renamed_here, conflicts)


def _changes(pinned: Dependency, merge: MergeResult, view: View) -> tuple[FileChange, ...]:
    """Return the change of each file here that the merge changes."""
    ours = merge_base.at_output(view.files, pinned.output)
    changes = []
    for path in sorted(ours.keys() | merge.files.keys() | merge.conflicts.keys()):
        before, after = ours.get(path), merge.files.get(path)
        stamp = None if path in view.skip_worktree else view.stamps.get(path)
        if conflict := merge.conflicts.get(path):
            sides = conflict.sides
            stays = conflict.shown == before and (before is None or stamp is not None)
            stages = (sides.base, sides.ours, sides.theirs)
            source = Keep() if stays else FromGit(conflict.shown)
            changes.append(FileChange(path, before, stages, stamp, source))
        elif before != after:
            changes.append(FileChange.checkout(path, before, after, stamp))
    return tuple(changes)


def _check_committed(repo: Repo, pinned: Dependency, base: Files, changes: Sequence[FileChange], view: View) -> None:
    """Raise LocalEdits if files that would change have uncommitted changes, as `git merge` does. Then none are lost."""
    edited = {change.path for change in changes if change.path in view.edited}
    staged = {change.path for change in changes if change.index_before != base.get(change.path)}
    if staged:
        head = state.committed(repo, pinned.output)
        edited |= {path for path in staged if view.files.get(path) != head.get(path)}
    if edited:
        raise LocalEdits(
            f"{pinned.output}: these files have uncommitted changes that the update would overwrite; nothing was changed:",
            sorted(edited),
            "commit them, or put them away: git stash",
        )


def _check_untracked(repo: Repo, pinned: Dependency, changes: Sequence[FileChange], view: View) -> None:
    """Raise LocalEdits if untracked files would be overwritten."""
    moving = [change for change in changes if not change.keeps_file]
    leaving = {change.path for change in moving if not change.writes_file}
    blocking = [
        name
        for change in moving
        if change.writes_file and change.path not in view.files
        for name in state.in_the_way(repo.require_work_tree(), change.path, leaving)
    ]
    if blocking:
        raise LocalEdits(
            f"{pinned.output}: these untracked files would be overwritten by the update; nothing was changed:",
            blocking,
            "move them away",
        )

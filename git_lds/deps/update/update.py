"""`git lds update`: what changed upstream since the lock comes, merged with what was changed here; no other file is touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from git_lds.deps.history import records
from git_lds.deps.manifest import manifest, own_files
from git_lds.deps.manifest.manifest import Dependency
from git_lds.deps.merge import base as merge_base
from git_lds.deps.merge import file_merge, inputs, moved, three_way
from git_lds.deps.merge.inputs import MergeInputs
from git_lds.deps.merge.three_way import Conflict, Files, Merge
from git_lds.deps.session import Run, alone
from git_lds.deps.update import apply, attribute_check, resolve
from git_lds.deps.update.incoming import IncomingUpdate
from git_lds.deps.upstream import latest
from git_lds.deps.upstream import snapshot as upstream
from git_lds.deps.upstream.latest import Goal, Sources
from git_lds.errors import UsageError
from git_lds.git.trees import TreeEntry
from git_lds.progress import SILENT, Progress
from git_lds.repo import Repo
from git_lds.snapshots.sizes import size_of
from git_lds.worktree import state
from git_lds.worktree.file_change import FileChange, FromGit, Keep
from git_lds.worktree.state import LocalEdits, View


@dataclass(frozen=True, slots=True)
class Updated:
    """What an update did to a dependency, or would do. Paths are those of this repository."""

    output: str
    before: str
    """The commit of the lock."""
    after: str
    """The commit that it is at now; that of the lock when there is nothing new at the path."""
    added: tuple[bytes, ...] = ()
    changed: tuple[bytes, ...] = ()
    deleted: tuple[bytes, ...] = ()
    renamed: tuple[tuple[bytes, bytes], ...] = ()
    """The old name and the new one of files that are otherwise as they were."""
    conflicts: tuple[Conflict, ...] = ()
    size: int = 0
    """Bytes of the files that were added and changed."""
    written: bool = False
    moved_tag: str | None = None
    """The commit that upstream's tag means now. A tag is not followed; name it with `rev` to do so."""
    moved_from: str | None = None
    """The output at which `.ldsdeps` had it, where the user moved its files."""
    rewritten: bool = False
    """Whether upstream's branch no longer has the commit of the lock."""


def update(
    repo: Repo,
    targets: Sequence[str] = (),
    *,
    rev: str | None = None,
    dry_run: bool = False,
    or_nothing: bool = False,
    progress: Progress = SILENT,
) -> list[Updated]:
    """Bring the dependencies at the outputs `targets`, or all, to what upstream has now; say of each what that meant.

    `rev` is a new branch, tag or full commit to be at. Where both sides changed a file in ways that cannot be merged the
    rest is done, and the conflict is left in git's index as `git merge` leaves it; `resolving` goes on from there; with
    `or_nothing` nothing is done then. A dependency whose files were moved is followed to where they are. Raises LocalEdits
    when files that would change have edits that are not committed; then, and on any other error, nothing is changed at all.
    """
    if rev is not None:
        manifest.check_rev(rev)
    with alone(repo) as run:
        resolve.check_none_pending(repo)
        known, moves = _followed(repo)
        chosen = latest.chosen(known, [moves.get(target, target) for target in targets])
        came_from = {new: old for old, new in moves.items() if new in {each.output for each in chosen}}
        if rev is not None and len(chosen) > 1:
            raise UsageError(
                "--rev is for one dependency, and there are several", "name it: git lds update PATH --rev NAME"
            )
        sources = Sources(repo)
        wanted = {each.output: latest.goal(sources, each, rev) for each in chosen}
        wanted |= {output: replace(wanted[output], arrives=True) for output in came_from}
        moving = [each for each in chosen if wanted[each.output].arrives]
        arrived: dict[str, IncomingUpdate] = {}
        if moving:
            view = _view(run, [each.output for each in moving])
            arrived = {
                each.output: _arrival(run, sources, each, wanted[each.output], view, is_moved=each.output in came_from)
                for each in moving
            }
        writes = not dry_run and not (or_nothing and any(arrival.conflicts for arrival in arrived.values()))
        done = [_updated(each, wanted[each.output], arrived.get(each.output), written=writes) for each in chosen]
        if arrived and writes:
            apply.bring(run, view, list(arrived.values()), progress, left=frozenset(came_from.values()))
        return [replace(each, moved_from=came_from.get(each.output)) for each in done]


def _followed(repo: Repo) -> tuple[dict[str, Dependency], dict[str, str]]:
    """Return the dependencies at the outputs that they are really at, and which were moved: from where to where."""
    known = own_files.read_manifest(repo)
    moves = moved.moved(repo, known)
    outputs = {output: moves.get(output, output) for output in known}
    return {outputs[old]: replace(at, output=outputs[old]) for old, at in known.items()}, moves


def _view(run: Run, outputs: Sequence[str]) -> View:
    return state.look(run.repo, [*outputs, *attribute_check.files_about(outputs)], run.directory / "seen")


def _arrival(run: Run, sources: Sources, at: Dependency, goal: Goal, view: View, *, is_moved: bool) -> IncomingUpdate:
    """Return what a dependency brings. Raises LocalEdits when that would take away what the user has."""
    repo, source = run.repo, sources.mirror(at.url)
    snapshot = upstream.take(source, goal.commit, at.path, at.wants)
    source.fetch_blobs(snapshot.blobs())
    dependency = replace(at, rev=goal.rev, commit=goal.commit, tree=goal.tree, store=goal.store, read=goal.read)
    manifest.check(dependency)
    if goal.tree == at.tree and not is_moved:
        return IncomingUpdate(dependency, source, snapshot, (), source.git)
    base = merge_base.files_at(repo, source, at, view.files)
    ours = merge_base.at_output(view.files, at.output)
    git = source.git if ours == base else file_merge.joined(repo, run.directory, source)
    ours = moved.as_before(git, base, ours) if is_moved else ours
    sent = records.sent(run, git, source, at, goal.commit) if ours != base else {}
    merge = inputs.merged(run, git, MergeInputs(at, base, ours, snapshot, source, sent=sent))
    changes = _changes(at, merge, view)
    _check_committed(repo, at, base, changes, view)
    _check_free(repo, at, changes, view)
    return IncomingUpdate(
        dependency, source, snapshot, changes, git, merge.renamed_here, tuple(merge.conflicts.values())
    )


def _changes(at: Dependency, merge: Merge, view: View) -> tuple[FileChange, ...]:
    """Return what the merge means for each file here that does not stay as it is."""
    ours = merge_base.at_output(view.files, at.output)
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


def _check_committed(repo: Repo, at: Dependency, base: Files, changes: Sequence[FileChange], view: View) -> None:
    """Raise LocalEdits when files that are to change hold what no commit has: as `git merge` does, so that none is lost."""
    edited = {change.path for change in changes if change.path in view.edited}
    staged = {change.path for change in changes if change.index_before != base.get(change.path)}
    if staged:
        head = state.committed(repo, at.output)
        edited |= {path for path in staged if view.files.get(path) != head.get(path)}
    if edited:
        raise LocalEdits(
            f"the update of {at.output} would change these files, which have edits that are not committed; nothing was done:",
            sorted(edited),
            "commit them, or put them away: git stash",
        )


def _check_free(repo: Repo, at: Dependency, changes: Sequence[FileChange], view: View) -> None:
    """Raise LocalEdits when something that git does not know is where a file should go."""
    assert repo.work_tree is not None
    moving = [change for change in changes if not change.keeps_file]
    leaving = {change.path for change in moving if not change.writes_file}
    blocked = [
        name
        for change in moving
        if change.writes_file and change.path not in view.files
        for name in state.in_the_way(repo.work_tree, change.path, leaving)
    ]
    if blocked:
        raise LocalEdits(
            f"these files are where new ones of {at.output} would go, and nothing was updated:",
            blocked,
            "move them away",
        )


def _updated(at: Dependency, goal: Goal, arrival: IncomingUpdate | None, *, written: bool) -> Updated:
    if arrival is None:
        return Updated(at.output, at.commit, at.commit, moved_tag=goal.moved_tag, rewritten=goal.rewritten)
    agreed = [change for change in arrival.changes if not isinstance(change.index_after, tuple)]
    before = {c.path: c.index_before for c in agreed if isinstance(c.index_before, TreeEntry)}
    after = {c.path: c.index_after for c in agreed if isinstance(c.index_after, TreeEntry)}
    renamed = three_way.exact_renames(before, after)
    new = set(renamed.values())
    return Updated(
        at.output,
        at.commit,
        goal.commit,
        added=tuple(path for path in after if path not in before and path not in new),
        changed=tuple(path for path in after if path in before),
        deleted=tuple(path for path in before if path not in after and path not in renamed),
        renamed=tuple(sorted(renamed.items())),
        conflicts=arrival.conflicts,
        size=size_of(arrival.objects, [file for path, file in after.items() if path not in new]),
        written=written,
        rewritten=goal.rewritten,
    )

"""The plan of an update: for each dependency its latest commit upstream, the merge with ours, and what it changes here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from git_lds.deps.manifest import manifest, own_files
from git_lds.deps.manifest.manifest import Dependency
from git_lds.deps.merge import moved, three_way
from git_lds.deps.merge.three_way import Conflict
from git_lds.deps.session import Session
from git_lds.deps.update import attribute_check
from git_lds.deps.update.incoming import IncomingUpdate, merge_incoming
from git_lds.deps.upstream import latest
from git_lds.deps.upstream.latest import Goal, Upstreams
from git_lds.errors import UsageError
from git_lds.git.trees import TreeEntry
from git_lds.repo import Repo
from git_lds.snapshots.sizes import size_of
from git_lds.worktree import state
from git_lds.worktree.state import View


@dataclass(frozen=True, slots=True)
class DependencyUpdate:
    """What an update does to a dependency, or would do. Paths are those of this repository."""

    output: str
    before: str
    """The pinned commit."""
    after: str
    """The commit after the update: the pinned one if nothing is new at the path."""
    added: tuple[bytes, ...] = ()
    changed: tuple[bytes, ...] = ()
    deleted: tuple[bytes, ...] = ()
    renamed: tuple[tuple[bytes, bytes], ...] = ()
    """The old and the new path of files that are otherwise unchanged."""
    conflicts: tuple[Conflict, ...] = ()
    size: int = 0
    """Bytes of the files that are added and changed."""
    written: bool = False
    """Whether the update was made."""
    moved_tag: str | None = None
    """The commit that upstream's tag means now. A tag is not followed; a `rev` that names it does so."""
    moved_from: str | None = None
    """The output in `.ldsdeps`, if the user moved the files to another directory."""
    rewritten: bool = False
    """Whether upstream's branch no longer has the pinned commit."""


@dataclass(frozen=True, slots=True)
class UpdatePlan:
    """An update of dependencies before it is made. It is valid in the session that it was made in."""

    updates: tuple[DependencyUpdate, ...]
    """All selected dependencies, also those that are up to date."""
    incoming: tuple[IncomingUpdate, ...] = ()
    """Those that change."""
    view: View | None = None
    """The index before the update; None if nothing changes."""
    vacated: frozenset[str] = field(default_factory=frozenset)
    """Outputs that `.ldsdeps` names and that the user moved the files away from."""

    @property
    def has_conflicts(self) -> bool:
        """Whether both sides changed a file in ways that cannot be merged."""
        return any(update.conflicts for update in self.incoming)

    def executed(self) -> list[DependencyUpdate]:
        """Return the updates as they are when the plan was executed."""
        changing = {update.dependency.output for update in self.incoming}
        return [replace(update, written=update.output in changing) for update in self.updates]


def plan_update(session: Session, targets: Sequence[str] = (), rev: str | None = None) -> UpdatePlan:
    """Plan the update of the dependencies at the outputs `targets`, or of all, to what upstream has now.

    `rev` is a new branch, tag or full commit to follow. A dependency whose files were moved is followed to where they are.
    Raises LocalEdits if the update would overwrite uncommitted changes or untracked files, UsageError if `rev` is given
    for several dependencies, and LdsError if an upstream cannot be read.
    """
    if rev is not None:
        manifest.check_rev(rev)
    known, moves = _followed(session.repo)
    selected = latest.select(known, [moves.get(target, target) for target in targets])
    if rev is not None and len(selected) > 1:
        raise UsageError(
            "--rev is for one dependency, and there are several", "name it: git lds update PATH --rev NAME"
        )
    outputs = {pinned.output for pinned in selected}
    moved_from = {new: old for old, new in moves.items() if new in outputs}
    upstreams = Upstreams(session.repo)
    goals = {pinned.output: latest.goal(upstreams, pinned, rev) for pinned in selected}
    goals |= {output: replace(goals[output], has_update=True) for output in moved_from}
    view, incoming = _incoming(session, upstreams, selected, goals, moved_from)
    by_output = {update.dependency.output: update for update in incoming}
    updates = (
        replace(
            _described(pinned, goals[pinned.output], by_output.get(pinned.output)),
            moved_from=moved_from.get(pinned.output),
        )
        for pinned in selected
    )
    return UpdatePlan(tuple(updates), incoming, view, frozenset(moved_from.values()))


def _followed(repo: Repo) -> tuple[dict[str, Dependency], dict[str, str]]:
    """Return the dependencies at the outputs where their files are, and the moves from old to new outputs."""
    known = own_files.read_manifest(repo)
    moves = moved.moved(repo, known)
    outputs = {output: moves.get(output, output) for output in known}
    return {outputs[old]: replace(pinned, output=outputs[old]) for old, pinned in known.items()}, moves


def _incoming(
    session: Session,
    upstreams: Upstreams,
    selected: Iterable[Dependency],
    goals: Mapping[str, Goal],
    moved_from: Mapping[str, str],
) -> tuple[View | None, tuple[IncomingUpdate, ...]]:
    """Return the index as it is, and the updates of the dependencies that have one."""
    changing = [pinned for pinned in selected if goals[pinned.output].has_update]
    if not changing:
        return None, ()
    outputs = [pinned.output for pinned in changing]
    view = state.look(session.repo, [*outputs, *attribute_check.files_about(outputs)], session.directory / "seen")
    incoming = (
        merge_incoming(
            session,
            upstreams.clone(pinned.url),
            pinned,
            goals[pinned.output],
            view,
            is_moved=pinned.output in moved_from,
        )
        for pinned in changing
    )
    return view, tuple(incoming)


def _described(pinned: Dependency, goal: Goal, incoming: IncomingUpdate | None) -> DependencyUpdate:
    """Return what the update of one dependency changes; conflicts are apart from the files that both sides agree on."""
    if incoming is None:
        return DependencyUpdate(
            pinned.output, pinned.commit, pinned.commit, moved_tag=goal.moved_tag, rewritten=goal.rewritten
        )
    agreed = [change for change in incoming.changes if not isinstance(change.index_after, tuple)]
    before = {c.path: c.index_before for c in agreed if isinstance(c.index_before, TreeEntry)}
    after = {c.path: c.index_after for c in agreed if isinstance(c.index_after, TreeEntry)}
    renamed = three_way.exact_renames(before, after)
    new = set(renamed.values())
    return DependencyUpdate(
        pinned.output,
        pinned.commit,
        goal.commit,
        added=tuple(path for path in after if path not in before and path not in new),
        changed=tuple(path for path in after if path in before),
        deleted=tuple(path for path in before if path not in after and path not in renamed),
        renamed=tuple(sorted(renamed.items())),
        conflicts=incoming.conflicts,
        size=size_of(incoming.objects, [file for path, file in after.items() if path not in new]),
        rewritten=goal.rewritten,
    )

"""`git lds update`: what changed upstream since the lock comes here; what did not is not touched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from git_lds.errors import LdsError, UsageError
from git_lds.imports import bringing, edits, manifest, mirror, own_files, rules, transports, upstream
from git_lds.imports.arrival import Arrival, Run, alone, mirrors_of, place
from git_lds.imports.edits import LocalEdits, View
from git_lds.imports.manifest import Dependency
from git_lds.imports.mirror import Mirror, Refs, Revision
from git_lds.imports.switching import Change
from git_lds.imports.upstream import Snapshot, TreeFile
from git_lds.progress import SILENT, Progress
from git_lds.repo import Repo


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
    written: bool = False
    moved_tag: str | None = None
    """The commit that upstream's tag means now. A tag is not followed; name it with `rev` to do so."""


@dataclass(slots=True)
class _Sources:
    """The mirrors that one update uses, each with what its upstream advertises; asked once."""

    repo: Repo
    mirrors: dict[str, Mirror] = field(default_factory=dict)
    refs: dict[str, Refs] = field(default_factory=dict)

    def mirror(self, url: str) -> Mirror:
        if url not in self.mirrors:
            transport = transports.parse(url)
            transports.check_allowed(transport, self.repo.git)
            self.mirrors[url] = mirror.open_mirror(transport, mirrors_of(self.repo), self.repo.hash_size)
        return self.mirrors[url]

    def resolve(self, url: str, rev: str, lock: str | None) -> Revision:
        if manifest.is_object_id(rev):
            return Revision(rev, rev)
        if url not in self.refs:
            self.refs[url] = self.mirror(url).refs(rev)
        return mirror.resolve(self.refs[url], rev, url, follow=lock)


def update(
    repo: Repo,
    targets: Sequence[str] = (),
    *,
    rev: str | None = None,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> list[Updated]:
    """Bring the dependencies at the outputs `targets`, or all, to what upstream has now; say of each what that meant.

    `rev` is a new branch, tag or full commit to be at. Raises LocalEdits when files were edited here; then, and on any
    other error, nothing is changed at all.
    """
    if rev is not None:
        manifest.check_rev(rev)
    with alone(repo) as run:
        chosen = _chosen(own_files.read_manifest(repo), targets)
        if rev is not None and len(chosen) > 1:
            raise UsageError(
                "--rev is for one dependency, and there are several", "name it: git lds update PATH --rev NAME"
            )
        sources = _Sources(repo)
        goals = {each.output: _goal(sources, each, rev) for each in chosen}
        moving = [each for each in chosen if goals[each.output].arrives]
        arrived: dict[str, Arrival] = {}
        if moving:
            view = _view(run, [each.output for each in moving])
            arrived = {each.output: _arrival(repo, sources, each, goals[each.output], view) for each in moving}
            if not dry_run:
                bringing.bring(run, view, list(arrived.values()), progress)
        return [_updated(each, goals[each.output], arrived.get(each.output), written=not dry_run) for each in chosen]


def _chosen(known: Mapping[str, Dependency], targets: Iterable[str]) -> list[Dependency]:
    wanted = list(dict.fromkeys(target.removeprefix("./").rstrip("/") for target in targets))
    for target in wanted:
        if target not in known:
            there = ", ".join(known) or "none"
            raise LdsError(f"{target} is not a dependency; there are: {there}", "git lds deps")
    return [known[target] for target in wanted] if wanted else list(known.values())


@dataclass(frozen=True, slots=True)
class _Goal:
    """The lock of a dependency as it will be; with `arrives` false it stays what it is."""

    rev: str
    commit: str
    tree: str
    store: str | None
    read: tuple[str, ...]
    arrives: bool
    moved_tag: str | None = None


def _goal(sources: _Sources, at: Dependency, rev: str | None) -> _Goal:
    """Find out whether upstream has something new for a dependency; fetches its history when its commit is a new one.

    New are other contents at the path, and other stores that they are in; not a commit that changes neither.
    """
    stays = _Goal(at.rev, at.commit, at.tree, at.store, at.read, arrives=False)
    revision = sources.resolve(at.url, rev or at.rev, None if rev else at.commit)
    if revision.commit == at.commit and revision.rev == at.rev:
        return stays
    if revision.is_tag and rev is None:
        return stays if revision.commit == at.commit else replace(stays, moved_tag=revision.commit)
    source = sources.mirror(at.url)
    source.fetch(revision.commit)
    commit = source.commit_of(revision.commit)
    tree = upstream.tree_of(source, commit, at.path)
    if tree is None:
        raise _vanished(source, at, commit)
    store, read = upstream.stores_at(source, commit, at.path)
    goal = _Goal(revision.rev, commit, tree, store, read, arrives=True)
    return stays if replace(goal, commit=at.commit, arrives=False) == stays else goal


def _vanished(source: Mirror, at: Dependency, commit: str) -> LdsError:
    why = upstream.removal_of(source, at.tree, commit, at.path)
    return LdsError(
        f"{at.path} is no longer in {transports.named(at.url)} at {at.rev}" + (f": {why}" if why else ""),
        f"{at.output} is left as it is; to import the new place over it: git lds import URL PATH -o {at.output} --force",
    )


def _arrival(repo: Repo, sources: _Sources, at: Dependency, goal: _Goal, view: View) -> Arrival:
    """Return what a dependency brings. Raises LocalEdits when that would take away what the user has."""
    source = sources.mirror(at.url)
    snapshot = upstream.take(source, goal.commit, at.path)
    changes: tuple[Change, ...] = ()
    if goal.tree != at.tree:
        base = _base(repo, source, at, view)
        _check_unedited(at, base, view)
        changes = _changes(repo, at, base, snapshot, view)
    source.fetch_blobs(snapshot.blobs())
    dependency = replace(at, rev=goal.rev, commit=goal.commit, tree=goal.tree, store=goal.store, read=goal.read)
    manifest.check(dependency)
    return Arrival(dependency, source, snapshot, changes)


def _view(run: Run, outputs: Sequence[str]) -> View:
    return edits.look(run.repo, [*outputs, *rules.files_about(outputs)], run.folder / "seen")


def _base(repo: Repo, source: Mirror, at: Dependency, view: View) -> dict[bytes, TreeFile]:
    """Return the files of the lock, by their path here. They are upstream's; failing that, they are here since the import."""
    try:
        source.fetch(at.commit)
        snapshot: Snapshot | None = upstream.take(source, at.commit, at.path)
    except LdsError:
        snapshot = None  # upstream rewrote its history
    if snapshot is not None and snapshot.tree != at.tree:
        raise LdsError(
            f"{manifest.NAME}: the tree of {at.output} is not what upstream has at the commit beside it",
            f"restore it: git checkout -- {manifest.NAME}",
        )
    if snapshot is not None:
        return {place(at.output, name): file for name, file in snapshot.files.items()}
    kind = repo.git.maybe("cat-file", "-t", at.tree)
    if kind == "tree":
        return {place(at.output, name): file for name, file in upstream.listed(repo.git, at.tree).items()}
    if kind == "blob":
        path = at.output.encode()
        return {path: TreeFile(view.files[path].mode if path in view.files else b"100644", at.tree.encode())}
    raise LdsError(
        f"{transports.named(at.url)} no longer has {at.commit}, and its tree is not here either",
        f"to import it anew over what is there: git lds import URL PATH -o {at.output} --force",
    )


def _check_unedited(at: Dependency, base: Mapping[bytes, TreeFile], view: View) -> None:
    """Raise LocalEdits when the files here are not those of the lock, in the index or in the work tree."""
    here = at.output.encode()
    old = {path: file for path, file in view.files.items() if path == here or path.startswith(here + b"/")}
    edited = {path for path in old.keys() | base.keys() if old.get(path) != base.get(path)}
    edited |= {path for path in view.edited if path in old}
    if edited:
        raise LocalEdits(
            f"{at.output} has changes that are not upstream's, and nothing was updated:",
            sorted(edited),
            f"to give them up: git lds import URL PATH -o {at.output} --force",
        )


def _changes(
    repo: Repo, at: Dependency, base: Mapping[bytes, TreeFile], snapshot: Snapshot, view: View
) -> tuple[Change, ...]:
    assert repo.work_tree is not None
    new = {place(at.output, name): file for name, file in snapshot.files.items()}
    differing = sorted(path for path in base.keys() | new.keys() if base.get(path) != new.get(path))
    leaving = base.keys() - new.keys()
    blocked = [
        name
        for path in differing
        if path in new and path not in base
        for name in edits.in_the_way(repo.work_tree, path, leaving)
    ]
    if blocked:
        raise LocalEdits(
            f"these files are where new ones of {at.output} would go, and nothing was updated:",
            blocked,
            "move them away",
        )
    return tuple(
        Change(path, base.get(path), new.get(path), None if path in view.hidden else view.stamps.get(path))
        for path in differing
    )


def _updated(at: Dependency, goal: _Goal, arrival: Arrival | None, *, written: bool) -> Updated:
    if arrival is None:
        return Updated(at.output, at.commit, at.commit, moved_tag=goal.moved_tag)
    changes = arrival.changes
    return Updated(
        at.output,
        at.commit,
        goal.commit,
        added=tuple(change.path for change in changes if change.before is None),
        changed=tuple(change.path for change in changes if change.before and change.after),
        deleted=tuple(change.path for change in changes if change.after is None),
        written=written,
    )

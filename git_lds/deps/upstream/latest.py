"""Where a dependency may go: what its upstream has now, asked once for each repository, and the lock that this would be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from git_lds.deps.manifest import manifest, transports
from git_lds.deps.manifest.manifest import Dependency
from git_lds.deps.upstream import clone
from git_lds.deps.upstream import snapshot as upstream
from git_lds.deps.upstream.clone import Refs, Revision, UpstreamClone
from git_lds.errors import LdsError
from git_lds.git import refs, trees
from git_lds.repo import Repo


@dataclass(slots=True)
class Upstreams:
    """The upstream clones that one command uses, each with what its upstream advertises; asked once."""

    repo: Repo
    clones: dict[str, UpstreamClone] = field(default_factory=dict)
    refs: dict[str, Refs | LdsError] = field(default_factory=dict)

    def clone(self, url: str) -> UpstreamClone:
        if url not in self.clones:
            transport = transports.parse(url)
            transports.check_allowed(transport, self.repo)
            self.clones[url] = clone.open_for(self.repo, transport)
        return self.clones[url]

    def resolve(self, url: str, rev: str, lock: str | None) -> Revision:
        if manifest.is_object_id(rev):
            return Revision(rev, rev)
        if url not in self.refs:
            try:
                self.refs[url] = self.clone(url).refs(rev)
            except LdsError as error:
                self.refs[url] = error  # one that does not answer is not waited for again
        refs = self.refs[url]
        if isinstance(refs, LdsError):
            raise refs
        return clone.resolve(refs, rev, url, follow=lock)


@dataclass(frozen=True, slots=True)
class Goal:
    """The lock of a dependency as it will be; with `arrives` false it stays what it is."""

    rev: str
    commit: str
    tree: str
    store: str | None
    read: tuple[str, ...]
    has_update: bool
    changes_files: bool = True
    """Whether what arrives is more than another commit for the same files."""
    moved_tag: str | None = None
    rewritten: bool = False
    """Whether the branch no longer has the commit of the lock: upstream replaced its history. Then the lock moves in any case."""


def goal(upstreams: Upstreams, at: Dependency, rev: str | None) -> Goal:
    """Find out whether upstream has something new for a dependency; fetches its history when its commit is a new one.

    New are other contents at the path, and other stores that they are in; not a commit that changes neither.
    """
    stays = Goal(at.rev, at.commit, at.tree, at.store, at.read, has_update=False)
    revision = upstreams.resolve(at.url, rev or at.rev, None if rev else at.commit)
    if revision.commit == at.commit and revision.rev == at.rev:
        return stays
    if revision.is_tag and rev is None:
        return stays if revision.commit == at.commit else replace(stays, moved_tag=revision.commit)
    source = upstreams.clone(at.url)
    source.fetch(revision.commit)
    commit = source.commit_of(revision.commit)
    tree = upstream.tree_of(source, commit, at.path)
    if tree is None:
        raise _vanished(source, at, commit)
    if tree != at.tree and _is_same(source, at, tree):
        tree = at.tree
    store, read = upstream.stores_at(source, commit, at.path)
    follows = rev is None and not manifest.is_object_id(at.rev)
    rewritten = follows and not refs.is_ancestor(source.git, at.commit, commit)
    found = Goal(revision.rev, commit, tree, store, read, has_update=True, rewritten=rewritten)
    is_same = replace(found, commit=at.commit, has_update=False, rewritten=False) == stays
    # a commit that upstream may drop any day is no lock
    return stays if is_same and not rewritten else replace(found, changes_files=not is_same)


def _is_same(source: UpstreamClone, at: Dependency, tree: str) -> bool:
    """Tell whether two versions of a directory differ only in files that are not imported."""
    if not (at.include or at.exclude):
        return False
    infos = source.git.reader.infos((tree, at.tree))
    if not all(info is not None and info.kind == "tree" for info in infos):
        return False
    before, after = (
        {name: file for name, file in trees.files(source.git, each).items() if at.includes(name)}
        for each in (at.tree, tree)
    )
    return before == after


def _vanished(source: UpstreamClone, at: Dependency, commit: str) -> LdsError:
    why = upstream.removal_of(source, at.tree, commit, at.path)
    return LdsError(
        f"{at.path} is no longer in {transports.without_credentials(at.url)} at {at.rev}" + (f": {why}" if why else ""),
        f"{at.output} is left as it is; to import the new place over it: git lds import URL PATH -o {at.output} --force",
    )


def select(known: Mapping[str, Dependency], targets: Iterable[str]) -> list[Dependency]:
    """Return the dependencies at the outputs `targets`, or all. Raises LdsError when one of them is none."""
    wanted = list(dict.fromkeys(target.removeprefix("./").rstrip("/") for target in targets))
    for target in wanted:
        if target not in known:
            there = ", ".join(known) or "none"
            raise LdsError(f"{target} is not a dependency; there are: {there}", "git lds deps")
    return [known[target] for target in wanted] if wanted else list(known.values())

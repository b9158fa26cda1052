"""The latest commit of a dependency upstream, and what it would be pinned to. Each upstream is asked once."""

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
    """The upstream clones that one command uses, each with what its upstream advertises."""

    repo: Repo
    clones: dict[str, UpstreamClone] = field(default_factory=dict)
    refs: dict[str, Refs | LdsError] = field(default_factory=dict)

    def clone(self, url: str) -> UpstreamClone:
        """Return the clone of the repository at `url`, made if need be. Raises LdsError for a URL that is not allowed."""
        if url not in self.clones:
            transport = transports.parse(url)
            transports.check_allowed(transport, self.repo)
            self.clones[url] = clone.open_for(self.repo, transport)
        return self.clones[url]

    def resolve(self, url: str, rev: str, pin: str | None) -> Revision:
        """Return what `rev` means upstream now; `pin` is the pinned commit. Raises LdsError if upstream cannot be read."""
        if manifest.is_object_id(rev):
            return Revision(rev, rev)
        if url not in self.refs:
            try:
                self.refs[url] = self.clone(url).refs(rev)
            except LdsError as error:
                self.refs[url] = error  # one that does not answer is not waited for again
        advertised = self.refs[url]
        if isinstance(advertised, LdsError):
            raise advertised
        return clone.resolve(advertised, rev, url, follow=pin)


@dataclass(frozen=True, slots=True)
class Goal:
    """What a dependency would be pinned to. Without `has_update` it stays as it is."""

    rev: str
    commit: str
    tree: str
    store: str | None
    read: tuple[str, ...]
    has_update: bool
    changes_files: bool = True
    """Whether the update is more than another commit for the same files."""
    moved_tag: str | None = None
    rewritten: bool = False
    """Whether the branch no longer has the pinned commit, as upstream replaced its history. Then the pin moves in any case."""


def goal(upstreams: Upstreams, pinned: Dependency, rev: str | None) -> Goal:
    """Return whether upstream has something new for a dependency; fetch the history of a new commit.

    New are other contents at the path, and other stores for them, but not a commit that changes neither. Raises LdsError
    if upstream cannot be read or no longer has the path.
    """
    stays = Goal(pinned.rev, pinned.commit, pinned.tree, pinned.store, pinned.read, has_update=False)
    revision = upstreams.resolve(pinned.url, rev or pinned.rev, None if rev else pinned.commit)
    if revision.commit == pinned.commit and revision.rev == pinned.rev:
        return stays
    if revision.is_tag and rev is None:
        return stays if revision.commit == pinned.commit else replace(stays, moved_tag=revision.commit)
    source = upstreams.clone(pinned.url)
    source.fetch(revision.commit)
    commit = source.commit_of(revision.commit)
    tree = upstream.tree_of(source, commit, pinned.path)
    if tree is None:
        raise _vanished(source, pinned, commit)
    if tree != pinned.tree and _has_same_files(source, pinned, tree):
        tree = pinned.tree
    store, read = upstream.stores_at(source, commit, pinned.path)
    follows = rev is None and not manifest.is_object_id(pinned.rev)
    rewritten = follows and not refs.is_ancestor(source.git, pinned.commit, commit)
    new = Goal(revision.rev, commit, tree, store, read, has_update=True, rewritten=rewritten)
    is_same = replace(new, commit=pinned.commit, has_update=False, rewritten=False) == stays
    # a commit that upstream may drop any day is not to be pinned
    return stays if is_same and not rewritten else replace(new, changes_files=not is_same)


def _has_same_files(source: UpstreamClone, pinned: Dependency, tree: str) -> bool:
    """Return whether a version of a directory differs from the pinned one only in files that are not imported."""
    if not (pinned.include or pinned.exclude):
        return False
    infos = source.git.reader.infos((tree, pinned.tree))
    if not all(info is not None and info.kind == "tree" for info in infos):
        return False
    before, after = (
        {name: file for name, file in trees.files(source.git, version).items() if pinned.includes(name)}
        for version in (pinned.tree, tree)
    )
    return before == after


def _vanished(source: UpstreamClone, pinned: Dependency, commit: str) -> LdsError:
    why = upstream.removal_of(source, pinned.tree, commit, pinned.path)
    return LdsError(
        f"{pinned.path} is no longer in {transports.without_credentials(pinned.url)} at {pinned.rev}"
        + (f": {why}" if why else ""),
        f"{pinned.output} is left as it is; to import the new place over it: "
        f"git lds import URL PATH -o {pinned.output} --force",
    )


def select(known: Mapping[str, Dependency], targets: Iterable[str]) -> list[Dependency]:
    """Return the dependencies at the outputs `targets`, or all. Raises LdsError for a target that is not a dependency."""
    outputs = list(dict.fromkeys(target.removeprefix("./").rstrip("/") for target in targets))
    for output in outputs:
        if output not in known:
            others = ", ".join(known) or "none"
            raise LdsError(f"{output} is not a dependency; there are: {others}", "git lds deps")
    return [known[output] for output in outputs] if outputs else list(known.values())

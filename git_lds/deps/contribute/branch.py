"""The branch that a contribution is pushed to: a new one, or one that an earlier contribution made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from git_lds.deps.contribute import target as contribute_target
from git_lds.deps.contribute.edits import Edits
from git_lds.deps.contribute.replay import NewCommit
from git_lds.deps.history import records, trailers
from git_lds.deps.history.records import Changes, Form, Record
from git_lds.deps.history.trailers import Contributed
from git_lds.deps.manifest import transports
from git_lds.deps.manifest.manifest import WHOLE, output_path
from git_lds.deps.upstream import snapshot as upstream
from git_lds.deps.upstream.clone import UpstreamClone
from git_lds.errors import LdsError
from git_lds.git import refs
from git_lds.git.trees import TreeEntry

_MAX_NAMES = 50


@dataclass(frozen=True, slots=True)
class Branch:
    """The branch to push. The fields after `extends` are about a branch that exists already."""

    name: str
    base: str
    """The commit that new commits are added to."""
    start: str
    """The commit upstream that the branch started from."""
    mirror: UpstreamClone
    """The clone that has `base`."""
    extends: bool = False
    commits: tuple[Contributed, ...] = ()
    """The commits that were contributed from here, oldest first."""
    changes: Mapping[str, Changes] = field(default_factory=dict)
    """What each of these commits changed."""
    forms: Mapping[bytes, Form] = field(default_factory=dict)
    """The contributed files by their path below the dependency's."""
    record: Record | None = None
    upstream_versions: Set[tuple[bytes, TreeEntry]] = frozenset()
    """The versions of files that upstream has had since `start`."""


def choose_branch(edits: Edits, name: str | None) -> Branch:
    """Return the branch `name`, or else the first default name that is free, or is ours and not merged yet.

    Raises LdsError if the branch is merged, or was not created by this repository.
    """
    first = name or contribute_target.default_branch(edits.session.repo, edits.dependency)
    for number in range(1, _MAX_NAMES):
        candidate = first if number == 1 else f"{first}-{number}"
        commit = edits.target.refs.heads.get(candidate)
        if commit is None:
            return Branch(candidate, edits.tip.commit, edits.tip.commit, edits.source)
        branch = _existing(edits, candidate, commit)
        if not _is_merged(edits, branch):
            return branch
        if name is not None:
            raise LdsError(f"{name} is already merged", "name another: --branch NAME")
    raise LdsError(f"{first} and {_MAX_NAMES} names like it are taken", "name another: --branch NAME")


def contributed_files(edits: Edits, branch: Branch, tip: str, new: Sequence[NewCommit] = ()) -> dict[bytes, Form]:
    """Return the files that the branch up to `tip` changes, by their path below the dependency's."""
    dependency = edits.dependency
    commits = [*branch.commits, *(Contributed(commit.commit, commit.sources) for commit in new)]
    changes = dict(branch.changes) | {commit.commit: _changes_below(commit, dependency.path) for commit in new}
    pairs = records.forms(dependency, commits, changes, edits.steps)
    before = upstream.files_below(edits.git, branch.start, dependency.path)
    after = upstream.files_below(edits.git, tip, dependency.path)
    forms = dict(branch.record.files) if branch.record else {}
    for commit in commits:
        for name in changes[commit.commit]:
            known = pairs.get(output_path(dependency.output, name))
            local = known[-1][1] if known else forms[name].local if name in forms else after.get(name)
            forms[name] = Form(before.get(name), after.get(name), local)
    return forms


def _changes_below(commit: NewCommit, path: str) -> Changes:
    inner = b"" if path == WHOLE else path.encode()
    return {name.removeprefix(inner).removeprefix(b"/"): after for name, (_, after) in commit.changes.items()}


def _existing(edits: Edits, name: str, commit: str) -> Branch:
    """Return a branch that exists. Raises LdsError if its commits were not contributed from here."""
    target, repo, dependency = edits.target, edits.session.repo, edits.dependency
    target.mirror.fetch(commit)
    record = records.read(repo, target.mirror.url, name)
    start = _start(edits, commit, record)
    if record and not refs.is_ancestor(edits.git, record.tip, commit):
        record = None
    commits: list[Contributed] = []
    if start is not None:
        # a branch that was merged without a squash has no commits beyond upstream's tip
        since = record.base if record and start == commit else start
        commits = trailers.contributed(edits.git, commit, since, dependency.path)
    is_ours = record is not None or any(
        refs.commit(repo.git, source) is not None for contributed in commits for source in contributed.sources
    )
    if not is_ours or start is None or name == edits.tip.name:
        raise LdsError(
            f"{transports.without_credentials(target.mirror.url)} already has a branch {name} that was not created by this "
            "repository",
            "name another: --branch NAME",
        )
    changes = {each.commit: records.changed(edits.git, each.commit, dependency.path) for each in commits}
    branch = Branch(name, commit, start, target.mirror, True, tuple(commits), changes, {}, record)
    if start == commit:
        return branch
    forms = contributed_files(edits, branch, commit)
    versions = upstream.had_since(edits.source, start, edits.tip.commit, dependency.path)
    return replace(branch, forms=forms, upstream_versions=versions)


def _start(edits: Edits, commit: str, record: Record | None) -> str | None:
    """Return the commit upstream that a branch started from, or None if it has nothing in common with upstream."""
    if record and (record.tip, record.base) == (commit, edits.tip.commit):
        return record.base  # neither moved since it was pushed
    return refs.merge_base(edits.git, commit, edits.tip.commit)


def _is_merged(edits: Edits, branch: Branch) -> bool:
    """Return whether upstream has all of a branch, squashed or not."""
    if branch.start == branch.base:
        return True
    state = records.state_of(branch.forms, edits.upstream_files, branch.upstream_versions)
    return bool(branch.forms) and state == records.MERGED

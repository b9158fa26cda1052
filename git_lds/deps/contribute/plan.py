"""The plan of a contribution: the commits that were made for it, not pushed yet, and what they change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from git_lds.deps.contribute.branch import Branch, choose_branch
from git_lds.deps.contribute.edits import Edits, Options, collect_edits
from git_lds.deps.contribute.forms import UpstreamForms
from git_lds.deps.contribute.merged_edits import MergedEdits, merge_edits
from git_lds.deps.contribute.replay import NewCommit, ReplayInputs, replay
from git_lds.deps.contribute.send import new_objects, plan_upload
from git_lds.deps.manifest.branch_names import check_branch
from git_lds.deps.merge import inputs, three_way
from git_lds.deps.session import Session
from git_lds.deps.upstream import forges
from git_lds.git import index
from git_lds.git.trees import TreeEntry
from git_lds.progress import SILENT, Progress
from git_lds.snapshots.sizes import size_of
from git_lds.sync.send import SendPlan


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a contribution comes from, and where it goes."""

    output: str
    """The path of the dependency here."""
    url: str
    """The URL of upstream."""
    target: str
    """The URL of the repository that the branch is in."""
    branch: str
    onto: str
    """The branch, or other name, upstream that it is for."""
    base: str
    """The commit that the new commits are on."""
    extends: bool
    """Whether the branch exists already, with earlier contributions."""
    store: str | None
    page: str | None
    """The URL where a pull request can be opened."""


@dataclass(frozen=True, slots=True)
class FileChanges:
    """The files that the commits change, by their paths upstream."""

    added: tuple[bytes, ...]
    changed: tuple[bytes, ...]
    deleted: tuple[bytes, ...]
    size: int
    """Bytes of the added and changed files."""


@dataclass(frozen=True, slots=True)
class NotContributed:
    """The files here that are not contributed, and those upstream whose change is reverted."""

    uncommitted: tuple[bytes, ...]
    """Paths here with uncommitted changes."""
    left_out: tuple[bytes, ...]
    """Paths here that are only about this repository, or that are not imported."""
    reverted: tuple[bytes, ...]
    """Paths upstream whose contributed change was reverted here."""


@dataclass(frozen=True, slots=True)
class ContributePlan:
    """What `execute` would upload and push: new commits, which are in a scratch directory until then."""

    destination: Destination
    commits: tuple[NewCommit, ...]
    """The new commits, the oldest first."""
    files: FileChanges
    not_contributed: NotContributed
    upload: SendPlan | None
    """The objects of the commits that the store lacks. None: the commits have no tracked files."""
    edits: Edits
    branch: Branch

    @property
    def tip(self) -> str:
        """The commit that the branch will be at."""
        return self.commits[-1].commit if self.commits else self.destination.base


def plan_contribute(session: Session, path: str, options: Options, progress: Progress = SILENT) -> ContributePlan:
    """Return the plan for sending the committed edits of the dependency at `path`; nothing is uploaded or pushed.

    The store is asked which objects it lacks. Raises LocalEdits if upstream changed the same files in ways that cannot be
    merged, and LdsError if there is no such dependency, if upstream, the fork, or their branch cannot be used, or if the
    store cannot get the objects.
    """
    if options.branch is not None:
        check_branch(session.repo.git, options.branch)
    edits = collect_edits(session, path, options)
    branch = choose_branch(edits, options.branch)
    merged = merge_edits(edits, branch)
    commits = _commits(edits, merged, options)
    return ContributePlan(
        _destination(edits, branch, has_commits=bool(commits)),
        tuple(commits),
        _file_changes(edits, merged, commits),
        NotContributed(
            tuple(index.uncommitted_paths(edits.session.repo.git, edits.dependency.output)),
            merged.left_out,
            tuple(edits.upstream_path(path) for path in merged.reverted),
        ),
        plan_upload(edits, new_objects(edits, commits), progress),
        edits,
        branch,
    )


def _commits(edits: Edits, merged: MergedEdits, options: Options) -> list[NewCommit]:
    if not merged.goal:
        return []
    merge_inputs, session = merged.inputs, edits.session
    theirs = merge_inputs.theirs
    paths = {path for step in merged.steps for path in step.files} | merged.goal.keys()
    replay_inputs = ReplayInputs(
        merge_inputs.snapshot.commit,
        edits.dependency.path,
        theirs,
        merged.goal,
        merged.steps,
        three_way.exact_renames(merge_inputs.base, theirs),
        edits.upstream_path,
        UpstreamForms(edits, merged, sorted(paths)).convert,
    )
    return replay(
        session.repo,
        edits.git,
        session.directory / "commit",
        replay_inputs,
        inputs.contents_of(session, edits.git, merge_inputs),
        squash=options.is_one_commit,
        message=options.message,
    )


def _destination(edits: Edits, branch: Branch, *, has_commits: bool) -> Destination:
    url, target, store = edits.dependency.url, edits.target.mirror.url, edits.target.store
    is_shown = has_commits or branch.extends
    return Destination(
        edits.dependency.output,
        url,
        target,
        branch.name,
        edits.tip.name,
        branch.base,
        branch.extends,
        store.url if store else None,
        forges.compare_page(url, target, edits.tip.name, branch.name) if is_shown else None,
    )


def _file_changes(edits: Edits, merged: MergedEdits, commits: Sequence[NewCommit]) -> FileChanges:
    net: dict[bytes, TreeEntry | None] = {}
    for commit in commits:
        net |= {path: after for path, (_, after) in commit.changes.items()}
    before = {edits.upstream_path(path) for path in merged.inputs.theirs}
    written = {path: file for path, file in net.items() if file is not None}
    return FileChanges(
        added=tuple(sorted(written.keys() - before)),
        changed=tuple(sorted(written.keys() & before)),
        deleted=tuple(sorted(net.keys() - written.keys())),
        size=size_of(edits.git, written.values()),
    )

"""The edits merged with the branch: which files are to change upstream, and by which commits."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from git_lds.deps.contribute.branch import Branch
from git_lds.deps.contribute.edits import Edits
from git_lds.deps.history import records
from git_lds.deps.history.commits import CommitEdits, Edit
from git_lds.deps.manifest import transports
from git_lds.deps.manifest.manifest import output_path
from git_lds.deps.merge import base as merge_base
from git_lds.deps.merge import inputs
from git_lds.deps.merge.inputs import MergeInputs, Sent
from git_lds.deps.merge.three_way import Files, MergeResult
from git_lds.deps.update import attribute_check
from git_lds.deps.upstream import snapshot as upstream
from git_lds.deps.upstream.snapshot import Snapshot
from git_lds.errors import LdsError
from git_lds.files import printable
from git_lds.git.trees import SUBMODULE, TreeEntry
from git_lds.worktree.state import LocalEdits

_GOVERNING = frozenset((b".gitattributes", b".ldsconfig", b".ldsdeps", b".gitmodules"))
"""Names of files that govern a repository. Those that upstream lacks are about this one, and stay here."""


@dataclass(frozen=True, slots=True)
class MergedEdits:
    """The files to change upstream, by path here, and the commits here that explain the changes."""

    inputs: MergeInputs
    goal: Mapping[bytes, TreeEntry | None]
    """The files as they are to be; None: deleted."""
    steps: Sequence[CommitEdits]
    """The commits here that are not on the branch yet."""
    left_out: tuple[bytes, ...]
    reverted: tuple[bytes, ...]
    """Paths whose contributed change was reverted here."""


def merge_edits(edits: Edits, branch: Branch) -> MergedEdits:
    """Merge the files of HEAD with those of the branch.

    Raises LocalEdits if upstream changed the same files in ways that cannot be merged, and LdsError if the dependency is
    gone here or upstream.
    """
    dependency, repo = edits.dependency, edits.session.repo
    committed = upstream.files_below(repo.git, "HEAD", dependency.output)
    ours = {output_path(dependency.output, name): file for name, file in committed.items()}
    base = merge_base.pinned_files(repo, edits.source, dependency, ours)
    if not ours:
        raise LdsError(
            f"no commit here has files at {dependency.output} now; their deletion is not contributed as a whole",
            "if they were moved: git lds update, and commit",
        )
    snapshot = _snapshot(edits, branch)
    sent_commits = {source for commit in branch.commits for source in commit.sources}
    steps = [step for step in edits.steps if step.commit not in sent_commits]
    if branch.extends:
        sent: Sent = records.of_history(_sent_forms(edits, branch), edits.steps)
        reverted = _reverted(edits, branch, base, ours, snapshot, sent)
        edited = {path for step in steps if step.is_edit for path in step.files} | reverted
        may_change: Collection[bytes] | None = edited | {
            path for step in steps for path in step.files if not step.is_edit and ours.get(path) != base.get(path)
        }
        source = edits.source if branch.mirror is not edits.source else None
        merge_inputs = MergeInputs(dependency, base, ours, snapshot, branch.mirror, source, sent, edited)
    else:
        may_change, reverted = None, set()
        sent = records.sent(edits.session, edits.git, edits.source, dependency, branch.base, steps=edits.steps)
        merge_inputs = MergeInputs(dependency, base, ours, snapshot, branch.mirror, sent=sent)
    merge = inputs.merged(edits.session, edits.git, merge_inputs)
    _check_conflicts(edits, branch, merge)
    goal, left_out = _goal(merge_inputs, merge, may_change)
    kept = _last_of_reverted(steps, reverted)
    return MergedEdits(merge_inputs, goal, kept, left_out, tuple(sorted(reverted & goal.keys())))


def _snapshot(edits: Edits, branch: Branch) -> Snapshot:
    """Return what the branch has of the dependency. Raises LdsError if upstream removed it."""
    dependency = edits.dependency
    if upstream.tree_of(branch.mirror, branch.base, dependency.path) is None:
        why = upstream.removal_of(branch.mirror, dependency.tree, branch.base, dependency.path)
        raise LdsError(
            f"{dependency.path} is no longer in {transports.without_credentials(dependency.url)} at {edits.tip.name}"
            + (f": {why}" if why else ""),
            "import the new place, and make the edits there",
        )
    snapshot = upstream.take(branch.mirror, branch.base, dependency.path, dependency.includes)
    inner_rules = {
        file.blob.decode()
        for name, file in snapshot.files.items()
        if attribute_check.is_rules(name) and file.is_regular
    }
    branch.mirror.fetch_blobs(inner_rules | {blob.decode() for blob in snapshot.rules.values()})
    return snapshot


def _sent_forms(edits: Edits, branch: Branch) -> dict[bytes, list[Edit]]:
    """Return in which forms the files of the branch went there, and what each was here, by path here."""
    pairs: dict[bytes, list[Edit]] = dict(records.forms(edits.dependency, branch.commits, branch.changes, edits.steps))
    for name, form in branch.record.files.items() if branch.record else ():
        pairs.setdefault(output_path(edits.dependency.output, name), []).insert(0, (form.sent, form.local))
    return pairs


def _reverted(edits: Edits, branch: Branch, base: Files, ours: Files, snapshot: Snapshot, sent: Sent) -> set[bytes]:
    """Return the paths whose contributed change was reverted here, for example by `git lds update --theirs`.

    A change that upstream took is not an edit here either; it does not count.
    """
    theirs = {output_path(edits.dependency.output, name): file for name, file in snapshot.files.items()}
    candidates = {
        path
        for path, pairs in sent.items()
        if ours.get(path) == base.get(path) and theirs.get(path) == pairs[-1][0] and ours.get(path) != pairs[-1][1]
    }
    taken = set()
    for path in candidates:
        name, file = edits.name(path), theirs.get(path)
        if file == edits.upstream_files.get(name) or (file and (name, file) in branch.upstream_versions):
            taken.add(path)
    return candidates - taken


def _last_of_reverted(steps: Sequence[CommitEdits], reverted: Collection[bytes]) -> list[CommitEdits]:
    """Keep, for each reverted path, only the last step that touched it."""
    seen: set[bytes] = set()
    kept = []
    for step in reversed(steps):
        files = {path: edit for path, edit in step.files.items() if path not in seen}
        if files or not step.files:  # merges touch no file
            kept.append(replace(step, files=files))
        seen |= step.files.keys() & set(reverted)
    return kept[::-1]


def _check_conflicts(edits: Edits, branch: Branch, merge: MergeResult) -> None:
    if not merge.conflicts:
        return
    if branch.extends:
        raise LocalEdits(
            f"these files were edited here on what {branch.name} does not have, so they cannot be added to it:",
            list(merge.conflicts),
            "begin another branch: --branch NAME",
        )
    output = edits.dependency.output
    raise LocalEdits(
        f"upstream changed these files too, since {output} was last updated; nothing was pushed:",
        list(merge.conflicts),
        f"git lds update {output}, commit, and contribute again",
    )


def _goal(
    merge_inputs: MergeInputs, merge: MergeResult, may_change: Collection[bytes] | None
) -> tuple[dict[bytes, TreeEntry | None], tuple[bytes, ...]]:
    """Return the files to change upstream, by path here, and the paths that are left out.

    With `may_change`, only these paths may change. Raises LdsError for a submodule.
    """
    theirs = merge_inputs.theirs
    goal: dict[bytes, TreeEntry | None] = {}
    left_out = []
    for path in sorted(theirs.keys() | merge.files.keys()):
        file = merge.files.get(path)
        if file == theirs.get(path) or (may_change is not None and path not in may_change):
            continue
        dependency = merge_inputs.at
        is_outside = not dependency.includes(path[len(dependency.output.encode()) :].removeprefix(b"/"))
        if path not in theirs and (is_outside or path.rpartition(b"/")[2].lower() in _GOVERNING):
            left_out.append(path)
            continue
        if file is not None and file.mode == SUBMODULE:
            raise LdsError(
                f"{printable(path)} is a submodule, which cannot be contributed", "take it out of the dependency"
            )
        goal[path] = file
    return goal, tuple(left_out)

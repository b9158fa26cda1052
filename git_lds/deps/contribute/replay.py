"""Makes the commits for upstream out of the commits here: same authors and messages, upstream's tree, only these files.

The last commit has exactly the merged files. Those before it go as far as they can be merged one by one; a change that cannot
be merged waits for the commit that touches the file last.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from git_lds.deps.contribute.messages import CommitText, CommitTexts
from git_lds.deps.history.commits import CommitEdits
from git_lds.deps.merge import three_way
from git_lds.deps.merge.three_way import Files, MergeContents
from git_lds.errors import LdsError
from git_lds.git import refs
from git_lds.git.run import Git
from git_lds.git.trees import TreeEntry
from git_lds.git.write_commits import CommitWriter
from git_lds.repo import Repo


@dataclass(frozen=True, slots=True)
class NewCommit:
    """A commit made for upstream, and the commits here that it comes from."""

    commit: str
    subject: str
    author: str
    sources: tuple[str, ...]
    changes: Mapping[bytes, tuple[TreeEntry | None, TreeEntry | None]]
    """Each changed file before and after, by its path upstream."""


@dataclass(frozen=True, slots=True)
class ReplayInputs:
    """The files to change at the commit `onto`, and the steps that explain them, in their order. Paths are those here."""

    onto: str
    path: str
    """Upstream's path of the dependency."""
    theirs: Files
    """The files at `onto`."""
    goal: Mapping[bytes, TreeEntry | None]
    """The files to change, as they are to be; None: deleted."""
    steps: Sequence[CommitEdits]
    renamed: Mapping[bytes, bytes]
    """The new names of files that upstream renamed, by the old ones."""
    upstream_path: Callable[[bytes], bytes]
    convert: Callable[[bytes, TreeEntry], TreeEntry]
    """Returns a file in the form in which upstream keeps it."""


def replay(
    repo: Repo,
    git: Git,
    scratch: Path,
    replay_inputs: ReplayInputs,
    contents: MergeContents,
    *,
    squash: bool,
    message: str | None,
) -> list[NewCommit]:
    """Make the commits, with `git`, and return them, the oldest first. A file is made at `scratch` meanwhile.

    Raises LdsError if git does not know the user, or the commits that explain a change are not in this clone.
    """
    steps = replay_inputs.steps
    paths_by_commit, last = _assigned(repo, replay_inputs, has_message=squash and message is not None)
    sources = [step.commit for step in steps if paths_by_commit.get(step.commit)]
    texts = CommitTexts(repo.git, replay_inputs.path, sources)
    with CommitWriter(git, scratch) as writer:
        line = _CommitLine(writer, replay_inputs, texts.committer)
        if squash:
            return [line.add(replay_inputs.goal, texts.of_all(sources, message), sources)]
        commits = []
        for step in steps:
            touched = paths_by_commit.get(step.commit, set())
            final = {path: replay_inputs.goal[path] for path in touched if last[path] == step.commit}
            wanted = _merged(line.files, step, replay_inputs, touched - final.keys(), contents) | final
            if line.differs(wanted):
                commits.append(line.add(wanted, texts.of_one(step.commit), [step.commit]))
        return commits


def _assigned(
    repo: Repo, replay_inputs: ReplayInputs, *, has_message: bool
) -> tuple[dict[str, set[bytes]], dict[bytes, str]]:
    """Return the paths that each commit is to change, and the last commit to do so for each path."""
    goal, steps = replay_inputs.goal, replay_inputs.steps
    paths_by_commit: dict[str, set[bytes]] = {}
    last: dict[bytes, str] = {}
    for is_edit in (True, False):
        remaining = goal.keys() - last.keys()
        for step in steps if remaining else ():
            if step.is_edit == is_edit and not step.is_cut:
                for path in {replay_inputs.renamed.get(path, path) for path in step.files} & remaining:
                    paths_by_commit.setdefault(step.commit, set()).add(path)
                    last[path] = step.commit
    remaining = goal.keys() - last.keys()
    if remaining and not has_message:
        commit = _explaining(repo, steps, paths_by_commit)
        paths_by_commit.setdefault(commit, set()).update(remaining)
        last |= dict.fromkeys(remaining, commit)
    return paths_by_commit, last


def _explaining(repo: Repo, steps: Sequence[CommitEdits], assigned: Collection[str]) -> str:
    """Return the commit for changes that no commit made by itself, such as those of a merge."""
    merges = [step.commit for step in steps if not step.is_edit and not step.files]
    known = [step.commit for step in steps if not step.is_cut and (step.commit in assigned or step.commit in merges)]
    if known:
        return known[-1]
    if any(step.is_cut for step in steps):
        raise LdsError(
            "the commits that made these edits are not in this clone, which is shallow",
            "git fetch --unshallow, or say what they are: git lds contribute PATH -m MESSAGE",
        )
    return steps[-1].commit if steps else refs.head(repo.git) or ""


def _merged(
    files: Files, step: CommitEdits, replay_inputs: ReplayInputs, paths: Collection[bytes], contents: MergeContents
) -> dict[bytes, TreeEntry | None]:
    """Return `files` at `paths` with the edits of a step merged in; paths in conflict are left out."""
    if not paths:
        return {}
    edits = {replay_inputs.renamed.get(path, path): edit for path, edit in step.files.items()}
    base = {path: edits[path][0] for path in paths}
    ours = {path: files.get(path) for path in paths}
    theirs = {path: edits[path][1] for path in paths}
    merge = three_way.three_way(_existing(base), _existing(ours), _existing(theirs), contents)
    return {path: merge.files.get(path) for path in paths if path not in merge.conflicts}


def _existing(files: Mapping[bytes, TreeEntry | None]) -> dict[bytes, TreeEntry]:
    return {path: file for path, file in files.items() if file is not None}


class _CommitLine:
    """The new commits, each on the one before; `files` are those of the last."""

    def __init__(self, writer: CommitWriter, replay_inputs: ReplayInputs, committer: str) -> None:
        self._writer = writer
        self._inputs = replay_inputs
        self._committer = committer
        self._parent = self._tree = replay_inputs.onto
        self.files = dict(replay_inputs.theirs)

    def differs(self, wanted: Mapping[bytes, TreeEntry | None]) -> bool:
        """Return whether these files would change anything."""
        return any(self.files.get(path) != self._converted(path, file) for path, file in wanted.items())

    def add(self, wanted: Mapping[bytes, TreeEntry | None], text: CommitText, sources: Sequence[str]) -> NewCommit:
        """Make a commit of the files before it with `wanted` put in. Raises LdsError if git cannot write it."""
        changes = {}
        for path, file in wanted.items():
            before, after = self.files.get(path), self._converted(path, file)
            if before != after:
                changes[self._inputs.upstream_path(path)] = (before, after)
                self.files.pop(path, None)
            if after is not None:
                self.files[path] = after
        # blobs that did not change are not here: only upstream has them
        self._tree = self._writer.tree(self._tree, {path: after for path, (_, after) in changes.items()})
        lines = [
            f"tree {self._tree}",
            f"parent {self._parent}",
            f"author {text.author}",
            f"committer {self._committer}",
        ]
        data = ("\n".join(lines) + "\n\n" + text.message).encode("utf-8", "replace")
        self._parent = self._writer.commit(data)
        return NewCommit(self._parent, text.subject, text.author_name, tuple(sources), changes)

    def _converted(self, path: bytes, file: TreeEntry | None) -> TreeEntry | None:
        return None if file is None else self._inputs.convert(path, file)

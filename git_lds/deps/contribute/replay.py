"""Makes upstream commits of commits here: the same author and words, on upstream's tree, with the dependency's files alone.

The last of them has just what the merge of all edits with upstream came to. Those before it go as far as they can be merged
one by one; what cannot be waits for the commit that touches the file last.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from git_lds.deps.history import trailers
from git_lds.deps.history.commits import Step
from git_lds.deps.history.trailers import PLAIN_LOG
from git_lds.deps.manifest.manifest import WHOLE
from git_lds.deps.merge import three_way
from git_lds.deps.merge.three_way import Files, MergeContents
from git_lds.errors import LdsError
from git_lds.git.config import configured
from git_lds.git.run import Git, GitFailed
from git_lds.git.trees import TreeEntry
from git_lds.repo import Repo

_MAX_SOURCES = 200
"""Trailers in one commit; the commits of a squash beyond these are not named."""


@dataclass(frozen=True, slots=True)
class NewCommit:
    """A commit made for upstream; `changes` are by the paths' names upstream, with what was there before and is there now."""

    commit: str
    subject: str
    author: str
    sources: tuple[str, ...]
    changes: Mapping[bytes, tuple[TreeEntry | None, TreeEntry | None]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to become commits: of `theirs`, at the commit `onto`, the paths in `goal` change to what that has.

    All are paths here; `name` gives upstream's. `steps` are in their order, and `renamed` has the new names upstream of
    files, by the old ones.
    """

    onto: str
    path: str
    theirs: Files
    goal: Mapping[bytes, TreeEntry | None]
    steps: Sequence[Step]
    renamed: Mapping[bytes, bytes]
    name: Callable[[bytes], bytes]
    form: Callable[[bytes, TreeEntry], TreeEntry]
    """Gives a file in the form that upstream keeps it in."""


@dataclass(frozen=True, slots=True)
class _Words:
    """What a commit says beside its tree: the line of the author, as git writes it, and the message."""

    author: str
    message: str


def replay(
    repo: Repo, git: Git, plan: Plan, contents: MergeContents, *, squash: bool, message: str | None
) -> list[NewCommit]:
    """Make the commits, in the directory for objects that `git` has, and return them, the oldest first."""
    due, last = _assigned(repo, plan, is_said=squash and message is not None)
    committer = _committer(repo)
    made: list[NewCommit] = []
    with_index = _Tree(git, plan)
    if squash:
        sources = [step.commit for step in plan.steps if due.get(step.commit)]
        words = _squashed(repo, git, plan, sources, committer, message)
        return [with_index.commit(plan.goal, words, committer, sources)]
    for step in plan.steps:
        touched = due.get(step.commit, ())
        final = {path: plan.goal[path] for path in touched if last[path] == step.commit}
        wanted = _merged(with_index.state, step, plan, set(touched) - final.keys(), contents) | final
        if with_index.differs(wanted):
            sources = [step.commit]
            made.append(
                with_index.commit(wanted, _with_trailers(_words(repo, step.commit), plan, sources), committer, sources)
            )
    return made


def _assigned(repo: Repo, plan: Plan, *, is_said: bool) -> tuple[dict[str, set[bytes]], dict[bytes, str]]:
    """Return which paths each commit is to change, and which commit is the last to do so for each path."""
    due: dict[str, set[bytes]] = {}
    last: dict[bytes, str] = {}
    for counts in (True, False):
        left = plan.goal.keys() - last.keys()
        for step in plan.steps if left else ():
            if step.is_edit == counts and not step.is_cut:
                for path in {plan.renamed.get(path, path) for path in step.files} & left:
                    due.setdefault(step.commit, set()).add(path)
                    last[path] = step.commit
    left = plan.goal.keys() - last.keys()
    if left and not is_said:
        commit = _that_explains(repo, plan, due)
        due.setdefault(commit, set()).update(left)
        last |= dict.fromkeys(left, commit)
    return due, last


def _that_explains(repo: Repo, plan: Plan, due: Collection[str]) -> str:
    """Return the commit for changes that no commit made by itself, such as those of a merge."""
    merges = [step.commit for step in plan.steps if not step.is_edit and not step.files]
    known = [step.commit for step in plan.steps if not step.is_cut and (step.commit in due or step.commit in merges)]
    if known:
        return known[-1]
    if any(step.is_cut for step in plan.steps):
        raise LdsError(
            "the commits that made these edits are not in this clone, which is shallow",
            "git fetch --unshallow, or say what they are: git lds contribute PATH -m MESSAGE",
        )
    return plan.steps[-1].commit if plan.steps else repo.git.text("rev-parse", "HEAD")


def _merged(
    state: Files, step: Step, plan: Plan, paths: Collection[bytes], contents: MergeContents
) -> dict[bytes, TreeEntry | None]:
    """Return what a commit's edits of `paths` make of `state`; those that cannot be merged are left out."""
    if not paths:
        return {}
    edits = {plan.renamed.get(path, path): edit for path, edit in step.files.items()}
    base = {path: edits[path][0] for path in paths}
    ours = {path: state.get(path) for path in paths}
    theirs = {path: edits[path][1] for path in paths}
    merge = three_way.three_way(_there(base), _there(ours), _there(theirs), contents)
    return {path: merge.files.get(path) for path in paths if path not in merge.conflicts}


def _there(files: Mapping[bytes, TreeEntry | None]) -> dict[bytes, TreeEntry]:
    return {path: file for path, file in files.items() if file is not None}


class _Tree:
    """Upstream's tree on its way through the commits, in an index of its own."""

    def __init__(self, git: Git, plan: Plan) -> None:
        self._git = git.with_environment({"GIT_INDEX_FILE": git.environment["GIT_INDEX_FILE"] + "-upstream"})
        self._plan = plan
        self._parent = plan.onto
        self.state = dict(plan.theirs)
        self._git.bytes("read-tree", plan.onto)

    def differs(self, wanted: Mapping[bytes, TreeEntry | None]) -> bool:
        return any(self.state.get(path) != self._form(path, file) for path, file in wanted.items())

    def _form(self, path: bytes, file: TreeEntry | None) -> TreeEntry | None:
        return None if file is None else self._plan.form(path, file)

    def commit(
        self, wanted: Mapping[bytes, TreeEntry | None], words: _Words, committer: str, sources: Sequence[str]
    ) -> NewCommit:
        """Make a commit of the tree with `wanted` in it, on the one before."""
        changes = {}
        for path, file in wanted.items():
            before, after = self.state.get(path), self._form(path, file)
            if before != after:
                changes[path] = (before, after)
                self.state.pop(path, None)
            if after is not None:
                self.state[path] = after
        self._write(changes)
        # blobs that nobody touched are not here: only upstream has them
        tree = self._git.text("write-tree", "--missing-ok")
        lines = [f"tree {tree}", f"parent {self._parent}", f"author {words.author}", f"committer {committer}", ""]
        data = ("\n".join(lines) + "\n" + words.message).encode("utf-8", "replace")
        self._parent = self._git.text("hash-object", "-t", "commit", "-w", "--stdin", stdin=data)
        named = {self._plan.name(path): change for path, change in changes.items()}
        subject = words.message.partition("\n")[0]
        return NewCommit(self._parent, subject, words.author.partition(" <")[0], tuple(sources), named)

    def _write(self, changes: Mapping[bytes, tuple[TreeEntry | None, TreeEntry | None]]) -> None:
        nothing = b"0" * len(self._parent)
        gone = [b"0 %s\t%s\0" % (nothing, self._plan.name(path)) for path, (before, _) in changes.items() if before]
        new = [
            b"%s %s\t%s\0" % (after.mode, after.blob, self._plan.name(path))
            for path, (_, after) in changes.items()
            if after
        ]
        self._git.bytes("update-index", "--replace", "-z", "--index-info", stdin=b"".join([*gone, *new]))


# words


def _committer(repo: Repo) -> str:
    try:
        return repo.git.text("var", "GIT_COMMITTER_IDENT")
    except GitFailed:
        raise LdsError(
            "git does not know who you are, and a commit must say who made it",
            'git config user.name "Your Name", and git config user.email you@example.org',
        ) from None


def _words(repo: Repo, commit: str) -> _Words:
    git = configured(repo.git, PLAIN_LOG)
    form = "--format=%an%x00%ae%x00%ad%x00%B"
    said = git.bytes("log", "-1", "--no-walk", "--encoding=UTF-8", "--date=raw", form, commit).decode(
        "utf-8", "replace"
    )
    name, email, date, message = said.split("\0", 3)
    return _Words(_author(name, email, date), message.strip("\n") + "\n")


def _author(name: str, email: str, date: str) -> str:
    plain = [_without_marks(text) for text in (name, email)]
    return f"{plain[0] or plain[1] or 'unknown'} <{plain[1]}> {date}"


def _without_marks(text: str) -> str:
    """Return a name as a line of a commit may hold it."""
    return "".join(c for c in text if c not in "<>\n\0").strip()


def _with_trailers(words: _Words, plan: Plan, sources: Sequence[str], *further: str) -> _Words:
    lines = [*further, *(trailers.line(source, plan.path) for source in sources[:_MAX_SOURCES])]
    return _Words(words.author, trailers.added(words.message, lines))


def _squashed(repo: Repo, git: Git, plan: Plan, sources: Sequence[str], committer: str, message: str | None) -> _Words:
    """Return the words of one commit for all: by their author if there is one, else by the user, who names the others."""
    said = [_words(repo, source) for source in sources]
    authors = list(dict.fromkeys(each.author.rpartition("> ")[0] + ">" for each in said))
    subjects = [each.message.partition("\n")[0] for each in said]
    if message is None and len(said) == 1:
        message = said[0].message
    elif message is None:
        where = plan.path if plan.path != WHOLE else "files"
        message = f"Change {where}: {len(said)} commits\n\n" + "\n".join(f"* {subject}" for subject in subjects)
    mine = committer.rpartition("> ")[0] + ">"
    author = said[-1].author if len(authors) == 1 else committer
    others = [f"Co-authored-by: {each}" for each in authors if len(authors) > 1 and each != mine]
    return _with_trailers(_Words(author, message), plan, sources, *others)

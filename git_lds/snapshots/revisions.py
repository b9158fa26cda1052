"""Revisions as users type them: the two sides of a diff, and the two commits that a review compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from git_lds.errors import LdsError
from git_lds.git import refs, trees
from git_lds.git.run import Git
from git_lds.repo import Repo
from git_lds.snapshots.changes import Place, Side


@dataclass(frozen=True, slots=True)
class _RevisionRange:
    """The two revisions of A..B or A...B; `from_merge_base` for the latter."""

    base: str
    head: str
    from_merge_base: bool


def _range(word: str) -> _RevisionRange | None:
    """Return the range that a word is, or None; a revision that is left out is HEAD."""
    base, dots, head = word.partition("...") if "..." in word else word.partition("..")
    return _RevisionRange(base or "HEAD", head or "HEAD", dots == "...") if dots else None


# the two sides of a diff


def is_revision(repo: Repo, word: str) -> bool:
    """Return whether a word names a revision, or two as A..B and A...B do."""
    parts = _range(word)
    return all(refs.tree(repo.git, name) for name in ([parts.base, parts.head] if parts else [word]))


def diff_sides(repo: Repo, words: Sequence[str], *, cached: bool = False) -> tuple[Side, Side]:
    """Return base and head of a diff of up to two revisions, as `git diff` understands them.

    Raises LdsError if a word is not a revision, and if the two of A...B have no common ancestor.
    """
    if cached and len(words) == 2:
        raise LdsError("what is staged is compared with one revision", "git lds diff --cached REV")
    parts = _range(words[0]) if len(words) == 1 else None
    for word in [parts.base, parts.head] if parts else words:
        refs.required_tree(repo.git, word)
    if parts is not None:
        base = _diff_merge_base(repo.git, parts.base, parts.head) if parts.from_merge_base else parts.base
        return base, parts.head
    if cached:
        return words[0] if words else _head(repo.git), Place.INDEX
    if len(words) == 2:
        return words[0], words[1]
    return words[0] if words else Place.INDEX, Place.WORK_TREE


def _head(git: Git) -> str:
    """Return HEAD, or the empty tree before the first commit."""
    return "HEAD" if refs.tree(git, "HEAD") is not None else trees.empty(git)


def _diff_merge_base(git: Git, one: str, other: str) -> str:
    base = refs.merge_base(git, one, other)
    if base is None:
        raise LdsError(f"{one} and {other} have no common ancestor", f"git lds diff {one} {other}")
    return base


# the two commits of a review


@dataclass(frozen=True, slots=True)
class Ends:
    """The commits before and after, in hex, their names for people, and a sentence that says how they were chosen.

    If HEAD is the first commit, `base` is the tree without files.
    """

    base: str
    head: str
    base_name: str
    head_name: str
    how: str


def review_ends(repo: Repo, text: str | None) -> Ends:
    """Return the two ends of BASE..HEAD, BASE...HEAD (from their merge base) or BASE; without text, those of HEAD's branch.

    Raises LdsError if a name is not a commit, and if the two of BASE...HEAD have no commit in common.
    """
    if text is None:
        return _ends_of_branch(repo)
    parts = _range(text) or _RevisionRange(text, "HEAD", from_merge_base=False)
    base, head = _commit(repo.git, parts.base), _commit(repo.git, parts.head)
    base_name, head_name = _named(parts.base, base), _named(parts.head, head)
    if not parts.from_merge_base:
        return Ends(base, head, base_name, head_name, f"{parts.base} to {parts.head}.")
    merge_base = refs.merge_base(repo.git, base, head)
    if merge_base is None:
        raise LdsError(f"{text}: the two have no commit in common", "name the base: git lds review BASE..HEAD")
    how = f"The merge base with {parts.base} to {parts.head}."
    return Ends(merge_base, head, _named(parts.base, merge_base), head_name, how)


def _ends_of_branch(repo: Repo) -> Ends:
    """Return HEAD, and its merge base with the first of its target branches that lacks some of it."""
    git = repo.git
    head = _commit(git, "HEAD")
    branch = refs.current_branch(git)
    head_name = _named(branch or "HEAD", head)
    for name in _target_branches(repo, branch):
        base = refs.merge_base(git, name, head)
        if base is not None and base != head:
            return Ends(base, head, _named(name, base), head_name, f"The merge base with {name} to {branch or 'HEAD'}.")
    parent = refs.commit(git, "HEAD^")
    if parent is not None:
        how = "The last commit alone: no branch to merge it into lacks it."
        return Ends(parent, head, _named("HEAD^", parent), head_name, how)
    return Ends(trees.empty(git), head, "nothing", head_name, "All of the first commit.")


def _target_branches(repo: Repo, branch: str | None) -> list[str]:
    """Return the branches that HEAD may be for, the likeliest first.

    These are its upstream branch if that has another name, then the remote's default branch. An upstream branch of the same
    name comes late: it holds the same work, as it was pushed.
    """
    git = repo.git
    remote = repo.settings.default_remote() or "origin"
    upstream = refs.short_name(git, "@{upstream}") if branch else None
    default = refs.short_name(git, f"{remote}/HEAD")
    usual = [default] if default else [f"{remote}/main", f"{remote}/master"]
    is_own = upstream is not None and upstream == f"{remote}/{branch}"
    names = [*([] if is_own else [upstream]), *usual, upstream, "main", "master"]
    return [name for name in dict.fromkeys(names) if name and name != branch and refs.object_id(git, name)]


def _commit(git: Git, name: str) -> str:
    commit = refs.commit(git, name)
    if commit is None:
        raise LdsError(f"{name}: no such commit", hint="git log --all --oneline")
    return commit


def _named(name: str, commit: str) -> str:
    return name if commit.startswith(name) else f"{name} ({commit[:9]})"

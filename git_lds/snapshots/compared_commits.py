"""Which two commits a review compares, and how they were found."""

from __future__ import annotations

from dataclasses import dataclass

from git_lds.errors import LdsError
from git_lds.repo import Repo


@dataclass(frozen=True, slots=True)
class Ends:
    """The commits before and after, in hex, what people call them, and a sentence that says where they come from.

    Where HEAD is the first commit, `base` is the tree without files.
    """

    base: str
    head: str
    base_name: str
    head_name: str
    how: str


def ends(repo: Repo, text: str | None) -> Ends:
    """Return the two ends that `text` names: BASE..HEAD, BASE...HEAD (from their merge base), BASE alone, or None: found.

    Raises LdsError where a name is of no commit.
    """
    if text is None:
        return _found(repo)
    first, dots, last = text.partition("..")
    from_merge_base = last.startswith(".")
    base_name, head_name = first or "HEAD", last.removeprefix(".") or "HEAD"
    base, head = _commit(repo, base_name), _commit(repo, head_name)
    how = f"{base_name} to {head_name}."
    if dots and from_merge_base:
        merge_base = repo.git.maybe("merge-base", base, head)
        if merge_base is None:
            raise LdsError(f"{text}: the two have no commit in common", "name the base: git lds review BASE..HEAD")
        base, how = merge_base, f"The merge base with {base_name} to {head_name}."
    return Ends(base, head, _named(base_name, base), _named(head_name, head), how)


def _found(repo: Repo) -> Ends:
    """Return HEAD, and what it is to be merged into: the first of the branches below that has not all of it."""
    head = _commit(repo, "HEAD")
    branch = repo.git.maybe("symbolic-ref", "--quiet", "--short", "HEAD")
    head_name = _named(branch or "HEAD", head)
    for name in _targets(repo, branch):
        base = repo.git.maybe("merge-base", name, head)
        if base is not None and base != head:
            return Ends(base, head, _named(name, base), head_name, f"The merge base with {name} to {branch or 'HEAD'}.")
    parent = repo.git.maybe("rev-parse", "--verify", "--quiet", "HEAD^")
    if parent is not None:
        how = "The last commit alone: no branch to merge it into lacks it."
        return Ends(parent, head, _named("HEAD^", parent), head_name, how)
    nothing = repo.git.text("hash-object", "-t", "tree", "--stdin")
    return Ends(nothing, head, "nothing", head_name, "All of the first commit.")


def _targets(repo: Repo, branch: str | None) -> list[str]:
    """Return the branches that HEAD may be for: its upstream where that has another name, the remote's default branch, and
    last its upstream of the same name, which is the same work as it was pushed."""
    git = repo.git
    remote = repo.settings.default_remote() or "origin"
    upstream = git.maybe("rev-parse", "--abbrev-ref", "--symbolic-full-name", "@{upstream}") if branch else None
    default = git.maybe("rev-parse", "--abbrev-ref", f"{remote}/HEAD")
    usual = [default] if default else [f"{remote}/main", f"{remote}/master"]
    is_own = upstream is not None and upstream == f"{remote}/{branch}"
    named = [*([] if is_own else [upstream]), *usual, upstream, "main", "master"]
    return [
        name for name in dict.fromkeys(named) if name and name != branch and git.ok("rev-parse", "-q", "--verify", name)
    ]


def _commit(repo: Repo, name: str) -> str:
    found = repo.git.maybe("rev-parse", "--verify", "--quiet", "--end-of-options", name + "^{commit}")
    if found is None:
        raise LdsError(f"{name}: no such commit", hint="git log --all --oneline")
    return found


def _named(name: str, commit: str) -> str:
    return name if commit.startswith(name) else f"{name} ({commit[:9]})"

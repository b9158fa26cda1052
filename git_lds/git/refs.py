"""Names of commits: what they resolve to, where branches are, and whether a commit is an ancestor of another."""

from __future__ import annotations

from collections.abc import Iterable

from git_lds.errors import LdsError
from git_lds.git.run import Git


def commit(git: Git, revision: str) -> str | None:
    """Return the id of the commit that a revision means, or None if it means none."""
    return _peeled(git, revision, "commit")


def tree(git: Git, revision: str) -> str | None:
    """Return the id of the tree of a revision, or None if it has none."""
    return _peeled(git, revision, "tree")


def object_id(git: Git, revision: str) -> str | None:
    """Return the id of the object that a revision names, a tag as itself, or None."""
    return _peeled(git, revision, "object")


def required_tree(git: Git, revision: str) -> str:
    """Return the id of the tree of a revision. Raises LdsError if there is none."""
    found = tree(git, revision)
    if found is None:
        raise LdsError(f"{revision}: no such revision", hint="git log --all --oneline")
    return found


def head(git: Git) -> str | None:
    """Return the commit of HEAD, or None on a branch without commits."""
    return commit(git, "HEAD")


def _peeled(git: Git, revision: str, kind: str) -> str | None:
    name = f"{revision}^{{{kind}}}"
    if revision.startswith((":", "-")) or "\n" in revision or ":" in revision:
        # `:path` needs the index as it is now; other forms are rare
        return git.maybe("rev-parse", "--verify", "--quiet", "--end-of-options", name)
    info = git.reader.info(name)
    return info.id if info is not None else None


def current_branch(git: Git) -> str | None:
    """Return the short name of the branch that is checked out, or None for a detached HEAD."""
    return git.maybe("symbolic-ref", "--quiet", "--short", "HEAD")


def short_name(git: Git, revision: str) -> str | None:
    """Return the short name of the ref that `revision` means, such as origin/main for origin/HEAD, or None."""
    return git.maybe("rev-parse", "--abbrev-ref", "--symbolic-full-name", revision)


def merge_base(git: Git, one: str, other: str) -> str | None:
    """Return a best common ancestor of two commits, or None if they have none."""
    return git.maybe("merge-base", "--end-of-options", one, other)


def is_ancestor(git: Git, ancestor: str, descendant: str) -> bool:
    """Return whether `ancestor` is `descendant` or reachable from it. Commits that are not present are not."""
    return ancestor == descendant or git.ok("merge-base", "--is-ancestor", ancestor, descendant)


def tips(git: Git, prefixes: Iterable[str] = (), *, count: int | None = None) -> list[str]:
    """Return the object ids of the refs below `prefixes` (all refs without any), at most `count`."""
    limit = (f"--count={count}",) if count is not None else ()
    return git.text("for-each-ref", *limit, "--format=%(objectname)", *prefixes).split()


def latest_tips(git: Git, prefixes: Iterable[str], *, count: int) -> list[str]:
    """Return the object ids of the refs below `prefixes` with the latest commits, at most `count`, the newest first."""
    options = ("--sort=-committerdate", f"--count={count}", "--format=%(objectname)")
    return git.text("for-each-ref", *options, *prefixes).split()


def blob_at(git: Git, commit: str, path: str) -> str | None:
    """Return the id of what a commit or tree (an id or a name) has at a path from the top, or None."""
    info = git.reader.info(f"{commit}:{path}")
    return info.id if info is not None else None


def update(git: Git, name: str, commit: str, *, expected: str | None = None) -> None:
    """Set the ref `name` (in full) to `commit`. With `expected` only if that is its value; "" means that it must not exist.

    Raises GitFailed.
    """
    git.bytes("update-ref", name, commit, *(() if expected is None else (expected,)))


def is_branch_name(git: Git, name: str) -> bool:
    """Return whether git takes `name` as it is for the name of a branch."""
    return git.maybe("check-ref-format", "--branch", name) == name


def branch(git: Git, name: str) -> str | None:
    """Return the commit of a branch, or None if it does not exist."""
    return commit(git, f"refs/heads/{name}")


def switch_head(git: Git, branch: str, *, reason: str) -> None:
    """Make HEAD point to a branch; working tree and index stay. `reason` is for the reflog. Raises GitFailed."""
    git.bytes("symbolic-ref", "-m", reason, "HEAD", f"refs/heads/{branch}")

"""What a person wants compared: revisions as they are typed, as the two sides of a diff."""

from __future__ import annotations

from collections.abc import Sequence

from git_lds.errors import LdsError
from git_lds.git.run import Git
from git_lds.repo import Repo
from git_lds.snapshots.changes import Place, Side, tree_of


def is_one(repo: Repo, word: str) -> bool:
    """Tell whether a word names a revision, or two as A..B and A...B do."""
    return all(_exists(repo.git, part) for part in _parts(word) or [word])


def sides(repo: Repo, words: Sequence[str], *, cached: bool = False) -> tuple[Side, Side]:
    """Return base and head of a diff of these revisions, none to two of them, as `git diff` understands them.

    Raises LdsError where a revision is none, and where two have no common ancestor for A...B.
    """
    parts = _parts(words[0]) if len(words) == 1 else None
    if parts is not None:
        base, head = parts
        return (_parted(repo.git, base, head) if "..." in words[0] else _checked(repo, base)), _checked(repo, head)
    if cached and len(words) == 2:
        raise LdsError("what is staged is compared with one revision", "git lds diff --cached REV")
    if cached:
        return _checked(repo, words[0]) if words else _head(repo), Place.INDEX
    if len(words) == 2:
        return _checked(repo, words[0]), _checked(repo, words[1])
    return (_checked(repo, words[0]) if words else Place.INDEX), Place.WORK_TREE


def _parts(word: str) -> list[str] | None:
    """Return the two revisions of A..B or A...B; one that is left out is HEAD."""
    mark = "..." if "..." in word else ".." if ".." in word else None
    if mark is None:
        return None
    base, _, head = word.partition(mark)
    return [base or "HEAD", head or "HEAD"]


def _checked(repo: Repo, revision: str) -> str:
    tree_of(repo, revision)
    return revision


def _exists(git: Git, revision: str) -> bool:
    return git.ok("rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{tree}")


def _head(repo: Repo) -> str:
    """Return HEAD, or the empty tree before the first commit."""
    if _exists(repo.git, "HEAD"):
        return "HEAD"
    return repo.git.text("hash-object", "-t", "tree", "--stdin", stdin=b"")


def _parted(git: Git, one: str, other: str) -> str:
    found = git.maybe("merge-base", "--end-of-options", one, other)
    if found is None:
        raise LdsError(f"{one} and {other} have no common ancestor", f"git lds diff {one} {other}")
    return found

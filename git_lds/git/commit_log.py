"""History for people and for consent: the commits that changed a path, and the entries of reflogs."""

from __future__ import annotations

from collections.abc import Iterable

from git_lds.fast_typing import NamedTuple
from git_lds.git.run import Git


class ReflogEntry(NamedTuple):
    """An entry of a reflog: the commit that the ref got, and git's message, such as "commit: subject" or "clone: from URL"."""

    commit: str
    message: str


def commits_that_changed(git: Git, path: str, revisions: Iterable[str], *, limit: int) -> list[str]:
    """Return the latest commits of `revisions` (options such as --remotes too) that changed a path from the top, at most
    `limit`, the newest first; none if a revision does not exist."""
    listed = git.maybe("log", f"-{limit}", "--format=%H", *revisions, "--", f":(top){path}")
    return (listed or "").splitlines()


def one_line(git: Git, commit: str) -> str:
    """Return a commit as "<short id> (<author>: <subject>)". Raises GitFailed if it does not exist."""
    return git.text("log", "-1", "--format=%h (%an: %s)", commit)


def reflog(git: Git, refs: Iterable[str], *, limit: int | None = None) -> list[ReflogEntry]:
    """Return the reflog entries of `refs` (or options such as --branches), the newest first; none without a reflog."""
    most = (f"-{limit}",) if limit is not None else ()
    lines = (git.maybe("log", "-g", *most, "--format=%H %gs", *refs, "--") or "").splitlines()
    return [ReflogEntry(*line.partition(" ")[::2]) for line in lines]

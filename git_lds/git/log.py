"""What `git log` says: the commits that changed a path, their changes, messages and authors, and the entries of reflogs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from git_lds.fast_typing import TYPE_CHECKING, NamedTuple
from git_lds.git.config import configured
from git_lds.git.run import Git

if TYPE_CHECKING:
    from git_lds.git.trees import Difference

_PLAIN = {
    "log.showSignature": "false",
    "log.follow": "false",
    "log.showRoot": "true",
    "log.mailmap": "false",
    "diff.ignoreSubmodules": "none",
}
_RAW = ("--raw", "-z", "--no-abbrev", "--no-renames", "--no-ext-diff", "--diff-merges=off")


class LoggedCommit(NamedTuple):
    """A commit with its parents, and what it changed of the paths that were asked for; a merge changed nothing."""

    commit: str
    parents: tuple[str, ...]
    changes: tuple[Difference, ...]


class Authorship(NamedTuple):
    """Who wrote a commit, when (as `--date=raw` has it), and its message, in Unicode whatever its encoding was."""

    name: str
    email: str
    date: str
    message: str


class ReflogEntry(NamedTuple):
    """An entry of a reflog: the commit that the ref got, and git's message, such as "commit: subject" or "clone: from URL"."""

    commit: str
    message: str


def changes(
    git: Git, included: str, paths: Sequence[str] = (), *, excluded: str | None = None
) -> Iterator[LoggedCommit]:
    """Yield the commits of `included`, and not of `excluded`, that touch the paths; parents before children.

    Raises GitFailed when the iteration starts if a revision is missing.
    """
    revisions = (included,) if excluded is None else (included, "--not", excluded)
    form = "--format=%x01%H%x02%P"
    options = ("--topo-order", "--reverse", *_RAW, form)
    said = configured(git, _PLAIN).names("log", *options, *revisions, "--", *paths)
    parts = iter(said)
    head: bytes | None = None
    raw: list[bytes] = []
    for part in parts:
        part = part.lstrip(b"\n")
        if part.startswith(b"\x01"):
            if head is not None:
                yield _logged(head, raw)
            head, raw = part, []
        elif part.startswith(b":"):
            raw += (part, next(parts))
    if head is not None:
        yield _logged(head, raw)


def _logged(head: bytes, raw: Sequence[bytes]) -> LoggedCommit:
    from git_lds.git import trees  # late: a push reads reflogs alone, and need not define its dataclasses

    commit, _, parents = head[1:].decode().partition("\x02")
    return LoggedCommit(commit, tuple(parents.split()), tuple(trees.parse_raw(raw)))


def messages(
    git: Git, included: str, excluded: str, paths: Sequence[str] = (), *, pattern: str
) -> list[tuple[str, str]]:
    """Return (commit, message) of the commits of `included`, and not of `excluded`, that touch the paths and match.

    `pattern` is a basic regular expression for a line of the message. Parents come first. Raises GitFailed.
    """
    options = ("--topo-order", "--reverse", "-z", "--format=%H%n%B", "--encoding=UTF-8", f"--grep={pattern}")
    listed = configured(git, _PLAIN).names("log", *options, included, "--not", excluded, "--", *paths)
    records = (record.decode("utf-8", "replace").partition("\n") for record in listed)
    return [(commit, message) for commit, _, message in records]


def authorship(git: Git, commits: Collection[str]) -> dict[str, Authorship]:
    """Return who wrote each of the commits, and its message. Raises GitFailed if one is missing."""
    if not commits:
        return {}
    options = ("--no-walk=unsorted", "--stdin", "-z", "--encoding=UTF-8", "--date=raw")
    form = "--format=%H%x00%an%x00%ae%x00%ad%x00%B"
    asked = "".join(f"{commit}\n" for commit in commits).encode()
    said = configured(git, _PLAIN).bytes("log", *options, form, stdin=asked).decode("utf-8", "replace")
    # a message may hold anything but NUL, so the records are of five parts each
    parts = said.split("\0")
    return {parts[n]: Authorship(*parts[n + 1 : n + 5]) for n in range(0, len(parts) - 4, 5)}


def last_change(git: Git, commit: str, path: str) -> tuple[str, str] | None:
    """Return (commit, subject) of the last commit up to `commit` that touched a path, or None. Raises GitFailed."""
    said = configured(git, _PLAIN).text("log", "-1", "--no-renames", "--format=%H%x00%s", commit, "--", path)
    found, _, subject = said.partition("\0")
    return (found, subject) if found else None


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

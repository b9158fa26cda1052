"""The trailer of a contributed commit: the commit of another repository that it comes from.

    Lds-Contributed-From: <commit here> <path upstream>

It has no URL. The id of a commit means something only to those who have the commit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from git_lds.deps.manifest.manifest import WHOLE
from git_lds.git import log
from git_lds.git.run import Git

KEY = "Lds-Contributed-From"

_LINE = re.compile(rf"^[ \t]*{KEY}: ([0-9a-f]{{40}}|[0-9a-f]{{64}}) (.+?)\r?$", re.MULTILINE)
_TRAILER = re.compile(r"[A-Za-z0-9-]+: .*|\(cherry picked from commit .*\)|[ \t].*")


@dataclass(frozen=True, slots=True)
class Contributed:
    """A commit upstream, or on a branch for it, and the commits here that its trailers name."""

    commit: str
    sources: tuple[str, ...]


def added(message: str, lines: Sequence[str]) -> str:
    """Return a commit message with trailers added, in the block of its own trailers if it has one."""
    text = message.rstrip()
    last = text.rpartition("\n\n")[2].splitlines() if "\n\n" in text else []
    has_block = bool(last) and all(_TRAILER.fullmatch(line) for line in last)
    new = [line for line in lines if line not in last]
    return text + ("\n" if has_block else "\n\n" if text else "") + "\n".join(new) + "\n"


def line(source: str, path: str) -> str:
    """Return the trailer for a commit here that edited upstream's `path`."""
    return f"{KEY}: {source} {path}"


def contributed(git: Git, included: str, excluded: str, path: str) -> list[Contributed]:
    """Return the commits of `included`, and not of `excluded`, with our trailer for `path`, oldest first.

    The line counts wherever it stands: a squash merge has those of many commits in the middle of its message. Raises
    GitFailed if a commit is missing.
    """
    if included == excluded:
        return []
    inside = () if path == WHOLE else (path,)
    found = []
    for commit, message in log.messages(git, included, excluded, inside, pattern=f"^[ \t]*{KEY}: "):
        sources = tuple(source for source, where in _LINE.findall(message) if where == path)
        if sources:
            found.append(Contributed(commit, tuple(dict.fromkeys(sources))))
    return found

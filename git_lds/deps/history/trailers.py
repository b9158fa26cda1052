"""The trailer of a contributed commit: which commit of which repository's history it was, for whoever has that repository.

    Lds-Contributed-From: <commit here> <path upstream>

It names no address: a commit's id says nothing to those who do not have the commit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from git_lds.deps.manifest.manifest import WHOLE
from git_lds.git.config import configured
from git_lds.git.run import Git

KEY = "Lds-Contributed-From"

PLAIN_LOG = {"log.showSignature": "false", "log.follow": "false", "log.showRoot": "true", "log.mailmap": "false"}
"""What a user may have said of `git log` for people."""

_LINE = re.compile(rf"^[ \t]*{KEY}: ([0-9a-f]{{40}}|[0-9a-f]{{64}}) (.+?)\r?$", re.MULTILINE)
_TRAILER = re.compile(r"[A-Za-z0-9-]+: .*|\(cherry picked from commit .*\)|[ \t].*")


@dataclass(frozen=True, slots=True)
class Contributed:
    """A commit upstream, or on a branch for it, and the commits here that it says to come from."""

    commit: str
    sources: tuple[str, ...]


def added(message: str, lines: Sequence[str]) -> str:
    """Return a commit message with trailers, in the block of those that it has."""
    text = message.rstrip()
    last = text.rpartition("\n\n")[2].splitlines() if "\n\n" in text else []
    has_block = bool(last) and all(_TRAILER.fullmatch(line) for line in last)
    new = [line for line in lines if line not in last]
    return text + ("\n" if has_block else "\n\n" if text else "") + "\n".join(new) + "\n"


def line(source: str, path: str) -> str:
    """Return the trailer for a commit here that edited upstream's `path`."""
    return f"{KEY}: {source} {path}"


def named(git: Git, included: str, excluded: str, path: str) -> list[Contributed]:
    """Return the commits of `included` and not of `excluded` that have our trailer for `path`, oldest first.

    The line counts wherever it stands: a squash merge has those of many commits in the middle of its message.
    """
    options = ("--topo-order", "--reverse", "-z", "--format=%H%n%B", "--encoding=UTF-8", f"--grep=^[ \t]*{KEY}: ")
    inside = () if path == WHOLE else (path,)
    plain = configured(git, PLAIN_LOG)
    listed = plain.names("log", *options, included, "--not", excluded, "--", *inside)
    found = []
    for record in listed:
        commit, _, message = record.decode("utf-8", "replace").partition("\n")
        sources = tuple(source for source, where in _LINE.findall(message) if where == path)
        if sources:
            found.append(Contributed(commit, tuple(dict.fromkeys(sources))))
    return found

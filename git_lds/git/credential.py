"""`git credential`: who the user is at a URL, as git's helpers and prompts answer it."""

from __future__ import annotations

from git_lds.fast_typing import TYPE_CHECKING
from git_lds.git.run import GitFailed

if TYPE_CHECKING:
    from typing import Literal

    from git_lds.git.run import Git


def fill(git: Git, question: bytes) -> bytes | None:
    """Return the fields that git's helpers, or the user, give for the fields in `question`, or None if they give none."""
    # git leaves the path out unless credential.useHttpPath is set, and honours GIT_TERMINAL_PROMPT
    try:
        return git.bytes("credential", "fill", stdin=question)
    except GitFailed:
        return None


def report(git: Git, outcome: Literal["approve", "reject"], fields: bytes) -> None:
    """Tell git's helpers whether a server accepted the credentials in `fields`; a helper that fails is ignored."""
    try:
        git.bytes("credential", outcome, stdin=fields)
    except GitFailed:
        pass  # a helper that cannot store or erase is not a reason to stop

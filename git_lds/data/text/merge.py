"""Merges text as git does: by `git merge-file`, with the user's conflict style."""

from __future__ import annotations

from git_lds.data.conflicts import Markers, Merged
from git_lds.errors import LdsError
from git_lds.git.merge_file import merge_file
from git_lds.git.run import Git, GitFailed

_PROBE = 8000
"""Bytes in which git looks for a NUL before it treats a file as text."""


def is_text(data: bytes) -> bool:
    """Return whether git would treat these contents as text."""
    return b"\0" not in data[:_PROBE]


def merge(git: Git, base: bytes, ours: bytes, theirs: bytes, name: str, markers: Markers) -> Merged:
    """Return the merge by lines. Raises LdsError if git does not merge the contents."""
    labels = (markers.ours, markers.base, markers.theirs)
    try:
        # the base of two ancestors has no place in the base that they are merged into
        merged, conflicts = merge_file(
            git, (ours, base, theirs), labels, marker_size=markers.size, plain_style=markers.of_ancestors
        )
    except GitFailed as error:
        raise LdsError(f"{name}: git does not merge it as text: {error.message}") from None
    if not conflicts:
        return Merged(merged)
    return Merged(merged, (f"lines in {conflicts} {'place' if conflicts == 1 else 'places'}",))

"""Merges text as git does: by `git merge-file`, with the user's conflict style."""

from __future__ import annotations

import tempfile
from pathlib import Path

from git_lds.data.conflicts import Markers, Merged
from git_lds.errors import LdsError
from git_lds.git.run import Git, GitFailed

_PROBE = 8000
"""Bytes in which git looks for a NUL before it treats a file as text."""

_FAILED = 128
"""Exit codes of `git merge-file` from this one on are failures; lower ones count the conflicts."""


def is_text(data: bytes) -> bool:
    """Return whether git would treat these contents as text."""
    return b"\0" not in data[:_PROBE]


def merge(git: Git, base: bytes, ours: bytes, theirs: bytes, name: str, markers: Markers) -> Merged:
    """Return the merge by lines. Raises LdsError if git does not merge the contents."""
    with tempfile.TemporaryDirectory(prefix="git-lds-") as scratch:
        paths = [Path(scratch) / word for word in ("ours", "base", "theirs")]
        for path, data in zip(paths, (ours, base, theirs), strict=True):
            path.write_bytes(data)
        labels = [word for label in (markers.ours, markers.base, markers.theirs) for word in ("-L", label)]
        # the base of two ancestors has no place in the base that they are merged into
        style = ("-c", "merge.conflictStyle=merge") if markers.of_ancestors else ()
        try:
            git.bytes(*style, "merge-file", "-q", f"--marker-size={markers.size}", *labels, "--", *map(str, paths))
        except GitFailed as error:
            if error.status >= _FAILED:
                raise LdsError(f"{name}: git does not merge it as text: {error.message}") from None
            count = f"{error.status} {'place' if error.status == 1 else 'places'}"
            return Merged(paths[0].read_bytes(), (f"lines in {count}",))
        return Merged(paths[0].read_bytes())

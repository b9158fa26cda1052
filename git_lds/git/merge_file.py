"""Merges three versions of a text by lines, with `git merge-file`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from git_lds.git.run import Git, GitFailed

_FAILED = 128
"""Exit codes of `git merge-file` from this one on are failures; lower ones count the conflicts."""


def merge_file(
    git: Git, versions: Sequence[bytes], labels: Sequence[str], *, marker_size: int, plain_style: bool = False
) -> tuple[bytes, int]:
    """Return the merge of ours, base and theirs, in this order, and how many conflicts it has.

    `labels` name the versions in conflict markers. With `plain_style` the user's conflict style does not count, and the base
    is not shown. Raises GitFailed for contents that git does not merge.
    """
    with tempfile.TemporaryDirectory(prefix="git-lds-") as scratch:
        paths = [Path(scratch) / word for word in ("ours", "base", "theirs")]
        for path, data in zip(paths, versions, strict=True):
            path.write_bytes(data)
        named = [word for label in labels for word in ("-L", label)]
        style = ("-c", "merge.conflictStyle=merge") if plain_style else ()
        try:
            git.bytes(*style, "merge-file", "-q", f"--marker-size={marker_size}", *named, "--", *map(str, paths))
        except GitFailed as error:
            if error.status >= _FAILED:
                raise
            return paths[0].read_bytes(), error.status
        return paths[0].read_bytes(), 0

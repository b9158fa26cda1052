"""The size of files in a working tree, from git alone: for a pointer the size in it, else the size of the blob."""

from __future__ import annotations

from collections.abc import Iterable

from git_lds.git.run import Git
from git_lds.git.trees import TreeEntry
from git_lds.snapshots.version import contents_of


def size_of(git: Git, files: Iterable[TreeEntry]) -> int:
    """Return how many bytes the files have together. A file whose blob `git` does not have counts as empty."""
    entries = list(files)
    contents = contents_of(git, entries)
    return sum(contents[entry.blob][1] for entry in entries if entry.blob in contents)

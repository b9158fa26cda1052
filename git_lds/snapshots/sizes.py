"""How large files are in a working tree, from what git has of them: a pointer says it, of anything else it is the blob's size."""

from __future__ import annotations

from collections.abc import Iterable

from git_lds import pointer
from git_lds.git.objects import measured
from git_lds.git.run import Git
from git_lds.git.trees import TreeEntry


def size_of(git: Git, files: Iterable[TreeEntry]) -> int:
    """Return how many bytes files have together; their blobs are there for `git`."""
    blobs = [file.blob for file in files]
    sizes: dict[bytes, int] = {}
    for blob, size, text in measured(git, dict.fromkeys(blobs), limit=pointer.MAX_LENGTH):
        found = pointer.parse(text) if text is not None else None
        sizes[blob] = found.size if found is not None else size
    return sum(sizes.get(blob, 0) for blob in blobs)

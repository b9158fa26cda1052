"""How large files are in a working tree, from what git has of them: a pointer says it, of anything else it is the blob's size."""

from __future__ import annotations

from collections.abc import Iterable

from git_lds import pointer
from git_lds.git.objects import small_blobs
from git_lds.git.run import Git
from git_lds.git.trees import TreeEntry


def size_of(git: Git, files: Iterable[TreeEntry]) -> int:
    """Return how many bytes files have together; their blobs are there for `git`."""
    blobs = [file.blob for file in files]
    if not blobs:
        return 0
    asked = b"".join(blob + b"\n" for blob in dict.fromkeys(blobs))
    lines = git.bytes("cat-file", "--batch-check=%(objectname) %(objectsize)", "--buffer", stdin=asked).splitlines()
    sizes = {blob: int(size) for blob, size in (line.split(b" ") for line in lines) if size.isdigit()}
    for blob, text in small_blobs(git, sizes, limit=pointer.MAX_LENGTH):
        if (found := pointer.parse(text)) is not None:
            sizes[blob] = found.size
    return sum(sizes.get(blob, 0) for blob in blobs)

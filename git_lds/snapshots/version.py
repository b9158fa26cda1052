"""A version of a file: where it is in git, and which contents it stands for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from git_lds import pointer
from git_lds.git.objects import measured
from git_lds.git.run import Git
from git_lds.git.trees import TreeEntry
from git_lds.pointer import Pointer

SYMLINK, SUBMODULE = b"120000", b"160000"


@dataclass(frozen=True, slots=True)
class Version:
    """A file as a tree, the index or the working tree has it.

    `pointer` names the contents if git has a pointer; it is always known for a file of the working tree, whose `entry` has
    no blob (b""). `size` is that of the contents in bytes: as the pointer says, which is not verified.
    """

    path: bytes
    entry: TreeEntry
    pointer: Pointer | None
    size: int
    in_working_tree: bool = False

    @property
    def mode(self) -> bytes:
        """The mode as git writes it, such as b"100644"."""
        return self.entry.mode

    @property
    def is_symlink(self) -> bool:
        """Whether it is a symbolic link, whose contents are its target."""
        return self.entry.mode == SYMLINK

    @property
    def blob(self) -> bytes | None:
        """The id of the blob in hex; None for a file of the working tree."""
        return self.entry.blob or None

    @property
    def oid(self) -> str | None:
        """The oid of the contents in hex, if `pointer` names them."""
        return self.pointer.oid.hex() if self.pointer is not None else None


def has_same_contents(one: Version, other: Version) -> bool:
    """Return whether two versions have the same contents, as far as git knows: by their pointers, else by their blobs."""
    if one.pointer is not None or other.pointer is not None:
        return one.oid == other.oid
    return one.blob == other.blob


BlobContents = Mapping[bytes, tuple[Pointer | None, int]]
"""By the id of a blob: its pointer if it is one, and the size of the contents."""


def contents_of(git: Git, entries: Iterable[TreeEntry]) -> BlobContents:
    """Return what the blobs of these entries stand for, read in bulk."""
    known = {}
    blobs = {entry.blob for entry in entries if entry.blob}
    for blob, size, text in measured(git, blobs, limit=pointer.MAX_LENGTH):
        found = pointer.parse(text) if text is not None else None
        known[blob] = (found, found.size) if found is not None else (None, size)
    return known


def version_of(path: bytes, entry: TreeEntry, contents: BlobContents) -> Version:
    """Return the version of a file that git has; `contents` knows its blob, if git does."""
    found, size = contents.get(entry.blob, (None, 0))
    return Version(path, entry, None if entry.mode == SYMLINK else found, size)

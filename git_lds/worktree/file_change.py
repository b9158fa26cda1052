"""The change of one file: in git's index, in the working tree, or in both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from git_lds.git.trees import TreeEntry
from git_lds.worktree.state import IndexState, Stamp


@dataclass(frozen=True, slots=True)
class Keep:
    """The file in the working tree stays as it is."""


@dataclass(frozen=True, slots=True)
class FromGit:
    """The working tree gets what git checks out for `file`; None deletes the file."""

    file: TreeEntry | None


@dataclass(frozen=True, slots=True)
class Bytes:
    """The working tree gets `contents`, and the index another version: the user has changes that are not staged."""

    contents: bytes


@dataclass(frozen=True, slots=True)
class File:
    """The working tree gets a link to `file`, or a copy of it.

    `matches_index` says that this is what git checks out for the new index entry.
    """

    file: Path
    matches_index: bool = True


Source = Keep | FromGit | Bytes | File


@dataclass(frozen=True, slots=True)
class FileChange:
    """The change of one path.

    `expected` is the file in the working tree that may be replaced; any other one is an error.
    """

    path: bytes
    index_before: IndexState
    index_after: IndexState
    expected: Stamp | None
    source: Source

    @classmethod
    def checkout(
        cls, path: bytes, before: TreeEntry | None, after: TreeEntry | None, expected: Stamp | None
    ) -> FileChange:
        """Return the change of a path to another file, in the index and in the working tree; None deletes it."""
        return cls(path, before, after, expected, FromGit(after))

    @property
    def keeps_file(self) -> bool:
        """Whether the working tree stays as it is."""
        return isinstance(self.source, Keep)

    @property
    def git_file(self) -> TreeEntry | None:
        """The file that git checks out. For `Bytes` too: git reads attributes files from the directory it writes to."""
        match self.source:
            case FromGit(file):
                return file
            case Bytes():
                return self.index_after if isinstance(self.index_after, TreeEntry) else None
            case _:
                return None

    @property
    def writes_file(self) -> bool:
        """Whether the working tree gets a new file."""
        return isinstance(self.source, Bytes | File) or self.git_file is not None

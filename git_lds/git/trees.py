"""The files of trees and of the index."""

from __future__ import annotations

from dataclasses import dataclass

ATTRIBUTES = b".gitattributes"
_LINK = b"120000"


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """A file as a tree or an index has it: its mode (100644, 100755, 120000 for a symlink) and its blob, in hex."""

    mode: bytes
    blob: bytes

    @property
    def is_regular(self) -> bool:
        return self.mode != _LINK

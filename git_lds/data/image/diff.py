"""What kind of file two versions of an image, or of another binary file, are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from git_lds.data.image.identify import described


@dataclass(frozen=True, slots=True)
class FileKinds:
    """The kind of a file before and after, in a few words, such as "PNG image, 640x480"; None if it did not exist."""

    before: str | None
    after: str | None


def diff(before: bytes | None, after: bytes | None, name: str, key: Sequence[str] = ()) -> FileKinds:
    """Return what two versions are, by their first bytes."""
    return FileKinds(*(_kind(head) if head is not None else None for head in (before, after)))


def _kind(head: bytes) -> str:
    return described(head) or ("binary" if b"\0" in head else "text")

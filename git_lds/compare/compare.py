"""What changed in files, by their kind: images, annotations, rows and columns, values, lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from git_lds.data import registry
from git_lds.data.diff import Changes, diff
from git_lds.data.image import identify
from git_lds.errors import LdsError
from git_lds.files import printable
from git_lds.git import attributes
from git_lds.repo import Repo
from git_lds.snapshots.changes import Changed
from git_lds.snapshots.contents import Contents
from git_lds.snapshots.version import has_same_contents

ABSENT = "not on this machine"


@dataclass(frozen=True, slots=True)
class Compared:
    """One file that differs, and the changes in it; `note` says why they are not known."""

    change: Changed
    changes: Changes | None
    note: str | None = None


def compare_all(repo: Repo, contents: Contents, found: Iterable[Changed]) -> Iterator[Compared]:
    """Yield the changes in each file. Kinds and key columns are those that `.gitattributes` declares now.

    Contents that are malformed, too large or not on this machine end in a note, never in an error.
    """
    found = list(found)
    declared = attributes.check(repo.git, registry.ATTRIBUTES, [change.path for change in found])
    return (compare(contents, change, declared[change.path]) for change in found)


def compare(contents: Contents, change: Changed, declared: Mapping[str, bytes]) -> Compared:
    """Return the changes in one file, as `compare_all` does; `declared` are the attributes of its path."""
    sides = [side for side in (change.before, change.after) if side is not None]
    if not all(map(contents.is_here, sides)):
        return Compared(change, None, ABSENT)
    if change.before and change.after and has_same_contents(change.before, change.after):
        return Compared(change, None)
    try:
        return Compared(change, _changes(contents, change, declared))
    except LdsError as error:
        return Compared(change, None, error.message.removeprefix(f"{printable(change.path)}: "))
    except (MemoryError, RecursionError):
        return Compared(change, None, "too large or nested too deeply to be compared")


def _changes(contents: Contents, change: Changed, declared: Mapping[str, bytes]) -> Changes:
    sides = (change.before, change.after)
    if any(side.is_symlink for side in sides if side is not None):
        declared = registry.declaration("text")  # the path that a symbolic link points to
    heads = [contents.head(side, identify.HEAD) or b"" if side is not None else None for side in sides]
    kind = registry.kind_of_contents(change.path, heads, declared)
    if kind.is_opaque:
        return diff(change.path, heads[0], heads[1], declared)
    before, after = (contents.read(side, kind.limit) if side is not None else None for side in sides)
    return diff(change.path, before, after, declared)

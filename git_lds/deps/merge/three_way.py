"""The three-way merge of files: those of the pinned commit, ours, and upstream's.

A path that only one side changed is taken from that side. This needs only modes and blob ids, so it costs nothing for the
thousands of files that neither side changed. The contents of paths that both sides changed are merged by git, in the function
`contents` of the caller.

A rename counts if the blob is exactly the same: pointers all look alike, and git, which guesses renames by similarity, would
take any two of them for a rename. Of several files with the same contents only those with the same name are paired.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from git_lds.git.trees import TreeEntry

Files = Mapping[bytes, TreeEntry]

_EMPTY = (
    b"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
    b"473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813",
)
"""The empty blob, of SHA-1 and SHA-256. An empty file is never a rename, as in git: all empty files are the same."""


@dataclass(frozen=True, slots=True)
class Sides:
    """A file at the pinned commit, here and upstream; None if missing."""

    base: TreeEntry | None
    ours: TreeEntry | None
    theirs: TreeEntry | None


@dataclass(frozen=True, slots=True)
class Conflict:
    """A path that both sides changed differently. `shown` is what the working tree gets; None for no file."""

    path: bytes
    sides: Sides
    shown: TreeEntry | None
    file_directory_conflict: bool = False
    """Whether one side has a file where the other has a directory."""

    @property
    def here(self) -> str:
        """The change here, in a word."""
        return _word(self.sides.base, self.sides.ours)

    @property
    def upstream(self) -> str:
        """The change upstream, in a word."""
        return _word(self.sides.base, self.sides.theirs)


@dataclass(frozen=True, slots=True)
class MergeResult:
    """The result of a merge: the merged files, the conflicts, and the paths of files that were renamed here."""

    files: Files
    conflicts: Mapping[bytes, Conflict]
    renamed_here: Mapping[bytes, bytes]
    """By the path here, the path that upstream's name of the file gives."""


@dataclass(frozen=True, slots=True)
class MergedFile:
    """The result of merging two files. A conflicting one has conflict markers, or is one of the two."""

    file: TreeEntry
    conflicting: bool


MergeContents = Callable[[Mapping[bytes, Sides]], Mapping[bytes, MergedFile]]
"""Merges regular files that both sides have, as git does, by path."""


def three_way(base: Files, ours: Files, theirs: Files, contents: MergeContents) -> MergeResult:
    """Merge the changes from `base` to `ours` and from `base` to `theirs`."""
    if ours == base:
        return MergeResult(theirs, {}, {})
    base, ours, theirs, renamed_here, lost = _renames_applied(base, ours, theirs)
    files: dict[bytes, TreeEntry] = {}
    conflicts: dict[bytes, Conflict] = {}
    both: dict[bytes, Sides] = {}
    for path in sorted(base.keys() | ours.keys() | theirs.keys()):
        at = Sides(base.get(path), ours.get(path), theirs.get(path))
        if at.ours == at.theirs or at.theirs == at.base:
            agreed = at.ours
        elif at.ours == at.base:
            agreed = at.theirs
        elif _can_be_merged(at):
            both[path] = at
            continue
        else:
            conflicts[path] = Conflict(path, at, at.ours or at.theirs)
            continue
        if path in lost:
            conflicts[path] = Conflict(path, at, at.ours or at.theirs)
        elif agreed is not None:
            files[path] = agreed
    for path, content in contents(both).items() if both else ():
        if content.conflicting:
            conflicts[path] = Conflict(path, both[path], content.file)
        else:
            files[path] = content.file
    for path in _clashing(files.keys() | conflicts.keys()):
        at = Sides(base.get(path), ours.get(path), theirs.get(path))
        files.pop(path, None)
        conflicts[path] = Conflict(path, at, at.ours, file_directory_conflict=True)
    return MergeResult(files, dict(sorted(conflicts.items())), renamed_here)


def exact_renames(before: Files, after: Files) -> dict[bytes, bytes]:
    """Return the old and the new path of files that have the same blob at another path in `after`."""
    gone, new = defaultdict(list), defaultdict(list)
    for path in before.keys() - after.keys():
        gone[before[path].blob].append(path)
    for path in after.keys() - before.keys() if gone else ():
        if after[path].blob in gone and after[path].blob not in _EMPTY:
            new[after[path].blob].append(path)
    found: dict[bytes, bytes] = {}
    for blob, targets in new.items():
        found |= _paired(gone[blob], targets)
    return found


def _paired(sources: Sequence[bytes], targets: Sequence[bytes]) -> dict[bytes, bytes]:
    if len(sources) == len(targets) == 1:
        return {sources[0]: targets[0]}
    by_name: dict[bytes, tuple[list[bytes], list[bytes]]] = defaultdict(lambda: ([], []))
    for side, paths in enumerate((sources, targets)):
        for path in paths:
            by_name[path.rpartition(b"/")[2]][side].append(path)
    return {old[0]: new[0] for old, new in by_name.values() if len(old) == len(new) == 1}


def _renames_applied(
    base: Files, ours: Files, theirs: Files
) -> tuple[Files, Files, Files, dict[bytes, bytes], set[bytes]]:
    """Return the sides with renames applied: a file that one side renamed and the other changed has its new path on all.

    Also returned are the renames here, new path to old, and the new paths of files that the other side deleted.
    """
    here, there = exact_renames(base, ours), exact_renames(base, theirs)
    if not here and not there:
        return base, ours, theirs, {}, set()
    new_base, new_ours, new_theirs = dict(base), dict(ours), dict(theirs)
    lost = set()
    for renames, side, others in ((here, new_theirs, there), (there, new_ours, here)):
        for old, new in renames.items():
            if side.get(old) == base[old] or old in others or not _is_free(new, side, new_base):
                continue
            new_base[new] = new_base.pop(old)
            if old in side:
                side[new] = side.pop(old)
            else:
                lost.add(new)
    renamed_here = {new: old for old, new in here.items() if new in new_base}
    return new_base, new_ours, new_theirs, renamed_here, lost


def _is_free(path: bytes, *sides: Files) -> bool:
    """Return whether no side has a file at the path, below it, or instead of a directory above it."""
    below = path + b"/"
    return not any(
        path in side
        or any(above in side for above in directories_above(path))
        or any(p.startswith(below) for p in side)
        for side in sides
    )


def _can_be_merged(at: Sides) -> bool:
    """Return whether both sides have a regular file. Links, submodules and deleted files are not merged."""
    return all(side is not None and side.mode.startswith(b"100") for side in (at.ours, at.theirs))


def _clashing(paths: Iterable[bytes]) -> set[bytes]:
    """Return the paths that exclude each other: files, and paths below them as if they were directories."""
    there = set(paths)
    found: set[bytes] = set()
    for path in there:
        above = [directory for directory in directories_above(path) if directory in there]
        found.update((path, *above) if above else ())
    return found


def directories_above(path: bytes) -> list[bytes]:
    """Return the directories above a path, the outermost first."""
    names = path.split(b"/")
    return [b"/".join(names[:count]) for count in range(1, len(names))]


def _word(base: TreeEntry | None, side: TreeEntry | None) -> str:
    if side is None:
        return "deleted" if base is not None else "nothing"
    if base is None:
        return "added"
    return "modified" if side != base else "renamed"

"""Which files differ between two trees, a tree and git's index, or either and the working tree; renames by equal contents.

git decides what counts as changed: one `git diff-tree`, `diff-index` or `diff-files`, and one look at the blobs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from git_lds import hashing, pointer
from git_lds.files import WorkTreePath
from git_lds.git import index, refs, trees
from git_lds.git.trees import Difference, TreeEntry
from git_lds.pointer import Pointer
from git_lds.repo import Repo
from git_lds.snapshots.version import SUBMODULE, SYMLINK, Version, contents_of, version_of


class Place(Enum):
    """What can be compared besides commits and trees."""

    INDEX = "the index"
    WORK_TREE = "the working tree"


Side = str | Place
"""A revision that names a tree, or a place."""


@dataclass(frozen=True, slots=True)
class Changed:
    """One file that differs. Without `before` it was added, without `after` removed; with `old_path` it was renamed."""

    path: bytes
    before: Version | None
    after: Version | None
    old_path: bytes | None = None


def changed(repo: Repo, base: Side, head: Side, paths: Sequence[str | bytes] = ()) -> list[Changed]:
    """Return the files that differ from `base` to `head`, by path.

    `paths` are pathspecs that count from the directory of `repo.git`, the top of the working tree. `base` may be the index
    only if `head` is the working tree. Submodules and paths in conflict are left out. Raises LdsError.
    """
    by_path = {each.path: each for each in _differences(repo, base, head, paths) if not each.is_unmerged}
    differences = [each for each in by_path.values() if SUBMODULE not in _modes(each)]
    entries = [entry for each in differences for entry in (each.before, each.after) if entry is not None]
    contents = contents_of(repo.git, entries)
    found = []
    for each in differences:
        before = version_of(each.path, each.before, contents) if each.before is not None else None
        after = None
        if each.after is not None:
            is_hashed = bool(each.after.blob)
            after = version_of(each.path, each.after, contents) if is_hashed else _on_disk(repo, each.path, each.after)
        if not _is_same(before, after):
            found.append(Changed(each.path, before, after))
    return _with_renames(found)


def _modes(difference: Difference) -> list[bytes]:
    return [entry.mode for entry in (difference.before, difference.after) if entry is not None]


def _differences(repo: Repo, base: Side, head: Side, paths: Sequence[str | bytes]) -> list[Difference]:
    git = repo.git
    if isinstance(base, str) and isinstance(head, str):
        return trees.diff(git, refs.required_tree(git, base), refs.required_tree(git, head), paths)
    if head is Place.WORK_TREE:
        repo.require_work_tree()
        # a file that only has another time stamp did not change; git's own diff refreshes the index as well
        index.refresh(git)
        if isinstance(base, str):
            return trees.diff_to_working_tree(git, refs.required_tree(git, base), paths)
        return trees.diff_index_to_working_tree(git, paths)
    assert isinstance(base, str)
    return trees.diff_to_index(git, refs.required_tree(git, base), paths)


def _on_disk(repo: Repo, path: bytes, entry: TreeEntry) -> Version | None:
    """Return the file of the working tree at a path, hashed; a pointer there stands for its object. None if it is gone."""
    assert repo.work_tree is not None
    top = os.fsencode(repo.work_tree)
    try:
        if entry.mode == SYMLINK:
            target = os.readlink(os.path.join(top, path))
            found = Pointer(hashing.of_bytes(target), len(target))
        else:
            found = _pointer_on_disk(top, path)
    except OSError:
        return None
    return Version(path, TreeEntry(entry.mode, b""), found, found.size, in_working_tree=True)


def _pointer_on_disk(top: bytes, path: bytes) -> Pointer:
    with WorkTreePath(top, path) as file, file.open() as stream:
        held = pointer.parse(stream.read(pointer.MAX_LENGTH + 1))
        if held is not None:
            return held
        stream.seek(0)
        return Pointer(*hashing.of_stream(stream))


def _is_same(before: Version | None, after: Version | None) -> bool:
    """Return whether contents and mode are known to be equal: git reports changes where it cannot know."""
    if before is None or after is None:
        return before is after
    return before.mode == after.mode and before.pointer is not None and before.oid == after.oid


def _with_renames(found: Sequence[Changed]) -> list[Changed]:
    """Return the changes with each removed file joined to an added one of equal contents, one of the same name first."""
    removed: dict[tuple[str | None, bytes | None], list[Changed]] = {}
    for change in found:
        if change.before is not None and change.after is None and change.before.size:
            removed.setdefault(_contents_key(change.before), []).append(change)
    renamed, joined = set(), []
    for change in found:
        if change.before is None and change.after is not None:
            candidates = removed.get(_contents_key(change.after), [])
            if candidates:
                name = change.path.rpartition(b"/")[2]
                at = next((i for i, c in enumerate(candidates) if c.path.rpartition(b"/")[2] == name), 0)
                old = candidates.pop(at)
                renamed.add(old.path)
                change = Changed(change.path, old.before, change.after, old.path)
        joined.append(change)
    kept = (change for change in joined if change.after is not None or change.path not in renamed)
    return sorted(kept, key=lambda change: change.path)


def _contents_key(version: Version) -> tuple[str | None, bytes | None]:
    return (version.oid, None) if version.pointer is not None else (None, version.blob)

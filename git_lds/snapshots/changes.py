"""Which files differ between two trees, a tree and git's index, or either and the working tree; renames by equal contents.

What git calls changed is taken as it is: one `git diff-tree`, `diff-index` or `diff-files`, and one look at the blobs.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from git_lds import hashing, pointer
from git_lds.errors import LdsError
from git_lds.files import WorkTreePath
from git_lds.git.objects import measured
from git_lds.git.run import GitFailed
from git_lds.repo import Repo


class Place(Enum):
    """What is compared beside commits and trees."""

    INDEX = "the index"
    WORK_TREE = "the working tree"


Side = str | Place
"""A revision that names a tree, or a place."""

_SYMLINK, _SUBMODULE = b"120000", b"160000"


@dataclass(frozen=True, slots=True)
class Version:
    """A file as one side has it: its mode and blob as git writes them. `blob` is None for a file of the working tree.

    `oid`, in hex, is that of the object when the blob is a pointer, and always known of files of the working tree. `size` is
    that of the contents: as the pointer says, which nobody has checked.
    """

    mode: bytes
    blob: bytes | None
    oid: str | None
    size: int
    path: bytes


@dataclass(frozen=True, slots=True)
class Changed:
    """One file that differs. Without `before` it was added, without `after` removed; with `old_path` it had another name
    and the same contents."""

    path: bytes
    before: Version | None
    after: Version | None
    old_path: bytes | None = None


def changed(repo: Repo, base: Side, head: Side, paths: Sequence[str | bytes] = ()) -> list[Changed]:
    """Return what differs from `base` to `head` in the files that the pathspecs `paths` name, by path.

    Pathspecs count from the directory that `repo.git` stands in, the top of the working tree. `base` may be the index only where
    `head` is the working tree. Submodules, and paths whose conflict is not resolved, are left out. Raises LdsError.
    """
    entries = [entry for entry in _raw(repo, base, head, paths) if entry.kind != b"U"]
    entries = list({entry.path: entry for entry in entries}.values())
    blobs = {blob for entry in entries for blob in (entry.before, entry.after) if blob is not None}
    known = {blob: _measure(size, text) for blob, size, text in measured(repo.git, blobs, limit=pointer.MAX_LENGTH)}
    found = []
    for entry in entries:
        if _SUBMODULE in (entry.mode_before, entry.mode_after):
            continue
        before, after = _version(known, entry.mode_before, entry.before, entry.path), None
        if entry.kind != b"D":
            after = (
                _version(known, entry.mode_after, entry.after, entry.path)
                if entry.after is not None
                else _in_work_tree(repo, entry.mode_after, entry.path)
            )
        if not _is_same(before, after):
            found.append(Changed(entry.path, before, after))
    return _with_renames(found)


def tree_of(repo: Repo, revision: str) -> str:
    """Return the id of the tree of a revision. Raises LdsError where there is none."""
    tree = repo.git.maybe("rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{tree}")
    if tree is None:
        raise LdsError(f"{revision}: no such revision", hint="git log --all --oneline")
    return tree


@dataclass(frozen=True, slots=True)
class _Entry:
    mode_before: bytes
    mode_after: bytes
    before: bytes | None
    after: bytes | None
    kind: bytes
    path: bytes


def _raw(repo: Repo, base: Side, head: Side, paths: Sequence[str | bytes]) -> list[_Entry]:
    command = [*_command(repo, base, head), "--", *paths]
    options = ("-z", "--raw", "--no-renames", "--no-abbrev", "--no-ext-diff", "--no-textconv")
    if head is Place.WORK_TREE:
        repo.require_work_tree()  # raises where there is no working tree
        # files that only have another time stamp are no change; git's own diff looks as well
        with contextlib.suppress(GitFailed):
            repo.git.bytes("update-index", "-q", "--refresh")
    listed = repo.git.names(command[0], *options, *command[1:])
    entries = []
    for about, path in zip(listed[::2], listed[1::2], strict=True):
        before_mode, after_mode, before, after, kind = about[1:].split(b" ")
        blobs = [blob if blob.strip(b"0") else None for blob in (before, after)]
        entries.append(_Entry(before_mode, after_mode, blobs[0], blobs[1], kind[:1], path))
    return entries


def _command(repo: Repo, base: Side, head: Side) -> list[str]:
    if isinstance(base, str) and isinstance(head, str):
        return ["diff-tree", "-r", tree_of(repo, base), tree_of(repo, head)]
    if isinstance(base, str):
        return ["diff-index", *(["--cached"] if head is Place.INDEX else []), tree_of(repo, base)]
    assert base is Place.INDEX and head is Place.WORK_TREE
    return ["diff-files"]


def _measure(size: int, text: bytes | None) -> tuple[str | None, int]:
    """Return (oid, size of the contents) of a blob."""
    found = pointer.parse(text) if text is not None else None
    return (found.oid.hex(), found.size) if found is not None else (None, size)


def _version(
    known: dict[bytes, tuple[str | None, int]], mode: bytes, blob: bytes | None, path: bytes
) -> Version | None:
    if blob is None:
        return None
    oid, size = known.get(blob, (None, 0))
    return Version(mode, blob, None if mode == _SYMLINK else oid, size, path)


def _in_work_tree(repo: Repo, mode: bytes, path: bytes) -> Version | None:
    """Return what the working tree has at a path; a pointer there stands for its object. None where nothing is left of it."""
    assert repo.work_tree is not None
    place = os.path.join(os.fsencode(repo.work_tree), path)
    try:
        if mode == _SYMLINK:
            target = os.readlink(place)
            return Version(mode, None, hashing.of_bytes(target).hex(), len(target), path)
        with WorkTreePath(os.fsencode(repo.work_tree), path) as found, found.open() as stream:
            head = stream.read(pointer.MAX_LENGTH + 1)
            if (standing := pointer.parse(head)) is not None:
                return Version(mode, None, standing.oid.hex(), standing.size, path)
            stream.seek(0)
            oid, size = hashing.of_stream(stream)
            return Version(mode, None, oid.hex(), size, path)
    except OSError:
        return None


def _is_same(before: Version | None, after: Version | None) -> bool:
    """Tell whether a file is as it was, as far as contents and mode go: git says it changed where it cannot know."""
    if before is None or after is None:
        return before is after
    return before.mode == after.mode and before.oid is not None and before.oid == after.oid


def _with_renames(found: Iterable[Changed]) -> list[Changed]:
    """Return the changes with each removed file joined to an added one of equal contents, one of the same name first."""
    found = list(found)
    removed: dict[tuple[str | None, bytes | None], list[Changed]] = {}
    for each in found:
        if each.before is not None and each.after is None and each.before.size:
            removed.setdefault(_contents_key(each.before), []).append(each)
    gone, joined = set(), []
    for each in found:
        if each.before is None and each.after is not None:
            candidates = removed.get(_contents_key(each.after), [])
            if candidates:
                name = each.path.rpartition(b"/")[2]
                at = next((i for i, c in enumerate(candidates) if c.path.rpartition(b"/")[2] == name), 0)
                old = candidates.pop(at)
                gone.add(old.path)
                each = Changed(each.path, old.before, each.after, old.path)
        joined.append(each)
    return sorted((each for each in joined if not (each.after is None and each.path in gone)), key=lambda c: c.path)


def _contents_key(version: Version) -> tuple[str | None, bytes | None]:
    return (version.oid, None) if version.oid is not None else (None, version.blob)

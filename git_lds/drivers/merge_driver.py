"""The merge driver: git passes three files with pointers, and gets one back whose contents are in the local store.

git writes the result into the working tree through the filter. So the working tree has contents with conflict markers, and
the index has the pointers of the sides.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from git_lds import files, hashing, pointer
from git_lds.data import merge as data_merge
from git_lds.data import registry
from git_lds.data.conflicts import Markers, Merged
from git_lds.data.kinds import KEY, LABELS
from git_lds.errors import LdsError
from git_lds.files import printable
from git_lds.git import attributes, caller
from git_lds.git.trees import TreeEntry
from git_lds.local.objects import SMALL
from git_lds.pointer import Pointer
from git_lds.progress import SILENT, Progress
from git_lds.repo import Repo
from git_lds.snapshots.contents import Contents
from git_lds.snapshots.version import Version

MAX_SIZE = 1 << 30
"""Bytes of the largest contents that are merged: 100 MB of annotations take 1 GB of memory."""

_SIDES = ("base", "ours", "theirs")

_MARKER = 7
"""The length of git's conflict markers where no attribute says otherwise."""


@dataclass(frozen=True, slots=True)
class DriverResult:
    """The result of a merge: whether it is clean, and lines to print about it."""

    clean: bool
    messages: tuple[str, ...]


def merge(
    kind: str, paths: Sequence[str], path: str, size: str, labels: Sequence[str], *, progress: Progress = SILENT
) -> DriverResult:
    """Merge the files at `paths`, base, ours and theirs, and write the result to that of ours, as git expects it.

    `path` is the path of the merged file in the working tree, `size` the length of conflict markers, `labels` the names of
    the sides if git gives them. Raises LdsError, with ours unchanged, if the contents cannot be read or written.
    """
    name = os.fsencode(path)
    blobs = [read_side(place) for place in paths]
    if blobs[0] == blobs[2] or blobs[1] == blobs[2]:
        return DriverResult(True, ())
    if blobs[0] == blobs[1]:
        files.replace_with(Path(paths[1]), blobs[2])
        return DriverResult(True, ())
    with Repo.here() as repo:
        markers = markers_of(size, labels, repo.environment.get(LABELS, ""))
        if merges_ancestors(repo, name, markers):
            return _merge_ancestors(
                repo, kind, name, blobs, Path(paths[1]), replace(markers, of_ancestors=True), progress
            )
        outcome = _merge(repo, kind, name, blobs, Path(paths[1]), markers, progress)
    side = None if outcome.clean else caller.strategy_option(caller.words())
    if side is not None:
        hint = f"hint: git keeps -X {side} from merge drivers; to take that side: git lds checkout --{side} {_quoted(name)}"
        outcome = replace(
            outcome, messages=(*(line for line in outcome.messages if not line.startswith("hint: ")), hint)
        )
    return outcome


def _merge_ancestors(
    repo: Repo, kind: str, name: bytes, blobs: Sequence[bytes], place: Path, markers: Markers, progress: Progress
) -> DriverResult:
    """Merge two common ancestors of the sides: git uses the result as the base, and does not show it to the user.

    If the result were one of the ancestors, or their base, then an edit of an ancestor that one side reverted would look like
    the other side's edit, and would return silently. So if they cannot be merged the result holds both between conflict
    markers, which no side equals.
    """
    sides = [blob.decode("utf-8", "surrogateescape").removesuffix("\n") for blob in blobs[1:]]
    files.replace_with(place, markers.block(*sides).encode("utf-8", "surrogateescape"))
    try:
        return replace(_merge(repo, kind, name, blobs, place, markers, progress), messages=())
    except LdsError as error:
        return DriverResult(False, (f"its common ancestors are not merged: {error.message}",))


def _merge(
    repo: Repo, kind: str, name: bytes, blobs: Sequence[bytes], place: Path, markers: Markers, progress: Progress
) -> DriverResult:
    about = f"{printable(name)}: changed on both sides"
    declaration = registry.declaration(kind)
    named = registry.declared(declaration) or registry.by_name(name)
    if named is not None and named.is_opaque:
        return DriverResult(False, (about, _choose(name)))
    pointers = [pointer.parse(blob) for blob in blobs]
    if any(found is not None and found.size > MAX_SIZE for found in pointers):
        return DriverResult(False, (f"{about}, and too large to be merged", _choose(name)))
    sides = _contents(repo, name, blobs, pointers, progress)
    if kind in ("auto", "table"):
        declaration[KEY] = _attribute(repo, KEY, name)
    merged, note = data_merge.merge(sides, name, declaration, markers, git=repo.git)
    notes = (f"{note}; merged line by line",) if note and merged else (note,) if note else ()
    if merged is None:
        return DriverResult(False, (*notes, about, _choose(name)))
    # if one side went from pointers to plain files, or back, the result has its form
    old, our, their = (found is not None for found in pointers)
    is_tracked = (our if their == old else their) if blobs[0] else our or their
    _write(repo, place, merged.data, is_tracked=is_tracked)
    return DriverResult(not merged.conflicts, (*notes, *_said(name, merged)))


def read_side(place: str) -> bytes:
    """Return the contents of one of git's files of a merge. Raises LdsError if it is too large or cannot be read."""
    try:
        with open(place, "rb") as file:
            data = file.read(MAX_SIZE + 1)
    except OSError as error:
        raise LdsError(f"{place}: {error.strerror}", "git calls this with files of its own") from None
    if len(data) > MAX_SIZE:
        raise LdsError(f"{place}: too large to be merged")
    return data


def _contents(
    repo: Repo, path: bytes, blobs: Sequence[bytes], pointers: Sequence[Pointer | None], progress: Progress
) -> list[bytes]:
    """Return the contents of the three sides, downloaded if missing. Raises LdsError."""
    versions = [
        Version(path, TreeEntry(b"100644", b""), found, found.size) if found is not None else None for found in pointers
    ]
    contents = Contents(repo)
    wrong = contents.fetch([version for version in versions if version is not None], progress)
    if wrong:
        raise LdsError(
            f"{printable(path)}: cannot be merged without its contents {wrong[0].removeprefix(printable(path)).strip()}",
            "fetch both branches (git lds fetch REMOTE BRANCH...), then abort and merge again",
        )
    found = []
    for blob, version in zip(blobs, versions, strict=True):
        data = contents.read(version, MAX_SIZE) if version is not None else blob
        if data is None:
            raise LdsError(f"{printable(path)}: cannot be merged without its contents", "git lds fetch")
        found.append(data)
    return found


def markers_of(size: str, labels: Sequence[str], better: str) -> Markers:
    """Return the markers that git asks for; `better` has better names of base, ours and theirs, in three words."""
    labels = better.split() if better else labels
    # gits before 2.44 leave %S, %X and %Y as they are
    named = [
        label if label and label not in ("%S", "%X", "%Y") else side
        for label, side in zip(labels, _SIDES, strict=False)
    ]
    named += _SIDES[len(named) :]
    return Markers(int(size) if size.isdigit() and 0 < int(size) < 1000 else _MARKER, named[1], named[0], named[2])


def merges_ancestors(repo: Repo, path: bytes, markers: Markers) -> bool:
    """Return whether git merges common ancestors first: its markers then have two more signs for each step down."""
    if markers.size <= _MARKER:
        return False
    value = _attribute(repo, "conflict-marker-size", path).decode("utf-8", "replace")
    return markers.size >= (int(value) if value.isdigit() and int(value) else _MARKER) + 2


def _attribute(repo: Repo, name: str, path: bytes) -> bytes:
    """Return the value of an attribute as git gives it, such as b"unspecified"."""
    return attributes.check(repo.git, (name,), (path,))[path].get(name, b"")


def _write(repo: Repo, place: Path, data: bytes, *, is_tracked: bool) -> None:
    """Store the merged contents and write their pointer for git; untracked and empty contents are written as they are."""
    if data and is_tracked and pointer.parse(data) is None:
        oid = hashing.of_bytes(data)
        if len(data) <= SMALL:
            if repo.own.read(oid) is None:
                repo.own.put(oid, data)
        else:
            with repo.own.scratch() as scratch:
                files.write_all(scratch.fd, data)
                repo.own.adopt(oid, scratch)
        repo.own.sync()
        data = Pointer(oid, len(data)).encode()
    files.replace_with(place, data)


def _said(path: bytes, merged: Merged) -> Iterable[str]:
    count = len(merged.conflicts)
    if count:
        some = [files.printable(os.fsencode(conflict)) for conflict in merged.conflicts[:5]]
        more = f" and {count - 5} more" if count > 5 else ""
        yield f"{printable(path)}: {count} {'conflict' if count == 1 else 'conflicts'}: {'; '.join(some)}{more}"


def _choose(path: bytes) -> str:
    return f"hint: ours is in the working tree; to take one side: git lds checkout --theirs (or --ours) {_quoted(path)}"


def _quoted(path: bytes) -> str:
    return shlex.quote(printable(path))

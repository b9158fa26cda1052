"""The versions in a conflict: base, ours and theirs, to write to a file or to resolve the conflict with."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from git_lds import files, hashing, patterns
from git_lds.errors import CorruptData, LdsError
from git_lds.files import Scratch, printable
from git_lds.git import index
from git_lds.git.trees import TreeEntry
from git_lds.progress import Progress
from git_lds.repo import Repo
from git_lds.snapshots.contents import Contents
from git_lds.snapshots.pointers import pointers
from git_lds.snapshots.version import Version

Side = Literal["base", "ours", "theirs"]

_STAGES: dict[str, bytes] = {"base": b"1", "ours": b"2", "theirs": b"3"}


def write(repo: Repo, side: Side, path: str, to: Path, progress: Progress) -> int:
    """Write the version of one side of a conflict at a path from the top to the file `to`; return its size.

    A missing object is downloaded. Raises LdsError if the path is not in conflict, the side has no file there, or `to`
    cannot be written, and CorruptData if the local copy is damaged.
    """
    _check_target(to, repo.work_tree)
    blobs = _stages(repo, path)
    if (blob := blobs.get(side)) is None:
        raise LdsError(f"{_shown(path)}: {side} does not have this file", "git status")
    found = pointers(repo.git, [blob]).get(blob)
    version = Version(_bytes(path), TreeEntry(b"100644", blob), found, found.size if found else 0)
    contents = Contents(repo)
    wrong = contents.fetch([version] if found else [], progress)
    stream = None if wrong else contents.open(version)
    if stream is None:
        raise LdsError("; ".join(wrong) or f"{_shown(path)}: its object is not on this machine", "git lds fetch")
    with stream, Scratch(to.parent) as scratch:
        hasher, size = hashing.new(), 0
        while block := stream.read(hashing.READ_SIZE):
            hasher.update(block)
            files.write_all(scratch.fd, block)
            size += len(block)
        if found is not None and hasher.digest() != found.oid:
            raise CorruptData(f"{_shown(path)}: the local copy of {found.oid.hex()} is damaged", "git lds pull")
        _check_target(to, repo.work_tree)  # the download may have taken long
        try:
            scratch.move_to(to, mode=0o666)
        except OSError as error:
            raise LdsError(f"{to}: {error.strerror}", "name a file that can be written") from None
    return size


def _check_target(to: Path, work_tree: Path | None) -> None:
    """Raise LdsError unless a new file can be written at `to`.

    No directory is created for it, and only a plain file is replaced. A symbolic link, which may come from a repository,
    is followed neither at `to` nor inside the working tree.
    """
    link = next((path for path in _inside(to, work_tree) if path.is_symlink()), None)
    if link is not None:
        raise LdsError(
            f"{printable(os.fsencode(link))} is a symbolic link, which is not followed", "name a file: --to FILE"
        )
    if not to.parent.is_dir():
        parents = (to.parent, *to.parent.parents)
        missing = next(path for path in parents if path.parent.is_dir() or path == path.parent)
        what = "is not a directory" if os.path.lexists(missing) else "does not exist"
        raise LdsError(
            f"{printable(os.fsencode(missing))} {what}", f"create it first: mkdir -p {shlex.quote(str(to.parent))}"
        )
    if os.path.lexists(to) and not to.is_file():
        what = "a directory" if to.is_dir() else "not a plain file"
        raise LdsError(f"{printable(os.fsencode(to))} is {what}", "name a file: --to FILE")


def _inside(to: Path, work_tree: Path | None) -> list[Path]:
    """Return `to` and its parent directories inside the working tree, also the one by which the path enters it."""
    tree = None if work_tree is None else os.path.realpath(work_tree)
    inside = [path for path in to.parents if tree and Path(os.path.realpath(path.parent)).is_relative_to(tree)]
    return [to, *inside]


def take(repo: Repo, side: Side, paths: Sequence[str], progress: Progress) -> tuple[str, ...]:
    """Resolve the conflicts at `paths` (from the top) with the version of one side; return the paths.

    If that side deleted the file, it is deleted. Raises LdsError, with nothing changed, if a path is not in conflict or
    its contents cannot be fetched.
    """
    repo.require_work_tree()
    versions = {path: _stages(repo, path) for path in paths}
    # git removes the file before it asks for the contents of that side
    _fetch(repo, {path: blobs[side] for path, blobs in versions.items() if side in blobs}, progress)
    for path, blobs in versions.items():
        index.resolve(repo.git, path, side if side in blobs else None)
    return tuple(versions)


def _fetch(repo: Repo, blobs: Mapping[str, bytes], progress: Progress) -> None:
    """Download the contents that the filter will put in the working tree. Raises LdsError if some cannot be fetched."""
    settings = repo.settings
    if settings.skip_smudge:
        return
    known = pointers(repo.git, set(blobs.values()))
    versions = [
        Version(_bytes(path), TreeEntry(b"100644", blob), known[blob], known[blob].size)
        for path, blob in blobs.items()
        if blob in known and patterns.wants(_bytes(path), settings.include, settings.exclude)
    ]
    if wrong := Contents(repo).fetch(versions, progress):
        more = f"; and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise LdsError(
            f"{wrong[0]}{more}; no conflict was resolved", "run the same command again when a store has them"
        )


def _stages(repo: Repo, path: str) -> dict[str, bytes]:
    """Return the blob that each side has at a path. Raises LdsError if the path is not in conflict."""
    stages = index.unmerged(repo.git, path)
    blobs = {side: stages[stage] for side, stage in _STAGES.items() if stage in stages}
    if not blobs:
        raise LdsError(f"{_shown(path)}: not in conflict", "to list conflicts: git status")
    return blobs


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _shown(path: str) -> str:
    return printable(_bytes(path))

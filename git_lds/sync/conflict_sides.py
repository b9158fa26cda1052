"""The sides of a conflict: what the base, ours and theirs have at a path, to look at or to take."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from git_lds import files, hashing, patterns
from git_lds.errors import CorruptData, LdsError
from git_lds.files import Scratch, printable
from git_lds.git.trees import TreeEntry
from git_lds.progress import Progress
from git_lds.repo import Repo
from git_lds.snapshots.contents import Contents
from git_lds.snapshots.pointers import pointers
from git_lds.snapshots.version import Version

Side = Literal["base", "ours", "theirs"]

_STAGES: dict[str, bytes] = {"base": b"1", "ours": b"2", "theirs": b"3"}


def write(repo: Repo, side: Side, path: str, to: Path, progress: Progress) -> int:
    """Write what one side of a conflict has at a path (from the top of the working tree) to the file `to`; return its size.

    What is not here is downloaded. Raises LdsError where the path is in no conflict, or the side does not have it.
    """
    _check_place(to, repo.work_tree)
    blobs = _stages(repo, path)
    if (blob := blobs.get(side)) is None:
        raise LdsError(f"{_shown(path)}: {side} does not have it", "see: git status")
    found = pointers(repo.git, [blob]).get(blob)
    version = Version(_bytes(path), TreeEntry(b"100644", blob), found, found.size if found else 0)
    with Contents(repo) as contents:
        wrong = contents.fetch([version] if found else [], progress)
        stream = None if wrong else contents.open(version)
        if stream is None:
            raise LdsError("; ".join(wrong) or f"{_shown(path)}: its object is not here", "git lds fetch")
        with stream, Scratch(to.parent) as scratch:
            hasher, size = hashing.new(), 0
            while block := stream.read(hashing.READ_SIZE):
                hasher.update(block)
                files.write_all(scratch.fd, block)
                size += len(block)
            if found is not None and hasher.digest() != found.oid:
                raise CorruptData(f"{_shown(path)}: the local copy of {found.oid.hex()} is damaged", "git lds pull")
            _check_place(to, repo.work_tree)  # a download may have taken long
            try:
                scratch.move_to(to, mode=0o666)
            except OSError as error:
                raise LdsError(f"{to}: {error.strerror}", "name a file that can be written") from None
    return size


def _check_place(to: Path, work_tree: Path | None) -> None:
    """Raise LdsError unless a new file can be put there: no directory is made for it, nothing but a plain file is replaced,
    and a symbolic link, which may come from a repository, is followed neither at `to` nor inside of the working tree."""
    link = next((each for each in _inside(to, work_tree) if each.is_symlink()), None)
    if link is not None:
        raise LdsError(
            f"{printable(os.fsencode(link))} is a symbolic link, which is not followed", "name a file: --to FILE"
        )
    if not to.parent.is_dir():
        missing = next(each for each in (to.parent, *to.parent.parents) if each.parent.is_dir() or each == each.parent)
        what = "is not a directory" if os.path.lexists(missing) else "is not there"
        raise LdsError(
            f"{printable(os.fsencode(missing))} {what}", f"make it first: mkdir -p {shlex.quote(str(to.parent))}"
        )
    if os.path.lexists(to) and not to.is_file():
        what = "a directory" if to.is_dir() else "not a plain file"
        raise LdsError(f"{printable(os.fsencode(to))} is {what}", "name a file: --to FILE")


def _inside(to: Path, work_tree: Path | None) -> list[Path]:
    """Return `to` and those directories on the way to it that are inside of the working tree, by which a path enters it."""
    tree = None if work_tree is None else os.path.realpath(work_tree)
    inside = [each for each in to.parents if tree and Path(os.path.realpath(each.parent)).is_relative_to(tree)]
    return [to, *inside]


def take(repo: Repo, side: Side, paths: Sequence[str], progress: Progress) -> tuple[str, ...]:
    """Resolve the conflicts at `paths` (from the top of the working tree) by what one side has; return the paths.

    Where that side deleted the file it is deleted. Raises LdsError, with nothing changed, where a path is in no conflict,
    or its contents are not to be had.
    """
    repo.require_work_tree()
    found = {path: _stages(repo, path) for path in paths}
    # git removes the file before it asks for the contents of that side
    _bring(repo, {path: blobs[side] for path, blobs in found.items() if side in blobs}, progress)
    git = repo.git.with_environment({"GIT_LITERAL_PATHSPECS": "1"})
    for path, blobs in found.items():
        if side in blobs:
            git.bytes("checkout", f"--{side}", "--", path)
            git.bytes("add", "--", path)
        else:
            git.bytes("rm", "-q", "-f", "--", path)
    return tuple(found)


def _bring(repo: Repo, blobs: Mapping[str, bytes], progress: Progress) -> None:
    """Download the contents that the filter will put in the working tree. Raises LdsError when some cannot be had."""
    settings = repo.settings
    if settings.skip_smudge:
        return
    known = pointers(repo.git, set(blobs.values()))
    versions = [
        Version(_bytes(path), TreeEntry(b"100644", blob), known[blob], known[blob].size)
        for path, blob in blobs.items()
        if blob in known and patterns.wants(_bytes(path), settings.include, settings.exclude)
    ]
    with Contents(repo) as contents:
        if wrong := contents.fetch(versions, progress):
            more = f"; and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            raise LdsError(f"nothing was taken: {wrong[0]}{more}", "run the same command again when a store has them")


def _stages(repo: Repo, path: str) -> dict[str, bytes]:
    """Return the blob that each side has at a path in conflict."""
    git = repo.git.with_environment({"GIT_LITERAL_PATHSPECS": "1"})
    names = {stage: side for side, stage in _STAGES.items()}
    blobs = {}
    for entry in git.names("ls-files", "-u", "-z", "--full-name", "--", path):
        about, _, listed = entry.partition(b"\t")
        _, blob, stage = about.split(b" ")
        if listed == _bytes(path):
            blobs[names[stage]] = blob
    if not blobs:
        raise LdsError(f"{_shown(path)}: not in conflict", "see which are: git status")
    return blobs


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _shown(path: str) -> str:
    return printable(_bytes(path))

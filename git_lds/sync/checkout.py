"""Checkout: the contents of local objects replace their pointers in the working tree."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from git_lds import files, patterns
from git_lds.errors import CorruptData, LdsError
from git_lds.fast_typing import NamedTuple
from git_lds.git import refs
from git_lds.progress import Progress
from git_lds.repo import Repo
from git_lds.snapshots import pointers
from git_lds.worktree.place import Placement, WorkTree

_SHOWN = 10
"""Files that an error names before it counts the rest."""


class CheckoutResult(NamedTuple):
    """The number of files written, and the paths that still hold pointers because their objects are not local."""

    written: int
    absent: tuple[str, ...]


def checkout(
    repo: Repo,
    paths: Sequence[str],
    *,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
    progress: Progress,
    directory: Path | None = None,
) -> CheckoutResult:
    """Replace the pointers of the files in the index, or of those that the pathspecs `paths` match, by their contents.

    Pathspecs are relative to `directory`, by default the top of the working tree. A file is replaced only while it is
    exactly a pointer; a missing one is created. All others stay, above all modified files, and so do paths in conflict
    and those outside a sparse checkout. Raises LdsError if nothing is checked out or a file cannot be written, and
    CorruptData, after the other files are written, if local objects are damaged.
    """
    include = repo.settings.include if include is None else include
    exclude = repo.settings.exclude if exclude is None else exclude
    tree = WorkTree.of(repo)
    if not repo.index.exists() and refs.head(repo.git) is not None:
        raise LdsError("nothing is checked out yet", hint="git reset --hard")
    git = repo.git.at(str(directory)) if directory is not None else repo.git
    candidates = [
        item
        for item in pointers.in_index(git, paths, here=repo.objects)
        if patterns.wants(item.path, include, exclude) and _may_be_pointer(repo, item.path, item.pointer.size)
    ]
    wanted = pointers.held(repo.require_work_tree(), candidates)
    local = [item for item in wanted if repo.objects.has(item.pointer.oid)]
    written = _place(tree, [Placement(item.path, item.pointer, item.executable) for item in local], progress)
    absent = (files.printable(item.path) for item in wanted if not repo.objects.has(item.pointer.oid))
    return CheckoutResult(written, tuple(absent))


def _place(tree: WorkTree, placements: Sequence[Placement], progress: Progress) -> int:
    """Write the contents of files; return how many were written. Raises LdsError."""
    if placements:
        tree.announce(placements)
    progress.start("checkout", len(placements), sum(item.pointer.size for item in placements))
    written = 0
    failed: list[LdsError] = []
    try:
        for item in placements:
            try:
                written += tree.place(item, create=True)
            except LdsError as error:
                failed.append(error)
            except OSError as error:
                raise LdsError(
                    f"{files.printable(item.path)}: {error.strerror or error}", hint="git lds checkout"
                ) from error
            progress.moved(item.pointer.size)
            progress.done(files.printable(item.path))
    finally:
        progress.finish()
        tree.tell_git()
    if failed:
        raise _damaged(failed)
    return written


def _damaged(failed: Sequence[LdsError]) -> CorruptData:
    named = [error.message for error in failed[:_SHOWN]]
    more = [f"and {len(failed) - _SHOWN} more"] if len(failed) > _SHOWN else []
    count = [f"cannot check out {len(failed)} files:"] if len(failed) > 1 else []
    return CorruptData("\n  ".join([*count, *named, *more]), failed[0].hint)


def _may_be_pointer(repo: Repo, path: bytes, size: int) -> bool:
    """Return whether a file may still be a pointer or be missing, by its size alone."""
    try:
        actual = os.lstat(os.path.join(os.fsencode(repo.require_work_tree()), path)).st_size
    except OSError:
        return True
    return actual != size or actual <= 120

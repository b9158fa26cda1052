"""Checkout: pointers in the working tree become their contents, where the objects are here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from git_lds import files, patterns
from git_lds.errors import CorruptData, LdsError
from git_lds.fast_typing import NamedTuple
from git_lds.progress import Progress
from git_lds.repo import Repo
from git_lds.snapshots import pointers
from git_lds.worktree.place import Placement, WorkTree

_SHOWN = 10
"""How many files an error names before it counts the rest."""


class CheckoutResult(NamedTuple):
    """How many files were written, and the paths that still hold a pointer because their object is not here."""

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
    """Write the contents of the files in the index (or of those that the pathspecs `paths` name) over their pointers.

    Pathspecs count from `directory`, else from the top of the working tree.
    A file is replaced only while it is exactly a pointer; one that is missing is made. Everything else, modified
    files above all, is left alone, and so are conflicted paths and those outside a sparse checkout.
    """
    include = repo.settings.include if include is None else include
    exclude = repo.settings.exclude if exclude is None else exclude
    tree = WorkTree.of(repo)
    if not repo.index.exists() and repo.git.ok("rev-parse", "--verify", "--quiet", "HEAD"):
        raise LdsError("nothing is checked out here yet", hint="git reset --hard")
    git = repo.git.at(str(directory)) if directory is not None else repo.git
    due = [
        item
        for item in pointers.in_index(git, paths, here=repo.objects)
        if patterns.wants(item.path, include, exclude) and _is_due(repo, item.path, item.pointer.size)
    ]
    assert repo.work_tree is not None
    wanted = pointers.held(repo.work_tree, due)
    here = [item for item in wanted if repo.objects.has(item.pointer.oid)]
    placements = [Placement(item.path, item.pointer, item.executable) for item in here]
    if placements:
        tree.announce(placements)
    progress.start("checkout", len(here), sum(item.pointer.size for item in here))
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
    return CheckoutResult(
        written, tuple(files.printable(i.path) for i in wanted if not repo.objects.has(i.pointer.oid))
    )


def _damaged(failed: Sequence[LdsError]) -> CorruptData:
    named = [error.message for error in failed[:_SHOWN]]
    more = [f"and {len(failed) - _SHOWN} more"] if len(failed) > _SHOWN else []
    count = [f"{len(failed)} files could not be put in the working tree:"] if len(failed) > 1 else []
    return CorruptData("\n  ".join([*count, *named, *more]), failed[0].hint)


def _is_due(repo: Repo, path: bytes, size: int) -> bool:
    """Tell, by a look at its size alone, whether a file can still be a pointer or be missing."""
    assert repo.work_tree is not None
    try:
        found = os.lstat(os.path.join(os.fsencode(repo.work_tree), path)).st_size
    except OSError:
        return True
    return found != size or found <= 120

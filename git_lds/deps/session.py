"""One command at work on dependencies, alone in its repository."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from git_lds.errors import LdsError
from git_lds.locks import locked
from git_lds.repo import Repo
from git_lds.worktree import transaction


@dataclass(frozen=True, slots=True)
class Run:
    """One import or update at work, alone in its repository, with a directory for what it makes on the way."""

    repo: Repo
    directory: Path
    carried_on: tuple[str, ...]
    """The dependencies that an earlier run brings, which was killed and has been completed now."""


@contextlib.contextmanager
def alone(repo: Repo) -> Iterator[Run]:
    """Hold the lock of imports and updates of this repository; first complete what a killed one of them left."""
    if repo.work_tree is None:
        raise LdsError("this repository has no working tree", "run this in a clone that is not bare")
    with locked(repo.lds_dir / "imports.lock"):
        done = transaction.carry_on(repo)
        directory = transaction.new_directory(repo)
        try:
            yield Run(repo, directory, done)
        finally:
            transaction.discard_unless_begun(directory)

"""An import or update at work, and what it brings: a dependency as it will be, and what that changes here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from git_lds.errors import LdsError
from git_lds.git.run import Git
from git_lds.imports import switching
from git_lds.imports.manifest import Dependency
from git_lds.imports.merging import Conflict
from git_lds.imports.mirror import Mirror
from git_lds.imports.switching import Change
from git_lds.imports.upstream import Snapshot
from git_lds.locks import locked
from git_lds.repo import Repo


@dataclass(frozen=True, slots=True)
class Run:
    """One import or update at work, alone in its repository, with a folder for what it makes on the way."""

    repo: Repo
    folder: Path
    carried_on: tuple[str, ...]
    """The dependencies that an earlier run brings, which was killed and has been completed now."""


@contextlib.contextmanager
def alone(repo: Repo) -> Iterator[Run]:
    """Hold the lock of imports and updates of this repository; first complete what a killed one of them left."""
    if repo.work_tree is None:
        raise LdsError("this repository has no work tree", "run this in a clone that is not bare")
    with locked(repo.lds_dir / "imports.lock"):
        done = switching.carry_on(repo)
        folder = switching.new_folder(repo)
        try:
            yield Run(repo, folder, done)
        finally:
            switching.discard_unless_begun(folder)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A dependency as it will be, what upstream has of it, and the changes of files that this means here."""

    dependency: Dependency
    mirror: Mirror
    snapshot: Snapshot
    changes: tuple[Change, ...]
    objects: Git
    """git that has the blobs of the changes."""
    renamed_here: Mapping[bytes, bytes] = field(default_factory=dict)
    """For files that were renamed here: by the path, the one that upstream's name gives."""
    conflicts: tuple[Conflict, ...] = ()


def place(output: str, name: bytes) -> bytes:
    """Return the path here of upstream's file `name`; b"" is the dependency's path itself."""
    return output.encode() + (b"/" + name if name else b"")


def mirrors_of(repo: Repo) -> Path:
    """Return the folder of the mirrors."""
    return repo.lds_dir / "mirrors"

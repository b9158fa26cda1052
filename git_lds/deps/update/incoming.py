"""What an import or update brings: a dependency as it will be, and what that changes here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from git_lds.deps.manifest.manifest import Dependency
from git_lds.deps.merge.three_way import Conflict
from git_lds.deps.upstream.mirror import Mirror
from git_lds.deps.upstream.snapshot import Snapshot
from git_lds.git.run import Git
from git_lds.worktree.file_change import FileChange


@dataclass(frozen=True, slots=True)
class IncomingUpdate:
    """A dependency as it will be, what upstream has of it, and the changes of files that this means here."""

    dependency: Dependency
    mirror: Mirror
    snapshot: Snapshot
    changes: tuple[FileChange, ...]
    objects: Git
    """git that has the blobs of the changes."""
    renamed_here: Mapping[bytes, bytes] = field(default_factory=dict)
    """For files that were renamed here: by the path, the one that upstream's name gives."""
    conflicts: tuple[Conflict, ...] = ()

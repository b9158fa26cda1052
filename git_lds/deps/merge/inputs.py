"""The three-way merge of a dependency, shared by `update` and `contribute`.

Its base are the files of the pinned commit, except for edits that upstream already has. A file that was taken over there, or
sent there by `contribute`, counts from the version that it had then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from git_lds.deps.manifest.manifest import Dependency, output_path
from git_lds.deps.merge import file_merge, three_way
from git_lds.deps.merge.three_way import Files, MergedFile, MergeResult, Sides
from git_lds.deps.session import Session
from git_lds.deps.upstream import snapshot as upstream
from git_lds.deps.upstream.clone import UpstreamClone
from git_lds.deps.upstream.snapshot import Snapshot
from git_lds.git import objects, refs
from git_lds.git.run import Git
from git_lds.git.trees import TreeEntry

Sent = Mapping[bytes, Sequence[tuple[TreeEntry | None, TreeEntry | None]]]
"""By path here: the version of a file that `contribute` sent, and the one here then, in the order of sending. None: deleted."""


@dataclass(frozen=True, slots=True)
class MergeInputs:
    """The sides of a merge, by path here: the pinned files, ours, and those of `snapshot`, which is in the clone `there`."""

    at: Dependency
    base: Files
    ours: Files
    snapshot: Snapshot
    there: UpstreamClone
    upstream: UpstreamClone | None = None
    """The clone with the pinned commit, if that is not `there`: a fork may be behind."""
    sent: Sent = field(default_factory=dict)
    reopened: Collection[bytes] = ()
    """Paths that were edited again since they were sent, even if back to the pinned version."""

    @property
    def theirs(self) -> dict[bytes, TreeEntry]:
        return {output_path(self.at.output, name): file for name, file in self.snapshot.files.items()}


def merged(session: Session, git: Git, meeting: MergeInputs) -> MergeResult:
    """Return the merge. `git` is what `joined` made for the session and its clones. Raises LdsError."""
    return three_way.three_way(_base(meeting), meeting.ours, meeting.theirs, contents_of(session, git, meeting))


def contents_of(session: Session, git: Git, meeting: MergeInputs) -> three_way.MergeContents:
    """Return a function that merges the contents of files, and first fetches those that are not on this machine."""

    def contents(files: Mapping[bytes, Sides]) -> dict[bytes, MergedFile]:
        (meeting.upstream or meeting.there).fetch_blobs(
            absent(git, {side.base.blob for side in files.values() if side.base})
        )
        meeting.there.fetch_blobs(absent(git, {side.theirs.blob for side in files.values() if side.theirs}))
        return file_merge.merge_contents(git, session.repo, session.directory, files)

    return contents


def absent(git: Git, blobs: Iterable[bytes]) -> list[str]:
    """Return the blobs that `git` lacks."""
    return objects.missing(git, (blob.decode() for blob in blobs))


def _base(meeting: MergeInputs) -> Files:
    """Return the pinned files, or our version of a file if upstream has had that version since.

    Upstream took over such an edit, perhaps as part of another commit, and changed it further: upstream's version is newer.
    If it was sent and then changed further here, ours is newer.
    """
    at, base, ours, theirs = meeting.at, meeting.base, meeting.ours, meeting.theirs
    open_still = {
        path: ours.get(path)
        for path in ours.keys() | meeting.sent.keys()
        if ours.get(path) != theirs.get(path)
        and (path in meeting.reopened or base.get(path) not in (ours.get(path), theirs.get(path)))
    }
    if not open_still or refs.commit(meeting.there.git, at.commit) is None:
        return base
    had = {
        (output_path(at.output, name), file)
        for name, file in upstream.had_since(meeting.there, at.commit, meeting.snapshot.commit, at.path)
    }
    found = dict(base)
    for path, file in open_still.items():
        for contributed, local in reversed(meeting.sent.get(path, ())):
            if theirs.get(path) == contributed or (path, contributed) in had:
                _put(found, path, local)
                break
        else:
            if file is not None and (path, file) in had:
                found[path] = file
    return found


def _put(files: dict[bytes, TreeEntry], path: bytes, file: TreeEntry | None) -> None:
    if file is None:
        files.pop(path, None)
    else:
        files[path] = file

"""What is here of a dependency meets what upstream has: the one merge that `update` brings here, and `contribute` sends there.

Its base are the files of the lock, but for edits that are known upstream already: what was taken over there, or sent there
by `contribute`, counts from the form that it had then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from git_lds.deps.manifest.manifest import Dependency, output_path
from git_lds.deps.merge import file_merge, three_way
from git_lds.deps.merge.three_way import Content, Files, MergeResult, Sides
from git_lds.deps.session import Session
from git_lds.deps.upstream import snapshot as upstream
from git_lds.deps.upstream.clone import UpstreamClone
from git_lds.deps.upstream.snapshot import Snapshot
from git_lds.git import objects, refs
from git_lds.git.run import Git
from git_lds.git.trees import TreeEntry

Sent = Mapping[bytes, Sequence[tuple[TreeEntry | None, TreeEntry | None]]]
"""By path here: what `contribute` sent of a file, and what the file was here then; in the order of sending. None: deleted."""


@dataclass(frozen=True, slots=True)
class MergeInputs:
    """The sides of a merge, by path here: the lock's files, those here, and what `snapshot`, which is in `there`, has."""

    at: Dependency
    base: Files
    ours: Files
    snapshot: Snapshot
    there: UpstreamClone
    upstream: UpstreamClone | None = None
    """The upstream clone with the lock, where that is not `there`: a fork may be behind."""
    sent: Sent = field(default_factory=dict)
    reopened: Collection[bytes] = ()
    """Paths that were edited again since they were sent, even if back to what the lock has."""

    @property
    def theirs(self) -> dict[bytes, TreeEntry]:
        return {output_path(self.at.output, name): file for name, file in self.snapshot.files.items()}


def merged(session: Session, git: Git, meeting: MergeInputs) -> MergeResult:
    """Merge; `git` is what `joined` made for the directory of the session and the upstream clones."""
    return three_way.three_way(_base(meeting), meeting.ours, meeting.theirs, contents_of(session, git, meeting))


def contents_of(session: Session, git: Git, meeting: MergeInputs) -> three_way.MergeContents:
    """Return what merges the contents of files, and fetches of them what is not on this machine."""

    def contents(files: Mapping[bytes, Sides]) -> dict[bytes, Content]:
        (meeting.upstream or meeting.there).fetch_blobs(
            absent(git, {side.base.blob for side in files.values() if side.base})
        )
        meeting.there.fetch_blobs(absent(git, {side.theirs.blob for side in files.values() if side.theirs}))
        return file_merge.merge_contents(git, session.repo, session.directory, files)

    return contents


def absent(git: Git, blobs: Iterable[bytes]) -> list[str]:
    """Return which of the blobs are not there for `git`."""
    return objects.missing(git, (blob.decode() for blob in blobs))


def _base(meeting: MergeInputs) -> Files:
    """Return the lock's files, with what is here of those that upstream has had in just this form since the lock.

    Such an edit was taken over, perhaps as part of another commit, and then changed further: upstream's is the newer one.
    Where it was sent, and then changed further here, it is ours that is newer.
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

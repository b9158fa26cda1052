"""`git lds outdated`: which dependencies changed upstream, by the content of their path. Nothing here is changed.

One `ls-remote` for each repository shows whether a branch moved. If it did, its trees are fetched to see whether the path
changed, and the pointers of the files that differ to see how large they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from git_lds.deps.manifest import own_files
from git_lds.deps.manifest.manifest import Dependency, output_path
from git_lds.deps.merge import base, three_way
from git_lds.deps.upstream import latest
from git_lds.deps.upstream import snapshot as upstream
from git_lds.deps.upstream.clone import UpstreamClone
from git_lds.deps.upstream.latest import Goal, Upstreams
from git_lds.errors import LdsError
from git_lds.repo import Repo
from git_lds.snapshots.sizes import size_of


@dataclass(frozen=True, slots=True)
class Outlook:
    """What an update of a dependency would bring from upstream. Paths are those of this repository."""

    output: str
    rev: str
    lock: str
    """The pinned commit."""
    tip: str | None = None
    """The commit of `rev` upstream; None if upstream could not be read."""
    outdated: bool = False
    """Whether an update would bring files, or other stores."""
    added: tuple[bytes, ...] = ()
    changed: tuple[bytes, ...] = ()
    deleted: tuple[bytes, ...] = ()
    renamed: tuple[tuple[bytes, bytes], ...] = ()
    size: int = 0
    """Bytes of the files that were added and changed."""
    moved_tag: bool = False
    """Whether `rev` is a tag that upstream moved; `update` does not follow it by itself."""
    rewritten: bool = False
    """Whether upstream's branch no longer has the pinned commit."""
    error: LdsError | None = None
    """The reason why upstream could not be read."""


def outdated(repo: Repo, targets: Sequence[str] = ()) -> list[Outlook]:
    """Return what is new upstream for the dependencies at `targets`, or for all.

    An upstream that cannot be read is an `error` in its result. Raises LdsError for a target that is not a dependency.
    """
    upstreams = Upstreams(repo)
    return [_outlook(repo, upstreams, pinned) for pinned in latest.select(own_files.read_manifest(repo), targets)]


def _outlook(repo: Repo, upstreams: Upstreams, pinned: Dependency) -> Outlook:
    try:
        goal = latest.goal(upstreams, pinned, None)
        if goal.moved_tag is not None:
            return Outlook(pinned.output, pinned.rev, pinned.commit, goal.moved_tag, outdated=True, moved_tag=True)
        if not goal.has_update or not goal.changes_files:
            return Outlook(pinned.output, pinned.rev, pinned.commit, pinned.commit, rewritten=goal.rewritten)
        return _differing(repo, upstreams.clone(pinned.url), pinned, goal)
    except LdsError as error:
        return Outlook(pinned.output, pinned.rev, pinned.commit, error=error)


def _differing(repo: Repo, clone: UpstreamClone, pinned: Dependency, goal: Goal) -> Outlook:
    """Return which files differ between the pinned commit and the latest one."""
    before = base.pinned_files(repo, clone, pinned, {})
    snapshot = upstream.take(clone, goal.commit, pinned.path, pinned.includes)
    after = {output_path(pinned.output, name): file for name, file in snapshot.files.items()}
    renamed = three_way.exact_renames(before, after)
    new = set(renamed.values())
    added = sorted(path for path in after.keys() - before.keys() if path not in new)
    changed = sorted(path for path in after.keys() & before.keys() if after[path] != before[path])
    deleted = sorted(path for path in before.keys() - after.keys() if path not in renamed)
    coming = [after[path] for path in (*added, *changed)]
    clone.fetch_blobs({file.blob.decode() for file in coming})
    return Outlook(
        pinned.output,
        pinned.rev,
        pinned.commit,
        goal.commit,
        outdated=True,
        added=tuple(added),
        changed=tuple(changed),
        deleted=tuple(deleted),
        renamed=tuple(sorted(renamed.items())),
        size=size_of(clone.git, coming),
        rewritten=goal.rewritten,
    )

"""`git lds outdated`: which dependencies changed upstream, by content of their path; nothing here is touched.

One `ls-remote` a repository tells that nothing moved. Only where a branch did are its trees fetched, to see whether it is
the path that changed, and of the files that differ the pointers, to see how large they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from git_lds.deps.manifest import own_files
from git_lds.deps.manifest.manifest import Dependency, output_path
from git_lds.deps.merge import base, three_way
from git_lds.deps.upstream import latest
from git_lds.deps.upstream import snapshot as upstream
from git_lds.deps.upstream.latest import Goal, Sources
from git_lds.deps.upstream.mirror import Mirror
from git_lds.errors import LdsError
from git_lds.repo import Repo
from git_lds.snapshots.sizes import size_of


@dataclass(frozen=True, slots=True)
class Outlook:
    """What an update of a dependency would bring from upstream; paths are those of this repository."""

    output: str
    rev: str
    lock: str
    """The commit that it is at."""
    tip: str | None = None
    """The commit that upstream's rev is at now; None when upstream could not be asked."""
    outdated: bool = False
    """Whether an update would bring something: files, or other stores."""
    added: tuple[bytes, ...] = ()
    changed: tuple[bytes, ...] = ()
    deleted: tuple[bytes, ...] = ()
    renamed: tuple[tuple[bytes, bytes], ...] = ()
    size: int = 0
    """Bytes of the files that were added and changed."""
    moved_tag: bool = False
    """Whether rev is a tag that upstream moved; `update` does not follow it by itself."""
    rewritten: bool = False
    """Whether upstream's branch no longer has the commit of the lock."""
    error: LdsError | None = None
    """Why this could not be found out."""


def outdated(repo: Repo, targets: Sequence[str] = ()) -> list[Outlook]:
    """Return what is new upstream for the dependencies at `targets`, or for all. One that cannot be asked stops no other."""
    sources = Sources(repo)
    return [_outlook(repo, sources, each) for each in latest.chosen(own_files.read_manifest(repo), targets)]


def _outlook(repo: Repo, sources: Sources, at: Dependency) -> Outlook:
    try:
        goal = latest.goal(sources, at, None)
        if goal.moved_tag is not None:
            return Outlook(at.output, at.rev, at.commit, goal.moved_tag, outdated=True, moved_tag=True)
        if not goal.arrives or not goal.brings:
            return Outlook(at.output, at.rev, at.commit, at.commit, rewritten=goal.rewritten)
        return _differing(repo, sources.mirror(at.url), at, goal)
    except LdsError as error:
        return Outlook(at.output, at.rev, at.commit, error=error)


def _differing(repo: Repo, source: Mirror, at: Dependency, goal: Goal) -> Outlook:
    before = base.files_at(repo, source, at, {})
    after = {
        output_path(at.output, name): file
        for name, file in upstream.take(source, goal.commit, at.path, at.wants).files.items()
    }
    renamed = three_way.exact_renames(before, after)
    new = set(renamed.values())
    added = sorted(path for path in after.keys() - before.keys() if path not in new)
    changed = sorted(path for path in after.keys() & before.keys() if after[path] != before[path])
    deleted = sorted(path for path in before.keys() - after.keys() if path not in renamed)
    coming = [after[path] for path in (*added, *changed)]
    source.fetch_blobs({file.blob.decode() for file in coming})
    return Outlook(
        at.output,
        at.rev,
        at.commit,
        goal.commit,
        outdated=True,
        added=tuple(added),
        changed=tuple(changed),
        deleted=tuple(deleted),
        renamed=tuple(sorted(renamed.items())),
        size=size_of(source.git, coming),
        rewritten=goal.rewritten,
    )

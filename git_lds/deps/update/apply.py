"""Brings what upstream has into this repository: one run for all dependencies of a command, all or nothing.

First all is made ready: rules of attributes, the new `.ldsdeps`, the objects, git's blobs. Then the switch is made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from git_lds.deps.manifest import manifest, own_files, transports
from git_lds.deps.manifest.transports import Transport
from git_lds.deps.session import Run
from git_lds.deps.update import attribute_check
from git_lds.deps.update.incoming import IncomingUpdate
from git_lds.deps.upstream import fetch_contents, imported_attributes
from git_lds.deps.upstream.fetch_contents import Wanted
from git_lds.deps.upstream.imported_attributes import Answer
from git_lds.git import copy_objects
from git_lds.git.trees import ATTRIBUTES, TreeEntry
from git_lds.progress import Progress
from git_lds.repo import Repo
from git_lds.worktree import transaction
from git_lds.worktree.state import View
from git_lds.worktree.transaction import Change


def bring(
    run: Run,
    view: View,
    arrivals: Sequence[IncomingUpdate],
    progress: Progress,
    *,
    allowed: Transport | None = None,
    left: Collection[str] = (),
) -> None:
    """Bring the arrivals: their files to the working tree and the index, their lines to `.ldsdeps` and `.gitattributes`.

    `view` is of the two and of all outputs. `allowed` is the address that the user named, to be used from now on; `left` are
    outputs at which dependencies are no longer.
    """
    repo = run.repo
    new_rules, answers = attribute_check.carried(run, view, arrivals, left)
    own = (
        own_files.change(repo, view, ATTRIBUTES, new_rules),
        own_files.change(repo, view, manifest.NAME.encode(), _entries_of(arrivals, left)),
    )
    sizes: dict[bytes, int] = {}
    for arrival, answer in zip(arrivals, answers, strict=True):
        sizes |= _bring_contents(repo, arrival, answer, progress)
    for arrival in arrivals:
        copy_objects.carry(arrival.objects, repo.git, _blobs(arrival.changes))
    changes = [change for arrival in arrivals for change in arrival.changes] + [change for change in own if change]
    if changes:
        outputs = [arrival.dependency.output for arrival in arrivals]
        local = allowed.url if allowed and allowed.directory else None
        head = (repo.git.maybe("rev-parse", "--verify", "--quiet", "HEAD") or "") if _leave_conflicts(changes) else None
        transaction.perform(repo, transaction.prepare(repo, run.directory, outputs, changes, sizes, local, head))
    elif allowed:
        transports.allow(allowed, repo.git)


def _blobs(changes: Iterable[Change]) -> set[str]:
    files = [file for change in changes for file in (change.after, *(change.stages or ())) if file]
    return {file.blob.decode() for file in files}


def _leave_conflicts(changes: Iterable[Change]) -> bool:
    return any(change.stages for change in changes)


def _entries_of(arrivals: Sequence[IncomingUpdate], left: Collection[str]) -> Callable[[bytes], bytes]:
    def with_entries(data: bytes) -> bytes:
        known = manifest.parse(data)
        changed = {arrival.dependency.output: arrival.dependency for arrival in arrivals}
        new = {output: each for output, each in known.items() if output not in left} | changed
        return manifest.encode(new.values()) if new != known else data

    return with_entries


def _bring_contents(
    repo: Repo, arrival: IncomingUpdate, answer: dict[bytes, Answer], progress: Progress
) -> dict[bytes, int]:
    """Make sure that the contents of changed files are in a store, and here; return the sizes of those the working tree gets.

    Upstream's side of a conflict is brought too, so that it can be chosen. What was made here need be in no store yet.
    """
    tracked = [
        (change, file.blob)
        for change in arrival.changes
        for file in _coming(change)
        if imported_attributes.is_tracked(answer.get(arrival.renamed_here.get(change.path, change.path), ()))
    ]
    known = fetch_contents.pointers(arrival.objects, (blob for _, blob in tracked))
    from_upstream = {file.blob for file in arrival.snapshot.files.values()}
    wanted: Wanted = {}
    due: Wanted = {}
    sizes = {}
    for change, blob in sorted(tracked, key=lambda each: each[0].path, reverse=True):
        if (at := known.get(blob)) is None:
            continue
        if blob in from_upstream or not repo.objects.has(at.oid):
            wanted[at.oid] = (at.size, change.path)
        if fetch_contents.due(repo, {change.path: at}):
            due[at.oid] = (at.size, change.path)
            if not change.keep and change.after is not None and change.after.blob == blob:
                sizes[change.path] = at.size
    stores = fetch_contents.check_stored(repo, arrival.dependency, wanted) if wanted else []
    fetch_contents.bring(repo, stores, due, progress)
    return sizes


def _coming(change: Change) -> list[TreeEntry]:
    """Return what the working tree gets, and may get when a conflict is resolved: regular files alone."""
    shown = None if change.keep else change.after
    theirs = change.stages[2] if change.stages else None
    return [file for file in dict.fromkeys((shown, theirs)) if file is not None and file.is_regular]

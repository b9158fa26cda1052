"""Brings what upstream has into this repository: one run for all dependencies of a command, all or nothing.

First all is made ready: rules of attributes, the new `.ldsdeps`, the objects, git's blobs. Then the switch is made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from git_lds.deps.manifest import manifest, own_files, transports
from git_lds.deps.manifest.transports import Transport
from git_lds.deps.session import Run, UpdateNote, allow_source
from git_lds.deps.update import attribute_check
from git_lds.deps.update.incoming import IncomingUpdate
from git_lds.deps.upstream import fetch_contents, imported_attributes
from git_lds.deps.upstream.fetch_contents import Wanted
from git_lds.deps.upstream.imported_attributes import Answer
from git_lds.git import copy_objects, refs
from git_lds.git.run import Git
from git_lds.git.trees import ATTRIBUTES, TreeEntry
from git_lds.pointer import Pointer
from git_lds.progress import Progress
from git_lds.repo import Repo
from git_lds.worktree import transaction
from git_lds.worktree.file_change import FileChange
from git_lds.worktree.state import View


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
    edits = {ATTRIBUTES: new_rules, manifest.NAME.encode(): _entries_of(arrivals, left)}
    own = [found for path, edit in edits.items() if (found := own_files.edited(repo, view, path, edit)) is not None]
    contents: dict[bytes, Pointer] = {}
    for arrival, answer in zip(arrivals, answers, strict=True):
        contents |= _bring_contents(repo, arrival, answer, progress)
    sources: dict[Git, set[str]] = {}
    for arrival in arrivals:
        sources.setdefault(arrival.objects, set()).update(_blobs(arrival.changes))
    written = copy_objects.copy(repo.git, sources, [edit.staged for edit in own], run.directory)
    changes = [change for arrival in arrivals for change in arrival.changes]
    changes += [edit.change(blob) for edit, blob in zip(own, written, strict=True)]
    if changes:
        outputs = tuple(arrival.dependency.output for arrival in arrivals)
        local = allowed.url if allowed and allowed.directory else None
        leaves_conflicts = any(isinstance(change.index_after, tuple) for change in changes)
        note = UpdateNote(outputs, local, (refs.head(repo.git) or "") if leaves_conflicts else None)
        prepared = transaction.prepare(
            repo, run.directory, changes, contents, note.encode(), is_undoable=leaves_conflicts
        )
        transaction.commit(repo, prepared, lambda note: allow_source(repo, note))
    elif allowed:
        transports.allow(allowed, repo)


def _blobs(changes: Iterable[FileChange]) -> set[str]:
    after = ((change, change.index_after) for change in changes)
    files = [
        file
        for change, state in after
        for file in (change.git_file, *(state if isinstance(state, tuple) else (state,)))
    ]
    return {file.blob.decode() for file in files if file is not None}


def _entries_of(arrivals: Sequence[IncomingUpdate], left: Collection[str]) -> Callable[[bytes], bytes]:
    def with_entries(data: bytes) -> bytes:
        known = manifest.parse(data)
        changed = {arrival.dependency.output: arrival.dependency for arrival in arrivals}
        new = {output: each for output, each in known.items() if output not in left} | changed
        return manifest.encode(new.values()) if new != known else data

    return with_entries


def _bring_contents(
    repo: Repo, arrival: IncomingUpdate, answer: dict[bytes, Answer], progress: Progress
) -> dict[bytes, Pointer]:
    """Make sure that the contents of changed files are in a store, and here; return the pointers of those the working tree gets.

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
    contents = {}
    for change, blob in sorted(tracked, key=lambda each: each[0].path, reverse=True):
        if (at := known.get(blob)) is None:
            continue
        if blob in from_upstream or not repo.objects.has(at.oid):
            wanted[at.oid] = (at.size, change.path)
        if fetch_contents.due(repo, {change.path: at}):
            due[at.oid] = (at.size, change.path)
            if change.git_file is not None and change.git_file.blob == blob:
                contents[change.path] = at
    stores = fetch_contents.check_stored(repo, arrival.dependency, wanted) if wanted else []
    fetch_contents.bring(repo, stores, due, progress)
    return contents


def _coming(change: FileChange) -> list[TreeEntry]:
    """Return what the working tree gets, and may get when a conflict is resolved: regular files alone."""
    theirs = change.index_after[2] if isinstance(change.index_after, tuple) else None
    return [file for file in dict.fromkeys((change.git_file, theirs)) if file is not None and file.is_regular]

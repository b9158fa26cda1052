"""Brings updates into this repository, all or nothing: one transaction for all dependencies of a command.

First everything is prepared: attributes, the new `.ldsdeps`, contents, git's blobs. Then the transaction is committed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from git_lds.deps.manifest import manifest, own_files, transports
from git_lds.deps.manifest.transports import Transport
from git_lds.deps.session import Session, UpdateNote, allow_source
from git_lds.deps.update import attribute_check
from git_lds.deps.update.incoming import IncomingUpdate
from git_lds.deps.upstream import fetch_contents, imported_attributes
from git_lds.deps.upstream.fetch_contents import WantedObjects
from git_lds.deps.upstream.imported_attributes import AttributeValues
from git_lds.git import copy_objects, refs
from git_lds.git.run import Git
from git_lds.git.trees import ATTRIBUTES, TreeEntry
from git_lds.pointer import Pointer
from git_lds.progress import Progress
from git_lds.repo import Repo
from git_lds.worktree import transaction
from git_lds.worktree.file_change import FileChange
from git_lds.worktree.state import View


def apply_updates(
    session: Session,
    view: View,
    updates: Sequence[IncomingUpdate],
    progress: Progress,
    *,
    allowed: Transport | None = None,
    vacated: Collection[str] = (),
) -> None:
    """Change the working tree and the index as `updates` say, and `.ldsdeps` and `.gitattributes` with them.

    `view` shows these two files and all outputs. `allowed` is the URL that the user named, which is allowed from now on.
    `vacated` are outputs that no longer hold a dependency. Raises ObjectsMissing if contents are in no store, LocalEdits if
    a file was edited meanwhile, and LdsError for attributes that cannot be carried over. Then nothing was changed.
    """
    repo = session.repo
    new_rules, attributes = attribute_check.carried(session, view, updates, vacated)
    edits = {ATTRIBUTES: new_rules, manifest.NAME.encode(): _manifest_edit(updates, vacated)}
    own = [edited for path, edit in edits.items() if (edited := own_files.edited(repo, view, path, edit)) is not None]
    contents: dict[bytes, Pointer] = {}
    for update, values in zip(updates, attributes, strict=True):
        contents |= _bring_contents(repo, update, values, progress)
    changes = [*(change for update in updates for change in update.changes), *_write_blobs(session, updates, own)]
    if changes:
        _commit(session, updates, changes, contents, allowed)
    elif allowed:
        transports.allow(allowed, repo)


def _write_blobs(
    session: Session, updates: Sequence[IncomingUpdate], own: Sequence[own_files.OwnEdit]
) -> list[FileChange]:
    """Write all new blobs into the repository; return the changes of our own files."""
    sources: dict[Git, set[str]] = {}
    for update in updates:
        sources.setdefault(update.objects, set()).update(_blobs(update.changes))
    written = copy_objects.copy(session.repo.git, sources, [edit.staged for edit in own], session.directory)
    return [edit.change(blob) for edit, blob in zip(own, written, strict=True)]


def _blobs(changes: Iterable[FileChange]) -> set[str]:
    """Return the blobs that the index and the working tree get."""
    files: list[TreeEntry | None] = []
    for change in changes:
        files.append(change.git_file)
        files += change.index_after if isinstance(change.index_after, tuple) else (change.index_after,)
    return {file.blob.decode() for file in files if file is not None}


def _commit(
    session: Session,
    updates: Sequence[IncomingUpdate],
    changes: Sequence[FileChange],
    contents: Mapping[bytes, Pointer],
    allowed: Transport | None,
) -> None:
    repo = session.repo
    has_conflicts = any(isinstance(change.index_after, tuple) for change in changes)
    note = UpdateNote(
        tuple(update.dependency.output for update in updates),
        allowed.url if allowed and allowed.directory else None,
        (refs.head(repo.git) or "") if has_conflicts else None,
    )
    prepared = transaction.prepare(repo, session.directory, changes, contents, note.encode(), is_undoable=has_conflicts)
    transaction.commit(repo, prepared, lambda note: allow_source(repo, note))


def _manifest_edit(updates: Sequence[IncomingUpdate], vacated: Collection[str]) -> Callable[[bytes], bytes]:
    """Return the edit of `.ldsdeps`."""

    def edit(data: bytes) -> bytes:
        known = manifest.parse(data)
        changed = {update.dependency.output: update.dependency for update in updates}
        new = {output: dependency for output, dependency in known.items() if output not in vacated} | changed
        return manifest.encode(new.values()) if new != known else data

    return edit


def _bring_contents(
    repo: Repo, update: IncomingUpdate, attributes: Mapping[bytes, AttributeValues], progress: Progress
) -> dict[bytes, Pointer]:
    """Fetch the contents of changed files; return the pointers, by path, whose contents the working tree gets.

    All of them must be in a store, except what was made here. Upstream's side of a conflict is fetched too, so that the user
    can choose it.
    """
    tracked = [
        (change, file.blob)
        for change in update.changes
        for file in _possible_files(change)
        if imported_attributes.is_tracked(attributes.get(update.renamed_here.get(change.path, change.path), ()))
    ]
    pointers = fetch_contents.pointers(update.objects, (blob for _, blob in tracked))
    from_upstream = {file.blob for file in update.snapshot.files.values()}
    stored: WantedObjects = {}
    fetched: WantedObjects = {}
    contents = {}
    for change, blob in sorted(tracked, key=lambda pair: pair[0].path, reverse=True):
        if (pointer := pointers.get(blob)) is None:
            continue
        if blob in from_upstream or not repo.objects.has(pointer.oid):
            stored[pointer.oid] = (pointer.size, change.path)
        if fetch_contents.wanted_in_work_tree(repo, {change.path: pointer}):
            fetched[pointer.oid] = (pointer.size, change.path)
            if change.git_file is not None and change.git_file.blob == blob:
                contents[change.path] = pointer
    stores = fetch_contents.check_stored(repo, update.dependency, stored) if stored else []
    fetch_contents.fetch(repo, stores, fetched, progress)
    return contents


def _possible_files(change: FileChange) -> list[TreeEntry]:
    """Return the regular files that the working tree gets, and may get when a conflict is resolved."""
    theirs = change.index_after[2] if isinstance(change.index_after, tuple) else None
    return [file for file in dict.fromkeys((change.git_file, theirs)) if file is not None and file.is_regular]

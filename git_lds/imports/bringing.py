"""Brings what upstream has into this repository: one run for all dependencies of a command, all or nothing.

First all is made ready: rules of attributes, the new `.ldsdeps`, the objects, git's blobs. Then the switch is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from git_lds.imports import attributes, carrying, contents, manifest, own_files, rules, switching, transports
from git_lds.imports.arrival import Arrival, Run
from git_lds.imports.attributes import Answer
from git_lds.imports.contents import Wanted
from git_lds.imports.edits import View
from git_lds.imports.transports import Transport
from git_lds.imports.upstream import ATTRIBUTES
from git_lds.progress import Progress
from git_lds.repo import Repo


def bring(
    run: Run, view: View, arrivals: Sequence[Arrival], progress: Progress, *, allowed: Transport | None = None
) -> None:
    """Bring the arrivals: their files to the work tree and the index, their lines to `.ldsdeps` and `.gitattributes`.

    `view` is of the two and of all outputs. `allowed` is the address that the user named, to be used from now on.
    """
    repo = run.repo
    new_rules, answers = rules.carried(run, view, arrivals)
    own = (
        own_files.change(repo, view, ATTRIBUTES, new_rules),
        own_files.change(repo, view, manifest.NAME.encode(), _entries_of(arrivals)),
    )
    sizes: dict[bytes, int] = {}
    for arrival, answer in zip(arrivals, answers, strict=True):
        sizes |= _bring_contents(repo, arrival, answer, progress)
    for arrival in arrivals:
        blobs = {change.after.blob.decode() for change in arrival.changes if change.after}
        carrying.carry(arrival.mirror, repo.git, blobs)
    changes = [change for arrival in arrivals for change in arrival.changes] + [change for change in own if change]
    if changes:
        outputs = [arrival.dependency.output for arrival in arrivals]
        local = allowed.url if allowed and allowed.folder else None
        switching.perform(repo, switching.prepare(repo, run.folder, outputs, changes, sizes, local))
    elif allowed:
        transports.allow(allowed, repo.git)


def _entries_of(arrivals: Sequence[Arrival]) -> Callable[[bytes], bytes]:
    def with_entries(data: bytes) -> bytes:
        known = manifest.parse(data)
        changed = {arrival.dependency.output: arrival.dependency for arrival in arrivals}
        return manifest.encode((known | changed).values()) if known | changed != known else data

    return with_entries


def _bring_contents(repo: Repo, arrival: Arrival, answer: dict[bytes, Answer], progress: Progress) -> dict[bytes, int]:
    """Make sure that the contents of changed files are in a store, and here; return the sizes of those the work tree gets."""
    tracked = {
        change.path: change.after.blob
        for change in arrival.changes
        if change.after and change.path in answer and attributes.is_tracked(answer[change.path])
    }
    known = contents.pointers(arrival.mirror.git, tracked.values())
    found = {path: known[blob] for path, blob in tracked.items() if blob in known}
    wanted: Wanted = {at.oid: (at.size, path) for path, at in sorted(found.items(), reverse=True)}
    stores = contents.check_stored(repo, arrival.dependency, wanted) if wanted else []
    due = contents.due(repo, found)
    contents.bring(repo, stores, {at.oid: (at.size, path) for path, at in due.items()}, progress)
    return {path: at.size for path, at in due.items()}

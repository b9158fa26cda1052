"""`git lds import`: a path of another repository becomes a path of this one, as ordinary files, staged and not committed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from git_lds.consent import is_inside
from git_lds.deps.manifest import include as manifest_include
from git_lds.deps.manifest import manifest, own_files, transports
from git_lds.deps.manifest.manifest import WHOLE, Dependency, output_path
from git_lds.deps.manifest.transports import Transport
from git_lds.deps.session import exclusive_session
from git_lds.deps.update import apply, attribute_check
from git_lds.deps.update.incoming import IncomingUpdate
from git_lds.deps.upstream import clone
from git_lds.deps.upstream import snapshot as upstream
from git_lds.deps.upstream.clone import Refs, Revision, UpstreamClone
from git_lds.deps.upstream.snapshot import Snapshot
from git_lds.errors import LdsError
from git_lds.files import printable
from git_lds.progress import SILENT, Progress
from git_lds.repo import Repo
from git_lds.setup import trust
from git_lds.worktree import state
from git_lds.worktree.file_change import FileChange
from git_lds.worktree.state import LocalEdits, Stamp, View


def import_path(
    repo: Repo,
    url: str,
    path: str,
    *,
    output: str | None = None,
    rev: str | None = None,
    force: bool = False,
    vendor: bool = False,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    progress: Progress = SILENT,
) -> Dependency:
    """Bring `path` of the repository at `url` to `output` (its own name when None); return the dependency that it is now.

    `rev` is the branch to follow, or the tag or full commit to stay at; None: upstream's default branch. `path` "." is
    the whole repository. With `vendor` pushes copy its objects to this repository's own store. Of a directory, `include` and
    `exclude` are globs of the files that come. A relative local `url` counts from the directory of `repo.git`. What is at
    `output` is replaced only with `force`. Raises LdsError, with nothing changed here, when anything is not as it must be.
    """
    transport = transports.parse(transports.named_by_user(url, Path(os.fsdecode(repo.git.cwd or os.curdir)).absolute()))
    path = _tidy(path)
    output = _tidy(output) if output is not None else _default_output(transport, path)
    manifest.check_path(path)
    manifest.check_output(output)
    if rev is not None:
        manifest.check_rev(rev)
    manifest.check_patterns(tuple(include), tuple(exclude))
    with exclusive_session(repo) as session:
        if output in session.recovered:
            completed = own_files.read_manifest(repo).get(output)
            if completed is not None and _is_what_was_asked(completed, transport.url, path, rev):
                return completed
        view = state.look(repo, [output, *attribute_check.files_about([output])], session.directory / "seen")
        known = own_files.read_manifest(repo, view)
        _check_destination(repo, output, known, view, force=force)
        source = clone.open_for(repo, transport)
        revision = _revision(source, None if rev == "HEAD" else rev)
        arrival = _arrival(repo, source, revision, path, output, view, vendor, tuple(include), tuple(exclude))
        apply.apply_updates(session, view, [arrival], progress, allowed=transport)
        _agree(repo, arrival.dependency, transport)
        return arrival.dependency


def _agree(repo: Repo, dependency: Dependency, transport: Transport) -> None:
    """Trust the store that the user's command implies: the one to copy from, and that of a repository on this machine.

    Not further stores that upstream's files name, and no directory or private host that a repository elsewhere names.
    """
    url, is_here = dependency.store, transport.directory is not None
    if url is not None and (is_here if is_inside(url) else dependency.vendor):
        with contextlib.suppress(LdsError):  # a kind of store that is not installed here
            trust.add_here(repo, url)


def _is_what_was_asked(found: Dependency, url: str, path: str, rev: str | None) -> bool:
    """Tell whether an import that was killed, and has come to its end by now, is the one that the command asks for."""
    return (found.url, found.path) == (url, path) and rev in (None, found.rev)


def _arrival(
    repo: Repo,
    source: UpstreamClone,
    revision: Revision,
    path: str,
    output: str,
    view: View,
    vendor: bool,
    *globs: tuple[str, ...],
) -> IncomingUpdate:
    source.fetch(revision.commit)
    include, exclude = globs

    def wants(name: bytes) -> bool:
        return manifest_include.matches(name, include, exclude)

    snapshot = upstream.take(source, source.commit_of(revision.commit), path, wants if include or exclude else None)
    if b"" in snapshot.files and (include or exclude):
        raise LdsError(f"{path} is a file, so there is nothing to choose from", "leave --include and --exclude out")
    source.fetch_blobs(snapshot.blobs())
    store, read = upstream.stores_at(source, snapshot.commit, path)
    lock = snapshot.commit, snapshot.tree
    dependency = Dependency(output, source.url, path, revision.rev, *lock, store, read, vendor, include, exclude)
    manifest.check(dependency)
    return IncomingUpdate(dependency, source, snapshot, tuple(_changes(repo, output, snapshot, view)), source.git)


def _tidy(path: str) -> str:
    """Return a path as a shell completes it ("./images/") in the form that git has it."""
    tidy = path.rstrip("/") or path
    while tidy.startswith("./"):
        tidy = tidy[2:].lstrip("/")
    return tidy or (WHOLE if path else path)


def _default_output(transport: Transport, path: str) -> str:
    if path != WHOLE:
        return path.rpartition("/")[2]
    name = transport.url.rstrip("/").removesuffix("/.git").replace(":", "/").rpartition("/")[2]
    return name.removesuffix(".git")


def _revision(source: UpstreamClone, rev: str | None) -> Revision:
    is_commit = rev is not None and manifest.is_object_id(rev)
    return clone.resolve(Refs() if is_commit else source.refs(rev), rev, source.url)


def _check_destination(repo: Repo, output: str, known: dict[str, Dependency], view: View, *, force: bool) -> None:
    """Raise LdsError when something is at the output, or in place of a directory on the way there."""
    assert repo.work_tree is not None
    for other in known:
        if other != output and (manifest.inside(output, [other]) or manifest.inside(other, [output])):
            raise LdsError(
                f"{output} and the dependency {other} would lie in one another", "choose another place: -o PATH"
            )
    names = output.split("/")
    for count in range(1, len(names)):
        above = "/".join(names[:count])
        full = repo.work_tree / above
        if os.path.lexists(full) and (full.is_symlink() or not full.is_dir()):
            raise LdsError(f"{above} is not a directory, so {output} cannot be made", "choose another place: -o PATH")
        if repo.git.ok("rev-parse", "--verify", "--quiet", f":0:{above}"):
            raise LdsError(
                f"git's index has a file {above}, so {output} cannot be made", "choose another place: -o PATH"
            )
    if force:
        return
    if output in known:
        raise LdsError(f"{output} is a dependency already", f"git lds update {output}, or replace it: --force")
    here = output.encode()
    if os.path.lexists(repo.work_tree / output) or any(
        path == here or path.startswith(here + b"/") for path in view.files
    ):
        raise LdsError(f"{output} exists already", "choose another place: -o PATH, or replace it: --force")


def _changes(repo: Repo, output: str, snapshot: Snapshot, view: View) -> list[FileChange]:
    """Return what becomes of the files at the output: with --force there may be some."""
    assert repo.work_tree is not None
    here = output.encode()
    old = {path: file for path, file in view.files.items() if path == here or path.startswith(here + b"/")}
    new = {output_path(output, name): file for name, file in snapshot.files.items()}
    leaving = old.keys() - new.keys()
    blocked: list[bytes] = []
    changes = []
    for path in sorted(old.keys() | new.keys()):
        if path in old and old[path] == new.get(path) and path not in view.edited:
            continue
        expected = _there(repo, path, leaving, blocked)
        changes.append(FileChange.checkout(path, old.get(path), new.get(path), expected))
    if blocked:
        raise LocalEdits(f"these files are where {printable(here)} would go:", blocked, "move them away")
    return changes


def _there(repo: Repo, path: bytes, leaving: set[bytes], blocked: list[bytes]) -> Stamp | None:
    assert repo.work_tree is not None
    try:
        return state.stamp_at(repo.work_tree, path)
    except OSError:
        blocked += state.in_the_way(repo.work_tree, path, leaving)
        return None

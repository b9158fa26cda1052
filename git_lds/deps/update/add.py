"""`git lds import`: a path of another repository becomes a path of this one, as ordinary files, staged but not committed.

ImportRequest   what the user asked for, checked
plan_import     the commit upstream, its files there, and the changes of files here
apply           all or nothing: attributes, contents, working tree, index, `.ldsdeps`
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from git_lds.consent import is_inside
from git_lds.deps.manifest import include as manifest_include
from git_lds.deps.manifest import manifest, own_files, transports
from git_lds.deps.manifest.manifest import WHOLE, Dependency, output_path
from git_lds.deps.manifest.transports import Transport
from git_lds.deps.merge.base import at_output
from git_lds.deps.session import exclusive_session
from git_lds.deps.update import apply, attribute_check
from git_lds.deps.update.incoming import IncomingUpdate
from git_lds.deps.upstream import clone
from git_lds.deps.upstream import snapshot as upstream
from git_lds.deps.upstream.clone import Refs, Revision, UpstreamClone
from git_lds.deps.upstream.snapshot import Snapshot
from git_lds.errors import LdsError
from git_lds.files import printable
from git_lds.git import index
from git_lds.progress import SILENT, Progress
from git_lds.repo import Repo
from git_lds.setup import trust
from git_lds.worktree import state
from git_lds.worktree.file_change import FileChange
from git_lds.worktree.state import LocalEdits, View

_OTHER_PLACE = "choose another place: -o PATH"


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What the user asked to import. `rev` None means upstream's default branch."""

    transport: Transport
    path: str
    output: str
    rev: str | None
    force: bool
    vendor: bool
    include: tuple[str, ...]
    exclude: tuple[str, ...]

    def check(self) -> None:
        """Raise LdsError unless all parts are allowed."""
        manifest.check_path(self.path)
        manifest.check_output(self.output)
        if self.rev is not None:
            manifest.check_rev(self.rev)
        manifest.check_patterns(self.include, self.exclude)

    def is_answered_by(self, dependency: Dependency) -> bool:
        """Return whether an import that was killed, and is complete by now, is the one that the user asks for."""
        same = (dependency.url, dependency.path) == (self.transport.url, self.path)
        return same and self.rev in (None, dependency.rev)

    def wants(self, name: bytes) -> bool:
        """Return whether a file of the path is to be imported."""
        return manifest_include.matches(name, self.include, self.exclude)


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
    """Import `path` of the repository at `url` to `output` (None: its own name); return the new dependency.

    `rev` is the branch to follow, or the tag or full commit to stay at; None: upstream's default branch. `path` "." is
    the whole repository. With `vendor` pushes copy its objects to this repository's own store. Of a directory, `include` and
    `exclude` are globs of the files to import. A relative local `url` counts from the directory of `repo.git`. With `force`
    the files at `output` are replaced. Raises LdsError if something cannot be imported, LocalEdits if files would be
    overwritten, and ObjectsMissing if contents are in no store. Then nothing was changed.
    """
    cwd = Path(os.fsdecode(repo.git.cwd or os.curdir)).absolute()
    transport = transports.parse(transports.named_by_user(url, cwd))
    path = _tidy(path)
    output = _tidy(output) if output is not None else _default_output(transport, path)
    request = ImportRequest(transport, path, output, rev, force, vendor, tuple(include), tuple(exclude))
    request.check()
    with exclusive_session(repo) as session:
        if output in session.recovered:
            completed = own_files.read_manifest(repo).get(output)
            if completed is not None and request.is_answered_by(completed):
                return completed
        try:
            view = state.look(repo, [output, *attribute_check.files_about([output])], session.directory / "seen")
        except LdsError:
            own_files.read_manifest(repo)  # if that is in conflict, it says what to do
            raise
        plan = plan_import(repo, request, view)
        apply.apply_updates(session, view, [plan], progress, allowed=transport)
        _trust_store(repo, plan.dependency, transport)
        return plan.dependency


def plan_import(repo: Repo, request: ImportRequest, view: View) -> IncomingUpdate:
    """Plan an import: fetch upstream's trees and pointers, and compare with the files here. `view` shows these.

    Raises LdsError if upstream cannot be read or the output is not free, LocalEdits if files are in the way.
    """
    _check_destination(repo, request, own_files.read_manifest(repo, view), view)
    source = clone.open_for(repo, request.transport)
    revision = _revision(source, None if request.rev == "HEAD" else request.rev)
    source.fetch(revision.commit)
    has_patterns = bool(request.include or request.exclude)
    commit = source.commit_of(revision.commit)
    snapshot = upstream.take(source, commit, request.path, request.wants if has_patterns else None)
    if b"" in snapshot.files and has_patterns:
        raise LdsError(f"{request.path} is a file, so there is nothing to choose from", "omit --include and --exclude")
    source.fetch_blobs(snapshot.blobs())
    store, read = upstream.stores_at(source, commit, request.path)
    dependency = Dependency(
        request.output,
        source.url,
        request.path,
        revision.rev,
        commit,
        snapshot.tree,
        store,
        read,
        request.vendor,
        request.include,
        request.exclude,
    )
    manifest.check(dependency)
    changes = _changes(repo, request.output, snapshot, view)
    return IncomingUpdate(dependency, source, snapshot, tuple(changes), source.git)


def _trust_store(repo: Repo, dependency: Dependency, transport: Transport) -> None:
    """Trust the store that the user's command implies: the one to copy from, and that of a repository on this machine.

    Not further stores that upstream's files name, and no directory or private host that a repository elsewhere names.
    """
    url, is_local = dependency.store, transport.directory is not None
    if url is not None and (is_local if is_inside(url) else dependency.vendor):
        with contextlib.suppress(LdsError):  # a kind of store that is not installed here
            trust.add_here(repo, url)


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


def _check_destination(repo: Repo, request: ImportRequest, known: Mapping[str, Dependency], view: View) -> None:
    """Raise LdsError if the output already exists, or if a file has the name of a directory above it."""
    work_tree, output = repo.require_work_tree(), request.output
    for other in known:
        if other != output and (manifest.inside(output, [other]) or manifest.inside(other, [output])):
            raise LdsError(f"{output} and the dependency {other} would lie in one another", _OTHER_PLACE)
    names = output.split("/")
    for count in range(1, len(names)):
        above = "/".join(names[:count])
        full = work_tree / above
        if os.path.lexists(full) and (full.is_symlink() or not full.is_dir()):
            raise LdsError(f"{above} is not a directory, so {output} cannot be made", _OTHER_PLACE)
        if index.has_file(repo.git, above):
            raise LdsError(f"git's index has a file {above}, so {output} cannot be made", _OTHER_PLACE)
    if request.force:
        return
    if output in known:
        raise LdsError(f"{output} is already a dependency", f"git lds update {output}, or replace it: --force")
    if os.path.lexists(work_tree / output) or at_output(view.files, output):
        raise LdsError(f"{output} already exists", f"{_OTHER_PLACE}, or replace it: --force")


def _changes(repo: Repo, output: str, snapshot: Snapshot, view: View) -> list[FileChange]:
    """Return the changes of the files at the output; with --force it may have some. Raises LocalEdits."""
    work_tree = repo.require_work_tree()
    old = at_output(view.files, output)
    new = {output_path(output, name): file for name, file in snapshot.files.items()}
    leaving = old.keys() - new.keys()
    blocking: list[bytes] = []
    changes = []
    for path in sorted(old.keys() | new.keys()):
        if path in old and old[path] == new.get(path) and path not in view.edited:
            continue
        try:
            expected = state.stamp_at(work_tree, path)
        except OSError:
            blocking += state.in_the_way(work_tree, path, leaving)
            expected = None
        changes.append(FileChange.checkout(path, old.get(path), new.get(path), expected))
    if blocking:
        where = printable(output.encode())
        raise LocalEdits(
            f"{where}: these untracked files would be overwritten by the import; nothing was changed:",
            blocking,
            "move them away",
        )
    return changes

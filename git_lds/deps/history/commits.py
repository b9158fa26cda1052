"""The commits here that touched a dependency: what each did to its files, and which of them are edits of the user.

A commit that moved the pin brought what upstream had, and a merge brought what others had. Neither counts as an edit unless
nothing else explains a change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from git_lds.deps.manifest import manifest
from git_lds.deps.manifest.manifest import Dependency
from git_lds.errors import LdsError
from git_lds.git import log, refs
from git_lds.git.log import LoggedCommit
from git_lds.git.run import Git
from git_lds.git.trees import Difference, TreeEntry
from git_lds.repo import Repo

Edit = tuple[TreeEntry | None, TreeEntry | None]
"""A file before and after; None: it does not exist."""

_MANIFEST = manifest.NAME.encode()


@dataclass(frozen=True, slots=True)
class CommitEdits:
    """A commit that touched a dependency. `files` are by their path at the dependency's path of today."""

    commit: str
    files: Mapping[bytes, Edit]
    is_edit: bool
    """Whether its author edited the files: it is not a merge, an import or an update."""
    is_cut: bool = False
    """Whether its parents are missing from this clone, which is shallow, so that its changes are not known."""


@dataclass(frozen=True, slots=True)
class _Pins:
    """The entries of a dependency in `.ldsdeps` before and after a commit, by path."""

    before: Mapping[str, Dependency]
    after: Mapping[str, Dependency]

    @property
    def is_update(self) -> bool:
        """Whether the commit moved the pin."""
        old, new = ({(pin.commit, pin.tree) for pin in side.values()} for side in (self.before, self.after))
        return old != new


_UNTOUCHED = _Pins({}, {})


def steps(repo: Repo, dependency: Dependency, known: Mapping[str, Dependency]) -> list[CommitEdits]:
    """Return the commits of HEAD that touched a dependency since it was imported, oldest first.

    `known` are the dependencies of HEAD. Raises GitFailed if the history cannot be read.
    """
    if refs.head(repo.git) is None:
        return []
    git = repo.git.with_environment({"GIT_LITERAL_PATHSPECS": "1", "GIT_NO_REPLACE_OBJECTS": "1"})
    output = dependency.output
    logged = list(log.changes(git, "HEAD", [output, manifest.NAME]))
    pins = _pins(repo.git, logged, dependency, known)
    outputs = {output, *(path for pin in pins.values() for side in (pin.before, pin.after) for path in side)}
    if len(outputs) > 1:  # it was at another path before
        logged = list(log.changes(git, "HEAD", [*sorted(outputs), manifest.NAME]))
    shallow = _shallow_commits(repo)
    found: list[CommitEdits] = []
    is_imported = False
    for commit, parents, changes in logged:
        pin = pins.get(commit, _UNTOUCHED)
        is_cut = commit in shallow
        if pin.after and not pin.before and not is_cut:
            if not is_imported:  # else the import of a parallel branch
                found = []  # files that were at the path before are something else
            is_imported = True
        elif pin.before and not pin.after:
            is_imported = False
        files = _at_output(changes, outputs, output)
        is_merge = len(parents) > 1
        if files or is_merge:
            found.append(CommitEdits(commit, files, is_edit=not (pin.is_update or is_cut or is_merge), is_cut=is_cut))
    return found


def _pins(
    git: Git, logged: Iterable[LoggedCommit], dependency: Dependency, known: Mapping[str, Dependency]
) -> dict[str, _Pins]:
    """Return what each commit that touched `.ldsdeps` did to the dependency."""
    found = {}
    for commit, _, changes in logged:
        for change in changes:
            if change.path == _MANIFEST:
                sides = (_entries(git, side, dependency, known) for side in (change.before, change.after))
                found[commit] = _Pins(*sides)
    return found


def _entries(
    git: Git, file: TreeEntry | None, dependency: Dependency, known: Mapping[str, Dependency]
) -> dict[str, Dependency]:
    """Return the entries of the dependency in an older `.ldsdeps`, in which it may have had another path."""
    read = git.reader.read(file.blob.decode()) if file else None
    try:
        older = manifest.parse(read[1] if read is not None and read[0].kind == "blob" else b"")
    except LdsError:
        return {}
    source = dependency.url, dependency.path
    # an entry that still exists beside it is another import of the same path
    found = {
        entry.output: entry
        for entry in older.values()
        if (entry.url, entry.path) == source and (entry.output == dependency.output or entry.output not in known)
    }
    return {dependency.output: found[dependency.output]} if dependency.output in found else found


def _at_output(changes: Sequence[Difference], outputs: set[str], output: str) -> dict[bytes, Edit]:
    """Return the changes of the dependency's files by path at `output`; a mere move from another output is left out."""
    found: dict[bytes, Edit] = {}
    for change in changes:
        for name in map(str.encode, outputs):
            if change.path == name or change.path.startswith(name + b"/"):
                path = output.encode() + change.path[len(name) :]
                before, after = found.get(path, (None, None))
                found[path] = (change.before or before, change.after or after)
    return {path: edit for path, edit in found.items() if edit[0] != edit[1]}


def _shallow_commits(repo: Repo) -> set[str]:
    """Return the commits whose parents a shallow clone leaves out."""
    try:
        return set(Path(repo.common_dir / "shallow").read_text().split())
    except OSError:
        return set()

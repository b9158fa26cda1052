"""The commits here that touched a dependency: what each did to which of its files, and which of them are edits of the user.

A commit that moved the lock brought what upstream had, and a merge brought what others had: neither counts as an edit unless
nothing else explains one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from git_lds.deps.history.trailers import PLAIN_LOG
from git_lds.deps.manifest import manifest
from git_lds.deps.manifest.manifest import Dependency
from git_lds.errors import LdsError
from git_lds.git.config import configured
from git_lds.git.objects import BlobReader
from git_lds.git.run import Git
from git_lds.git.trees import TreeEntry
from git_lds.repo import Repo

Edit = tuple[TreeEntry | None, TreeEntry | None]
"""A file before and after; None: not there."""

_DEPS = manifest.NAME.encode()
_LOG = (
    "--topo-order", "--reverse", "--raw", "-z", "--no-abbrev", "--no-renames", "--no-ext-diff", "--diff-merges=off",
    "--format=%x01%H%x02%P",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """A commit that touched a dependency. `files` are by their path at the dependency's output of today."""

    commit: str
    files: Mapping[bytes, Edit]
    is_edit: bool
    """Whether what it did is an edit of its author: not a merge, and not an import or update."""
    is_cut: bool = False
    """Whether what was before it is not in this clone, a shallow one: then nobody knows what it did."""


def steps(repo: Repo, at: Dependency, known: Mapping[str, Dependency]) -> list[Step]:
    """Return the commits of HEAD that touched a dependency since it was imported, oldest first. `known` are those of HEAD."""
    git = configured(repo.git, PLAIN_LOG | {"diff.ignoreSubmodules": "none"}).with_environment(
        {"GIT_LITERAL_PATHSPECS": "1", "GIT_NO_REPLACE_OBJECTS": "1"}
    )
    if not git.ok("rev-parse", "--verify", "--quiet", "HEAD"):
        return []
    cut = _cut(repo)
    with BlobReader(git) as blobs:
        locks = [(commit, edit) for commit, _, files in _log(git, [manifest.NAME]) for edit in _of(files, _DEPS)]
        entries = {commit: tuple(_entries(blobs, side, at, known) for side in edit) for commit, edit in locks}
    outputs = {at.output, *(output for pair in entries.values() for side in pair for output in side)}
    found: list[Step] = []
    for commit, parents, files in _log(git, [*sorted(outputs), manifest.NAME]):
        before, after = entries.get(commit, ({}, {}))
        if after and not before and commit not in cut:
            found = []  # it was imported here: what was at the place before is something else
        here = _at_output(files, outputs, at.output)
        is_update = {(each.commit, each.tree) for each in before.values()} != {
            (each.commit, each.tree) for each in after.values()
        }
        if here or len(parents) > 1:
            is_cut = commit in cut
            found.append(Step(commit, here, is_edit=not (is_update or is_cut or len(parents) > 1), is_cut=is_cut))
    return found


def _log(git: Git, paths: Sequence[str]) -> Iterator[tuple[str, list[str], dict[bytes, Edit]]]:
    """Yield the commits of HEAD that touched the paths: each with its parents, and what it did. Merges did nothing here."""
    commit, parents = "", [""]
    files: dict[bytes, Edit] = {}
    parts = iter(git.names("log", *_LOG, "HEAD", "--", *paths))
    for part in parts:
        part = part.lstrip(b"\n")
        if part.startswith(b"\x01"):
            if commit:
                yield commit, parents, files
            head, _, rest = part[1:].decode().partition("\x02")
            commit, parents, files = head, rest.split(), {}
        elif part.startswith(b":"):
            old_mode, mode, old, blob, _ = part[1:].split(b" ")
            files[next(parts)] = (_file(old_mode, old), _file(mode, blob))
    if commit:
        yield commit, parents, files


def _file(mode: bytes, blob: bytes) -> TreeEntry | None:
    return TreeEntry(mode, blob) if mode.strip(b"0") else None


def _of(files: Mapping[bytes, Edit], path: bytes) -> list[Edit]:
    return [files[path]] if path in files else []


def _entries(
    blobs: BlobReader, file: TreeEntry | None, at: Dependency, known: Mapping[str, Dependency]
) -> dict[str, Dependency]:
    """Return what an older `.ldsdeps` says of the dependency, which may have been at another output then."""
    try:
        older = manifest.parse(blobs.read(file.blob) or b"") if file else {}
    except LdsError:
        return {}
    # one that is there beside it today is another import of the same path
    same = [each for each in older.values() if (each.url, each.path) == (at.url, at.path)]
    found = {each.output: each for each in same if each.output == at.output or each.output not in known}
    return {at.output: found[at.output]} if at.output in found else found


def _at_output(files: Mapping[bytes, Edit], outputs: set[str], output: str) -> dict[bytes, Edit]:
    """Return what was done to the dependency, by path at `output`; what was only moved there from another output is left out."""
    here = output.encode()
    found: dict[bytes, Edit] = {}
    for path, (before, after) in files.items():
        for each in outputs:
            name = each.encode()
            if path == name or path.startswith(name + b"/"):
                at = here + path[len(name) :]
                known = found.get(at, (None, None))
                found[at] = (before or known[0], after or known[1])
    return {path: edit for path, edit in found.items() if edit[0] != edit[1]}


def _cut(repo: Repo) -> set[str]:
    """Return the commits whose parents a shallow clone leaves out."""
    try:
        return set(Path(repo.common_dir / "shallow").read_text().split())
    except OSError:
        return set()

"""Contributed branches: a record of each is kept here; trailers in upstream's commits stand in for a missing one.

    <common dir>/lds/contributions/<16 hex digits of the BLAKE3 of target and branch>

A record is written after the branch was pushed. It has the form in which each file was sent, so that a later update recognizes
its own edit, squashed or not. Another clone has no record, but it has the trailers in the commits.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from git_lds import hashing, sharing
from git_lds.deps.history import commits as history_commits
from git_lds.deps.history import trailers
from git_lds.deps.history.commits import CommitEdits, Edit
from git_lds.deps.history.trailers import Contributed
from git_lds.deps.manifest import own_files
from git_lds.deps.manifest.manifest import Dependency, output_path
from git_lds.deps.merge.inputs import Sent
from git_lds.deps.session import Session
from git_lds.deps.upstream import clone
from git_lds.deps.upstream import snapshot as upstream
from git_lds.deps.upstream.clone import UpstreamClone, clones_of
from git_lds.errors import LdsError
from git_lds.files import replace_with
from git_lds.git import refs, tree_diff
from git_lds.git.run import Git
from git_lds.git.trees import TreeEntry
from git_lds.repo import Repo

_VERSION = 1
_MAX_SIZE = 64 << 20

OPEN, MERGED, SUPERSEDED = "open", "merged", "superseded"
"""States of a contribution: not merged yet, all merged upstream, changed in another way upstream."""

Changes = Mapping[bytes, TreeEntry | None]
"""What a commit changed: files by their path below the dependency's, as they are after it. None: deleted."""


@dataclass(frozen=True, slots=True)
class Form:
    """A file of a contribution: where the branch started, on the branch, and here. None: it does not exist."""

    before: TreeEntry | None
    sent: TreeEntry | None
    local: TreeEntry | None


@dataclass(frozen=True, slots=True)
class Record:
    """A branch that was contributed. `files` are by their path below the dependency's."""

    url: str
    path: str
    target: str
    branch: str
    base: str
    """The commit upstream that the branch starts from."""
    tip: str
    commits: tuple[Contributed, ...]
    files: Mapping[bytes, Form]


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of a contribution, as of the last update."""

    branch: str
    target: str
    state: str


def write(repo: Repo, record: Record) -> None:
    """Write a record; it replaces an earlier one of the branch."""
    path = _path(repo, record.target, record.branch)
    sharing.make_directory(path.parent)
    replace_with(path, json.dumps(_described(record), indent=1, sort_keys=True).encode() + b"\n")


def read(repo: Repo, target: str, branch: str) -> Record | None:
    """Return the record of a branch, or None if it is missing or cannot be read."""
    return _read(_path(repo, target, branch))


def of(repo: Repo, dependency: Dependency) -> list[Record]:
    """Return the records of a dependency, the oldest first."""
    directory = repo.lds_dir / "contributions"
    paths = sorted((p for p in directory.glob("[0-9a-f]*") if p.is_file()), key=lambda p: p.stat().st_mtime_ns)
    found = [record for path in paths if (record := _read(path)) is not None]
    return [record for record in found if (record.url, record.path) == (dependency.url, dependency.path)]


def _path(repo: Repo, target: str, branch: str) -> Path:
    name = hashing.of_bytes(f"{target}\n{branch}".encode()).hex()[:16]
    return repo.lds_dir / "contributions" / name


def _described(record: Record) -> dict[str, object]:
    return {
        "version": _VERSION,
        **{name: getattr(record, name) for name in ("url", "path", "target", "branch", "base", "tip")},
        "commits": [[each.commit, *each.sources] for each in record.commits],
        "files": {
            name.decode("utf-8", "surrogateescape"): [_words(each) for each in (form.before, form.sent, form.local)]
            for name, form in record.files.items()
        },
    }


def _words(file: TreeEntry | None) -> str | None:
    return f"{file.mode.decode()} {file.blob.decode()}" if file else None


def _read(path: Path) -> Record | None:
    try:
        if path.stat().st_size > _MAX_SIZE:
            return None
        found = json.loads(path.read_bytes())
        if found["version"] != _VERSION:
            return None
        url, path_there, target, branch, base, tip = (
            str(found[name]) for name in ("url", "path", "target", "branch", "base", "tip")
        )
        commits = tuple(Contributed(commit, tuple(sources)) for commit, *sources in found["commits"])
        files = {
            name.encode("utf-8", "surrogateescape"): Form(*(_file(each) for each in forms))
            for name, forms in found["files"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # damaged, or of a newer git-lds: the trailers upstream have nearly the same facts
    return Record(url, path_there, target, branch, base, tip, commits, files)


def _file(words: str | None) -> TreeEntry | None:
    if words is None:
        return None
    mode, blob = words.encode().split(b" ")
    return TreeEntry(mode, blob)


# the forms in which files were contributed


def sent(
    session: Session,
    git: Git,
    source: UpstreamClone,
    dependency: Dependency,
    goal: str,
    *,
    steps: Sequence[CommitEdits] | None = None,
) -> Sent:
    """Return in which forms edits of the dependency went upstream, by records here and by trailers since the pin.

    Only forms that the history of HEAD has had count: files that are different now were edited later. `steps` are those
    of HEAD, if they are known already.
    """
    repo, path = session.repo, dependency.path
    kept = of(repo, dependency)
    has_pin = refs.commit(source.git, dependency.commit) is not None
    commits = trailers.contributed(source.git, goal, dependency.commit, path) if has_pin else []
    if not kept and not commits:
        return {}
    if steps is None:
        steps = history_commits.steps(repo, dependency, own_files.read_committed(repo))
    pairs = forms(dependency, commits, {each.commit: changed(git, each.commit, path) for each in commits}, steps)
    for record in kept:
        for name, form in record.files.items():
            pairs[output_path(dependency.output, name)].append((form.sent, form.local))
    return of_history(pairs, steps)


def forms(
    dependency: Dependency, commits: Iterable[Contributed], changes: Mapping[str, Changes], steps: Sequence[CommitEdits]
) -> defaultdict[bytes, list[Edit]]:
    """Return, by path here, the file of each contributed commit and what it was here, in their order.

    `changes` has what each of the commits changed.
    """
    found: defaultdict[bytes, list[Edit]] = defaultdict(list)
    by_commit = {step.commit: step for step in steps}
    for each in commits:
        local: dict[bytes, TreeEntry | None] = {}
        for source in each.sources:
            if source in by_commit:
                local |= {path: after for path, (_, after) in by_commit[source].files.items()}
        for name, after in changes[each.commit].items():
            path = output_path(dependency.output, name)
            if path in local:
                found[path].append((after, local[path]))
    return found


def of_history(pairs: Mapping[bytes, Sequence[Edit]], steps: Sequence[CommitEdits]) -> dict[bytes, list[Edit]]:
    """Return the pairs whose form here is in the history."""
    had = {(path, after) for step in steps for path, (_, after) in step.files.items()}
    kept = {path: [pair for pair in each if (path, pair[1]) in had] for path, each in pairs.items()}
    return {path: each for path, each in kept.items() if each}


def changed(git: Git, commit: str, path: str) -> Changes:
    """Return what a commit changed below a path. Raises GitFailed if the commit is missing."""
    return {change.path: change.after for change in tree_diff.changes_below(git, commit, path)}


# the state of contributions


def standings(repo: Repo, dependency: Dependency) -> list[Standing]:
    """Return the state of the contributions of a dependency, as of its pin. The network is not used."""
    records = of(repo, dependency)
    git = clone.existing(dependency.url, clones_of(repo)) if records else None
    return [Standing(record.branch, record.target, _state(git, dependency, record)) for record in records]


def _state(git: Git | None, dependency: Dependency, record: Record) -> str:
    pin = dependency.commit
    if git is None or refs.commit(git, pin) is None:
        return OPEN
    try:
        now = upstream.files_below(git, pin, dependency.path)
        had = set()
        if refs.commit(git, record.base) is not None:
            had = upstream.had_since_in(git, record.base, pin, dependency.path)
    except LdsError:
        return OPEN
    return state_of(record.files, now, had)


def state_of(
    files: Mapping[bytes, Form], now: Mapping[bytes, TreeEntry], had: Iterable[tuple[bytes, TreeEntry]]
) -> str:
    """Return the state of contributed files. Upstream has the files `now`, and has `had` versions since they were sent."""
    versions = set(had)
    not_taken = [
        now.get(name) == form.before
        for name, form in files.items()
        if now.get(name) != form.sent and not (form.sent is not None and (name, form.sent) in versions)
    ]
    return MERGED if not not_taken else OPEN if any(not_taken) else SUPERSEDED

"""What was contributed: a record here for each branch, and what can be told from upstream's commits without one.

    <common dir>/lds/contributions/<16 hex digits of the BLAKE3 of target and branch>

A record is written when the branch is there. It says in which form each file went, so that a later update knows its own edit
again, squashed or not. Who has no record, in another clone, still has the trailers in the commits.
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
from git_lds.deps.history.commits import Edit, Step
from git_lds.deps.history.trailers import Contributed
from git_lds.deps.manifest import own_files
from git_lds.deps.manifest.manifest import WHOLE, Dependency, output_path
from git_lds.deps.merge.inputs import Sent
from git_lds.deps.session import Run
from git_lds.deps.upstream import mirror
from git_lds.deps.upstream import snapshot as upstream
from git_lds.deps.upstream.mirror import Mirror, mirrors_of
from git_lds.errors import LdsError
from git_lds.files import replace_with
from git_lds.git.run import Git
from git_lds.git.trees import TreeEntry
from git_lds.repo import Repo

_VERSION = 1
_MAX_SIZE = 64 << 20

OPEN, MERGED, SUPERSEDED = "open", "merged", "superseded"
"""States of a contribution: not taken yet, all taken by upstream, changed in another way upstream."""


@dataclass(frozen=True, slots=True)
class Form:
    """A file of a contribution: what the branch started from, what it has, and what the file was here. None: not there."""

    before: TreeEntry | None
    sent: TreeEntry | None
    local: TreeEntry | None


@dataclass(frozen=True, slots=True)
class Record:
    """A branch that was contributed. `files` are by their names below the dependency's path."""

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
    """What became of a contribution, as far as the last update or look at upstream tells."""

    branch: str
    target: str
    state: str


def write(repo: Repo, record: Record) -> None:
    """Keep a record, in the place of an earlier one of the branch."""
    path = _path(repo, record.target, record.branch)
    sharing.make_directory(path.parent)
    replace_with(path, json.dumps(_described(record), indent=1, sort_keys=True).encode() + b"\n")


def read(repo: Repo, target: str, branch: str) -> Record | None:
    """Return the record of a branch; None where there is none, or none that can be read."""
    return _read(_path(repo, target, branch))


def of(repo: Repo, at: Dependency) -> list[Record]:
    """Return the records of a dependency, the oldest first."""
    directory = repo.lds_dir / "contributions"
    paths = sorted((p for p in directory.glob("[0-9a-f]*") if p.is_file()), key=lambda p: p.stat().st_mtime_ns)
    found = [record for path in paths if (record := _read(path)) is not None]
    return [record for record in found if (record.url, record.path) == (at.url, at.path)]


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
        return None  # damaged, or of a newer git-lds: the trailers upstream say nearly as much
    return Record(url, path_there, target, branch, base, tip, commits, files)


def _file(words: str | None) -> TreeEntry | None:
    if words is None:
        return None
    mode, blob = words.encode().split(b" ")
    return TreeEntry(mode, blob)


# what upstream has of it


def sent(run: Run, git: Git, source: Mirror, at: Dependency, goal: str) -> Sent:
    """Return in which forms edits of the dependency went upstream, as records here and commits since the lock tell.

    Only what HEAD's history has had counts: what is here now came after it.
    """
    known = [*of(run.repo, at)]
    is_known = source.git.ok("cat-file", "-e", at.commit + "^{commit}")
    there = trailers.named(source.git, goal, at.commit, at.path) if is_known else []
    if not known and not there:
        return {}
    steps = history_commits.steps(run.repo, at, own_files.read_committed(run.repo))
    pairs = forms(git, at, there, steps)
    for record in known:
        for name, form in record.files.items():
            pairs[output_path(at.output, name)].append((form.sent, form.local))
    return of_history(pairs, steps)


def forms(
    git: Git, at: Dependency, commits: Iterable[Contributed], steps: Sequence[Step]
) -> defaultdict[bytes, list[Edit]]:
    """Return, by path here, what contributed commits made of each file and what it was here; in their order."""
    found: defaultdict[bytes, list[Edit]] = defaultdict(list)
    by_commit = {step.commit: step for step in steps}
    for each in commits:
        local: dict[bytes, TreeEntry | None] = {}
        for source in each.sources:
            if source in by_commit:
                local |= {path: after for path, (_, after) in by_commit[source].files.items()}
        for name, after in changed(git, each.commit, at.path).items():
            path = output_path(at.output, name)
            if path in local:
                found[path].append((after, local[path]))
    return found


def of_history(pairs: Mapping[bytes, Sequence[Edit]], steps: Sequence[Step]) -> dict[bytes, list[Edit]]:
    """Return those of the pairs whose form here is one that the history has."""
    had = {(path, after) for step in steps for path, (_, after) in step.files.items()}
    kept = {path: [pair for pair in each if (path, pair[1]) in had] for path, each in pairs.items()}
    return {path: each for path, each in kept.items() if each}


def changed(git: Git, commit: str, path: str) -> dict[bytes, TreeEntry | None]:
    """Return what a commit made of the files below a path, by their names below it."""
    inside = () if path == WHOLE else (path,)
    inner = b"" if path == WHOLE else path.encode()
    options = ("-r", "-z", "--root", "--no-commit-id", "--no-renames", "--no-abbrev", "--no-ext-diff")
    literal = git.with_environment({"GIT_LITERAL_PATHSPECS": "1"})
    parts = iter(literal.names("diff-tree", *options, commit, "--", *inside))
    found: dict[bytes, TreeEntry | None] = {}
    for about, name in zip(parts, parts, strict=True):
        _, mode, _, blob, _ = about[1:].split(b" ")
        found[name.removeprefix(inner).removeprefix(b"/")] = TreeEntry(mode, blob) if mode.strip(b"0") else None
    return found


# what became of it


def standings(repo: Repo, at: Dependency) -> list[Standing]:
    """Return what became of the contributions of a dependency, as its lock tells; nobody is asked."""
    records = of(repo, at)
    kept = mirror.kept(at.url, mirrors_of(repo)) if records else None
    return [Standing(record.branch, record.target, _state(kept, at, record)) for record in records]


def _state(kept: Git | None, at: Dependency, record: Record) -> str:
    if kept is None or not kept.ok("cat-file", "-e", at.commit + "^{commit}"):
        return OPEN
    try:
        now = upstream.files_below(kept, at.commit, at.path)
        had = set()
        if kept.ok("cat-file", "-e", record.base + "^{commit}"):
            had = upstream.had_since_in(kept, record.base, at.commit, at.path)
    except LdsError:
        return OPEN
    return state_of(record.files, now, had)


def state_of(
    files: Mapping[bytes, Form], now: Mapping[bytes, TreeEntry], had: Iterable[tuple[bytes, TreeEntry]]
) -> str:
    """Return what became of contributed files, where upstream has `now`, and `had` some since they were sent."""
    had = set(had)
    left = [
        now.get(name) == form.before
        for name, form in files.items()
        if now.get(name) != form.sent and not (form.sent is not None and (name, form.sent) in had)
    ]
    return MERGED if not left else OPEN if any(left) else SUPERSEDED

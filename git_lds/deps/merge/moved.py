"""Dependencies whose files the user moved to another directory, as `git mv` does: the files show where they are now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import BinaryIO, cast

from git_lds import hashing
from git_lds.deps.manifest import manifest
from git_lds.deps.manifest.manifest import Dependency, output_path
from git_lds.deps.merge import base as merge_base
from git_lds.deps.merge.three_way import Files, directories_above
from git_lds.deps.upstream import clone, fetch_contents
from git_lds.deps.upstream.clone import clones_of
from git_lds.errors import LdsError
from git_lds.git import index as git_index
from git_lds.git import objects
from git_lds.git.run import Git
from git_lds.git.trees import TreeEntry
from git_lds.hashing import Oid
from git_lds.repo import Repo


def moved(repo: Repo, known: Mapping[str, Dependency]) -> dict[str, str]:
    """Return the outputs where git's index has no files any more, each with the output where most of them are now.

    Uses no network. A dependency is left out if its files are not known on this machine, or are at no one place.
    """
    gone = _without_files(repo, known)
    if not gone:
        return {}
    index = {
        entry.path: TreeEntry(entry.mode, entry.blob) for entry in git_index.entries(repo.git) if entry.stage == b"0"
    }
    found = {at.output: new for at in gone if (new := _now(repo, at, index, known)) is not None}
    return {old: new for old, new in found.items() if list(found.values()).count(new) == 1}


def _without_files(repo: Repo, known: Mapping[str, Dependency]) -> list[Dependency]:
    """Return the dependencies without files in git's index."""
    if not known:
        return []
    git = repo.git.with_environment({"GIT_LITERAL_PATHSPECS": "1"})
    held: set[bytes] = set()
    for path in git_index.paths(git, tuple(known)):
        held.update((path, *directories_above(path)))
    return [at for output, at in known.items() if output.encode() not in held]


def _now(repo: Repo, at: Dependency, index: Files, known: Mapping[str, Dependency]) -> str | None:
    kept = clone.existing(at.url, clones_of(repo))
    offline = repo.git.with_environment({"GIT_NO_LAZY_FETCH": "1"})
    base = (merge_base.pinned_files_in(kept, at, {}) if kept else None) or merge_base.pinned_files_in(offline, at, {})
    if not base:
        return None
    by_blob: dict[bytes, list[bytes]] = {}
    for path, file in index.items():
        by_blob.setdefault(file.blob, []).append(path)
    votes = Counter(
        new
        for path, file in base.items()
        for new in _places(path, output_path(at.output, b""), by_blob.get(file.blob, ()))
    )
    best = votes.most_common(2)
    if not best or best[0][1] * 2 <= len(base) or (len(best) > 1 and best[1][1] == best[0][1]):
        return None
    return _allowed(best[0][0], at, known)


def _places(path: bytes, output: bytes, there: Sequence[bytes]) -> list[bytes]:
    """Return the outputs in which one of the paths `there` would have the name that `path` has in `output`."""
    if path == output:
        return list(there)
    name = path[len(output) :]
    return [other.removesuffix(name) for other in there if other.endswith(name) and other != name]


def _allowed(new: bytes, at: Dependency, known: Mapping[str, Dependency]) -> str | None:
    try:
        output = new.decode()
        manifest.check_output(output)
    except (UnicodeDecodeError, LdsError):
        return None
    others = [each for each in known if each != at.output]
    clashes = output in others or manifest.inside(output, others) or any(manifest.inside(o, [output]) for o in others)
    return None if clashes else output


# what git did to the files since


def as_before(git: Git, base: Files, ours: Files) -> dict[bytes, TreeEntry]:
    """Return the files that were moved, with pointers again for those that git has staged as plain ones since.

    The attributes of a dependency are for its output. At another path git looks at a small file again, finds that it is not
    the pointer in the index, and stages the contents. Only files with the same contents as the pointer's become it again.
    """
    pointers = fetch_contents.pointers(git, (file.blob for file in base.values()))
    found = dict(ours)
    plain = {
        path: file
        for path, file in ours.items()
        if path in base and file.is_regular and file.blob != base[path].blob and base[path].blob in pointers
    }
    sizes = objects.sizes(git, (file.blob for file in plain.values()))
    for path, file in plain.items():
        wanted = pointers[base[path].blob]
        if sizes.get(file.blob) == wanted.size and _oid(git, file.blob) == wanted.oid:
            found[path] = TreeEntry(file.mode, base[path].blob)
    return found


def _oid(git: Git, blob: bytes) -> Oid:
    with objects.open_blob(git, blob.decode()) as stream:
        return hashing.of_stream(cast(BinaryIO, stream))[0]

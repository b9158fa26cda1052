"""What a commit changed, found by reading only the trees that differ, through the open reader: no process."""

from __future__ import annotations

from collections.abc import Iterator

from git_lds.git import trees
from git_lds.git.run import Git, GitFailed
from git_lds.git.trees import DIRECTORY, Difference, TreeEntry


def changes_below(git: Git, commit: str, path: str) -> list[Difference]:
    """Return what a commit changed of the files at `path`, by their path below it.

    It is compared with its parent, a root commit with nothing; a merge changes nothing. Raises GitFailed if there is no
    such commit.
    """
    read = git.reader.read(f"{commit}^{{commit}}")
    if read is None:
        raise GitFailed(("git", "diff-tree", commit), 128, f"fatal: not a commit that is present: {commit}")
    head = read[1].partition(b"\n\n")[0].splitlines()
    parents = [line[7:].decode() for line in head if line.startswith(b"parent ")]
    if len(parents) > 1:
        return []
    before = trees.at(git, parents[0], path) if parents else None
    return list(_differences(git, before, trees.at(git, commit, path), b""))


def _differences(git: Git, before: TreeEntry | None, after: TreeEntry | None, path: bytes) -> Iterator[Difference]:
    if before == after:
        return
    old, new = _entries(git, before), _entries(git, after)
    old_file, new_file = (None if side is None or side.mode == DIRECTORY else side for side in (before, after))
    if old_file != new_file:
        yield Difference(path, old_file, new_file)
    for name in sorted(old.keys() | new.keys()):
        inner = path + b"/" + name if path else name
        yield from _differences(git, old.get(name), new.get(name), inner)


def _entries(git: Git, side: TreeEntry | None) -> dict[bytes, TreeEntry]:
    return trees.directory(git, side.blob.decode()) if side is not None and side.mode == DIRECTORY else {}

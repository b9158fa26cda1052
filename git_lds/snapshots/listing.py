"""The files of a tree or of git's index, with what their pointers say; their contents are not read."""

from __future__ import annotations

from git_lds.git import index, refs, trees
from git_lds.git.trees import TreeEntry
from git_lds.repo import Repo
from git_lds.snapshots.changes import Place, Side
from git_lds.snapshots.version import Version, contents_of, version_of

_FILE_MODES = (b"100644", b"100755")


def files_of(repo: Repo, side: Side) -> dict[bytes, Version]:
    """Return the files of a revision, or of the index, by path, without links, submodules and paths in conflict.

    Raises LdsError if there is no such revision.
    """
    if side is Place.INDEX:
        merged = (entry for entry in index.entries(repo.git) if entry.stage == b"0")
        listed = {entry.path: TreeEntry(entry.mode, entry.blob) for entry in merged}
    else:
        assert isinstance(side, str)
        listed = trees.files(repo.git, refs.required_tree(repo.git, side))
    files = {path: entry for path, entry in listed.items() if entry.mode in _FILE_MODES}
    contents = contents_of(repo.git, files.values())
    return {path: version_of(path, entry, contents) for path, entry in files.items()}

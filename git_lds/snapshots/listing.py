"""The files of a tree or of git's index, with what their pointers say; nothing of their contents is read."""

from __future__ import annotations

from git_lds import pointer
from git_lds.git.objects import measured
from git_lds.repo import Repo
from git_lds.snapshots.changes import Place, Side, Version, tree_of

_PLAIN_MODES = (b"100644", b"100755")


def files_of(repo: Repo, side: Side) -> dict[bytes, Version]:
    """Return the files of a revision, or of the index, by path. Links, submodules and unresolved conflicts are left out."""
    if side is Place.INDEX:
        listed = repo.git.names("ls-files", "-s", "-z", "--full-name", "--", ":/")
        split = [(*entry.partition(b"\t")[0].split(b" "), entry.partition(b"\t")[2]) for entry in listed]
        entries = [(path, mode, blob) for mode, blob, stage, path in split if stage == b"0" and mode in _PLAIN_MODES]
    else:
        assert isinstance(side, str)
        listed = repo.git.names("ls-tree", "-r", "-z", "--full-tree", tree_of(repo, side))
        split = [(*entry.partition(b"\t")[0].split(b" "), entry.partition(b"\t")[2]) for entry in listed]
        entries = [(path, mode, blob) for mode, _, blob, path in split if mode in _PLAIN_MODES]
    known: dict[bytes, tuple[str | None, int]] = {}
    for blob, size, text in measured(repo.git, {blob for _, _, blob in entries}, limit=pointer.MAX_LENGTH):
        found = pointer.parse(text) if text is not None else None
        known[blob] = (found.oid.hex(), found.size) if found is not None else (None, size)
    return {
        path: Version(mode, blob, oid, size, path)
        for path, mode, blob in entries
        for oid, size in (known.get(blob, (None, 0)),)
    }

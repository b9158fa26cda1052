"""git's own merge of single files, with the objects of the upstream clones and of this repository.

Trees and merged files that it makes go to a scratch directory of objects: a tree in this repository would name files that it
does not have, which `git fsck` reports.

The merge is `git merge-tree` on trees that hold only the files in question, each at its path here. It runs in a directory
that stands for this working tree, so that the user's attributes, merge drivers and conflict style count as in `git merge`. In
the working tree itself a killed git would leave the `.merge_file_…` that it makes for drivers.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from git_lds import pointer
from git_lds.data.kinds import LABELS
from git_lds.deps.merge.three_way import MergedFile, Sides
from git_lds.deps.upstream.clone import UpstreamClone
from git_lds.git import objects, trees
from git_lds.git.merge import merge_trees
from git_lds.git.objects import small_blobs
from git_lds.git.run import Git
from git_lds.git.trees import ATTRIBUTES, TreeEntry
from git_lds.git.write_commits import CommitWriter
from git_lds.repo import Repo

_WHO = "git-lds <git-lds@localhost> 0 +0000"
"""The author of the commits that are merged: git wants one, and only `git merge-tree` sees it."""

_OBJECTS, _STAND_IN = "merged-objects", "merged-in"
"""Directories that a merge makes in its scratch directory."""

_LABELS = ("here", "upstream")
_MAX_MARKED = 64 << 20
"""Bytes of the largest file with conflict markers. git does not merge text larger than its core.bigFileThreshold."""


def joined(repo: Repo, scratch: Path, *clones: UpstreamClone) -> Git:
    """Return git in this repository that also sees the objects of `clones`, and writes new ones into `scratch`."""
    seen = all_objects(repo, scratch, *clones)
    return repo.git.with_environment(seen | {"GIT_INDEX_FILE": str(scratch / "merge-index")})


def all_objects(repo: Repo, scratch: Path, *clones: UpstreamClone) -> dict[str, str]:
    """Return the variables that make git see the objects of this repository, of `clones`, and in `scratch`."""
    (scratch / _OBJECTS).mkdir(parents=True, exist_ok=True)
    named = repo.git.environment.get("GIT_OBJECT_DIRECTORY")
    own = os.path.join(os.fsdecode(repo.git.cwd or ""), named) if named else str(repo.common_dir / "objects")
    before = repo.git.environment.get("GIT_ALTERNATE_OBJECT_DIRECTORIES")
    seen = [
        _quoted(own),
        *(_quoted(str(each.directory / "objects")) for each in clones),
        *([before] if before else []),
    ]
    return {
        "GIT_OBJECT_DIRECTORY": str(scratch / _OBJECTS),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.pathsep.join(seen),
    }


def _quoted(path: str) -> str:
    """Return a path for GIT_ALTERNATE_OBJECT_DIRECTORIES, where a colon would part it in two."""
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"' if os.pathsep in path or path[:1] == '"' else path


def merge_contents(git: Git, repo: Repo, scratch: Path, files: Mapping[bytes, Sides]) -> dict[bytes, MergedFile]:
    """Merge files that both sides have; `git`, which `joined` made with the same `scratch`, has their blobs.

    Raises LdsError if git cannot merge them.
    """
    with CommitWriter(git, scratch / "commit") as writer:
        base = _commit(writer, {path: at.base for path, at in files.items()})
        ours = _commit(writer, {path: at.ours for path, at in files.items()}, base)
        theirs = _commit(writer, {path: at.theirs for path, at in files.items()}, base)
    tree, conflicting = merge_trees(_aside(git, repo, scratch), ours, theirs)
    made = trees.files(git, tree)
    pointers = _pointers(git, {file.blob for at in files.values() for file in (at.ours, at.theirs) if file})
    pointers |= _pointers(git, {file.blob for file in made.values()})
    found = {}
    for path, at in files.items():
        assert at.ours is not None and at.theirs is not None
        result = made.get(path, at.ours)
        is_tracked = result.blob in pointers
        if {at.ours.blob, at.theirs.blob} & pointers and not (is_tracked and at.theirs.blob in pointers):
            # the mixed lines of two pointers, or of a pointer and a text, are not a file; and a merge driver for data
            # knows the contents, but not that upstream keeps the file in another form now
            found[path] = MergedFile(at.ours, conflicting=True)
        elif path in conflicting and result.blob != at.ours.blob:
            found[path] = MergedFile(replace(result, blob=_labelled(git, result.blob, ours, theirs)), conflicting=True)
        else:
            found[path] = MergedFile(result, conflicting=path in conflicting)
    return found


def _commit(writer: CommitWriter, files: Mapping[bytes, TreeEntry | None], *parents: str) -> str:
    """Write a commit with just these files; return its id."""
    tree = writer.tree_of({path: file for path, file in files.items() if file is not None})
    lines = [
        f"tree {tree}",
        *(f"parent {parent}" for parent in parents),
        f"author {_WHO}",
        f"committer {_WHO}",
        "",
        "a side",
    ]
    return writer.commit("\n".join(lines).encode() + b"\n")


def _aside(git: Git, repo: Repo, scratch: Path) -> Git:
    """Return git in a directory of links to the entries of the working tree; the attributes file is copied, as git does not
    follow links to it."""
    assert repo.work_tree is not None
    stand_in = scratch / _STAND_IN
    if not stand_in.exists():
        stand_in.mkdir()
        for there in repo.work_tree.iterdir():
            if there.name == ATTRIBUTES.decode():
                shutil.copyfile(there, stand_in / there.name, follow_symlinks=False)
            elif there.name != ".git":
                (stand_in / there.name).symlink_to(there)
    return git.at(str(stand_in)).with_environment(
        {"GIT_DIR": str(repo.git_dir), "GIT_WORK_TREE": str(stand_in), LABELS: " ".join(("base", *_LABELS))}
    )


def _pointers(git: Git, blobs: Iterable[bytes]) -> set[bytes]:
    return {blob for blob, text in small_blobs(git, blobs, limit=pointer.MAX_LENGTH) if pointer.parse(text) is not None}


def _labelled(git: Git, blob: bytes, *commits: str) -> bytes:
    """Return the blob with words at its conflict markers instead of the ids of our scratch commits."""
    info = git.reader.info(blob.decode())
    if info is None or info.size > _MAX_MARKED:
        return blob
    answer = git.reader.read(blob.decode())
    data = answer[1] if answer is not None else b""
    for commit, label in zip(commits, _LABELS, strict=True):
        data = re.sub(rb"(?m)^(<+|>+) %s(\r?)$" % commit.encode(), rb"\1 %s\2" % label.encode(), data)
    return objects.write_blob(git, data).encode()

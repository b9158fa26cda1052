"""git's own merge of single files, where the objects of an upstream clone and of this repository are seen at once.

What it makes on the way, trees and merged files, goes to a directory of objects that the run throws away: a tree in this
repository would name files that it does not have, which `git fsck` reports.

The merge is `git merge-tree` on trees that hold nothing but the files in question, each at its path here. It runs in a
directory that stands for this working tree: so the user's attributes, merge drivers, conflict style and what git takes for binary
all count as in `git merge`. In the working tree itself a killed git would leave the `.merge_file_…` that it makes for drivers.
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
from git_lds.deps.merge.three_way import Content, Sides
from git_lds.deps.upstream.clone import UpstreamClone
from git_lds.errors import LdsError
from git_lds.git import objects, trees
from git_lds.git.config import configured
from git_lds.git.objects import small_blobs
from git_lds.git.run import Git
from git_lds.git.trees import ATTRIBUTES, TreeEntry
from git_lds.repo import Repo

_NOBODY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "git-lds"), ("EMAIL", "git-lds@localhost"), ("DATE", "@0 +0000"))
}
"""Commits have to say who made them. These are seen by `git merge-tree` alone."""

_CONFIG = {"merge.renames": "false", "merge.directoryRenames": "false"}
_OBJECTS, _STAND_IN = "merged-objects", "merged-in"
"""What a merge makes in the directory of its run."""

_LABELS = ("here", "upstream")
_MAX_MARKED = 64 << 20
"""Bytes of the largest file with conflict markers; git merges no text that is larger than its core.bigFileThreshold."""


def joined(repo: Repo, scratch: Path, *mirrors: UpstreamClone) -> Git:
    """Return git in this repository, which also sees the objects of the upstream clones, and puts new ones to the directory `scratch`."""
    seen = all_objects(repo, scratch, *mirrors)
    return repo.git.with_environment(_NOBODY | seen | {"GIT_INDEX_FILE": str(scratch / "merge-index")})


def all_objects(repo: Repo, scratch: Path, *mirrors: UpstreamClone) -> dict[str, str]:
    """Return the variables by which git sees the objects of this repository, of the upstream clones, and those in `scratch`."""
    (scratch / _OBJECTS).mkdir(parents=True, exist_ok=True)
    named = repo.git.environment.get("GIT_OBJECT_DIRECTORY")
    own = os.path.join(os.fsdecode(repo.git.cwd or ""), named) if named else str(repo.common_dir / "objects")
    before = repo.git.environment.get("GIT_ALTERNATE_OBJECT_DIRECTORIES")
    seen = [
        _quoted(own),
        *(_quoted(str(each.directory / "objects")) for each in mirrors),
        *([before] if before else []),
    ]
    return {
        "GIT_OBJECT_DIRECTORY": str(scratch / _OBJECTS),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.pathsep.join(seen),
    }


def _quoted(path: str) -> str:
    """Return a path for GIT_ALTERNATE_OBJECT_DIRECTORIES, where a colon would part it in two."""
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"' if os.pathsep in path or path[:1] == '"' else path


def merge_contents(git: Git, repo: Repo, scratch: Path, files: Mapping[bytes, Sides]) -> dict[bytes, Content]:
    """Merge files that both sides have; their blobs are there for `git`, which `joined` made with the same `scratch`."""
    base = _commit(git, {path: at.base for path, at in files.items()})
    ours = _commit(git, {path: at.ours for path, at in files.items()}, base)
    theirs = _commit(git, {path: at.theirs for path, at in files.items()}, base)
    tree, conflicting = _merge_tree(_aside(git, repo, scratch), ours, theirs)
    made = trees.files(git, tree)
    pointers = _pointers(git, {file.blob for at in files.values() for file in (at.ours, at.theirs) if file})
    pointers |= _pointers(git, {file.blob for file in made.values()})
    found = {}
    for path, at in files.items():
        assert at.ours is not None and at.theirs is not None
        result = made.get(path, at.ours)
        is_tracked = result.blob in pointers
        if {at.ours.blob, at.theirs.blob} & pointers and not (is_tracked and at.theirs.blob in pointers):
            # lines of two pointers, or of a pointer and a text, woven into one another are no file at all; and a merge
            # driver for data knows the contents, but not that upstream keeps the file in another form now
            found[path] = Content(at.ours, conflicting=True)
        elif path in conflicting and result.blob != at.ours.blob:
            found[path] = Content(replace(result, blob=_labelled(git, result.blob, ours, theirs)), conflicting=True)
        else:
            found[path] = Content(result, conflicting=path in conflicting)
    return found


def _commit(git: Git, files: Mapping[bytes, TreeEntry | None], *parents: str) -> str:
    git.bytes("read-tree", "--empty")
    entries = b"".join(b"%s %s\t%s\0" % (file.mode, file.blob, path) for path, file in files.items() if file)
    git.bytes("update-index", "-z", "--index-info", stdin=entries)
    tree = git.text("write-tree", "--missing-ok")
    return git.text("commit-tree", "-m", "a side", *(word for each in parents for word in ("-p", each)), tree)


def _aside(git: Git, repo: Repo, scratch: Path) -> Git:
    """Return git in a directory of links to what is in the working tree; git follows none to an attributes file,
    which is copied."""
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


def _merge_tree(git: Git, ours: str, theirs: str) -> tuple[str, set[bytes]]:
    """Return the merged tree, with markers where git has them, and the paths in conflict."""
    options = ("--write-tree", "-z", "--name-only", "--no-messages")
    with configured(git, _CONFIG).start("merge-tree", *options, ours, theirs) as process:
        answer, _ = process.communicate()
    if process.returncode not in (0, 1):
        raise LdsError("git could not merge the files that both sides changed", "see: git lds doctor")
    tree, *paths = answer.rstrip(b"\0").split(b"\0")
    return tree.decode(), set(paths)


def _pointers(git: Git, blobs: Iterable[bytes]) -> set[bytes]:
    return {blob for blob, text in small_blobs(git, blobs, limit=pointer.MAX_LENGTH) if pointer.parse(text) is not None}


def _labelled(git: Git, blob: bytes, *commits: str) -> bytes:
    """Return the blob with words at its conflict markers, in the place of our commits, which nobody knows."""
    info = git.reader.info(blob.decode())
    if info is None or info.size > _MAX_MARKED:
        return blob
    answer = git.reader.read(blob.decode())
    data = answer[1] if answer is not None else b""
    for commit, label in zip(commits, _LABELS, strict=True):
        data = re.sub(rb"(?m)^(<+|>+) %s(\r?)$" % commit.encode(), rb"\1 %s\2" % label.encode(), data)
    return objects.write_blob(git, data).encode()

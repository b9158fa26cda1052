"""Finds pointers: in the commits of a range, in a tree, in the index. And the blobs in the indexes of all working trees."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence

from git_lds import pointer
from git_lds.errors import LdsError
from git_lds.fast_typing import TYPE_CHECKING, NamedTuple
from git_lds.files import PLAIN, WorkTreePath
from git_lds.git.objects import blob_id, measured, small_blobs
from git_lds.git.run import Git
from git_lds.local.lookup import LocalObjects
from git_lds.pointer import Pointer

if TYPE_CHECKING:
    from pathlib import Path

_WORTH_MAKING = 4
"""Objects here for each blob that is asked for, at most, for that their pointers are made: one takes 4 µs."""


class Found(NamedTuple):
    """A pointer, and where it stands. `executable` is the mode bit that git has for it."""

    path: bytes
    pointer: Pointer
    executable: bool = False


def pointers(git: Git, blobs: Iterable[bytes], here: LocalObjects | None = None) -> dict[bytes, Pointer]:
    """Return which of the blobs (ids in hex) are pointers, in that order.

    git is not asked for pointers to what is `here`, for an object has one pointer, and that one id: 10,000 blobs in 0.05 s,
    not 0.7.
    """
    asked = dict.fromkeys(blobs)
    found = _made(asked, here)
    for blob, text in small_blobs(git, [b for b in asked if b not in found], limit=pointer.MAX_LENGTH):
        if (at := pointer.parse(text)) is not None:
            found[blob] = at
    return {blob: found[blob] for blob in asked if blob in found}


class Reach(NamedTuple):
    """The pointers that commits reach, once an oid; `whole` is False where a partial clone lacks some of what they reach."""

    found: list[Found]
    whole: bool


def _made(asked: Mapping[bytes, object], here: LocalObjects | None) -> dict[bytes, Pointer]:
    """Return which of the blobs are pointers to what is `here`: to few enough objects for that it is worth it."""
    if here is None or not asked:
        return {}
    hash_size = len(next(iter(asked))) // 2
    made = (Pointer(*small) for small in here.small(_WORTH_MAKING * len(asked)))
    ids = ((blob_id(at.encode(), hash_size).hex().encode(), at) for at in made)
    return {blob: at for blob, at in ids if blob in asked}


def in_commits(
    git: Git, include: Sequence[str], exclude: Sequence[str] = (), *, here: LocalObjects | None = None
) -> list[Found]:
    """Return the pointers that the commits, tags and trees in `include` bring beyond those in `exclude`, once an oid.

    Both are revisions, or options of rev-list such as --all and --remotes=NAME; they must come from us, not from a
    repository. Content that was added and deleted again inside the range is found. Blobs that a partial clone left out
    are not: they came from the remote, and their contents were in its store before. `here` makes it faster.
    """
    return reach(git, include, exclude, here=here).found


def reach(git: Git, include: Sequence[str], exclude: Sequence[str] = (), *, here: LocalObjects | None = None) -> Reach:
    """Return what `in_commits` does, and whether everything that `include` reaches beyond `exclude` is in this repository.

    What lies beyond the end of a shallow clone is not counted as absent: only its `shallow` file tells."""
    if not include:
        return Reach([], True)
    options = [*(w for w in include if w.startswith("--")), "--not", *(w for w in exclude if w.startswith("--"))]
    revisions = [*(w for w in include if w[0] != "-"), *("^" + w for w in exclude if w[0] != "-")]
    stdin = "".join(f"{word}\n" for word in revisions).encode()
    # --missing=print: what a partial clone lacks is named as "?<id>" instead of fetched
    listed = git.bytes("rev-list", "--objects", "--missing=print", *options, "--stdin", stdin=stdin)
    paths: dict[bytes, bytes] = {}
    whole = True
    for line in listed.splitlines():
        blob, space, path = line.partition(b" ")
        if space:
            paths.setdefault(blob, path or blob)  # without a path: the tree of a commit, or a blob that has a tag
        elif line.startswith(b"?"):
            whole = False
    found: dict[bytes, Found] = {}
    for blob, at in pointers(git, paths, here).items():
        found.setdefault(at.oid, Found(paths[blob], at))
    return Reach(list(found.values()), whole)


def in_tree(git: Git, revision: str, *, here: LocalObjects | None = None) -> list[Found]:
    """Return the pointers of a commit's or tree's files, one for each path."""
    tree = git.maybe("rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{tree}")
    if tree is None:
        raise LdsError(f"{revision}: no such revision", hint="git log --all --oneline")
    entries = []
    for entry in git.names("ls-tree", "-r", "-z", "--full-tree", tree):
        about, _, path = entry.partition(b"\t")
        mode, kind, blob = about.split(b" ")
        if kind == b"blob" and mode != b"120000":
            entries.append((path, blob, mode == b"100755"))
    if git.ok("config", "--get-regexp", r"^(remote\..*\.promisor|extensions\.partialclone)$"):
        listed = git.bytes("rev-list", "--objects", "--no-object-names", "--missing=print", tree).splitlines()
        present = {line for line in listed if not line.startswith(b"?")}
        entries = [entry for entry in entries if entry[1] in present]
    return _found(git, entries, here)


def in_index(
    git: Git,
    pathspecs: Sequence[str | bytes] = (),
    *,
    wants: Callable[[bytes], bool] = lambda path: True,
    here: LocalObjects | None = None,
) -> list[Found]:
    """Return the pointers in the index that belong in the working tree: merged entries inside a sparse checkout's cone.

    Only those at paths that `wants` accepts, and no blob of another path is read.
    """
    entries = []
    for line in git.names("ls-files", "-t", "-s", "-z", "--full-name", "--", *(pathspecs or (":/",))):
        about, _, path = line.partition(b"\t")
        tag, mode, blob, stage = about.split(b" ")
        if tag == b"H" and stage == b"0" and mode in (b"100644", b"100755") and wants(path):
            entries.append((path, blob, mode == b"100755"))
    return _found(git, entries, here)


def plain_in_index(git: Git, *, here: LocalObjects | None = None) -> list[bytes]:
    """Return the paths in the index whose contents git has although their attributes say that git-lds keeps them.

    Not those outside a sparse checkout's cone, and not what is rightly so: empty files, and files that are never tracked.
    """
    entries = []
    for line in git.names("ls-files", "-t", "-s", "-z", "--full-name", "--", ":(top,attr:filter=lds)"):
        about, _, path = line.partition(b"\t")
        tag, mode, blob, stage = about.split(b" ")
        if tag == b"H" and stage == b"0" and mode in (b"100644", b"100755"):
            entries.append((path, blob))
    return plain(git, entries, here=here)


def plain(git: Git, entries: Sequence[tuple[bytes, bytes]], *, here: LocalObjects | None = None) -> list[bytes]:
    """Return the paths, of pairs of a path and a blob, whose blob is neither empty nor a pointer; those of files that git
    reads by name are left out. `here` makes it faster."""
    asked = [(path, blob) for path, blob in entries if path.rpartition(b"/")[2] not in PLAIN]
    known = _made(dict.fromkeys(blob for _, blob in asked), here)
    unknown = dict.fromkeys(blob for _, blob in asked if blob not in known)
    found = {
        blob
        for blob, size, text in measured(git, unknown, limit=pointer.MAX_LENGTH)
        if size and (text is None or pointer.parse(text) is None)
    }
    return [path for path, blob in asked if blob in found]


def held(work_tree: Path, found: Iterable[Found]) -> list[Found]:
    """Return the same files with the pointers that they hold, where these are others than those of the index: so files are
    after a `git stash pop` or `git restore --source` that lacked contents."""
    root = os.fsencode(work_tree)
    return [item._replace(pointer=_held(root, item)) for item in found]


def _held(root: bytes, item: Found) -> Pointer:
    try:
        if os.lstat(os.path.join(root, item.path)).st_size <= pointer.MAX_LENGTH:
            with WorkTreePath(root, item.path) as place:
                return pointer.parse(place.read(pointer.MAX_LENGTH + 1)) or item.pointer
    except OSError:
        pass
    return item.pointer


def blobs_in_indexes(common_dir: Path) -> set[bytes]:
    """Return the ids, in hex, of all blobs that an index of the repository names: that of its own working tree and those of
    linked ones, whatever the stage, and outside a sparse checkout's cone as well."""
    blobs: set[bytes] = set()
    for git_dir in (common_dir, *common_dir.glob("worktrees/*")):
        if (git_dir / "index").exists():
            # --git-dir and no other variable of git's: each has an index of its own
            listed = Git(git_dir, foreign=True).names("--git-dir", str(git_dir), "ls-files", "-s", "-z")
            blobs.update(entry.split(b" ", 2)[1] for entry in listed)
    return blobs


def _found(git: Git, entries: Sequence[tuple[bytes, bytes, bool]], here: LocalObjects | None) -> list[Found]:
    known = pointers(git, (blob for _, blob, _ in entries), here)
    return [Found(path, known[blob], executable) for path, blob, executable in entries if blob in known]

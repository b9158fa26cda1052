"""Finds pointers: in the commits of a range, in a tree, in the index. And the blobs in the indexes of all working trees."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from weakref import WeakKeyDictionary

from git_lds import pointer
from git_lds.fast_typing import TYPE_CHECKING, NamedTuple
from git_lds.files import PLAIN, WorkTreePath
from git_lds.git import config, index, reachable, refs
from git_lds.git.index import IndexEntry
from git_lds.git.objects import blob_id, measured, small_blobs
from git_lds.git.run import Git
from git_lds.hashing import Oid
from git_lds.local.lookup import LocalObjects
from git_lds.pointer import Pointer

if TYPE_CHECKING:
    from pathlib import Path

_WORTH_MAKING = 4
"""Precompute local pointers only if there are at most this many local objects per requested blob (4 µs each)."""


class PointerFile(NamedTuple):
    """A file whose blob is a pointer: its path, the pointer, and whether git has it as executable."""

    path: bytes
    pointer: Pointer
    executable: bool = False


def pointers(git: Git, blobs: Iterable[bytes], here: LocalObjects | None = None) -> dict[bytes, Pointer]:
    """Return which of the blobs (ids in hex) are pointers, in that order.

    Pointers to the objects in `here` are not read from git: an object has one pointer, which has one id. 10,000 blobs take
    0.05 s instead of 0.7.
    """
    asked = dict.fromkeys(blobs)
    known = _local_pointers(asked, here)
    for blob, text in small_blobs(git, [b for b in asked if b not in known], limit=pointer.MAX_LENGTH):
        if (parsed := pointer.parse(text)) is not None:
            known[blob] = parsed
    return {blob: known[blob] for blob in asked if blob in known}


class Reach(NamedTuple):
    """The pointers that commits reach, one per oid; `whole` is False if a partial clone lacks some of what they reach."""

    found: list[PointerFile]
    whole: bool


def _local_pointers(asked: Mapping[bytes, object], here: LocalObjects | None) -> dict[bytes, Pointer]:
    """Return which of the blobs are pointers to objects in `here`, if these are few enough for it to be worth it."""
    if here is None or not asked:
        return {}
    hash_size = len(next(iter(asked))) // 2
    computed = _computed.setdefault(here, {})
    for small in here.small(_WORTH_MAKING * len(asked)):
        if small[0] not in computed:
            local = Pointer(*small)
            computed[local.oid] = blob_id(local.encode(), hash_size).hex().encode(), local
    return {blob: local for blob, local in computed.values() if blob in asked}


_computed: WeakKeyDictionary[LocalObjects, dict[Oid, tuple[bytes, Pointer]]] = WeakKeyDictionary()
"""The pointers of local objects and the ids of their blobs, computed once each: `git lds status` needs them four times."""


def in_commits(
    git: Git, include: Sequence[str], exclude: Sequence[str] = (), *, here: LocalObjects | None = None
) -> list[PointerFile]:
    """Return the pointers that are reachable from `include` and not from `exclude`, one per oid.

    Both are revisions of commits, tags and trees, or options of rev-list such as --all and --remotes=NAME; they must come
    from us, not from a repository. Content that was added and deleted again inside the range is included. Blobs that a
    partial clone left out are not: they came from the remote, so its store had their contents. `here` makes it faster.
    """
    return reach(git, include, exclude, here=here).found


def reach(git: Git, include: Sequence[str], exclude: Sequence[str] = (), *, here: LocalObjects | None = None) -> Reach:
    """Return what `in_commits` does, and whether everything between `exclude` and `include` is in this repository.

    The end of a shallow clone does not count as an absence: only its `shallow` file tells.
    """
    if not include:
        return Reach([], True)
    paths, is_whole = reachable.objects(git, include, exclude)
    by_oid: dict[bytes, PointerFile] = {}
    for blob, each in pointers(git, paths, here).items():
        by_oid.setdefault(each.oid, PointerFile(paths[blob], each))
    return Reach(list(by_oid.values()), is_whole)


def in_tree(git: Git, revision: str, *, here: LocalObjects | None = None) -> list[PointerFile]:
    """Return the pointers among the files of a commit or tree, one per path. Raises LdsError if there is none."""
    from git_lds.git import trees  # late: what moves objects does without dataclasses, and does not list trees

    tree = refs.required_tree(git, revision)
    entries = [
        (path, entry.blob, entry.mode == b"100755")
        for path, entry in trees.files(git, tree).items()
        if entry.is_regular and entry.mode != trees.SUBMODULE
    ]
    if config.matching(git, r"^(remote\..*\.promisor|extensions\.partialclone)$"):
        present = reachable.present_below(git, tree)
        entries = [entry for entry in entries if entry[1] in present]
    return _found(git, entries, here)


def in_index(
    git: Git,
    pathspecs: Sequence[str | bytes] = (),
    *,
    wants: Callable[[bytes], bool] = lambda path: True,
    here: LocalObjects | None = None,
) -> list[PointerFile]:
    """Return the pointers in the index that belong in the working tree: merged entries inside a sparse checkout's cone.

    Only those at paths that `wants` accepts; no blob of another path is read.
    """
    entries = [
        (entry.path, entry.blob, entry.mode == b"100755")
        for entry in index.entries(git, pathspecs)
        if _is_file_to_check_out(entry) and wants(entry.path)
    ]
    return _found(git, entries, here)


def _is_file_to_check_out(entry: IndexEntry) -> bool:
    return entry.tag == b"H" and entry.stage == b"0" and entry.mode in (b"100644", b"100755")


def plain_in_index(git: Git, *, here: LocalObjects | None = None) -> list[bytes]:
    """Return the paths in the index that git-lds tracks but whose contents git has.

    Files outside a sparse checkout's cone are left out, and those that are rightly so: empty files, and files that git reads
    by name.
    """
    tracked = index.entries(git, (":(top,attr:filter=lds)",))
    return plain(git, [(entry.path, entry.blob) for entry in tracked if _is_file_to_check_out(entry)], here=here)


def plain(git: Git, entries: Sequence[tuple[bytes, bytes]], *, here: LocalObjects | None = None) -> list[bytes]:
    """Return the paths, of pairs of a path and a blob, whose blob is neither empty nor a pointer.

    Files that git reads by name are left out. `here` makes it faster.
    """
    asked = [(path, blob) for path, blob in entries if path.rpartition(b"/")[2] not in PLAIN]
    known = _local_pointers(dict.fromkeys(blob for _, blob in asked), here)
    unknown = dict.fromkeys(blob for _, blob in asked if blob not in known)
    plain_blobs = {
        blob
        for blob, size, text in measured(git, unknown, limit=pointer.MAX_LENGTH)
        if size and (text is None or pointer.parse(text) is None)
    }
    return [path for path, blob in asked if blob in plain_blobs]


def held(work_tree: Path, found: Iterable[PointerFile]) -> list[PointerFile]:
    """Return the same files with the pointers that they hold in the working tree.

    These differ from those of the index after a `git stash pop` or `git restore --source` that lacked contents.
    """
    root = os.fsencode(work_tree)
    return [item._replace(pointer=_held(root, item)) for item in found]


def _held(root: bytes, item: PointerFile) -> Pointer:
    try:
        if os.lstat(os.path.join(root, item.path)).st_size <= pointer.MAX_LENGTH:
            with WorkTreePath(root, item.path) as place:
                return pointer.parse(place.read(pointer.MAX_LENGTH + 1)) or item.pointer
    except OSError:
        pass
    return item.pointer


def blobs_in_indexes(common_dir: Path) -> set[bytes]:
    """Return the ids, in hex, of all blobs that an index of the repository names.

    These are the indexes of its own working tree and of linked ones, with all stages, and outside a sparse checkout's cone
    as well.
    """
    git_dirs = (common_dir, *common_dir.glob("worktrees/*"))
    return {blob for git_dir in git_dirs if (git_dir / "index").exists() for blob in index.blobs_of(git_dir)}


def _found(git: Git, entries: Sequence[tuple[bytes, bytes, bool]], here: LocalObjects | None) -> list[PointerFile]:
    known = pointers(git, (blob for _, blob, _ in entries), here)
    return [PointerFile(path, known[blob], executable) for path, blob, executable in entries if blob in known]

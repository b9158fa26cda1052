"""Status: the tracked files, which of them changed, and which a push would upload."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Mapping

from git_lds import files, pointer
from git_lds.fast_typing import NamedTuple
from git_lds.git import attributes, index, reachable, refs, trees
from git_lds.git.objects import blob_id
from git_lds.git.trees import Difference, TreeEntry
from git_lds.hashing import Oid
from git_lds.pointer import Pointer
from git_lds.repo import Repo
from git_lds.snapshots import pointers
from git_lds.snapshots.pointers import PointerFile
from git_lds.store.backends.by_url import without_secrets

_BRANCHES = 32
"""Remote-tracking branches whose files are checked, the latest ones."""


class TrackedFile(NamedTuple):
    """One tracked file: its path for people, its object, and whether that object is on this machine."""

    path: str
    oid: Oid
    size: int
    present: bool


class ChangedFile(NamedTuple):
    """One changed path: `kind` is git's letter (A, M, D, T, U), `before` and `after` describe its two sides."""

    path: str
    kind: str
    before: str
    after: str


class Status(NamedTuple):
    """The tracked files that are staged, changed but not staged, not pushed yet, or pointers in the working tree.

    `plain` are tracked paths that git has as plain files; `unconfirmed` are files that were pushed to `remote` and whose
    objects are in no store that this machine knows of.
    """

    store: str | None
    staged: tuple[ChangedFile, ...]
    unstaged: tuple[ChangedFile, ...]
    unpushed: tuple[TrackedFile, ...]
    pointers: tuple[TrackedFile, ...]
    plain: tuple[str, ...]
    remote: str | None
    unconfirmed: tuple[TrackedFile, ...]


def ls_files(repo: Repo, revision: str | None = None) -> list[TrackedFile]:
    """Return the tracked files of a revision, or of the index. Raises LdsError if there is no such revision."""
    if revision or repo.work_tree is None:
        items = pointers.in_tree(repo.git, revision or "HEAD", here=repo.objects)
    else:
        items = pointers.in_index(repo.git, here=repo.objects)
    return [_tracked(repo, item) for item in items]


def _tracked(repo: Repo, item: PointerFile) -> TrackedFile:
    oid, size = item.pointer.oid, item.pointer.size
    return TrackedFile(files.printable(item.path), oid, size, repo.objects.has(oid))


def status(repo: Repo) -> Status:
    """Return the state of the tracked files. Raises LdsError in a bare repository."""
    repo.require_work_tree()
    changed = _changed_paths(repo)  # first, because git refreshes the index with it
    remote = repo.settings.default_remote()
    store = repo.settings.store_for(remote)
    head = refs.head(repo.git)
    pushed = [f"--remotes={remote}"] if remote else []
    unpushed = pointers.in_commits(repo.git, [head], pushed, here=repo.objects) if head else []
    return Status(
        without_secrets(store.url) if store else None,
        tuple(_staged(repo, head, conflicts={path for path, letter in changed.items() if letter == "U"})),
        tuple(_unstaged(repo, changed)),
        tuple(_tracked(repo, item) for item in unpushed),
        tuple(_tracked(repo, item) for item in _still_pointers(repo)),
        tuple(map(files.printable, pointers.plain_in_index(repo.git, here=repo.objects))),
        remote,
        tuple(_tracked(repo, item) for item in pushed_but_unconfirmed(repo, remote)),
    )


def pushed_but_unconfirmed(repo: Repo, remote: str | None) -> list[PointerFile]:
    """Return the pointers at the remote-tracking branches of `remote` whose objects were added here and are in no store
    that this machine knows of.

    No store is read, and git only if some objects are not known to be in a store.
    """
    if remote is None or not (own := set(repo.own)):
        return []
    tips = refs.latest_tips(repo.git, [f"refs/remotes/{remote}/"], count=_BRANCHES)
    if not tips:
        return []
    from git_lds.store.client.last_known import not_known_in  # late: it takes 10 ms, and most repositories need it not

    urls = [*(setting.url for setting in repo.settings.read_stores(remote)), *repo.dependency_urls()]
    unknown = not_known_in(urls, repo.settings.cache_dir, own)
    candidates = (Pointer(oid, size) for oid in unknown if (size := repo.own.size(oid)) is not None)
    blobs = {blob_id(each.encode(), repo.hash_size).hex().encode(): each for each in candidates}
    if not blobs:
        return []
    by_blob: dict[bytes, PointerFile] = {}
    for blob, path in reachable.objects_of(repo.git, tips):
        if blob in blobs:
            by_blob.setdefault(blob, PointerFile(path, blobs[blob]))
    return list(by_blob.values())


def _still_pointers(repo: Repo) -> list[PointerFile]:
    """Return the files of the working tree that hold their pointer.

    Few files are as small as a pointer, and git is asked only for the blobs of those: for 10,000 files this saves a third
    of the time of a status.
    """
    root = os.fsencode(repo.require_work_tree())
    texts: dict[bytes, bytes] = {}

    def is_small(path: bytes) -> bool:
        full = os.path.join(root, path)
        with contextlib.suppress(OSError):
            if os.lstat(full).st_size <= pointer.MAX_LENGTH:
                with open(full, "rb") as file:
                    texts[path] = file.read(pointer.MAX_LENGTH + 1)
        return path in texts

    items = pointers.in_index(repo.git, wants=is_small, here=repo.objects)
    return [item for item in items if texts[item.path] == item.pointer.encode()]


def _staged(repo: Repo, head: str | None, *, conflicts: Collection[bytes]) -> list[ChangedFile]:
    differences = trees.diff_to_index(repo.git, head or trees.empty(repo.git))
    blobs = [side.blob for each in differences for side in (each.before, each.after) if side is not None]
    known = pointers.pointers(repo.git, blobs)
    changed = []
    for each in differences:
        if any(side is not None and side.blob in known for side in (each.before, each.after)):
            letter = "U" if each.path in conflicts else _letter(each)
            sides = _described(known, each.before), _described(known, each.after)
            changed.append(ChangedFile(files.printable(each.path), letter, *sides))
    return changed


def _letter(difference: Difference) -> str:
    """Return git's letter for a difference: A, D, T (another type of file) or M."""
    before, after = difference.before, difference.after
    if before is None or after is None:
        return "A" if before is None else "D"
    return "M" if before.mode[:3] == after.mode[:3] else "T"


def _described(known: Mapping[bytes, Pointer], side: TreeEntry | None) -> str:
    """Return a word or two about one side of a change: "object 1a2b3c4d (20 bytes)", "plain", "nothing"."""
    if side is None or not side.blob:
        return "nothing"
    target = known.get(side.blob)
    return f"object {target.oid.hex()[:8]} ({target.size} bytes)" if target is not None else "plain"


def _changed_paths(repo: Repo) -> dict[bytes, str]:
    """Return the paths that are changed in the working tree, with git's letters, by `git status`.

    It looks into files that were only touched, and notes in the index that they are unchanged, if it may: the one thing
    that a status ever writes.
    """
    git = repo.git.with_environment({"GIT_OPTIONAL_LOCKS": os.environ.get("GIT_OPTIONAL_LOCKS", "1")})
    return {path: _unstaged_letter(states) for states, path in index.changed_paths(git) if states[1:] != b" "}


def _unstaged(repo: Repo, changed: Mapping[bytes, str]) -> list[ChangedFile]:
    values = attributes.check(repo.git, ["filter"], changed)
    tracked = [path for path, value in values.items() if value["filter"] == b"lds"]
    return [ChangedFile(files.printable(path), changed[path], "", "") for path in tracked]


def _unstaged_letter(states: bytes) -> str:
    """Return the letter for the working tree, of the two that `git status` has for a path, or U for a conflict."""
    return "U" if b"U" in states or states in (b"AA", b"DD") else states[1:].decode()

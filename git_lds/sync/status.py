"""Status: what is tracked, what is here, and what a push would send."""

from __future__ import annotations

import contextlib
import os

from git_lds import files, pointer
from git_lds.fast_typing import NamedTuple
from git_lds.git.objects import blob_id
from git_lds.hashing import Oid
from git_lds.pointer import Pointer
from git_lds.repo import Repo
from git_lds.snapshots import pointers as snapshots_pointers
from git_lds.snapshots.pointers import Found
from git_lds.store.backends.by_url import without_secrets

_BRANCHES = 32
"""Remote-tracking branches of which the files are looked at, the latest ones."""


class TrackedFile(NamedTuple):
    """One tracked file: its path for people, its object, and whether that object is on this machine."""

    path: str
    oid: Oid
    size: int
    present: bool


class Change(NamedTuple):
    """One changed path: `kind` is git's letter (A, M, D, T), `before` and `after` say what is there in a word or two."""

    path: str
    kind: str
    before: str
    after: str


class Status(NamedTuple):
    """The state of the tracked files: staged, changed but not staged, not pushed yet, still pointers in the working tree.

    `plain` are the paths whose contents git has although they are tracked, `unconfirmed` the files that were pushed to
    `remote` and whose objects no store has as far as this machine knows.
    """

    store: str | None
    staged: tuple[Change, ...]
    unstaged: tuple[Change, ...]
    unpushed: tuple[TrackedFile, ...]
    pointers: tuple[TrackedFile, ...]
    plain: tuple[str, ...]
    remote: str | None
    unconfirmed: tuple[TrackedFile, ...]


def ls_files(repo: Repo, rev: str | None = None) -> list[TrackedFile]:
    """Return the tracked files of a revision, or of the index."""
    found = (
        snapshots_pointers.in_tree(repo.git, rev or "HEAD", here=repo.objects)
        if rev or repo.work_tree is None
        else snapshots_pointers.in_index(repo.git, here=repo.objects)
    )
    return [_tracked(repo, item) for item in found]


def _tracked(repo: Repo, item: Found) -> TrackedFile:
    oid, size = item.pointer.oid, item.pointer.size
    return TrackedFile(files.printable(item.path), oid, size, repo.objects.has(oid))


def status(repo: Repo) -> Status:
    """Return the state of the tracked files. Raises LdsError in a bare repository."""
    repo.require_work_tree()
    unstaged = tuple(_unstaged(repo))  # first, as the index is refreshed with it
    remote = repo.settings.default_remote()
    store = repo.settings.store_for(remote)
    head = repo.git.maybe("rev-parse", "--verify", "--quiet", "HEAD")
    unpushed = (
        snapshots_pointers.in_commits(repo.git, [head], [f"--remotes={remote}"] if remote else [], here=repo.objects)
        if head
        else []
    )
    return Status(
        without_secrets(store.url) if store else None,
        tuple(_staged(repo, head)),
        unstaged,
        tuple(_tracked(repo, item) for item in unpushed),
        tuple(_tracked(repo, item) for item in _still_pointers(repo)),
        tuple(map(files.printable, snapshots_pointers.plain_in_index(repo.git, here=repo.objects))),
        remote,
        tuple(_tracked(repo, item) for item in pushed_but_unconfirmed(repo, remote)),
    )


def pushed_but_unconfirmed(repo: Repo, remote: str | None) -> list[Found]:
    """Return the pointers at the tips of the remote-tracking branches of `remote` whose objects were added here, and which no
    store has as far as this machine knows. No store is asked, and nothing of git where all objects are known in one."""
    refs = f"refs/remotes/{remote}/"
    if remote is None or not (tips := _tips(repo, refs)) or not (own := set(repo.own)):
        return []
    from git_lds.store.client.last_known import not_known_in  # late: 10 ms, and most statuses come without

    urls = [*(setting.url for setting in repo.settings.read_stores(remote)), *repo.dependency_urls()]
    unknown = not_known_in(urls, repo.settings.cache_dir, own)
    made = (Pointer(oid, size) for oid in unknown if (size := repo.own.size(oid)) is not None)
    blobs = {blob_id(at.encode(), repo.hash_size).hex().encode(): at for at in made}
    if not blobs:
        return []
    listed = repo.git.bytes("rev-list", "--objects", "--no-walk", "--missing=print", "--stdin", stdin=tips)
    found: dict[bytes, Found] = {}
    for line in listed.splitlines():
        blob, _, path = line.partition(b" ")
        if blob in blobs:
            found.setdefault(blob, Found(path, blobs[blob]))
    return list(found.values())


def _tips(repo: Repo, refs: str) -> bytes:
    """Return the commits that the latest of the refs below `refs` name, one a line."""
    options = ("--sort=-committerdate", f"--count={_BRANCHES}", "--format=%(objectname)")
    return repo.git.bytes("for-each-ref", *options, refs)


def _still_pointers(repo: Repo) -> list[Found]:
    """Return the files of the working tree that hold their pointer. Few are as small: of the others git is asked nothing,
    which for 10,000 files is a third of the work of a status."""
    root = os.fsencode(repo.work_tree or b"")
    texts: dict[bytes, bytes] = {}

    def is_small(path: bytes) -> bool:
        full = os.path.join(root, path)
        with contextlib.suppress(OSError):
            if os.lstat(full).st_size <= pointer.MAX_LENGTH:
                with open(full, "rb") as file:
                    texts[path] = file.read(pointer.MAX_LENGTH + 1)
        return path in texts

    found = snapshots_pointers.in_index(repo.git, wants=is_small, here=repo.objects)
    return [item for item in found if texts[item.path] == item.pointer.encode()]


def _staged(repo: Repo, head: str | None) -> list[Change]:
    tree = head or repo.git.text("hash-object", "-t", "tree", "--stdin", stdin=b"")
    raw = repo.git.names("diff-index", "--cached", "-z", "--no-renames", "--abbrev=64", tree)
    abouts = [about.split(b" ") for about in raw[::2]]
    known = snapshots_pointers.pointers(repo.git, [blob for about in abouts for blob in about[2:4] if blob.strip(b"0")])
    changes = []
    for (_, _, before, after, kind), path in zip(abouts, raw[1::2], strict=True):
        if before in known or after in known:
            old, new = _described(known.get(before), before), _described(known.get(after), after)
            changes.append(Change(files.printable(path), kind.decode(), old, new))
    return changes


def _described(found: Pointer | None, blob: bytes) -> str:
    """Say in a word or two what a blob is: "object 1a2b3c4d (20 bytes)", "plain", "nothing"."""
    if found is not None:
        return f"object {found.oid.hex()[:8]} ({found.size} bytes)"
    return "plain" if blob.strip(b"0") else "nothing"


def _unstaged(repo: Repo) -> list[Change]:
    """Return what is changed in the working tree. Asked of `git status`, which looks into files that were only touched, and
    notes in the index that they are unchanged, where it may: the one thing that a status ever writes."""
    noting = repo.git.with_environment({"GIT_OPTIONAL_LOCKS": os.environ.get("GIT_OPTIONAL_LOCKS", "1")})
    options = ("--porcelain", "-z", "--untracked-files=no", "--no-renames", "--ignore-submodules=all")
    kinds = {entry[3:]: _kind(entry[:2]) for entry in noting.names("status", *options) if entry[1:2] != b" "}
    if not kinds:
        return []
    attributes = repo.git.names("check-attr", "-z", "--stdin", "filter", stdin=b"\0".join([*kinds, b""]))
    ours = [path for path, value in zip(attributes[::3], attributes[2::3], strict=True) if value == b"lds"]
    return [Change(files.printable(path), kinds[path], "", "") for path in ours]


def _kind(states: bytes) -> str:
    """Return git's letter for the working tree, of the two that `git status` has for a path; U for a conflict."""
    return "U" if b"U" in states or states in (b"AA", b"DD") else states[1:].decode()

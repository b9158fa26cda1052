"""Remembers which commits were confirmed complete in a store: all objects that they reach are in it.

    .git/lds/confirmed/<first 32 digits of the BLAKE3 of the store's address, a NUL and its id>

A confirmation holds only while the store is what it was: the entry of its log that was the last one then is still part of the
log, and no pack or index of then has gone. So a store that is new, moved, restored from an older copy or written anew has none,
and what a push needs is looked up in it again. A confirmation that is lost costs just that.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence

from git_lds import hashing
from git_lds.fast_typing import TYPE_CHECKING, NamedTuple
from git_lds.git.run import Git
from git_lds.hashing import FileId, Oid
from git_lds.pointer import Pointer
from git_lds.repo import Repo
from git_lds.snapshots.pointers import Found
from git_lds.store.client.cache_files import read_cache, write_cache
from git_lds.store.client.store import Store

if TYPE_CHECKING:
    from pathlib import Path

_TIPS = 64
"""Commits that are remembered of a store, the latest first: each makes `git rev-list` do a little more."""

_VERSION = 1
_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Confirmed(NamedTuple):
    """Commits that were complete in a store when its log ended with entry `seq`, whose BLAKE3 is `digest`, except for the
    objects in `lost`, which were nowhere."""

    address: str
    seq: int
    digest: bytes
    commits: tuple[str, ...]
    lost: tuple[Found, ...]
    files: frozenset[bytes]
    """The ids of the packs and indexes that the store had."""
    dependencies: str
    """The BLAKE3, in hex, of what says that objects may be in the stores of dependencies instead."""

    def holds_in(self, repo: Repo, store: Store) -> bool:
        """Return whether `store`, its log read, is still what it was, with no pack or index less, and so is `.ldsdeps`."""
        if self.dependencies != _dependencies(repo) or not self.files <= _files_of(store):
            return False
        return store.stands_on(self.seq, self.digest)


def read(repo: Repo, store: Store) -> Confirmed | None:
    """Return what was confirmed in the store, or None. Whether it still holds is another question."""
    return _decoded(read_cache(_path(repo, store)))


def write(repo: Repo, address: str, store: Store, commits: Sequence[str], lost: Iterable[Found]) -> None:
    """Remember that all that `commits`, the latest first, reach is in the store as it is now, except for `lost`.

    `address` is what the settings call the store.
    """
    state = store.state
    if state.seq < 0:
        return
    head = {
        "version": _VERSION,
        "address": address,
        "seq": state.seq,
        "digest": store.digest.hex(),
        "commits": list(dict.fromkeys(commits))[:_TIPS],
        "dependencies": _dependencies(repo),
        "lost": [[each.pointer.oid.hex(), each.pointer.size, os.fsdecode(each.path)] for each in lost],
    }
    data = json.dumps(head).encode() + b"\n" + b"".join(sorted(_files_of(store)))
    write_cache(_path(repo, store), data, repo.tmp)


def at_address(repo: Repo, url: str) -> Confirmed | None:
    """Return what was last confirmed in a store at that address, whichever store it was. The store is not asked."""
    return max((each for each in _all(repo) if each.address == url), key=lambda each: each.seq, default=None)


def addresses(repo: Repo) -> set[str]:
    """Return the addresses of the stores that something was ever confirmed in."""
    return {each.address for each in _all(repo)}


def _all(repo: Repo) -> list[Confirmed]:
    directory = repo.lds_dir / "confirmed"
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    return [found for name in names if (found := _decoded(read_cache(directory / name))) is not None]


def existing(git: Git, commits: Iterable[str]) -> list[str]:
    """Return those of the objects, full ids, that the repository has."""
    asked = "".join(f"{commit}\n" for commit in dict.fromkeys(commits))
    if not asked:
        return []
    answers = git.text("cat-file", "--batch-check=%(objectname)", stdin=asked.encode()).splitlines()
    return [answer for answer in answers if not answer.endswith(" missing")]


def _dependencies(repo: Repo) -> str:
    """Return what stands for the dependencies whose objects need not be in this repository's store."""
    told = json.dumps([sorted(repo.dependency_urls()), sorted(set(repo.outputs()) - set(repo.outputs(vendored=True)))])
    return hashing.of_bytes(told.encode("utf-8", "surrogateescape")).hex()


def _files_of(store: Store) -> frozenset[bytes]:
    state = store.state
    return frozenset((*(pack for pack in state.packs if pack not in state.condemned), *state.indexes))


def _path(repo: Repo, store: Store) -> Path:
    about = f"{store.url}\0{store.parameters().store_id}".encode("utf-8", "surrogateescape")
    return repo.lds_dir / "confirmed" / hashing.of_bytes(about).hex()[:32]


def _decoded(data: bytes | None) -> Confirmed | None:
    if data is None:
        return None
    line, _, ids = data.partition(b"\n")
    try:
        head = json.loads(line)
        if head["version"] != _VERSION or len(ids) % hashing.DIGEST_SIZE:
            return None
        lost = tuple(
            Found(os.fsencode(path), Pointer(Oid(bytes.fromhex(oid)), size)) for oid, size, path in head["lost"]
        )
        parts = (FileId(ids[at : at + hashing.DIGEST_SIZE]) for at in range(0, len(ids), hashing.DIGEST_SIZE))
        commits = tuple(head["commits"])
        if type(head["seq"]) is not int or not all(_ID.fullmatch(commit) for commit in commits):
            return None
        about = bytes.fromhex(head["digest"]), commits, lost, frozenset(parts), str(head["dependencies"])
        return Confirmed(str(head["address"]), head["seq"], *about)
    except (ValueError, KeyError, TypeError):
        return None  # of another version

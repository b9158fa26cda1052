"""Remembers which commits were confirmed complete in a store: it has all objects that they reach.

    .git/lds/confirmed/<first 32 digits of the BLAKE3 of the store's URL, a NUL and its id>

A confirmation holds only while the store has not lost anything: the last entry of its log then is still part of the log, and
all packs and indexes of then still exist. A store that is new, moved, restored from an older copy or recreated has no
confirmation, so a push looks up everything it needs there. A lost confirmation costs just that.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence

from git_lds import hashing
from git_lds.fast_typing import TYPE_CHECKING, NamedTuple
from git_lds.hashing import FileId, Oid
from git_lds.pointer import Pointer
from git_lds.repo import Repo
from git_lds.snapshots.pointers import PointerFile
from git_lds.store.client.cache_files import read_cache, write_cache
from git_lds.store.client.store import Store

if TYPE_CHECKING:
    from pathlib import Path

_TIPS = 64
"""Commits that are remembered for a store, the latest first: each adds a little work for `git rev-list`."""

_VERSION = 1
_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Confirmed(NamedTuple):
    """Commits that were complete in a store when its log ended with entry `seq`, whose BLAKE3 is `digest`, except for the
    objects in `lost`, which were nowhere."""

    address: str
    seq: int
    digest: bytes
    commits: tuple[str, ...]
    lost: tuple[PointerFile, ...]
    files: frozenset[bytes]
    """The ids of the packs and indexes that the store had."""
    dependencies: str
    """The BLAKE3, in hex, of the settings by which objects may be in the stores of dependencies instead."""

    def holds_in(self, repo: Repo, store: Store) -> bool:
        """Return whether `store`, whose log is read, has lost nothing since, and the dependencies are the same."""
        if self.dependencies != _dependencies(repo) or not self.files <= _files_of(store):
            return False
        return store.stands_on(self.seq, self.digest)


def read(repo: Repo, store: Store) -> Confirmed | None:
    """Return what was confirmed in the store, or None; `holds_in` tells whether it still holds."""
    return _decoded(read_cache(_path(repo, store)))


def write(repo: Repo, address: str, store: Store, commits: Sequence[str], lost: Iterable[PointerFile]) -> None:
    """Remember that the store, in its present state, has all that `commits` (the latest first) reach, except for `lost`.

    `address` is the URL of the store in the settings.
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
        "lost": [[item.pointer.oid.hex(), item.pointer.size, os.fsdecode(item.path)] for item in lost],
    }
    data = json.dumps(head).encode() + b"\n" + b"".join(sorted(_files_of(store)))
    write_cache(_path(repo, store), data, repo.tmp)


def last_at(repo: Repo, url: str) -> Confirmed | None:
    """Return what was last confirmed in a store at that URL, whichever store it was, or None. The store is not read."""
    records = (record for record in _all(repo) if record.address == url)
    return max(records, key=lambda record: record.seq, default=None)


def urls(repo: Repo) -> set[str]:
    """Return the URLs of the stores that ever had something confirmed."""
    return {record.address for record in _all(repo)}


def _all(repo: Repo) -> list[Confirmed]:
    directory = repo.lds_dir / "confirmed"
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    records = (_decoded(read_cache(directory / name)) for name in names)
    return [record for record in records if record is not None]


def _dependencies(repo: Repo) -> str:
    """Return a hash of the dependencies whose objects need not be in this repository's store."""
    outputs = sorted(set(repo.outputs()) - set(repo.outputs(vendored=True)))
    text = json.dumps([sorted(repo.dependency_urls()), outputs])
    return hashing.of_bytes(text.encode("utf-8", "surrogateescape")).hex()


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
            PointerFile(os.fsencode(path), Pointer(Oid(bytes.fromhex(oid)), size)) for oid, size, path in head["lost"]
        )
        parts = (FileId(ids[at : at + hashing.DIGEST_SIZE]) for at in range(0, len(ids), hashing.DIGEST_SIZE))
        commits = tuple(head["commits"])
        if type(head["seq"]) is not int or not all(_ID.fullmatch(commit) for commit in commits):
            return None
        about = bytes.fromhex(head["digest"]), commits, lost, frozenset(parts), str(head["dependencies"])
        return Confirmed(str(head["address"]), head["seq"], *about)
    except (ValueError, KeyError, TypeError):
        return None  # of another version

"""Remembers which objects came from the store at an address: that it had them is then known, and not only said by its indexes.

    <cache>/stores/given/<BLAKE3 of the address>    oids, 32 bytes each

So an object that is in the cache can be sent to that store again, or on from it, where it has lost it since. What the file says
was verified when it came; it may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path

from git_lds import hashing
from git_lds.files import write_all
from git_lds.hashing import DIGEST_SIZE, Oid


def note(cache_dir: Path, address: str, oids: Collection[Oid]) -> None:
    """Remember that the store gave these objects. What cannot be written is not remembered."""
    if not oids:
        return
    path = _path(cache_dir, address)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        try:
            torn = -os.fstat(fd).st_size % DIGEST_SIZE  # by a disk that was full
            write_all(fd, bytes(torn) + b"".join(oids))
        finally:
            os.close(fd)


def read(cache_dir: Path, address: str) -> set[Oid]:
    """Return the objects that the store gave."""
    try:
        data = _path(cache_dir, address).read_bytes()
    except OSError:
        return set()
    return {Oid(data[at : at + DIGEST_SIZE]) for at in range(0, len(data) - DIGEST_SIZE + 1, DIGEST_SIZE)}


def _path(cache_dir: Path, address: str) -> Path:
    return cache_dir / "stores" / "given" / hashing.of_bytes(address.encode("utf-8", "surrogateescape")).hex()

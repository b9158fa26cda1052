"""Remembers which objects came from the store at a URL: so it had them, whatever its indexes say.

    <cache>/stores/given/<BLAKE3 of the address>    oids, 32 bytes each

With this record a cached object can be sent to that store again if the store has lost it, or from it to another store. The
objects were verified when they arrived. The file may be deleted at any time.
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
    """Remember that these objects came from the store, if the file can be written."""
    if not oids:
        return
    path = _path(cache_dir, address)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        try:
            torn = -os.fstat(fd).st_size % DIGEST_SIZE  # after a full disk
            write_all(fd, bytes(torn) + b"".join(oids))
        finally:
            os.close(fd)


def read(cache_dir: Path, address: str) -> set[Oid]:
    """Return the objects that came from the store."""
    try:
        data = _path(cache_dir, address).read_bytes()
    except OSError:
        return set()
    return {Oid(data[at : at + DIGEST_SIZE]) for at in range(0, len(data) - DIGEST_SIZE + 1, DIGEST_SIZE)}


def _path(cache_dir: Path, address: str) -> Path:
    return cache_dir / "stores" / "given" / hashing.of_bytes(address.encode("utf-8", "surrogateescape")).hex()

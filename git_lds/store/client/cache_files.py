"""Keeps small files of what was learnt about a store, each sealed with its own BLAKE3.

Whatever is kept may be deleted at any time and is then learnt again, so that nothing here ever fails: what cannot be
written is not kept, and what was damaged is as if it had never been. Many processes may keep the same file at once.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from git_lds import hashing
from git_lds.files import Scratch, write_all


def write_cache(path: Path, data: bytes, tmp: Path) -> None:
    """Keep `data` at `path`, over what is there, if that can be done. It is written in the directory `tmp`, which is swept."""
    with contextlib.suppress(OSError), Scratch(tmp) as scratch:
        write_all(scratch.fd, hashing.of_bytes(data) + data)
        scratch.move_to(path, sync=False)  # what a crash of the machine leaves of it does not fit its seal


def read_cache(path: Path) -> bytes | None:
    """Return what is kept at `path`, or None when that is nothing or not whole."""
    try:
        sealed = path.read_bytes()
    except OSError:
        return None
    data = sealed[hashing.DIGEST_SIZE :]
    if hashing.of_bytes(data) == sealed[: hashing.DIGEST_SIZE]:
        return data
    delete_cache(path)
    return None


def delete_cache(path: Path) -> None:
    """Delete what is kept at `path`."""
    with contextlib.suppress(OSError):
        os.unlink(path)


def address_note(cache_dir: Path, address: str) -> Path:
    """Return where the id is kept of the store that was last at `address`."""
    name = hashing.of_bytes(address.encode("utf-8", "surrogateescape"))
    return cache_dir / "stores" / "at" / name.hex()


def store_directory(cache_dir: Path, address: str, store_id: str) -> Path:
    """Return the directory for what is kept of the store at `address` that gives itself this id."""
    name = hashing.of_bytes(f"{address}\0{store_id}".encode("utf-8", "surrogateescape"))
    return cache_dir / "stores" / name.hex()

"""Small cache files with what is known about a store, each sealed with its own BLAKE3.

A cache file may be deleted at any time and is then made again, so nothing here raises: a file that cannot be written is not
cached, and a damaged one counts as missing. Many processes may write the same file at once.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from git_lds import hashing
from git_lds.files import Scratch, write_all


def write_cache(path: Path, data: bytes, tmp: Path) -> None:
    """Cache `data` at `path`, if possible. It is written in the directory `tmp`, which is swept, and renamed."""
    with contextlib.suppress(OSError), Scratch(tmp) as scratch:
        write_all(scratch.fd, hashing.of_bytes(data) + data)
        scratch.move_to(path, sync=False)  # what a crash of the machine leaves of it does not match its seal


def read_cache(path: Path) -> bytes | None:
    """Return the data cached at `path`, or None if they are missing or damaged."""
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
    """Delete the cache file at `path`, if possible."""
    with contextlib.suppress(OSError):
        os.unlink(path)


def address_note(cache_dir: Path, address: str) -> Path:
    """Return the cache file with the id of the store that was last at `address`."""
    name = hashing.of_bytes(address.encode("utf-8", "surrogateescape"))
    return cache_dir / "stores" / "at" / name.hex()


def store_directory(cache_dir: Path, address: str, store_id: str) -> Path:
    """Return the cache directory of the store at `address` that claims the id `store_id`."""
    name = hashing.of_bytes(f"{address}\0{store_id}".encode("utf-8", "surrogateescape"))
    return cache_dir / "stores" / name.hex()

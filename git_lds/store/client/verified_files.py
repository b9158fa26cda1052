"""Fetches whole files of a store that are named by their BLAKE3, and verifies them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from git_lds import hashing
from git_lds.errors import CorruptData, NotInStore
from git_lds.files import Scratch, write_all
from git_lds.store.backends.contract import Backend
from git_lds.store.format.keys import MAX_SIZES, parse

_AT_ONCE = 5 << 20
"""The largest file that is read into memory, which saves two requests each: as large as merged indexes."""


def fetch_named(backend: Backend, key: str, scratch: Scratch) -> None:
    """Write the file `key`, which is named by its BLAKE3, into `scratch`. Raises CorruptData on a checksum mismatch."""
    named = parse(key)
    assert named is not None
    for _ in range(2):  # one retry: it may have been damaged in transit
        scratch.empty()
        hasher = hashing.new()
        for block in _whole(backend, key, MAX_SIZES[named.kind]):
            hasher.update(block)
            write_all(scratch.fd, block)
        if hasher.digest() == named.id:
            return
    raise CorruptData(f"{key} of {backend.url} does not match its name")


def _whole(backend: Backend, key: str, limit: int) -> Iterator[bytes]:
    """Yield a whole file: a small one in one request; a large one streamed, after a request for its size."""
    data: bytes | None = None
    with contextlib.suppress(CorruptData):
        data = backend.read(key, limit=_AT_ONCE)
    if data is not None:
        yield data
        return
    size = backend.size(key)
    if size is None:
        raise NotInStore(f"{key} is not in the store {backend.url}")
    if size > limit:
        raise CorruptData(f"{key} of {backend.url} has {size} bytes, more than allowed")
    with backend.stream(key, 0, size) as blocks:
        yield from blocks

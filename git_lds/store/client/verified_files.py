"""Files of a store that are named by their contents, fetched whole and verified."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from git_lds import hashing
from git_lds.errors import CorruptData, NotInStore
from git_lds.files import Scratch, write_all
from git_lds.store.backends.contract import Backend
from git_lds.store.format.keys import MAX_SIZES, parse

_AT_ONCE = 5 << 20
"""The largest index that is read into memory, which saves two requests for each: as large as a merge makes them."""


def fetch_named(backend: Backend, key: str, scratch: Scratch) -> None:
    """Write the file `key`, which is named by its BLAKE3, into `scratch`. Raises CorruptData when it is not that."""
    named = parse(key)
    assert named is not None
    for _ in range(2):  # once more, for it may have been damaged on its way
        scratch.empty()
        hasher = hashing.new()
        for block in _whole(backend, key, MAX_SIZES[named.kind]):
            hasher.update(block)
            write_all(scratch.fd, block)
        if hasher.digest() == named.id:
            return
    raise CorruptData(f"{key} of {backend.url} is not what its name says")


def _whole(backend: Backend, key: str, limit: int) -> Iterator[bytes]:
    """Yield all of a file: read at once where it is small, and only else asked for its size first, and streamed."""
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
        raise CorruptData(f"{key} of {backend.url} has {size} bytes, more than it may")
    with backend.stream(key, 0, size) as blocks:
        yield from blocks

"""A store in a directory that counts the bytes that are read from it, as well as the requests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from git_lds.store.backends.contract import READ_LIMIT
from git_lds.store.backends.directory import Directory


class Counted(Directory):
    """`came` are the bytes that were read so far."""

    came = 0

    def read(self, key: str, start: int = 0, length: int | None = None, *, limit: int = READ_LIMIT) -> bytes:
        data = super().read(key, start, length, limit=limit)
        self.came += len(data)
        return data

    @contextlib.contextmanager
    def stream(self, key: str, start: int, length: int) -> Iterator[Iterator[bytes]]:
        with super().stream(key, start, length) as blocks:
            self.came += length
            yield blocks

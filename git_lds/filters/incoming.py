"""The contents of one large file that git adds: compared with the previous object of the path, or written to the local store."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from git_lds import hashing
from git_lds.fast_typing import TYPE_CHECKING
from git_lds.files import Scratch
from git_lds.hashing import Oid
from git_lds.local import direct_read
from git_lds.local.direct_write import Writer
from git_lds.local.objects import copy
from git_lds.pointer import Pointer
from git_lds.repo import Repo

if TYPE_CHECKING:
    from typing import BinaryIO


class Incoming:
    """The contents of one large file that git adds.

    As long as they equal the previous object of the path they are only compared with it, so that a file whose time stamp
    alone changed is not written again.
    """

    def __init__(self, repo: Repo, before: Pointer | None) -> None:
        self._own = repo.own
        self._hasher = hashing.new()
        self._size = 0
        self._before = before
        self._same: BinaryIO | None = repo.objects.open(before.oid) if before else None
        self._compared = direct_read.ahead(self._same) if self._same else None
        self._scratch: Scratch | None = None
        self._writer: Writer | None = None
        self.is_new = False
        if self._same is None:
            self._begin()

    def _begin(self) -> None:
        """Start to write: the bytes that were equal so far are copied from the previous object."""
        self._scratch = self._own.scratch()
        if self._same is not None and self._compared is not None:
            with self._same as same, contextlib.closing(self._compared):
                self._same = self._compared = None
                if self._size:
                    copy(same, self._scratch.fd, self._size)
        self._writer = Writer(self._scratch, self._size)

    def take(self, block: bytes | bytearray) -> None:
        """Compare or write the next block. Raises OSError."""
        self._hasher.update(block)
        if self._compared is not None and self._compared.read(len(block)) != block:
            self._begin()
        if self._writer is not None:
            self._writer.write(block)
        self._size += len(block)

    def finish(self, is_borrowed: Callable[[Pointer], bool]) -> Pointer:
        """Store the object, unless it `is_borrowed`; return its pointer. Raises OSError."""
        oid = Oid(self._hasher.digest())
        if self._before is not None and self._before.oid == oid and self._same is not None:
            return self._before
        if self._same is not None:
            self._begin()
        assert self._scratch is not None and self._writer is not None
        self._writer.finish()
        self.is_new = self._own.size(oid) != self._size
        found = Pointer(oid, self._size)
        if self.is_new and is_borrowed(found):
            self.is_new = False
            return found
        self._own.adopt(oid, self._scratch)
        return found

    def __enter__(self) -> Incoming:
        return self

    def __exit__(self, *_: object) -> None:
        if self._compared is not None:
            self._compared.close()
        if self._same is not None:
            self._same.close()
        if self._writer is not None:
            self._writer.close()
        if self._scratch is not None:
            self._scratch.close()

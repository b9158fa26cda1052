"""Clean: contents come from git on a pipe, go to the local store, and a pointer goes back.

The bytes on the pipe decide; neither the size nor the contents of the file on disk are looked at.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from functools import cached_property

from git_lds import files, hashing, pointer
from git_lds.files import Scratch
from git_lds.git import index_file
from git_lds.git.blobs import BlobReader, blob_id
from git_lds.hashing import Oid
from git_lds.local import reading
from git_lds.local.objects import SMALL, copy
from git_lds.local.writing import Writer
from git_lds.pointer import Pointer
from git_lds.repo import Repo
from git_lds.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO


class Cleaner:
    """Cleans files of one repository, for the time of one process. `stored` counts the objects that were new."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._own = repo.own
        self.stored = 0

    def clean(self, path: bytes, blocks: Iterable[bytes]) -> bytes:
        """Return what git shall store for the contents in `blocks`: their pointer, or themselves where they are one.

        The contents are with the operating system before this returns. Raises OSError when they could not be kept.
        """
        if path.rpartition(b"/")[2] in files.PLAIN:
            return b"".join(blocks)
        head = bytearray()
        rest = iter(blocks)
        for block in rest:
            head += block
            if len(head) > SMALL:
                return self._clean_large(path, head, rest).encode()
        if not head or (len(head) <= pointer.MAX_LENGTH and pointer.parse(bytes(head))):
            return bytes(head)
        return self._clean_small(path, head).encode()

    def _clean_small(self, path: bytes, data: bytearray) -> Pointer:
        oid = hashing.of_bytes(data)
        found = Pointer(oid, len(data))
        if self._own.read(oid) is None and not self._is_as_before(path, found):
            self._own.put(oid, data)
            self.stored += 1
        return found

    def _is_as_before(self, path: bytes, found: Pointer) -> bool:
        """Tell whether the index has this very pointer for the path, and the cache its object.

        So it is when `git status` looks at a downloaded file whose time stamp changed. Then nothing new would be
        referenced, and nothing is written. All else that is added goes to the local store, in the cache or not.
        """
        before = self._index.get(path)  # asked first: to look for an object costs four calls of the system
        return (
            before is not None
            and before == blob_id(found.encode(), self._repo.hash_size)
            and self._repo.objects.has(found.oid)
        )

    @cached_property
    def _index(self) -> dict[bytes, bytes]:
        return {entry.path: entry.blob for entry in index_file.read(self._repo.index)}

    def _clean_large(self, path: bytes, head: bytearray, rest: Iterable[bytes]) -> Pointer:
        with Incoming(self._repo, self._before(path)) as incoming:
            incoming.take(head)
            for block in rest:
                incoming.take(block)
            found = incoming.finish()
        self.stored += incoming.is_new
        return found

    def _before(self, path: bytes) -> Pointer | None:
        """Return the pointer that the index has for the path, where that is of a large object."""
        blob = self._index.get(path)
        if blob is None:
            return None
        found = pointer.parse(self._blobs.read(blob.hex().encode()) or b"")
        return found if found is not None and found.size > SMALL else None

    @cached_property
    def _blobs(self) -> BlobReader:
        return BlobReader(self._repo.git)

    def close(self) -> None:
        if "_blobs" in self.__dict__:
            self._blobs.close()


class Incoming:
    """The contents of one large file on their way in.

    As long as they are equal to the object that the path had before, they are only compared with it, so that a file
    whose time stamp alone changed is not written again.
    """

    def __init__(self, repo: Repo, before: Pointer | None) -> None:
        self._own = repo.own
        self._hasher = hashing.new()
        self._size = 0
        self._before = before
        self._same: BinaryIO | None = repo.objects.open(before.oid) if before else None
        self._compared = reading.ahead(self._same) if self._same else None
        self._scratch: Scratch | None = None
        self._writer: Writer | None = None
        self.is_new = False
        if self._same is None:
            self._begin()

    def _begin(self) -> None:
        """Go over to writing: what was equal to the earlier object so far is copied from it."""
        self._scratch = self._own.scratch()
        if self._same is not None and self._compared is not None:
            with self._same as same, contextlib.closing(self._compared):
                self._same = self._compared = None
                if self._size:
                    copy(same, self._scratch.fd, self._size)
        self._writer = Writer(self._scratch, self._size)

    def take(self, block: bytes | bytearray) -> None:
        self._hasher.update(block)
        if self._compared is not None and self._compared.read(len(block)) != block:
            self._begin()
        if self._writer is not None:
            self._writer.write(block)
        self._size += len(block)

    def finish(self) -> Pointer:
        """Keep the object; return its pointer."""
        oid = Oid(self._hasher.digest())
        if self._before is not None and self._before.oid == oid and self._same is not None:
            return self._before
        if self._same is not None:
            self._begin()
        assert self._scratch is not None and self._writer is not None
        self._writer.finish()
        self.is_new = self._own.size(oid) != self._size
        self._own.adopt(oid, self._scratch)
        return Pointer(oid, self._size)

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

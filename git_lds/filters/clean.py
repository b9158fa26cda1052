"""Clean: contents come from git on a pipe, go to the local store, and a pointer goes back.

The bytes on the pipe decide; neither the size nor the contents of the file on disk are looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from git_lds import files, hashing, pointer
from git_lds.git import index_file
from git_lds.git.objects import BlobReader, blob_id
from git_lds.local.objects import SMALL
from git_lds.pointer import Pointer
from git_lds.repo import Repo


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
        if self._own.read(oid) is None and not self._is_as_before(path, found) and not self._is_borrowed(found):
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

    def _is_borrowed(self, found: Pointer) -> bool:
        """Return whether git has this pointer already, under whatever path, and the cache has its object whole.

        So it is when a downloaded file is moved and added again. It is not taken for added here: a pointer may have been
        committed by anyone, and the object be here for another repository; what a push may send of it is decided there.
        """
        cache = self._repo.objects.cache
        if not cache.has(found.oid):
            return False
        blob = blob_id(found.encode(), self._repo.hash_size).hex().encode()
        if self._blobs.read(blob) is None:
            return False
        if found.size <= SMALL:
            return cache.read(found.oid) is not None
        stream = cache.open(found.oid)
        if stream is None:
            return False
        with stream:
            return hashing.of_stream(stream)[0] == found.oid

    @cached_property
    def _index(self) -> dict[bytes, bytes]:
        return {entry.path: entry.blob for entry in index_file.read(self._repo.index)}

    def _clean_large(self, path: bytes, head: bytearray, rest: Iterable[bytes]) -> Pointer:
        from git_lds.filters.incoming import Incoming  # late: most files are small

        with Incoming(self._repo, self._before(path)) as incoming:
            incoming.take(head)
            for block in rest:
                incoming.take(block)
            found = incoming.finish(self._is_borrowed)
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

"""Clean: git sends contents through a pipe, they go to the local store, and a pointer goes back.

Only the bytes on the pipe count; the size and the contents of the file on disk are ignored.
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
    """Cleans files of one repository, for the time of one process. `stored` counts new objects."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._own = repo.own
        self.stored = 0

    def clean(self, path: bytes, blocks: Iterable[bytes]) -> bytes:
        """Return the blob that git should store for the contents in `blocks`: their pointer, or a pointer unchanged.

        The operating system has the contents before this returns. Raises OSError if they cannot be stored.
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
        """Return whether the index has this very pointer for the path, and the cache has its object.

        This happens when `git status` reads a downloaded file whose time stamp changed. Nothing new is referenced then,
        and nothing is written. All other contents go to the local store, whether the cache has them or not.
        """
        before = self._index.get(path)  # first, because looking for an object takes four system calls
        return (
            before is not None
            and before == blob_id(found.encode(), self._repo.hash_size)
            and self._repo.objects.has(found.oid)
        )

    def _is_borrowed(self, found: Pointer) -> bool:
        """Return whether git has this pointer already, at any path, and the cache has the whole object.

        This happens when a downloaded file is moved and added again. The object does not count as added here: anyone may
        have committed the pointer, and the cache may have the object for another repository. The push decides whether to
        send it.
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
        """Return the pointer that the index has for the path, if its object is large, else None."""
        blob = self._index.get(path)
        if blob is None:
            return None
        found = pointer.parse(self._blobs.read(blob.hex().encode()) or b"")
        return found if found is not None and found.size > SMALL else None

    @cached_property
    def _blobs(self) -> BlobReader:
        return BlobReader(self._repo.git)

    def close(self) -> None:
        """End the reader of blobs."""
        if "_blobs" in self.__dict__:
            self._blobs.close()

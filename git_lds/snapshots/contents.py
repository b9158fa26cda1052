"""The contents of a version of a file: from git, from the objects on this machine, or from the working tree.

Nothing is downloaded unless `fetch` is called; contents that are not here are None.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterable
from functools import cached_property
from typing import BinaryIO

from git_lds import hashing, pointer
from git_lds.errors import CorruptData, LdsError
from git_lds.files import WorkTreePath, printable
from git_lds.git.objects import BlobReader
from git_lds.hashing import Oid
from git_lds.progress import Progress
from git_lds.repo import Repo
from git_lds.snapshots.changes import Version


class Contents:
    """Reads versions of files, one process of git for all of them; it has that to close."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo

    def is_here(self, version: Version) -> bool:
        """Tell whether the contents are on this machine."""
        if version.oid is None or self._repo.objects.has(_oid(version)):
            return True
        return version.blob is None and self._standing(version) is not None

    def open(self, version: Version) -> BinaryIO | None:
        """Return a stream of the contents, None when they are not here. Those of a large object are not verified."""
        if version.blob is None and (stream := self._standing(version)) is not None:
            return stream
        if version.oid is not None:
            return self._repo.objects.open(_oid(version))
        data = self._blobs.read(version.blob or b"")
        return io.BytesIO(data) if data is not None else None

    def read(self, version: Version, limit: int) -> bytes | None:
        """Return the contents, verified; None when they are not here. Raises LdsError when they are more than `limit` bytes,
        or damaged."""
        if (stream := self.open(version)) is None:
            return None
        with stream:
            data = stream.read(limit + 1)
        if len(data) > limit:
            raise LdsError(f"{printable(version.path)}: too large to be read as data: more than {limit} bytes")
        if version.oid is not None and hashing.of_bytes(data).hex() != version.oid:
            if version.blob is None:
                raise LdsError(f"{printable(version.path)}: changed while it was read", "run the same command again")
            raise CorruptData(f"{printable(version.path)}: the local copy of {version.oid} is damaged", "git lds pull")
        return data

    def head(self, version: Version, length: int) -> bytes | None:
        """Return the first `length` bytes of the contents, None when they are not here."""
        if (stream := self.open(version)) is None:
            return None
        with stream:
            return stream.read(length)

    def fetch(self, versions: Iterable[Version], progress: Progress) -> list[str]:
        """Download what is not here of these versions, in one go; return what is wrong with those that did not come."""
        wanted = {_oid(v): (v.size, v.path) for v in versions if not self.is_here(v)}
        if not wanted:
            return []
        # late: what moves objects loads httpx, which a merge whose objects are here need not wait for
        from git_lds.transfer import download

        stores = self._repo.reading_stores()
        if not stores:
            raise LdsError(
                f"{len(wanted)} objects are not here, and no store is set up", hint="git lds init --store URL"
            )
        return [missing.message for missing in download.download(stores, self._repo.objects, wanted, progress).missing]

    def _standing(self, version: Version) -> BinaryIO | None:
        """Return a stream of a file of the working tree; None where it is a pointer or no file any more."""
        assert self._repo.work_tree is not None
        top = os.fsencode(self._repo.work_tree)
        with contextlib.suppress(OSError):
            if version.mode == b"120000":
                return io.BytesIO(os.readlink(os.path.join(top, version.path)))
            with WorkTreePath(top, version.path) as place:
                stream = place.open()
                if pointer.parse(stream.read(pointer.MAX_LENGTH + 1)) is None:
                    stream.seek(0)
                    return stream
                stream.close()
        return None

    @cached_property
    def _blobs(self) -> BlobReader:
        return BlobReader(self._repo.git)

    def close(self) -> None:
        if "_blobs" in self.__dict__:
            self._blobs.close()

    def __enter__(self) -> Contents:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _oid(version: Version) -> Oid:
    assert version.oid is not None
    return Oid(bytes.fromhex(version.oid))

"""The contents of a version of a file: from git, from the objects on this machine, or from the working tree.

Only `fetch` downloads. Contents that are not on this machine are None.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterable
from typing import BinaryIO

from git_lds import hashing, pointer
from git_lds.errors import CorruptData, LdsError
from git_lds.files import WorkTreePath, printable
from git_lds.progress import Progress
from git_lds.repo import Repo
from git_lds.snapshots.version import Version


class Contents:
    """Reads versions of files of one repository, from any thread. Blobs come from the open object reader of its git."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo

    def is_here(self, version: Version) -> bool:
        """Return whether the contents are on this machine."""
        if version.pointer is None or self._repo.objects.has(version.pointer.oid):
            return True
        if not version.in_working_tree or (stream := self._open_in_working_tree(version)) is None:
            return False
        stream.close()
        return True

    def open(self, version: Version) -> BinaryIO | None:
        """Return a stream of the contents, or None. Those of a large object are not verified."""
        if version.in_working_tree and (stream := self._open_in_working_tree(version)) is not None:
            return stream
        if version.pointer is not None:
            return self._repo.objects.open(version.pointer.oid)
        answer = self._repo.git.reader.read(version.entry.blob.decode())
        return io.BytesIO(answer[1]) if answer is not None and answer[0].kind == "blob" else None

    def read(self, version: Version, limit: int) -> bytes | None:
        """Return the contents, verified, or None.

        Raises LdsError if they are more than `limit` bytes or changed meanwhile, CorruptData if the object is damaged.
        """
        if (stream := self.open(version)) is None:
            return None
        with stream:
            data = stream.read(limit + 1)
        if len(data) > limit:
            raise LdsError(f"{printable(version.path)}: too large to be read as data: more than {limit} bytes")
        if version.pointer is not None and hashing.of_bytes(data) != version.pointer.oid:
            if version.in_working_tree:
                raise LdsError(f"{printable(version.path)}: changed while it was read", "run the same command again")
            raise CorruptData(f"{printable(version.path)}: the local copy of {version.oid} is damaged", "git lds pull")
        return data

    def head(self, version: Version, length: int) -> bytes | None:
        """Return the first `length` bytes of the contents, or None."""
        if (stream := self.open(version)) is None:
            return None
        with stream:
            return stream.read(length)

    def fetch(self, versions: Iterable[Version], progress: Progress) -> list[str]:
        """Download the missing contents of these versions; return a message for each that could not be downloaded.

        Raises LdsError if no store is configured.
        """
        wanted = {v.pointer.oid: (v.size, v.path) for v in versions if v.pointer is not None and not self.is_here(v)}
        if not wanted:
            return []
        # late: what moves objects loads httpx, which a merge of local objects does not need
        from git_lds.transfer import download

        stores = self._repo.reading_stores()
        if not stores:
            raise LdsError(
                f"{len(wanted)} objects are not on this machine, and no store is configured",
                hint="git lds init --store URL",
            )
        return [missing.message for missing in download.download(stores, self._repo.objects, wanted, progress).missing]

    def _open_in_working_tree(self, version: Version) -> BinaryIO | None:
        """Return a stream of a file of the working tree, or None if it holds a pointer or is gone."""
        assert self._repo.work_tree is not None
        top = os.fsencode(self._repo.work_tree)
        with contextlib.suppress(OSError):
            if version.is_symlink:
                return io.BytesIO(os.readlink(os.path.join(top, version.path)))
            with WorkTreePath(top, version.path) as file:
                stream = file.open()
                if pointer.parse(stream.read(pointer.MAX_LENGTH + 1)) is None:
                    stream.seek(0)
                    return stream
                stream.close()
        return None

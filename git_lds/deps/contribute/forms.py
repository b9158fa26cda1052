"""The form in which upstream keeps a file: a pointer if it tracks the path with git-lds, else the contents."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from typing import IO

from git_lds import pointer
from git_lds.deps.contribute.edits import Edits
from git_lds.deps.contribute.merged_edits import MergedEdits
from git_lds.deps.update import attribute_check
from git_lds.deps.upstream import fetch_contents, imported_attributes
from git_lds.errors import LdsError
from git_lds.files import printable
from git_lds.filters.clean import Cleaner
from git_lds.git import objects
from git_lds.git.run import Git, GitFailed
from git_lds.git.trees import SUBMODULE, TreeEntry
from git_lds.progress import SILENT

_COPY_SIZE = 1 << 16
_MAX_IN_MEMORY = 1 << 20
"""Bytes of the largest blob that is read through the open reader, without a process of its own."""


class UpstreamForms:
    """Converts files to the form in which upstream keeps them. Each form of a blob is made once."""

    def __init__(self, edits: Edits, merged: MergedEdits, paths: Sequence[bytes]) -> None:
        """`paths` are all that will be asked for: git is asked once for their attributes upstream."""
        self._edits = edits
        self._snapshot = merged.inputs.snapshot
        names = [edits.name(path) for path in paths]
        answers = attribute_check.upstream_says(edits.session, merged.inputs.there, self._snapshot, names)
        self._tracked = {
            path for path, name in zip(paths, names, strict=True) if imported_attributes.is_tracked(answers[name])
        }
        self._blobs: dict[tuple[bytes, bool], bytes] = {}

    def convert(self, path: bytes, file: TreeEntry) -> TreeEntry:
        """Return a file in upstream's form. Raises LdsError if its contents cannot be read or kept."""
        known = self._snapshot.files.get(self._edits.name(path))
        if not file.is_regular or file.mode == SUBMODULE or (known and known.blob == file.blob):
            return file
        key = file.blob, path in self._tracked
        if key not in self._blobs:
            self._blobs[key] = self._convert_blob(path, file.blob, is_tracked=key[1])
        return TreeEntry(file.mode, self._blobs[key])

    def _convert_blob(self, path: bytes, blob: bytes, *, is_tracked: bool) -> bytes:
        git, repo = self._edits.git, self._edits.session.repo
        known = fetch_contents.pointers(git, [blob]).get(blob)
        if is_tracked and known is None:
            return self._cleaned(path, blob)
        if not is_tracked and known is not None:
            fetch_contents.fetch(repo, repo.reading_stores(), {known.oid: (known.size, path)}, SILENT)
            return self._contents(known)
        return blob

    def _cleaned(self, path: bytes, blob: bytes) -> bytes:
        """Add the contents of a blob to the local store; return the blob of its pointer. An empty file stays as it is."""
        git, cleaner = self._edits.git, Cleaner(self._edits.session.repo)
        try:
            size = objects.sizes(git, [blob]).get(blob)
            if size == 0:
                return blob
            with _opened(git, path, blob, size) as stream:
                text = cleaner.clean(path, iter(lambda: stream.read(_COPY_SIZE), b""))
        except OSError as error:
            raise LdsError(
                f"{printable(path)} could not be kept: {error.strerror}", "see whether the disk is full: git lds doctor"
            ) from None
        except GitFailed:
            raise _unreadable(path) from None
        finally:
            cleaner.close()
        return objects.write_blob(git, text).encode()

    def _contents(self, known: pointer.Pointer) -> bytes:
        stream = self._edits.session.repo.objects.open(known.oid)
        assert stream is not None
        with stream:
            return objects.write_blob_from(self._edits.git, stream).encode()


@contextlib.contextmanager
def _opened(git: Git, path: bytes, blob: bytes, size: int | None) -> Iterator[IO[bytes]]:
    """Give a blob as a stream. Raises LdsError or GitFailed if git does not give all of it."""
    if size is not None and size > _MAX_IN_MEMORY:
        with objects.open_blob(git, blob.decode()) as stream:
            yield stream
        return
    read = git.reader.read(blob.decode())
    if read is None:
        raise _unreadable(path)
    yield io.BytesIO(read[1])


def _unreadable(path: bytes) -> LdsError:
    return LdsError(f"cannot read {printable(path)}", "git fsck")

"""Looks up objects in all places of this machine, in order: the local store, git's alternates, the cache."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

from git_lds.fast_typing import TYPE_CHECKING
from git_lds.hashing import Oid
from git_lds.local.objects import ObjectDirectory

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO


class LocalObjects:
    """The object directories of this machine: `own` for new contents, `cache` for downloads, `others` read-only.

    `find_remotes` returns the local stores of remotes on this machine. It is called before a download.
    """

    def __init__(
        self,
        own: ObjectDirectory,
        cache: ObjectDirectory,
        others: Sequence[ObjectDirectory] = (),
        find_remotes: Callable[[], Sequence[ObjectDirectory]] = tuple,
    ) -> None:
        self.own = own
        self.cache = cache
        self.downloads = cache
        """The directory for downloads."""
        self.shortcuts: tuple[ObjectDirectory, ...] = ()
        """Directories that may replace a download from a store. They have objects that other repositories fetched, so an
        object in them is copied only if a store of this repository has it."""
        self._others = others
        self._find_remotes = find_remotes
        self._lasting = (own, *others)
        self._all = (*self._lasting, cache)

    def into_own(self) -> LocalObjects:
        """Return a view for downloads that make `own` complete: they go there, and objects in the cache count as missing."""
        view = LocalObjects(self.own, self.cache, self._others, lambda: self.remotes)
        view.downloads = self.own
        view.shortcuts = (self.cache,)
        view._all = (self.own, *self._others)
        return view

    @cached_property
    def remotes(self) -> Sequence[ObjectDirectory]:
        """The local stores of remotes on this machine, which may be unreadable, vanish or hold anything.

        Only `transfer.nearby` reads them. Objects that only they have do not count as local, nor as added here.
        """
        return self._find_remotes()

    def was_added(self, oid: Oid) -> bool:
        """Return whether the object was added in this repository or one of its alternates, and not only downloaded."""
        return any(directory.has(oid) for directory in self._lasting)

    def has(self, oid: Oid) -> bool:
        return any(directory.has(oid) for directory in self._all)

    def size(self, oid: Oid) -> int | None:
        """Return the size of the object in bytes, or None if no place has it."""
        return next((size for directory in self._all if (size := directory.size(oid)) is not None), None)

    def read(self, oid: Oid) -> bytes | None:
        """Return the verified contents of a small object from the first place that has it whole, or None."""
        return next((data for directory in self._all if (data := directory.read(oid)) is not None), None)

    def open(self, oid: Oid) -> BinaryIO | None:
        """Return a stream of the object's contents, or None. Contents of large objects are not verified."""
        return next((stream for directory in self._all if (stream := directory.open(oid)) is not None), None)

    def path(self, oid: Oid) -> Path | None:
        """Return the file with a large object, or None if no place has one. Its contents are not verified."""
        return next((path for directory in self._all if (path := directory.path(oid)) is not None), None)

    def data_path(self, oid: Oid) -> Path | None:
        """Return the file of a large object: its contents, or the list of its chunks; or None."""
        return next((path for directory in self._all if (path := directory.data_path(oid)) is not None), None)

    def small(self, most: int) -> Iterator[tuple[Oid, int]]:
        """Yield the small objects and their sizes of those places that have at most `most` of them."""
        return itertools.chain.from_iterable(directory.small(most) for directory in self._all)

    def delete_damaged(self, oid: Oid) -> bool:
        """Delete a large object that is damaged if it is in the cache, so that it can be fetched again.

        Return whether it was there. Raises OSError.
        """
        path = self.path(oid)
        if path is None or path != self.cache.path(oid):
            return False
        path.unlink(missing_ok=True)
        return True

    def reload(self) -> None:
        """Read again what other processes have added."""
        for directory in self._all:
            directory.reload()

    def close(self) -> None:
        for directory in (*self._all, *self.__dict__.get("remotes", ())):
            directory.close()


def belongs_to(path: Path, directory: Path) -> bool:
    """Return whether `path` below `directory` contains no symbolic link, or belongs to the owner of `directory`.

    A symbolic link in another user's directory must not make us copy a file that only we can read. Raises OSError.
    """
    if os.path.realpath(path) == os.path.join(os.path.realpath(directory), os.path.relpath(path, directory)):
        return True
    return os.stat(path).st_uid == os.stat(directory).st_uid

"""All the places of this machine where an object may be, asked in order: the local store, git's alternates, the cache."""

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
    """`own` is where new content goes, `cache` where downloads go, `others` are only read.

    `find_remotes` returns the local stores of remotes on this machine. It is called when something is to be downloaded.
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
        """Where downloads go."""
        self.shortcuts: tuple[ObjectDirectory, ...] = ()
        """Where the bytes of what a store has may be taken from instead. That one of them has an object is no reason to
        bring it here: other repositories fetched it."""
        self._others = others
        self._find_remotes = find_remotes
        self._lasting = (own, *others)
        self._all = (*self._lasting, cache)

    def into_own(self) -> LocalObjects:
        """Return a view of the same places for a download that is to make `own` complete: downloads go there, and the
        cache does not count as having an object."""
        view = LocalObjects(self.own, self.cache, self._others, lambda: self.remotes)
        view.downloads = self.own
        view.shortcuts = (self.cache,)
        view._all = (self.own, *self._others)
        return view

    @cached_property
    def remotes(self) -> Sequence[ObjectDirectory]:
        """The local stores of remotes on this machine. They may be unreadable, vanish or hold anything: only
        `transfer.nearby` reads them. What is only there does not count as being here, and was not added here."""
        return self._find_remotes()

    def was_added(self, oid: Oid) -> bool:
        """Return whether the object was added in this repository, or in one that it borrows from: it is here for more than
        that somebody downloaded it."""
        return any(directory.has(oid) for directory in self._lasting)

    def has(self, oid: Oid) -> bool:
        return any(directory.has(oid) for directory in self._all)

    def size(self, oid: Oid) -> int | None:
        """Return the object's size in bytes, or None when no place has it."""
        return next((size for directory in self._all if (size := directory.size(oid)) is not None), None)

    def read(self, oid: Oid) -> bytes | None:
        """Return a small object's verified contents from the first place that has them whole."""
        return next((data for directory in self._all if (data := directory.read(oid)) is not None), None)

    def open(self, oid: Oid) -> BinaryIO | None:
        """Return a stream of the object's contents; those of a large object are not verified."""
        return next((stream for directory in self._all if (stream := directory.open(oid)) is not None), None)

    def path(self, oid: Oid) -> Path | None:
        """Return the file of its own that a large object has somewhere; its contents are not verified."""
        return next((path for directory in self._all if (path := directory.path(oid)) is not None), None)

    def data_path(self, oid: Oid) -> Path | None:
        """Return the file by which a large object is somewhere: with its contents, or with the list of its chunks."""
        return next((path for directory in self._all if (path := directory.data_path(oid)) is not None), None)

    def small(self, most: int) -> Iterator[tuple[Oid, int]]:
        """Yield small objects and their sizes in bytes: those of the places that have no more than `most`."""
        return itertools.chain.from_iterable(directory.small(most) for directory in self._all)

    def drop_damaged(self, oid: Oid) -> bool:
        """Delete a large object that was read and is not what its name says, where it is the cache that has it: then it
        can be fetched again. Tell whether that was so."""
        path = self.path(oid)
        if path is None or path != self.cache.path(oid):
            return False
        path.unlink(missing_ok=True)
        return True

    def reload(self) -> None:
        """Look again at what other processes have added since."""
        for directory in self._all:
            directory.reload()

    def close(self) -> None:
        for directory in (*self._all, *self.__dict__.get("remotes", ())):
            directory.close()


def belongs_to(path: Path, directory: Path) -> bool:
    """Return whether what is at `path`, a place below `directory`, really is there, or belongs to the owner of `directory`.

    A symbolic link in somebody else's directory must not make us take what only we may read. Raises OSError.
    """
    if os.path.realpath(path) == os.path.join(os.path.realpath(directory), os.path.relpath(path, directory)):
        return True
    return os.stat(path).st_uid == os.stat(directory).st_uid

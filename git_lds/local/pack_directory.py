"""A directory of local packs, used as one collection of objects."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator, Sequence

from git_lds.fast_typing import TYPE_CHECKING
from git_lds.hashing import Oid
from git_lds.local.pack_file import MAGIC, Codec, Frame, LocalPack, index_reach

if TYPE_CHECKING:
    from pathlib import Path

    from git_lds.local.pack_appender import Appender


class PackDirectory:
    """The packs of one directory: all are read, one is appended to. For many threads."""

    def __init__(self, directory: Path, codec: Codec | None = None, *, lasting: bool = True) -> None:
        self._directory = directory
        self._codec = codec
        self._lasting = lasting
        self._packs: dict[str, LocalPack] | None = None
        self._appender: Appender | None = None
        self._damaged: set[Oid] = set()
        self._superseded: list[LocalPack] = []
        self._starts: dict[Path, int] = {}
        self._lock = threading.RLock()

    # reading

    def find(self, oid: Oid) -> Frame | None:
        """Return the frame of the object as of the first look-up or the last reload, or None."""
        if oid in self._damaged:
            return None
        appender = self._appender
        if appender is not None and (frame := appender.entries.get(oid)) is not None:
            return frame
        return next((frame for _, frame in self._frames(oid)), None)

    def read(self, oid: Oid) -> bytes | None:
        """Return the verified contents of the object, or None if it is missing or damaged."""
        with self._lock:
            if self._appender is not None and (frame := self._appender.entries.get(oid)):
                return self._appender.read(oid, frame)
        indexed = False
        for pack, frame in self._frames(oid):
            if (data := pack.read(oid, frame)) is not None:
                return data
            indexed = True
        if indexed:
            self._damaged.add(oid)
        return None

    def __iter__(self) -> Iterator[Oid]:
        """Yield the oid of every object here, once."""
        seen: set[Oid] = set()
        with self._lock:
            for pack in self._open_packs().values():
                seen.update(oid for oid, _ in pack)
            if self._appender is not None:
                seen.update(self._appender.entries)
        yield from seen

    def count(self) -> int:
        """Return how many objects there are at most: an object in two packs counts twice."""
        return sum(pack.count for pack in self._open_packs().values())

    def sizes(self) -> Iterator[tuple[Oid, int]]:
        """Yield the objects and their sizes in bytes, as of the last reload."""
        for pack in self._open_packs().values():
            for oid, frame in pack:
                yield oid, frame.length

    def reload(self) -> None:
        """Read again what other processes have added. No other thread may be reading."""
        with self._lock:
            packs, self._packs = self._packs, None
            for pack in (*(packs or {}).values(), *self._superseded):
                pack.close()
            self._superseded.clear()

    def reload_changed(self) -> bool:
        """Reload packs that are new or have grown; return whether there were any.

        Other threads may be reading: the packs that they read from stay open.
        """
        with self._lock:
            packs = self._open_packs()
            ours = self._appender.path.name if self._appender is not None else ""
            changed = {name for name in self._names() if name not in packs or packs[name].size != self._size(name)}
            changed.discard(ours)
            if changed:
                self._superseded += [pack for name, pack in packs.items() if name in changed]
                self._packs = {**packs, **self._opened(changed)}
            return bool(changed)

    # writing

    def put(self, oid: Oid, data: bytes | bytearray) -> None:
        """Store an object, whose `oid` the caller has verified. The operating system has it on return. Raises OSError."""
        self.put_all(((oid, data),))

    def put_all(self, objects: Sequence[tuple[Oid, bytes | bytearray]]) -> None:
        """Store many objects, as `put` does. Raises OSError."""
        with self._lock:
            new = {oid: data for oid, data in objects if self.read(oid) is None}
            self._damaged.difference_update(new)
            remaining = list(new.items())
            while remaining:
                if self._appender is None or self._appender.is_full:
                    self._appender = self._next_appender()
                self._starts.setdefault(self._appender.path, self._appender.end)
                del remaining[: self._appender.append(remaining)]

    def sync(self) -> None:
        """Sync everything that was added to the disk. Raises OSError."""
        with self._lock:
            if self._appender is not None:
                self._appender.sync()
            self._starts.clear()

    def sync_tails(self) -> None:
        """Sync what killed processes left after the indexes. No process may be appending. Raises OSError."""
        for pack in self._open_packs().values():
            if pack.size > pack.covered:
                fd = os.open(pack.path, os.O_RDWR | getattr(os, "O_BINARY", 0))
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)

    def roll_back(self) -> None:
        """Remove what was added since the last `sync` if it still ends a pack, because the disk is full."""
        with self._lock:
            appender, self._appender = self._appender, None
            self.reload()
            for path, start in self._starts.items():
                with contextlib.suppress(OSError):
                    if index_reach(path)[1] > start:
                        path.with_suffix(".idx").unlink(missing_ok=True)
                    if start > len(MAGIC):
                        os.truncate(path, start)
                    else:
                        path.unlink()
            self._starts.clear()
            if appender is not None:
                appender.abandon()  # only now: what another process appends must not be removed

    def close(self) -> None:
        """Sync and close the directory. Raises OSError."""
        with self._lock:
            try:
                self.sync()
            finally:
                if self._appender is not None:
                    appender, self._appender = self._appender, None
                    appender.close()
                self.reload()

    # inside

    def _frames(self, oid: Oid) -> Iterator[tuple[LocalPack, Frame]]:
        """Yield the frames of the object. There are several if the first was damaged and added again."""
        packs = self._packs
        if packs is None:
            packs = self._open_packs()
        for pack in packs.values():
            frame = pack.find(oid)
            if frame is not None:
                yield pack, frame

    def _open_packs(self) -> dict[str, LocalPack]:
        with self._lock:
            if self._packs is None:
                self._packs = self._opened(self._names())
            return self._packs

    def _opened(self, names: Iterable[str]) -> dict[str, LocalPack]:
        packs = {}
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                packs[name] = LocalPack(self._directory / name, self._codec)
        return packs

    def _names(self) -> list[str]:
        return [name for name in listed(os.fspath(self._directory)) if name.endswith(".pack")]

    def _size(self, name: str) -> int:
        try:
            return os.stat(os.path.join(self._directory, name)).st_size
        except FileNotFoundError:
            return -1

    def _next_appender(self) -> Appender:
        from git_lds.local.pack_appender import Appender  # `git status` appends nothing

        if self._appender is not None:
            done, self._appender = self._appender, None
            done.close()
            self._packs = {**self._open_packs(), done.path.name: LocalPack(done.path, self._codec)}
        for name in sorted(self._names()):
            if (appender := Appender.resume(self._directory / name, self._codec, lasting=self._lasting)) is not None:
                return appender
        return Appender.new(self._directory, self._codec, lasting=self._lasting)


def listed(directory: str) -> list[str]:
    """Return the names in a directory, or none if it does not exist."""
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []

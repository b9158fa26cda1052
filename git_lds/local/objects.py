"""A folder of objects: small ones in append-only packs, larger ones in files of their own.

    packs/<name>.pack, .idx        objects of at most 128 KiB
    objects/<2 hex>/<62 hex>       larger ones, so that a checkout can share their blocks
    tmp/                           what is being written; swept when a killed process left it

The local store of a repository and the user's cache are both such a folder. They differ in what may be deleted: from the
cache everything, from the local store nothing that is not proven to be elsewhere.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from git_lds import files
from git_lds.files import Scratch
from git_lds.hashing import Oid
from git_lds.local.pack import Appender, Frame, LocalPack

SMALL = 128 << 10
"""The largest object, in bytes, that goes to a pack. Also the largest chunk of a store, so such an object is one chunk.
10,000 files of 20 KB: one pack 4.4-4.8 s in `git add`, a file each 7-13 s, a filter that does nothing 4.4 s."""


class ObjectFolder:
    """An open folder of objects. Its methods may be called from many threads; many processes may use one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.swept = False
        self._files = os.path.join(root, "objects")
        self._packs: dict[str, LocalPack] | None = None
        self._appender: Appender | None = None
        self._unsynced: list[Path] = []
        self._damaged: set[Oid] = set()
        self._lock = threading.RLock()

    # reading

    def has(self, oid: Oid) -> bool:
        """Tell whether the object is here, as far as the folder was known when it was opened or last refreshed."""
        if oid in self._damaged:
            return False
        return self._in_appender(oid) or self._in_packs(oid) is not None or os.path.exists(self._file(oid))

    def size(self, oid: Oid) -> int | None:
        """Return the object's size in bytes, or None when it is not here."""
        with self._lock:
            if self._appender is not None and (frame := self._appender.entries.get(oid)):
                return frame.length
        if (found := self._in_packs(oid)) is not None:
            return found[1].length
        try:
            return os.stat(self._file(oid)).st_size
        except OSError:
            return None

    def read(self, oid: Oid) -> bytes | None:
        """Return the contents of a small object, verified; None when it is not in a pack here, or damaged there."""
        with self._lock:
            if self._appender is not None and (frame := self._appender.entries.get(oid)):
                return self._appender.read(frame)
        indexed = False
        for pack, frame in self._frames(oid):
            if (data := pack.read(oid, frame)) is not None:
                return data
            indexed = True
        if indexed:
            self._damaged.add(oid)
        return None

    def path(self, oid: Oid) -> Path | None:
        """Return the file of its own that a large object has here, or None. Its contents are not verified."""
        path = self._file(oid)
        return Path(path) if os.path.exists(path) else None

    def open(self, oid: Oid) -> BinaryIO | None:
        """Return a stream of the object's contents, or None when it is not here. Only small objects are verified."""
        if (data := self.read(oid)) is not None:
            return io.BytesIO(data)
        try:
            return open(self._file(oid), "rb")
        except OSError:
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
        for folder in _listed(self._files):
            for name in _listed(os.path.join(self._files, folder)):
                with contextlib.suppress(ValueError):
                    oid = Oid(bytes.fromhex(folder + name))
                    if len(oid) == 32 and oid not in seen:
                        yield oid

    def refresh(self) -> None:
        """Look again at what other processes have added since."""
        with self._lock:
            packs, self._packs = self._packs, None
            for pack in (packs or {}).values():
                pack.close()

    # writing

    def put(self, oid: Oid, data: bytes | bytearray) -> None:
        """Keep a small object. Its bytes are with the operating system when this returns; the caller vouches for `oid`."""
        with self._lock:
            if self.read(oid) is not None:
                return
            self._damaged.discard(oid)
            if self._appender is None or self._appender.is_full:
                self._appender = self._next_appender()
            self._appender.append(oid, data)

    def scratch(self) -> Scratch:
        """Return a new file on the same file system, for the contents of a large object."""
        return Scratch(self._tmp())

    def adopt(self, oid: Oid, scratch: Scratch) -> None:
        """Keep a large object whose contents `scratch` holds; the caller has verified that they hash to `oid`.

        They replace what has the name: a crash of the machine can leave one with nothing in it, a bad disk with anything.
        """
        path = Path(self._file(oid))
        scratch.move_to(path, sync=False)
        with self._lock:
            self._unsynced.append(path)

    def sync(self) -> None:
        """Put everything that was added onto the disk."""
        with self._lock:
            if self._appender is not None:
                self._appender.sync()
            folders = set()
            while self._unsynced:
                path = self._unsynced.pop()
                with contextlib.suppress(FileNotFoundError):
                    fd = os.open(path, os.O_RDONLY)
                    try:
                        os.fsync(fd)
                    finally:
                        os.close(fd)
                    folders.add(path.parent)
            for folder in folders:
                files.sync_folder(folder)

    def close(self) -> None:
        """Sync, and let go of the folder."""
        with self._lock:
            self.sync()
            if self._appender is not None:
                appender, self._appender = self._appender, None
                appender.close()
            self.refresh()

    # inside

    def _tmp(self) -> Path:
        folder = self.root / "tmp"
        if not self.swept:
            self.swept = True
            files.sweep(folder)
        return folder

    def _file(self, oid: Oid) -> str:
        name = oid.hex()
        return f"{self._files}/{name[:2]}/{name[2:]}"

    def _in_appender(self, oid: Oid) -> bool:
        appender = self._appender
        return appender is not None and oid in appender.entries

    def _in_packs(self, oid: Oid) -> tuple[LocalPack, Frame] | None:
        return next(self._frames(oid), None)

    def _frames(self, oid: Oid) -> Iterator[tuple[LocalPack, Frame]]:
        """Yield where packs have the object. More than one does when the first was found damaged."""
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
                found = {}
                for name in _listed(os.path.join(self.root, "packs")):
                    if name.endswith(".pack"):
                        with contextlib.suppress(FileNotFoundError):
                            found[name] = LocalPack(self.root / "packs" / name)
                self._packs = found
            return self._packs

    def _next_appender(self) -> Appender:
        if self._appender is not None:
            done, self._appender = self._appender, None
            done.close()
            self._packs = {**self._open_packs(), done.path.name: LocalPack(done.path)}
        folder = self.root / "packs"
        folder.mkdir(parents=True, exist_ok=True)
        if files.HAS_LOCKS:  # without locks of files each process starts a pack of its own
            for name in sorted(_listed(os.fspath(folder))):
                if name.endswith(".pack") and (appender := Appender.resume(folder / name)) is not None:
                    return appender
        return Appender.new(folder)


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []

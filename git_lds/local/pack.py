"""Local packs: append-only files of self-describing frames, and beside each an index of what it holds.

    <name>.pack   magic "LDSLOCL1", then frames: {magic "LDSo", codec, 3 zero bytes, stored, length, oid} + stored bytes
    <name>.idx    magic "LDSLIDX1", covered, count, then `count` entries sorted by oid: {oid, offset, stored, length}

All integers are little-endian. One process appends at a time, which owns the pack for that time (see `locks`): another one
takes another pack. The index is written when it ends and says up to which byte of the pack it speaks (`covered`); what lies
behind that was left by a process that was killed or is still at work, and is found again by walking the frames.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import struct
import sys
import threading
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from git_lds import files, hashing, locks, sharing
from git_lds.errors import CorruptData
from git_lds.hashing import Oid
from git_lds.typed import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = b"LDSLOCL1"
FRAME_MAGIC = b"LDSo"
_FRAME = struct.Struct("<4sB3xII32s")
_INDEX_MAGIC = b"LDSLIDX1"
_INDEX_HEADER = struct.Struct("<8sQQ")
_ENTRY = struct.Struct("<32sQII")
_ENTRY_TAIL = struct.Struct("<QII")
_RAW = 0
_ZSTD = 1

_FEW = 64
"""So many look-ups in a pack read no more of its index than they need, for it may be one of hundreds."""

_MOST_COMPRESSED = 128 << 10
"""The most bytes that a compressed frame holds: a damaged length must not make the reader ask for more memory."""

FULL = 256 << 20
"""A pack of this many bytes gets no more frames; packs stay few (a look-up asks each) and a rewrite stays bounded."""

_MOST_FRAMES = 512
"""Frames in one writev: it takes 1,024 buffers (IOV_MAX of limits.h)."""

_TRIES = 100

FULL_COUNT = 1 << 15
"""A pack of this many objects gets no more either: its index (1.5 MiB) is rewritten by each process that appends."""


class Frame(NamedTuple):
    """Where an object's bytes are in a pack: `offset` of its first stored byte, how many, and the object's size."""

    offset: int
    stored: int
    length: int


class Codec(Protocol):
    """How the frames of a pack are compressed; a pack without a codec has none that are."""

    def compress(self, data: bytes | bytearray, /) -> bytes | None:
        """Return `data` in fewer bytes, or None where that saves too little."""

    def decompress(self, stored: bytes, length: int, /) -> bytes:
        """Return the `length` bytes that `stored` stands for. Raises CorruptData."""


def _contents(fd: int, oid: Oid, frame: Frame, codec: Codec | None) -> bytes | None:
    """Return what a frame of the pack `fd` holds, or None when that is not what the oid says."""
    offset, stored, length = frame
    is_raw = stored == length
    if not is_raw and (codec is None or not stored < length <= _MOST_COMPRESSED):
        return None  # the index is damaged
    if offset + stored > os.fstat(fd).st_size:
        return None
    data = files.read_at(fd, stored, offset)
    if not is_raw and codec is not None:
        try:
            data = codec.decompress(data, length)
        except CorruptData:
            return None
    return data if len(data) == length and hashing.of_bytes(data) == oid else None


class LocalPack:
    """An open pack for reading: its index mapped, the frames behind the index walked."""

    def __init__(self, path: Path, codec: Codec | None = None) -> None:
        self.path = path
        self._codec = codec
        self.fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._map: mmap.mmap | None = None
        self._count = 0
        self._asked = 0
        self.covered = len(MAGIC)
        self._load_index()
        self._tail: dict[Oid, Frame] = {}
        self.size = os.fstat(self.fd).st_size
        if self.size > self.covered:
            self._tail = dict(walk(self.fd, self.covered, self.size, codec))

    def _load_index(self) -> None:
        try:
            fd = os.open(self.path.with_suffix(".idx"), os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except FileNotFoundError:
            return
        try:
            size = os.fstat(fd).st_size
            if size < _INDEX_HEADER.size:
                return
            mapped = mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
        finally:
            os.close(fd)
        magic, covered, count = _INDEX_HEADER.unpack_from(mapped)
        if magic == _INDEX_MAGIC and size == _INDEX_HEADER.size + count * _ENTRY.size:
            self._map, self._count, self.covered = mapped, count, covered

    def find(self, oid: Oid) -> Frame | None:
        """Return where the object is in this pack, or None."""
        if (frame := self._tail.get(oid)) is not None:
            return frame
        mapped = self._map
        if mapped is None:
            return None
        self._asked += 1
        if self._asked < _FEW:
            at = bisect_left(range(self._count), oid, key=self._oid_at)
        else:
            at = bisect_left(self._starts, start := int.from_bytes(oid[:8], "big"))
            while at < self._count and self._starts[at] == start and self._oid_at(at) < oid:
                at += 1
        if at == self._count or self._oid_at(at) != oid:
            return None
        return Frame(*_ENTRY_TAIL.unpack_from(mapped, _INDEX_HEADER.size + at * _ENTRY.size + 32))

    def _oid_at(self, number: int) -> Oid:
        assert self._map is not None
        at = _INDEX_HEADER.size + number * _ENTRY.size
        return Oid(self._map[at : at + 32])

    @cached_property
    def _starts(self) -> array[int]:
        """How the oids in the index begin, 8 bytes each as a number: of 32,768 made in 1 ms, and a look-up is 2 µs, not 5."""
        starts = array("Q")
        if self._map is not None:
            with memoryview(self._map) as view, view.cast("Q") as words:
                starts.extend(words[_INDEX_HEADER.size // 8 :: _ENTRY.size // 8])
        if sys.byteorder == "little":
            starts.byteswap()
        return starts

    def read(self, oid: Oid, frame: Frame) -> bytes | None:
        """Return the object's bytes, or None when they are not what the oid says."""
        return _contents(self.fd, oid, frame, self._codec)

    @property
    def count(self) -> int:
        """How many objects it has."""
        return self._count + len(self._tail)

    def __iter__(self) -> Iterator[tuple[Oid, Frame]]:
        for number in range(self._count):
            assert self._map is not None
            oid, *where = _ENTRY.unpack_from(self._map, _INDEX_HEADER.size + number * _ENTRY.size)
            yield Oid(oid), Frame(*where)
        yield from self._tail.items()

    def close(self) -> None:
        if self._map is not None:
            self._map.close()
            self._map = None
            self._count = 0
        os.close(self.fd)


def walk(fd: int, start: int, end: int, codec: Codec | None = None) -> Iterator[tuple[Oid, Frame]]:
    """Yield the frames between two offsets of a pack that hold what their oid says, in order.

    All else is skipped to the next frame's magic. A torn frame, as a kill leaves it, may be followed by whole ones that
    stand inside the length that it claims.
    """
    at = start
    while at + _FRAME.size <= end:
        magic, kind, stored, length, oid = _FRAME.unpack(files.read_at(fd, _FRAME.size, at))
        frame = Frame(at + _FRAME.size, stored, length)
        body = frame.offset
        fits = magic == FRAME_MAGIC and kind == (_RAW if stored == length else _ZSTD) and body + stored <= end
        if fits and _contents(fd, Oid(oid), frame, codec) is not None:
            yield Oid(oid), frame
            at = body + stored
        else:
            at = _next_magic(fd, at + 1, end)


def _next_magic(fd: int, start: int, end: int) -> int:
    at = start
    while at < end:
        block = files.read_at(fd, min(files.COPY_SIZE, end - at), at)
        if not block:
            break
        found = block.find(FRAME_MAGIC)
        if found >= 0:
            return at + found
        at += max(1, len(block) - len(FRAME_MAGIC) + 1)
    return end


def _index_reach(path: Path) -> tuple[int, int]:
    """Return how many entries a pack's index has and up to which byte of the pack it speaks."""
    with contextlib.suppress(OSError, struct.error), open(path.with_suffix(".idx"), "rb") as index:
        magic, covered, count = _INDEX_HEADER.unpack(index.read(_INDEX_HEADER.size))
        if magic == _INDEX_MAGIC and os.fstat(index.fileno()).st_size == _INDEX_HEADER.size + count * _ENTRY.size:
            return count, covered
    return 0, len(MAGIC)


def _index_entries(path: Path) -> list[bytes]:
    """Return the entries of a pack's index as they stand there, each of 48 bytes; none where there is no whole index."""
    count, _ = _index_reach(path)
    if not count:
        return []
    body = path.with_suffix(".idx").read_bytes()[_INDEX_HEADER.size :]
    return [body[at : at + _ENTRY.size] for at in range(0, len(body), _ENTRY.size)]


class Appender:
    """The one process that appends to a pack, from taking its lock to writing its index."""

    def __init__(self, path: Path, fd: int, codec: Codec | None = None, *, lasting: bool = True) -> None:
        self.path = path
        self._fd = fd
        self._codec = codec
        self._lasting = lasting
        self.end = os.fstat(fd).st_size
        self.entries: dict[Oid, Frame] = {}
        self.is_full = False
        self._before = 0
        self._dirty = False
        self._unsynced = False

    @classmethod
    def new(cls, folder: Path, codec: Codec | None = None, *, lasting: bool = True) -> Appender:
        """Start a new pack."""
        for _ in range(_TRIES):
            sharing.make_folder(folder)
            path = folder / f"{os.urandom(8).hex()}.pack"
            try:
                fd = sharing.create(path, os.O_RDWR | os.O_APPEND)
            except FileNotFoundError:
                continue  # the folder has just been deleted
            # another process may have found it and own it by now
            if (appender := cls._owning(path, fd, codec, lasting=lasting)) is not None:
                return appender
        raise OSError(errno.EBUSY, "other processes take each new pack", os.fspath(folder))

    @classmethod
    def resume(cls, path: Path, codec: Codec | None = None, *, lasting: bool = True) -> Appender | None:
        """Go on with a pack that another process left, indexing what a kill left unindexed.

        None when the pack is in use, or full with nothing left to index.
        """
        try:
            fd = os.open(path, os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0))
        except OSError:
            return None
        count, covered = _index_reach(path)
        size = os.fstat(fd).st_size
        if (size >= FULL or count >= FULL_COUNT) and covered >= size:
            os.close(fd)
            return None
        appender = cls._owning(path, fd, codec, lasting=lasting)
        if appender is not None and appender.is_full:
            appender.close()
            return None
        return appender

    @classmethod
    def _owning(cls, path: Path, fd: int, codec: Codec | None, *, lasting: bool) -> Appender | None:
        """Return the appender of an open pack, None when another process is that."""
        with contextlib.ExitStack() as opened:
            opened.callback(os.close, fd)
            if not locks.own(fd, path):
                return None
            opened.callback(locks.disown, path)
            appender = cls(path, fd, codec, lasting=lasting)
            appender._begin()
            opened.pop_all()
            return appender

    def _begin(self) -> None:
        """Write the magic where it is not there yet, as the pack is new or who made it got no further; index what is not."""
        if self.end < len(MAGIC):
            os.ftruncate(self._fd, 0)
            files.write_all(self._fd, MAGIC)
            self.end = len(MAGIC)
        self._before, covered = _index_reach(self.path)
        self.is_full = self.end >= FULL or self._before >= FULL_COUNT
        if covered < self.end:
            self._recover(covered)

    def _recover(self, covered: int) -> None:
        """Index the frames behind the index. A torn one is passed over for good."""
        self.entries.update(walk(self._fd, covered, self.end, self._codec))
        self._dirty = self._unsynced = True

    def append(self, objects: Sequence[tuple[Oid, bytes | bytearray]]) -> int:
        """Hand the frames of objects to the operating system, in one call; return how many of them the pack had room for.

        A frame that did not go in whole leaves the pack unusable.
        """
        parts: list[bytes | bytearray] = []
        entries: dict[Oid, Frame] = {}
        end = self.end
        for oid, data in objects[:_MOST_FRAMES]:
            smaller = self._codec.compress(data) if self._codec is not None else None
            body, kind = (data, _RAW) if smaller is None else (smaller, _ZSTD)
            parts += (_FRAME.pack(FRAME_MAGIC, kind, len(body), len(data), oid), body)
            entries[oid] = Frame(end + _FRAME.size, len(body), len(data))
            end += _FRAME.size + len(body)
            self.is_full = end >= FULL or self._before + len(self.entries) + len(entries) >= FULL_COUNT
            if self.is_full:
                break
        self._dirty = True
        try:
            written = os.writev(self._fd, parts) if hasattr(os, "writev") else 0
            if written < end - self.end:
                files.write_all(self._fd, b"".join(parts)[written:])
        except OSError:
            self.is_full = True
            raise
        self.entries.update(entries)
        self.end = end
        self._unsynced = True
        return len(entries)

    def read(self, oid: Oid, frame: Frame) -> bytes | None:
        """Return the bytes of a frame appended earlier, or None when they are not what the oid says."""
        return _contents(self._fd, oid, frame, self._codec)

    def sync(self) -> None:
        """Put what was appended onto the disk: one fsync however many objects there were."""
        if self._unsynced and self._lasting:
            os.fsync(self._fd)
        self._unsynced = False

    def close(self) -> None:
        """Sync, write the index, let go of the pack."""
        try:
            if self._dirty:
                self.sync()
                entries = {entry[:32]: entry for entry in _index_entries(self.path)}
                # what was there and is added again was damaged
                entries |= {oid: _ENTRY.pack(oid, f.offset, f.stored, f.length) for oid, f in self.entries.items()}
                header = _INDEX_HEADER.pack(_INDEX_MAGIC, os.fstat(self._fd).st_size, len(entries))
                index = header + b"".join(sorted(entries.values()))
                files.replace_with(self.path.with_suffix(".idx"), index, sync=self._lasting)
                self._dirty = False
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go of the pack, with the index as it was before."""
        locks.disown(self.path)
        os.close(self._fd)


class PackFolder:
    """The packs of one folder: all are read, one is appended to. Its methods may be called from many threads."""

    def __init__(self, folder: Path, codec: Codec | None = None, *, lasting: bool = True) -> None:
        self._folder = folder
        self._codec = codec
        self._lasting = lasting
        self._packs: dict[str, LocalPack] | None = None
        self._appender: Appender | None = None
        self._damaged: set[Oid] = set()
        self._retired: list[LocalPack] = []
        self._starts: dict[Path, int] = {}
        self._lock = threading.RLock()

    # reading

    def find(self, oid: Oid) -> Frame | None:
        """Return where the object is, as far as the folder was known when it was first asked or last refreshed."""
        if oid in self._damaged:
            return None
        appender = self._appender
        if appender is not None and (frame := appender.entries.get(oid)) is not None:
            return frame
        return next((frame for _, frame in self._frames(oid)), None)

    def read(self, oid: Oid) -> bytes | None:
        """Return the object's contents, verified; None when it is not here, or damaged."""
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
        """Return how many objects there are at most: one that is in two packs counts twice."""
        return sum(pack.count for pack in self._open_packs().values())

    def sizes(self) -> Iterator[tuple[Oid, int]]:
        """Yield the objects of the packs that were here when the folder was read, and their sizes in bytes."""
        for pack in self._open_packs().values():
            for oid, frame in pack:
                yield oid, frame.length

    def refresh(self) -> None:
        """Look again at what other processes have added since. No other thread may be reading."""
        with self._lock:
            packs, self._packs = self._packs, None
            for pack in (*(packs or {}).values(), *self._retired):
                pack.close()
            self._retired.clear()

    def look_again(self) -> bool:
        """Take in the packs that grew or came since the folder was read; tell whether there were any. Others may be
        reading meanwhile: what they read from stays open."""
        with self._lock:
            packs = self._open_packs()
            ours = self._appender.path.name if self._appender is not None else ""
            changed = {name for name in self._names() if name not in packs or packs[name].size != self._size(name)}
            changed.discard(ours)
            if changed:
                self._retired += [pack for name, pack in packs.items() if name in changed]
                self._packs = {**packs, **self._opened(changed)}
            return bool(changed)

    # writing

    def put(self, oid: Oid, data: bytes | bytearray) -> None:
        """Keep an object. Its bytes are with the operating system when this returns; the caller vouches for `oid`."""
        self.put_all(((oid, data),))

    def put_all(self, objects: Sequence[tuple[Oid, bytes | bytearray]]) -> None:
        """Keep many objects, as `put` does one."""
        with self._lock:
            new = {oid: data for oid, data in objects if self.read(oid) is None}
            self._damaged.difference_update(new)
            left = list(new.items())
            while left:
                if self._appender is None or self._appender.is_full:
                    self._appender = self._next_appender()
                self._starts.setdefault(self._appender.path, self._appender.end)
                del left[: self._appender.append(left)]

    def sync(self) -> None:
        """Put everything that was added onto the disk."""
        with self._lock:
            if self._appender is not None:
                self._appender.sync()
            self._starts.clear()

    def sync_tails(self) -> None:
        """Put onto the disk what processes that were killed have left behind the indexes. None may be appending."""
        for pack in self._open_packs().values():
            if pack.size > pack.covered:
                fd = os.open(pack.path, os.O_RDWR | getattr(os, "O_BINARY", 0))
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)

    def give_back(self) -> None:
        """Take out what was put since the last `sync`, as far as it still is the end of a pack: the disk is full."""
        with self._lock:
            appender, self._appender = self._appender, None
            self.refresh()
            for path, start in self._starts.items():
                with contextlib.suppress(OSError):
                    if _index_reach(path)[1] > start:
                        path.with_suffix(".idx").unlink(missing_ok=True)
                    if start > len(MAGIC):
                        os.truncate(path, start)
                    else:
                        path.unlink()
            self._starts.clear()
            if appender is not None:
                appender.abandon()  # only now: what another process appends must not be taken out with it

    def close(self) -> None:
        """Sync, and let go of the folder."""
        with self._lock:
            try:
                self.sync()
            finally:
                if self._appender is not None:
                    appender, self._appender = self._appender, None
                    appender.close()
                self.refresh()

    # inside

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
                self._packs = self._opened(self._names())
            return self._packs

    def _opened(self, names: Iterable[str]) -> dict[str, LocalPack]:
        found = {}
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                found[name] = LocalPack(self._folder / name, self._codec)
        return found

    def _names(self) -> list[str]:
        return [name for name in listed(os.fspath(self._folder)) if name.endswith(".pack")]

    def _size(self, name: str) -> int:
        try:
            return os.stat(os.path.join(self._folder, name)).st_size
        except FileNotFoundError:
            return -1

    def _next_appender(self) -> Appender:
        if self._appender is not None:
            done, self._appender = self._appender, None
            done.close()
            self._packs = {**self._open_packs(), done.path.name: LocalPack(done.path, self._codec)}
        for name in sorted(self._names()):
            if (appender := Appender.resume(self._folder / name, self._codec, lasting=self._lasting)) is not None:
                return appender
        return Appender.new(self._folder, self._codec, lasting=self._lasting)


def listed(folder: str) -> list[str]:
    """Return the names in a folder, none where there is no such folder."""
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []

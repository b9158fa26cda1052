"""Refreshes stat data in git's index file, for files that were written behind git's back with the contents git expects.

Only the 40 bytes of stat data of an entry are changed, under `index.lock` as git does it. The format is that of git's
Documentation/gitformat-index, versions 2, 3 and 4. An index in another format stays unchanged: git then reads the files
again, which is slow once and never wrong.
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
from collections.abc import Callable
from enum import Enum

from git_lds import files
from git_lds.fast_typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

_STAT = struct.Struct(">10I")
_NOT_OURS = {b"link"}
"""Extensions by which the index is not one list of files: a split index is two."""


class Refreshed(Enum):
    """The outcome of a `refresh`. In all cases but DONE nothing was changed."""

    DONE = "done"
    LOCKED = "another process holds index.lock, or it cannot be created"
    NOT_OURS = "no index, or one in a format that we do not preserve"


class Forget(Enum):
    """The one value FORGET, instead of stat data: git must read the file before it trusts the entry again."""

    FORGET = "forget"


FORGET = Forget.FORGET


class IndexRecord(NamedTuple):
    """One entry: its path, the id of its blob, the time stamp git recorded, and the offset of its stat data.

    `stage` is 0, or 1 to 3 in a conflict; `flags` are the extended ones; `recorded` is the stat data.
    """

    path: bytes
    blob: bytes
    mtime_ns: int
    size: int
    at: int
    mode: int
    stage: int
    flags: int
    recorded: bytes

    @property
    def is_skipped(self) -> bool:
        """Whether the working tree has no file at the path on purpose (sparse checkout)."""
        return bool(self.flags & 0x4000)

    @property
    def is_intent_to_add(self) -> bool:
        """Whether `git add --intent-to-add` made the entry."""
        return bool(self.flags & 0x2000)

    def is_clean(self, info: os.stat_result) -> bool:
        """Return whether a file is surely the one that git recorded.

        False where git itself has to compare. git ignores the device too.
        """
        if self.is_intent_to_add or self.mode not in (0o100644, 0o100755, 0o120000):
            return False
        if not self.size and self.blob != _EMPTY.get(len(self.blob)):
            return False  # git does not know the file
        if stat.S_ISLNK(info.st_mode) != (self.mode == 0o120000):
            return False
        new, old = stat_data(info), self.recorded
        same_mode = self.mode == 0o120000 or (stat.S_ISREG(info.st_mode) and new[24:28] == old[24:28])
        return same_mode and new[:16] == old[:16] and new[20:24] == old[20:24] and new[28:] == old[28:]


_EMPTY = {
    20: bytes.fromhex("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
    32: bytes.fromhex("473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813"),
}
"""The id of the blob without contents, by the size of ids."""


def stat_data(info: os.stat_result) -> bytes:
    """Return the 40 bytes that git records of a file: times, device, inode, mode, owner, size, each cut to 32 bits."""
    mode = 0o100755 if info.st_mode & 0o100 else 0o100644
    fields = (
        info.st_ctime_ns // 10**9,
        info.st_ctime_ns % 10**9,
        info.st_mtime_ns // 10**9,
        info.st_mtime_ns % 10**9,
        info.st_dev,
        info.st_ino,
        mode,
        info.st_uid,
        info.st_gid,
        info.st_size,
    )
    return _STAT.pack(*(value & 0xFFFFFFFF for value in fields))


Renew = Callable[[IndexRecord], os.stat_result | Forget | None]


def refresh(index: Path, renew: Renew) -> Refreshed:
    """Rewrite the index with the stat result that `renew` returns for each entry (None: unchanged).

    `renew` is called while index.lock is held, so git cannot change the index meanwhile.
    """
    index = index.resolve()  # as git does: a symbolic link to an index stays one
    lock = index.with_name(index.name + ".lock")
    try:
        fd = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    except OSError:
        return Refreshed.LOCKED
    try:
        data = _renewed(index.read_bytes(), renew)
        if data:
            before = index.stat()
            files.write_all(fd, data)
            if hasattr(os, "fchmod"):
                os.fchmod(fd, before.st_mode & 0o777)
            # git distrusts entries as young as the index, and must keep distrusting those that we did not renew
            os.utime(lock, ns=(before.st_atime_ns, before.st_mtime_ns))
            os.replace(lock, index)
        else:
            os.unlink(lock)
        return Refreshed.NOT_OURS if data is None else Refreshed.DONE
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(lock)
        if isinstance(error, OSError):
            return Refreshed.NOT_OURS
        raise
    finally:
        os.close(fd)


def _renewed(old: bytes, renew: Renew) -> bytes | None:
    """Return the index with renewed stat data, b"" if nothing changed, or None if we must not rewrite it."""
    data = bytearray(old)
    try:
        hash_size = _hash_size(data)
        found, end = parse(data, hash_size)
        if _NOT_OURS.intersection(_extensions(data, end, len(data) - hash_size)):
            return None
    except (struct.error, IndexError, ValueError):
        return None
    changed = False
    for entry in found:
        info = renew(entry) if entry.stage == 0 else None
        if info is None:
            continue
        changed = True
        if info is FORGET:
            # git itself records a size of 0 for a blob that is not empty if it does not know the state of the file
            data[entry.at + 36 : entry.at + 40] = bytes(4)
        else:
            new = stat_data(info)
            # the mode that git recorded stays (core.fileMode)
            data[entry.at : entry.at + 24] = new[:24]
            data[entry.at + 28 : entry.at + 40] = new[28:]
    if changed and any(data[-hash_size:]):  # index.skipHash leaves zeros
        data[-hash_size:] = _hash(data[:-hash_size], hash_size)
    return bytes(data) if changed else b""


def _hash(data: bytes | bytearray, size: int) -> bytes:
    import hashlib  # late: it takes 3 ms, and a filter that only cleans does not need it

    return (hashlib.sha1(data, usedforsecurity=False) if size == 20 else hashlib.sha256(data)).digest()


def _hash_size(data: bytearray) -> int:
    """Return the size of the checksum at the end of an index, 20 or 32 bytes. Raises ValueError if it does not match."""
    if data[:4] == b"DIRC" and len(data) >= 32:
        for size in (20, 32):
            if bytes(data[-size:]) == _hash(data[:-size], size):
                return size
        if not any(data[-32:]):
            return 32
        if not any(data[-20:]):
            return 20
    raise ValueError("not an index, or a damaged one")


def _extensions(data: bytearray, at: int, end: int) -> list[bytes]:
    names = []
    while at + 8 <= end:
        names.append(bytes(data[at : at + 4]))
        at += 8 + int.from_bytes(data[at + 4 : at + 8], "big")
    if at != end:
        raise ValueError("the extensions do not end where the index does")
    return names


def read(index: Path) -> list[IndexRecord]:
    """Return the entries at stage 0 of an index file; none if it cannot be read."""
    try:
        data = bytearray(index.read_bytes())
        return [entry for entry in parse(data, _hash_size(data))[0] if entry.stage == 0]
    except (OSError, struct.error, IndexError, ValueError):
        return []


def read_whole(index: Path) -> list[IndexRecord] | None:
    """Return all entries of an index file, those in conflict too; none if it does not exist.

    Return None for an index that only git can read: a split or sparse one, and one in a format that is not known.
    """
    try:
        data = bytearray(index.read_bytes())
        hash_size = _hash_size(data)
        entries, end = parse(data, hash_size)
        extensions = _extensions(data, end, len(data) - hash_size)
    except FileNotFoundError:
        return []
    except (OSError, struct.error, IndexError, ValueError):
        return None
    # git ignores an extension whose name begins with an upper case letter if it does not know it
    return entries if all(name[:1].isupper() for name in extensions) else None


def parse(data: bytearray, hash_size: int) -> tuple[list[IndexRecord], int]:
    """Return the entries and the offset behind the last one. Raises struct.error, IndexError, ValueError."""
    version, count = struct.unpack_from(">II", data, 4)
    if version not in (2, 3, 4):
        raise ValueError("unknown version of the index")
    found: list[IndexRecord] = []
    at, path = 12, b""
    for _ in range(count):
        start = at
        stat_fields = _STAT.unpack_from(data, at)
        blob = bytes(data[at + 40 : at + 40 + hash_size])
        at += 40 + hash_size
        (flags,) = struct.unpack_from(">H", data, at)
        extended = 0
        if flags & 0x4000:
            (extended,) = struct.unpack_from(">H", data, at + 2)
            at += 2
        at += 2
        if version == 4:
            strip, at = _varint(data, at)
            end = data.index(b"\0", at)
            path = path[: len(path) - strip] + bytes(data[at:end])
            at = end + 1
        else:
            end = data.index(b"\0", at)
            path = bytes(data[at:end])
            at = start + (end - start + 8) // 8 * 8
        mtime = stat_fields[2] * 10**9 + stat_fields[3]
        recorded = bytes(data[start : start + 40])
        mode, size = stat_fields[6], stat_fields[9]
        found.append(IndexRecord(path, blob, mtime, size, start, mode, flags >> 12 & 3, extended, recorded))
    return found, at


def _varint(data: bytearray, at: int) -> tuple[int, int]:
    """Return the number in git's offset encoding (as in ofs-delta) at `at`, and the offset after it."""
    value = data[at] & 0x7F
    while data[at] & 0x80:
        at += 1
        value = ((value + 1) << 7) | (data[at] & 0x7F)
    return value, at + 1

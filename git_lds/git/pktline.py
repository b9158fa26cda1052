"""git's pkt-line: length-prefixed packets on a pipe (gitprotocol-common), the format of long-running filters."""

from __future__ import annotations

import binascii
import contextlib
import os
import sys
from collections.abc import Iterator

from git_lds import files

if sys.platform != "win32":
    import fcntl

MAX_DATA = 65516
"""The most data bytes that git allows in one packet (LARGE_PACKET_DATA_MAX)."""

FLUSH = b"0000"
_ROOM = 1 << 20
"""Bytes that are read at once. Linux lets pipes of unprivileged users hold that much."""


class PktLineError(Exception):
    """The other side violated the protocol, or closed the pipe in the middle of a packet."""


class PktReader:
    """Reads packets from a file descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._buffer = memoryview(bytearray(_ROOM))
        self._at = self._end = 0
        _widen(fd)

    def read(self) -> bytes | None:
        """Return the data of the next packet, or None for a flush packet.

        Raises EOFError if the pipe was closed between packets, and PktLineError for a violation of the protocol.
        """
        at = self._at
        if self._end - at < 4 and (at := self._have(4)) < 0:
            if self._at < self._end:
                raise PktLineError("the pipe closed inside a packet")
            raise EOFError
        try:
            length = int.from_bytes(binascii.unhexlify(self._buffer[at : at + 4]), "big")
        except ValueError:
            raise PktLineError("a packet does not start with its length") from None
        if length == 0:
            self._at = at + 4
            return None
        if not 4 <= length <= MAX_DATA + 4:
            raise PktLineError("a packet has an impossible length")
        if self._end - at < length and (at := self._have(length)) < 0:
            raise PktLineError("the pipe closed inside a packet")
        self._at = at + length
        return bytes(self._buffer[at + 4 : at + length])

    def lines(self) -> list[bytes]:
        """Return the text packets up to the next flush, each without its newline. Raises as `read` does."""
        return [line.removesuffix(b"\n") for line in self.contents()]

    def contents(self) -> Iterator[bytes]:
        """Yield the data of the packets up to the next flush. Raises as `read` does."""
        while (data := self.read()) is not None:
            yield data

    def _have(self, count: int) -> int:
        """Return the position in the buffer of the next `count` bytes, read now if needed; -1 if the pipe ends before."""
        while self._end - self._at < count:
            if self._at + count > _ROOM or self._at == self._end:
                held = self._end - self._at
                self._buffer[:held] = self._buffer[self._at : self._end]
                self._at, self._end = 0, held
            came = _read_into(self._fd, self._buffer[self._end :])
            if not came:
                return -1
            self._end += came
        return self._at


def _widen(fd: int) -> None:
    """Let the pipe hold more than 64 KiB: while we write one part of a large file, git continues with the next."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # it is not a pipe, or the user has many of them
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _ROOM)


def _read_into(fd: int, room: memoryview) -> int:
    if hasattr(os, "readv"):
        return os.readv(fd, [room])
    data = os.read(fd, len(room))
    room[: len(data)] = data
    return len(data)


def line(text: bytes) -> bytes:
    """Return one text packet."""
    return b"%04x%s\n" % (len(text) + 5, text)


def packets(data: bytes | bytearray | memoryview) -> Iterator[bytes | memoryview]:
    """Yield `data` as packets, without a flush at the end."""
    view = memoryview(data)
    for at in range(0, len(view), MAX_DATA):
        part = view[at : at + MAX_DATA]
        yield b"%04x" % (len(part) + 4)
        yield part


class PktWriter:
    """Writes packets to a file descriptor, without a buffer."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def lines(self, *texts: bytes) -> None:
        """Send text packets and a flush."""
        files.write_all(self._fd, b"".join(map(line, texts)) + FLUSH)

    def send(self, data: bytes) -> None:
        """Send bytes that already are packets."""
        files.write_all(self._fd, data)

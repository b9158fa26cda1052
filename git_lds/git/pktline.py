"""git's pkt-line: length-prefixed packets on a pipe (gitprotocol-common), as long-running filters speak it."""

from __future__ import annotations

import binascii
import os
from collections.abc import Iterator

from git_lds import files

MAX_DATA = 65516
"""The most data bytes that git lets one packet carry (LARGE_PACKET_DATA_MAX)."""

FLUSH = b"0000"
_READ_SIZE = 1 << 16
"""What a pipe holds on Linux."""


class PktLineError(Exception):
    """The other side broke the protocol, or went away in the middle of a packet."""


class PktReader:
    """Packets from a file descriptor. `read` returns None for a flush packet and raises EOFError at the end."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._buffer = b""
        self._at = 0

    def read(self) -> bytes | None:
        """Return the data of the next packet, None for a flush packet. EOFError: the pipe was closed between packets."""
        at = self._have(4)
        if at < 0:
            if self._at < len(self._buffer):
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
        at = self._have(length)
        if at < 0:
            raise PktLineError("the pipe closed inside a packet")
        self._at = at + length
        return self._buffer[at + 4 : at + length]

    def lines(self) -> list[bytes]:
        """Return the text packets up to the next flush, each without its newline."""
        found = []
        while (line := self.read()) is not None:
            found.append(line.removesuffix(b"\n"))
        return found

    def contents(self) -> Iterator[bytes]:
        """Yield the data of the packets up to the next flush."""
        while (data := self.read()) is not None:
            yield data

    def _have(self, count: int) -> int:
        """Return where in the buffer the next `count` bytes are, read now if need be; -1 when the pipe ends before."""
        while len(self._buffer) - self._at < count:
            block = os.read(self._fd, _READ_SIZE)
            if not block:
                return -1
            self._buffer = self._buffer[self._at :] + block
            self._at = 0
        return self._at


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
    """Packets to a file descriptor; what is written goes out at once."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def lines(self, *texts: bytes) -> None:
        """Send text packets and a flush."""
        files.write_all(self._fd, b"".join(map(line, texts)) + FLUSH)

    def send(self, data: bytes) -> None:
        """Send bytes that are packets already."""
        files.write_all(self._fd, data)

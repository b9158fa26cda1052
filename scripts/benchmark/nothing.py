"""The floor of every filter: it speaks git's filter protocol, reads all contents, and keeps none.

Its answer is as long as a pointer, and another one for other contents, so that git writes as many objects as it would with
a filter that does something. It imports as little as it can.
"""

import sys
from collections.abc import Iterator
from typing import BinaryIO
from zlib import crc32

_FIRST_LINE = b"version nothing/v1\n"


def main(source: BinaryIO, sink: BinaryIO) -> None:
    list(_packets(source))
    _send(sink, b"git-filter-server\n", b"version=2\n")
    list(_packets(source))
    _send(sink, b"capability=clean\n", b"capability=smudge\n")
    while request := list(_packets(source)):
        cleans = b"command=clean\n" in request
        answer = _text_for(source) if cleans else b"".join(_packets(source))
        _send(sink, b"status=success\n")
        _send(sink, answer)
        _send(sink)


def _text_for(source: BinaryIO) -> bytes:
    """Return what stands for contents; for such a text itself, as clones have it in the working tree, that text."""
    check = size = 0
    for data in _packets(source):
        if size == 0 and data.startswith(_FIRST_LINE):
            return data + b"".join(_packets(source))
        check = crc32(data, check)
        size += len(data)
    return _FIRST_LINE + b"check crc32:%064d\nsize %d\n" % (check, size)


def _packets(source: BinaryIO) -> Iterator[bytes]:
    """Yield the packets up to the next flush, or the end."""
    while count := int(source.read(4) or b"0", 16):
        yield source.read(count - 4)


def _send(sink: BinaryIO, *packets: bytes) -> None:
    sink.write(b"".join(b"%04x%s" % (len(data) + 4, data) for data in packets) + b"0000")
    sink.flush()


main(sys.stdin.buffer, sys.stdout.buffer)

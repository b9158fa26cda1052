"""What a binary file is, by its first bytes: an image with its width and height, a video, a table, an archive.

It takes a few bytes and no library, since each file of a diff is identified. Nothing is decoded: a huge image costs as little
as any other, and its size is what the header claims.
"""

from __future__ import annotations

import struct

HEAD = 64 << 10
"""Bytes that identify a file; the size of a JPEG stands behind its preview."""

_SIGNATURES = (
    (b"%PDF-", "PDF"),
    (b"PK\x03\x04", "zip archive"),
    (b"\x1f\x8b", "gzip archive"),
    (b"\x28\xb5\x2f\xfd", "zstd archive"),
    (b"\xfd7zXZ\0", "xz archive"),
    (b"PAR1", "Parquet table"),
    (b"ARROW1", "Arrow table"),
    (b"\x93NUMPY", "NumPy array"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"SQLite format 3\0", "SQLite database"),
    (b"OggS", "Ogg"),
    (b"fLaC", "FLAC audio"),
    (b"ID3", "MP3 audio"),
    (b"\x1aE\xdf\xa3", "Matroska video"),
)


def described(head: bytes) -> str | None:
    """Return what a file with these first bytes is, such as "PNG image, 640x480", or None if unknown."""
    kind = kind_of(head)
    if kind is not None:
        size = dimensions(head)
        return f"{kind} image, {size[0]}x{size[1]}" if size else f"{kind} image"
    if head[4:8] == b"ftyp":
        return "MP4 video"
    if head[:4] == b"RIFF" and head[8:12] in (b"WAVE", b"AVI "):
        return "WAV audio" if head[8:12] == b"WAVE" else "AVI video"
    return next((text for start, text in _SIGNATURES if head.startswith(start)), None)


def kind_of(head: bytes) -> str | None:
    """Return the name of the image format of a file with these first bytes, or None."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[:4] in (b"II*\0", b"MM\0*"):
        return "TIFF"
    if head[:2] == b"BM" and len(head) >= 26 and head[6:10] == b"\0\0\0\0":
        return "BMP"
    return None


def dimensions(head: bytes) -> tuple[int, int] | None:
    """Return (width, height) as the header of an image claims, or None if `head` does not have them."""
    try:
        return _READERS[kind_of(head) or ""](head)
    except (KeyError, struct.error, IndexError):
        return None


def _png(head: bytes) -> tuple[int, int] | None:
    return struct.unpack(">II", head[16:24]) if head[12:16] == b"IHDR" else None


def _gif(head: bytes) -> tuple[int, int]:
    return struct.unpack("<HH", head[6:10])


def _bmp(head: bytes) -> tuple[int, int]:
    width, height = struct.unpack("<ii", head[18:26])
    return abs(width), abs(height)


def _webp(head: bytes) -> tuple[int, int] | None:
    form = head[12:16]
    if form == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if form == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if form == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", head[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None


def _jpeg(head: bytes) -> tuple[int, int] | None:
    """A JPEG is a sequence of segments; the first "start of frame" has the size."""
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if marker == 0xFF:
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return width, height
        elif marker == 0x01 or 0xD0 <= marker <= 0xD7:
            at += 2
        else:
            at += 2 + struct.unpack(">H", head[at + 2 : at + 4])[0]
    return None


def _tiff(head: bytes) -> tuple[int, int] | None:
    order = "<" if head[:2] == b"II" else ">"
    (at,) = struct.unpack(order + "I", head[4:8])
    (count,) = struct.unpack(order + "H", head[at : at + 2])
    tags = {}
    for entry in range(min(count, 100)):
        start = at + 2 + 12 * entry
        tag, form = struct.unpack(order + "HH", head[start : start + 4])
        if tag in (256, 257):
            tags[tag] = struct.unpack(
                order + ("H" if form == 3 else "I"), head[start + 8 : start + (10 if form == 3 else 12)]
            )[0]
    return (tags[256], tags[257]) if len(tags) == 2 else None


_READERS = {"PNG": _png, "GIF": _gif, "BMP": _bmp, "WebP": _webp, "JPEG": _jpeg, "TIFF": _tiff}

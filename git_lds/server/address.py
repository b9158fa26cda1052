"""What a request names: the store and key in its path, and the bytes in its Range header."""

from __future__ import annotations

import re
from dataclasses import dataclass

from git_lds.store.format.keys import Key, parse

DEPTH = 4
_NAME = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?")
_RESERVED = frozenset(("lds.toml", "log", "checkpoint", "index", "pack", "tmp"))
"""Names in a store's own directory. No store has one of them, because one store could then be a part of another."""

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")
_ENDLESS = 10**20
"""More than any number in a Range header."""


@dataclass(frozen=True, slots=True)
class Address:
    """A store, and one of its keys; `key` and `parsed` are None for the listing of the store."""

    store: str
    key: str | None
    parsed: Key | None


def read_address(path: bytes) -> Address | None:
    """Return the store and key that the `path` of a request names, or None if it is malformed.

    `path` is compared as it was sent: nothing is decoded or resolved. No name or key needs an escape, so a path with a % is
    malformed.
    """
    if not path.startswith(b"/") or not path.isascii():
        return None
    names = path.decode("ascii")[1:].split("/")
    depth = 0
    while depth < len(names) and _is_store_name(names[depth]):
        depth += 1
    store, key = "/".join(names[:depth]), "/".join(names[depth:])
    if not 1 <= depth <= DEPTH or depth == len(names):
        return None
    if not key:
        return Address(store, None, None)
    parsed = parse(key)
    return None if parsed is None else Address(store, key, parsed)


def _is_store_name(name: str) -> bool:
    # in lower case, because some file systems do not distinguish LOG from log
    return _NAME.fullmatch(name) is not None and name.lower() not in _RESERVED


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes of a file from `start` up to `end`; `is_range` is whether the request asked for a range."""

    start: int
    end: int
    is_range: bool


def read_range(header: str | None, size: int) -> Span | None:
    """Return the bytes that the Range `header` selects in a file of `size` bytes, or None if it selects none.

    A header that is not a single range of bytes is ignored, as RFC 9110 requires.
    """
    form = _RANGE.fullmatch(header.replace(" ", "")) if header is not None else None
    if form is None or not (form[1] or form[2]):
        return Span(0, size, is_range=False)
    if not form[1]:
        start, end = max(size - int(form[2]), 0), size
    else:
        start, end = int(form[1]), min(int(form[2]) + 1, size) if form[2] else size
        if form[2] and int(form[2]) < start:
            return Span(0, size, is_range=False)
    return Span(start, end, is_range=True) if start < end else None


def read_bounds(header: str | None) -> tuple[int, int | None]:
    """Return (first byte, number of bytes or None for the rest) to read before the size of the file is known.

    They agree with `read_range` of the same header. A header that counts from the end has no such bounds (`is_suffix`).
    """
    span = read_range(header, _ENDLESS)
    if span is None or not span.is_range:
        return 0, None
    return span.start, None if span.end == _ENDLESS else span.end - span.start


def is_suffix(header: str | None) -> bool:
    """Return whether a Range header asks for the end of a file."""
    form = _RANGE.fullmatch(header.replace(" ", "")) if header is not None else None
    return form is not None and not form[1] and bool(form[2])

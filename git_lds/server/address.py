"""What a request asks for, read from its address and headers before anything is done with them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from git_lds.store.format.keys import Key, parse

DEPTH = 4
_NAME = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?")
_TAKEN = frozenset(("lds.toml", "log", "checkpoint", "index", "pack", "tmp"))
"""Names in a store's own directory. No store is called so, or one store could be a part of another."""

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")
_ENDLESS = 10**20
"""More than any number in a Range header."""


@dataclass(frozen=True, slots=True)
class Address:
    """A store, and one of its keys; `key` and `parsed` are None for the store as a whole, which is listed."""

    store: str
    key: str | None
    parsed: Key | None


def read_address(path: bytes) -> Address | None:
    """Return what the `path` of a request, as it was sent, names; None when it is not well-formed.

    No name or key needs an escape, so one that has a % is none. Nothing is decoded, nothing is made shorter.
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
    # lower, for file systems that take LOG for log
    return _NAME.fullmatch(name) is not None and name.lower() not in _TAKEN


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes of a file from `start` up to `end`; `part` says that they were asked for as a range."""

    start: int
    end: int
    part: bool


def read_range(header: str | None, size: int) -> Span | None:
    """Return what the Range `header` means for a file of `size` bytes, or None when it lies outside of it.

    Anything but one range of bytes counts as no header, as RFC 9110 has it.
    """
    form = _RANGE.fullmatch(header.replace(" ", "")) if header is not None else None
    if form is None or not (form[1] or form[2]):
        return Span(0, size, part=False)
    if not form[1]:
        start, end = max(size - int(form[2]), 0), size
    else:
        start, end = int(form[1]), min(int(form[2]) + 1, size) if form[2] else size
        if form[2] and int(form[2]) < start:
            return Span(0, size, part=False)
    return Span(start, end, part=True) if start < end else None


def read_bounds(header: str | None) -> tuple[int, int | None]:
    """Return where to begin, and how many bytes to ask for (None: all), to get what `read_range` of the same header will
    say once the size is known. Not for one that counts from the end."""
    span = read_range(header, _ENDLESS)
    if span is None or not span.part:
        return 0, None
    return span.start, None if span.end == _ENDLESS else span.end - span.start


def is_suffix(header: str | None) -> bool:
    """Tell whether a Range header asks for the end of a file."""
    form = _RANGE.fullmatch(header.replace(" ", "")) if header is not None else None
    return form is not None and not form[1] and bool(form[2])

"""Which files of an imported folder are wanted: globs against their names below it, as `.gitignore` writes them.

`*` and `?` match within a name, `[…]` one letter, `**` any folders. A pattern without a slash is for names at any depth, and
one that matches a folder is for all below it. Anyone may have written the patterns and the names, so nothing is tried twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

MAX_PATTERNS = 200
_RULES = b".gitattributes"


def wants(name: bytes, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Tell whether a file is wanted: it matches one of `include`, or there is none, and none of `exclude`.

    Attributes files always are: they say in which form the others are kept.
    """
    names = name.split(b"/")
    if names[-1] == _RULES:
        return True
    if include and not any(_matches(pattern, names) for pattern in include):
        return False
    return not any(_matches(pattern, names) for pattern in exclude)


def _matches(pattern: str, names: Sequence[bytes]) -> bool:
    plain = pattern.encode("utf-8", "surrogateescape").removeprefix(b"./").rstrip(b"/")
    parts = plain.lstrip(b"/").split(b"/") if b"/" in plain else [b"**", plain]
    parts = [part for part, before in zip(parts, [b"", *parts], strict=False) if (part, before) != (b"**", b"**")]
    at = _skipping({0}, parts)
    for name in names:
        if len(parts) in at:
            return True
        stays = {number for number in at if parts[number] == b"**"}
        moves = {number + 1 for number in at - stays if fnmatchcase(name, parts[number])}
        at = _skipping(stays | moves, parts)
    return len(parts) in at


def _skipping(at: set[int], parts: Sequence[bytes]) -> set[int]:
    """Return the places in a pattern, and that after each `**` there, which may stand for no folder at all."""
    return at | {number + 1 for number in at if number < len(parts) and parts[number] == b"**"}

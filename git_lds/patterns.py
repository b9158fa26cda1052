"""Include and exclude patterns, as .gitignore writes them: `*`, `?`, `[…]`, `**`, a directory for all that is below it.

A repository may bring its own patterns and names, so nothing is tried twice.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


def wants(path: bytes, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Tell whether `path` is wanted: it matches a pattern of `include`, or there is none, and no pattern of `exclude`."""
    if not include and not exclude:
        return True
    names = path.split(b"/")
    if include and not any(matches(pattern, names) for pattern in include):
        return False
    return not any(matches(pattern, names) for pattern in exclude)


def matches(pattern: str, names: Sequence[bytes]) -> bool:
    """Tell whether a pattern matches the path of these names, or a directory that it is in."""
    parts = _parts(pattern)
    if len(parts) == 2 and parts[0] == b"**":  # most patterns, and there may be many names
        return any(fnmatchcase(name, parts[1]) for name in names)
    at = _skipping({0}, parts)
    for name in names:
        if len(parts) in at:
            return True
        stays = {number for number in at if parts[number] == b"**"}
        moves = {number + 1 for number in at - stays if fnmatchcase(name, parts[number])}
        at = _skipping(stays | moves, parts)
    return len(parts) in at


@functools.cache
def _parts(pattern: str) -> tuple[bytes, ...]:
    """Return the parts of a pattern between slashes, as `fnmatch` writes them, each `**` once."""
    plain = pattern.encode("utf-8", "surrogateescape").removeprefix(b"./").rstrip(b"/")
    parts = plain.lstrip(b"/").split(b"/") if b"/" in plain else [b"**", plain]
    kept = [part for part, before in zip(parts, [b"", *parts], strict=False) if (part, before) != (b"**", b"**")]
    return tuple(_ESCAPED.sub(_literally, part.replace(b"[^", b"[!")) for part in kept)


def _literally(found: re.Match[bytes]) -> bytes:
    return b"[%s]" % found[1] if found[1] in b"*?[" else found[1]


def _skipping(at: set[int], parts: Sequence[bytes]) -> set[int]:
    """Return the places in a pattern, and that after each `**` there, which may stand for no directory at all."""
    return at | {number + 1 for number in at if number < len(parts) and parts[number] == b"**"}

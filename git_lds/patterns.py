"""Include and exclude patterns, as in .gitignore: `*`, `?`, `[…]`, `**`, and a directory for everything below it.

Patterns and paths may come from an untrusted repository, so matching never backtracks.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


def wants(path: bytes, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Return whether `path` matches a pattern of `include` (or `include` is empty) and no pattern of `exclude`."""
    if not include and not exclude:
        return True
    names = path.split(b"/")
    if include and not any(matches(pattern, names) for pattern in include):
        return False
    return not any(matches(pattern, names) for pattern in exclude)


def matches(pattern: str, names: Sequence[bytes]) -> bool:
    """Return whether a pattern matches the path made of `names`, or a directory above it."""
    parts = _parts(pattern)
    if len(parts) == 2 and parts[0] == b"**":  # most patterns, and a path may have many names
        return any(fnmatchcase(name, parts[1]) for name in names)
    positions = _with_skips({0}, parts)
    for name in names:
        if len(parts) in positions:
            return True
        stays = {number for number in positions if parts[number] == b"**"}
        moves = {number + 1 for number in positions - stays if fnmatchcase(name, parts[number])}
        positions = _with_skips(stays | moves, parts)
    return len(parts) in positions


@functools.cache
def _parts(pattern: str) -> tuple[bytes, ...]:
    """Return the parts of a pattern between slashes, in the syntax of `fnmatch`, with repeated `**` removed."""
    plain = pattern.encode("utf-8", "surrogateescape").removeprefix(b"./").rstrip(b"/")
    parts = plain.lstrip(b"/").split(b"/") if b"/" in plain else [b"**", plain]
    kept = [part for part, before in zip(parts, [b"", *parts], strict=False) if (part, before) != (b"**", b"**")]
    return tuple(_ESCAPED.sub(_literal, part.replace(b"[^", b"[!")) for part in kept)


def _literal(match: re.Match[bytes]) -> bytes:
    return b"[%s]" % match[1] if match[1] in b"*?[" else match[1]


def _with_skips(positions: set[int], parts: Sequence[bytes]) -> set[int]:
    """Return `positions` in a pattern and the position after each `**`, which may match no directory at all."""
    return positions | {number + 1 for number in positions if number < len(parts) and parts[number] == b"**"}

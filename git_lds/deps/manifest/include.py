"""Globs that select files of an imported directory by their names below it, as in `.gitignore`.

`*` and `?` match within a name, `[…]` one letter, `**` any directories. A pattern without a slash matches names at any depth, and
one that matches a directory matches all files below it. Patterns and names may be hostile, so matching never backtracks.
"""

from __future__ import annotations

from collections.abc import Sequence

from git_lds import patterns

MAX_PATTERNS = 200
_RULES = b".gitattributes"


def matches(name: bytes, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Return whether a file matches one of `include` (or that is empty) and none of `exclude`.

    Attributes files always match: they say in which form the others are kept.
    """
    names = name.split(b"/")
    if names[-1] == _RULES:
        return True
    if include and not any(patterns.matches(pattern, names) for pattern in include):
        return False
    return not any(patterns.matches(pattern, names) for pattern in exclude)

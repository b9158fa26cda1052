"""Which files of an imported directory are wanted: globs against their names below it, as `.gitignore` writes them.

`*` and `?` match within a name, `[…]` one letter, `**` any directories. A pattern without a slash is for names at any depth, and
one that matches a directory is for all below it. Anyone may have written the patterns and the names, so nothing is tried twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from git_lds import patterns

MAX_PATTERNS = 200
_RULES = b".gitattributes"


def matches(name: bytes, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Return whether a file is wanted: it matches one of `include`, or there is none, and none of `exclude`.

    Attributes files always are: they say in which form the others are kept.
    """
    names = name.split(b"/")
    if names[-1] == _RULES:
        return True
    if include and not any(patterns.matches(pattern, names) for pattern in include):
        return False
    return not any(patterns.matches(pattern, names) for pattern in exclude)

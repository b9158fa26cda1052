"""How many lines differ between two texts."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_MAX_LINES = 4000
"""Lines of two texts, together, that are compared in order. That takes time by the square."""


@dataclass(frozen=True, slots=True)
class LineChanges:
    """How many lines of a text were added and removed."""

    added: int
    removed: int


def diff(before: bytes | None, after: bytes | None, name: str, key: Sequence[str] = ()) -> LineChanges:
    """Return how many lines were added and removed; in long texts a line that only moved counts as neither."""
    old, new = ((data or b"").splitlines() for data in (before, after))
    if len(old) + len(new) > _MAX_LINES:
        old_lines, new_lines = Counter(old), Counter(new)
        return LineChanges((new_lines - old_lines).total(), (old_lines - new_lines).total())
    added = removed = 0
    for tag, a0, a1, b0, b1 in difflib.SequenceMatcher(None, old, new).get_opcodes():
        if tag != "equal":
            removed += a1 - a0
            added += b1 - b0
    return LineChanges(added, removed)

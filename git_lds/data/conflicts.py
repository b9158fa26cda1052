"""What a merge of contents gives: the merged bytes, what is in conflict in them, and how that is marked for people."""

from __future__ import annotations

from collections.abc import Hashable, Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Merged:
    """Merged contents. `conflicts` says of each conflict what it is about, in a few words; `data` has both values marked."""

    data: bytes
    conflicts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Markers:
    """How a conflict is marked: git's lines, of git's length, with the names that git has for the sides."""

    size: int = 7
    ours: str = "ours"
    base: str = "base"
    theirs: str = "theirs"
    of_ancestors: bool = False
    """Whether the sides are common ancestors of those that are merged: git makes the result the base of that merge."""

    def block(self, ours: str, theirs: str, ending: str = "\n") -> str:
        """Return the lines of a conflict. Each side is whole lines without the last ending, or nothing at all."""
        parts = [
            f"{'<' * self.size} {self.ours}{ending}",
            f"{ours}{ending}" if ours else "",
            f"{'=' * self.size}{ending}",
            f"{theirs}{ending}" if theirs else "",
            f"{'>' * self.size} {self.theirs}{ending}",
        ]
        return "".join(parts)


def is_marked(base: bytes, size: int) -> bool:
    """Tell whether a base is a merge of ancestors with conflicts in it, whose markers are longer than `size`."""
    sign = b"<" * (size + 1)
    return base.startswith(sign) or b"\n" + sign in base


def ancestors_of(base: bytes, size: int) -> tuple[bytes, bytes] | None:
    """Return both ancestors' versions of a base with conflicts in it; None where the markers are not in order."""
    sides: tuple[list[bytes], list[bytes]] = [], []
    inside = 0  # 1 and 2: the part of the one, of the other
    for line in base.splitlines(keepends=True):
        sign = line[: size + 1]
        if len(sign) > size and sign == b"<=>"[inside : inside + 1] * (size + 1):
            inside = (inside + 1) % 3
        else:
            for side in sides if not inside else sides[inside - 1 : inside]:
                side.append(line)
    return (b"".join(sides[0]), b"".join(sides[1])) if not inside else None


class TextConflict(NamedTuple):
    """Two texts for one thing, of which None is its absence."""

    ours: str | None
    theirs: str | None


def both_rewrote(base: Set[K], ours: Set[K], theirs: Set[K]) -> bool:
    """Tell whether something of the base may be there twice, as ours and as theirs made it: what it is called was changed
    on both sides, so that it looks as if both had taken it out and each had added another."""
    return bool(base - ours - theirs) and bool(ours - base - theirs) and bool(theirs - base - ours)


def rows_order(base: Sequence[K], ours: Sequence[K], theirs: Sequence[K]) -> list[K]:
    """Return all keys as `merged_order` does: in the order of ours, in that of theirs where theirs alone put them in another."""
    if _is_in_order(base, ours) and not _is_in_order(base, theirs):
        return merged_order(theirs, ours)
    return merged_order(ours, theirs)


def _is_in_order(base: Sequence[K], side: Sequence[K]) -> bool:
    before, now = set(base), set(side)
    return [key for key in base if key in now] == [key for key in side if key in before]


def merged_order(ours: Sequence[K], theirs: Sequence[K]) -> list[K]:
    """Return all keys in the order of `ours`; those that only `theirs` has follow what they follow there."""
    common = set(ours)
    runs: dict[K | None, list[K]] = {}
    anchor: K | None = None
    for key in theirs:
        if key in common:
            anchor = key
        else:
            runs.setdefault(anchor, []).append(key)
    if not runs:
        return list(ours)
    common &= set(theirs)
    found: list[K] = []
    anchor = None
    for key in ours:
        if key in common:
            found += runs.pop(anchor, ())
            anchor = key
        found.append(key)
    found += runs.pop(anchor, ())
    return found + [key for run in runs.values() for key in run]

"""The result of a merge of contents: the merged bytes, the conflicts in them, and how these are marked for people."""

from __future__ import annotations

from collections.abc import Hashable, Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Merged:
    """Merged contents. `conflicts` has a few words about each conflict; `data` holds both values between conflict markers."""

    data: bytes
    conflicts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Markers:
    """The conflict markers that git asks for: their length and the names of the sides."""

    size: int = 7
    ours: str = "ours"
    base: str = "base"
    theirs: str = "theirs"
    of_ancestors: bool = False
    """Whether git merges common ancestors of the sides: it uses the result as the base of the real merge."""

    def block(self, ours: str, theirs: str, ending: str = "\n") -> str:
        """Return the lines of a conflict. Each side is whole lines without the last line ending, or empty."""
        parts = [
            f"{'<' * self.size} {self.ours}{ending}",
            f"{ours}{ending}" if ours else "",
            f"{'=' * self.size}{ending}",
            f"{theirs}{ending}" if theirs else "",
            f"{'>' * self.size} {self.theirs}{ending}",
        ]
        return "".join(parts)


def is_marked(base: bytes, size: int) -> bool:
    """Return whether a base is a merge of ancestors with conflicts, whose markers are longer than `size`."""
    sign = b"<" * (size + 1)
    return base.startswith(sign) or b"\n" + sign in base


def ancestors_of(base: bytes, size: int) -> tuple[bytes, bytes] | None:
    """Return both ancestors of a base with conflicts, or None if its markers are not in order."""
    sides: tuple[list[bytes], list[bytes]] = [], []
    inside = 0  # 1 and 2: inside the lines of the first, of the second ancestor
    for line in base.splitlines(keepends=True):
        sign = line[: size + 1]
        if len(sign) > size and sign == b"<=>"[inside : inside + 1] * (size + 1):
            inside = (inside + 1) % 3
        else:
            for side in sides if not inside else sides[inside - 1 : inside]:
                side.append(line)
    return (b"".join(sides[0]), b"".join(sides[1])) if not inside else None


class TextConflict(NamedTuple):
    """The texts of both sides for one thing; None means that the side does not have it."""

    ours: str | None
    theirs: str | None


def both_rewrote(base: Set[K], ours: Set[K], theirs: Set[K]) -> bool:
    """Return whether both sides may have renamed the same thing of the base, so that a merge would hold it twice.

    It then looks as if both sides had removed it and each had added another.
    """
    return bool(base - ours - theirs) and bool(ours - base - theirs) and bool(theirs - base - ours)


def rows_order(base: Sequence[K], ours: Sequence[K], theirs: Sequence[K]) -> list[K]:
    """Return all keys as `merged_order` does: in the order of theirs if only theirs changed the order, else of ours."""
    if _is_in_order(base, ours) and not _is_in_order(base, theirs):
        return merged_order(theirs, ours)
    return merged_order(ours, theirs)


def _is_in_order(base: Sequence[K], side: Sequence[K]) -> bool:
    before, now = set(base), set(side)
    return [key for key in base if key in now] == [key for key in side if key in before]


def merged_order(ours: Sequence[K], theirs: Sequence[K]) -> list[K]:
    """Return all keys in the order of `ours`; keys of `theirs` alone follow the key that they follow in `theirs`."""
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
    merged: list[K] = []
    anchor = None
    for key in ours:
        if key in common:
            merged += runs.pop(anchor, ())
            anchor = key
        merged.append(key)
    merged += runs.pop(anchor, ())
    return merged + [key for run in runs.values() for key in run]

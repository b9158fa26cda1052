"""Merges JSON by its structure: members of objects by their keys, objects in a list by the key that identifies them.

Values that one side alone changed are copied from that side's text, all others from the text of ours.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from git_lds.data.conflicts import Markers, Merged, TextConflict, merged_order
from git_lds.data.json import layout, strict
from git_lds.data.json.layout import Container, Item, Piece

_KEYS = ("id", "key", "uuid", "name", "file_name", "filename", "path", "image", "url")
"""Names of keys that identify the objects of a list, the likeliest first."""

_EXACT = frozenset((str, int, bool))
"""Types whose equal values are the same; 0.0 and -0.0 are not, nor are lists of numbers of other types."""

Result = str | TextConflict | None
"""The merged text of one value; two texts for a conflict; None if it was removed."""


def merge(base: bytes, ours: bytes, theirs: bytes, name: str, markers: Markers, key: Sequence[str] = ()) -> Merged:
    """Return the merge of three versions of a JSON file; an empty base means that there is none.

    Raises LdsError if a version is malformed.
    """
    sides = tuple(_root(data, name) if data else None for data in (base, ours, theirs))
    assert len(sides) == 3
    state = JsonMerger(markers)
    with strict.json_errors(name):
        result = state.merge(*sides, "")
    if isinstance(result, TextConflict):
        result = markers.block((result.ours or "").strip(), (result.theirs or "").strip())
    start, end = _around(next(side for side in (sides[1], sides[2]) if side is not None))
    return Merged((start + (result or "") + end).encode("utf-8", "surrogatepass"), tuple(state.conflicts))


def _root(data: bytes, name: str) -> Piece:
    text = strict.text(data, name)
    with strict.json_errors(name), strict.no_pauses():
        return layout.root(text)


def _around(piece: Piece) -> tuple[str, str]:
    """Return the text before and after the value of a file."""
    return piece.whole[: piece.start], piece.whole[piece.end :]


def same(one: Piece | None, other: Piece | None) -> bool:
    """Return whether two values are the same, however they are written; 1, 1.0 and true differ."""
    if one is None or other is None:
        return one is other
    return same_value(one.value, other.value) and (one.text == other.text or _exact(one.text) == _exact(other.text))


def _exact(text: str) -> Any:
    """Return a value with all digits of its numbers: 1e400 and 1e500 are both read as infinite, but differ."""
    return json.loads(text, parse_float=_number)


def _number(digits: str) -> Decimal | str:
    try:
        return Decimal(digits)
    except InvalidOperation:
        return digits  # an exponent with more digits than Decimal takes


def same_value(one: Any, other: Any) -> bool:
    """Return whether two values are the same; unlike in Python, 1, 1.0 and true differ."""
    if one is other:
        return True
    if type(one) is not type(other) or one != other:
        return False
    return type(one) in _EXACT or json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


class JsonMerger:
    """One merge, with its conflicts. With `take`, "ours" or "theirs", a conflict takes that side instead of marking both."""

    def __init__(self, markers: Markers, take: str | None = None) -> None:
        self.markers = markers
        self.conflicts: list[str] = []
        self._take = take

    def merge(self, base: Piece | None, ours: Piece | None, theirs: Piece | None, where: str) -> Result:
        """Return the merge of one value; a side that is None does not have it."""
        if same(ours, theirs) or same(base, theirs):
            return ours.text if ours is not None else None
        if same(base, ours):
            return theirs.text if theirs is not None else None
        if ours is not None and theirs is not None:
            if isinstance(ours.value, dict) and isinstance(theirs.value, dict):
                old, our, their = _opened((base, ours, theirs), dict, layout.members)
                return self.objects(old, our, their, where)
            if isinstance(ours.value, list) and isinstance(theirs.value, list):
                base = base if base is not None and isinstance(base.value, list) else None
                lists = [side.value if side is not None else [] for side in (base, ours, theirs)]
                if (found := key_of(lists)) is not None:
                    old, our, their = _opened((base, ours, theirs), list, layout.elements)
                    if (merged := self.lists(old, our, their, found, where)) is not None:
                        return merged
        self.conflicts.append(where or "the whole file")
        both = TextConflict(ours.text if ours is not None else None, theirs.text if theirs is not None else None)
        return both if self._take is None else both.ours if self._take == "ours" else both.theirs

    def takes_theirs(self, ours_is_base: bool, is_ours: bool, what: str) -> bool:
        """Return whether to take theirs of a value that is not merged further; in a conflict `take` decides."""
        if is_ours or ours_is_base:
            return not is_ours
        self.conflicts.append(what)
        return self._take == "theirs"

    def objects(
        self,
        base: Container | None,
        ours: Container,
        theirs: Container,
        where: str,
        special: Mapping[str, Result] | None = None,
    ) -> str:
        """Return the merge of objects. `special` has members that are already merged."""
        places = [_places(side.keys) if side is not None else {} for side in (base, ours, theirs)]
        items = []
        for key in merged_order(ours.keys, theirs.keys):
            old, our, their = (_piece(side, places[at].get(key)) for at, side in enumerate((base, ours, theirs)))
            below = f"{where}.{strict.shortened(key)[1:-1]}" if where else strict.shortened(key)[1:-1]
            result = special[key] if special and key in special else self.merge(old, our, their, below)
            at, side = (places[1][key], ours) if key in places[1] else (places[2][key], theirs)
            if isinstance(result, TextConflict):
                result = TextConflict(*(side.lead(at) + text if text is not None else None for text in result))
            elif result is not None:
                result = side.lead(at) + result
            if result is not None:
                items.append(Item(result, ours.separator(at) if side is ours and at else None))
        return layout.written(items, (ours, theirs, base), self.markers, "{}")

    def lists(
        self, base: Container | None, ours: Container, theirs: Container, key_of: Callable[[Any], Hashable], where: str
    ) -> str | None:
        """Return the merge of lists whose elements have keys; None if their order matters and is not clear."""
        keys = [[key_of(value) for value in side.values] if side is not None else [] for side in (base, ours, theirs)]
        places = [_places(side) for side in keys]
        if isinstance((ours.values or theirs.values)[0], str) and _meet(*keys):
            return None
        items = []
        for key in merged_order(keys[1], keys[2]):
            old, our, their = (_piece(side, places[at].get(key)) for at, side in enumerate((base, ours, theirs)))
            result = self.merge(old, our, their, f"{where}[{strict.shortened(key)}]")
            at = places[1].get(key, 0)
            if result is not None:
                items.append(Item(result, ours.separator(at) if at else None))
        return layout.written(items, (ours, theirs, base), self.markers)


def _opened(sides: Sequence[Piece | None], kind: type, opened: Callable[[str, int], Container]) -> Iterator[Any]:
    """Yield each side parsed one level deep; None for one that is absent or of another type."""
    for side in sides:
        yield opened(side.whole, side.start) if side is not None and isinstance(side.value, kind) else None


def _places(keys: Sequence[Hashable]) -> dict[Hashable, int]:
    return {key: at for at, key in enumerate(keys)}


def _piece(side: Container | None, at: int | None) -> Piece | None:
    return side.piece(at) if side is not None and at is not None else None


def key_of(lists: Sequence[list[Any]]) -> Callable[[Any], Hashable] | None:
    """Return a function that gives each element of the lists a key, unique in each list, or None."""
    everything = [value for side in lists for value in side]
    if all(type(value) is str for value in everything):
        return (lambda value: value) if all(len(set(side)) == len(side) for side in lists) else None
    if not all(isinstance(value, dict) for value in everything):
        return None
    for key in _KEYS:
        if all(type(value.get(key)) in (int, str) for value in everything) and all(
            len({value[key] for value in side}) == len(side) for side in lists
        ):
            return lambda value, key=key: value[key]  # type: ignore[misc]
    return None


def _meet(base: Sequence[Hashable], ours: Sequence[Hashable], theirs: Sequence[Hashable]) -> bool:
    """Return whether both sides inserted texts at one place of a list, or one changed the order, which may matter."""
    before = set(base)
    now = set(ours), set(theirs)
    kept = [[key for key in base if key in side] for side in now]
    if any([key for key in side if key in before] != order for side, order in zip((ours, theirs), kept, strict=True)):
        return True
    return bool(_anchors(before, ours, theirs) & _anchors(before, theirs, ours))


def _anchors(before: set[Hashable], side: Sequence[Hashable], other: Sequence[Hashable]) -> set[Hashable]:
    """Return the elements of the base that an insertion of this side alone follows."""
    known, anchors = set(other), set()
    anchor: Hashable = None
    for key in side:
        if key in before:
            anchor = key
        elif key not in known:
            anchors.add(anchor)
    return anchors

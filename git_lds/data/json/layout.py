"""Where things stand in a JSON text, so that what nobody changed is written again just as it was: order, spaces, numbers.

A value is found with its place in the text; a list or an object is taken apart one level at a time.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from git_lds.data.conflicts import Markers, TextConflict
from git_lds.data.json import strict

_SPACE = re.compile(r"[ \t\n\r]*")
_NONE: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Piece:
    """A value, and where it stands in a text."""

    whole: str
    start: int
    end: int
    value: Any

    @property
    def text(self) -> str:
        return self.whole[self.start : self.end]


class Container:
    """A list or an object of a text: the places of its values, and for an object those of its keys.

    `starts` are where elements or members begin, `values_at` where their values do, `ends` where both end.
    """

    def __init__(self, text: str, at: int) -> None:
        self.text = text
        self.start = at
        self.keys: list[str] = []
        self.values: list[Any] = []
        self.starts, self.values_at, self.ends = array("q"), array("q"), array("q")
        self.end = at

    def piece(self, at: int) -> Piece:
        return Piece(self.text, self.values_at[at], self.ends[at], self.values[at])

    def item(self, at: int) -> str:
        """Return an element, or a member with its key, as it is written."""
        return self.text[self.starts[at] : self.ends[at]]

    def lead(self, at: int) -> str:
        """Return what stands before the value of a member: its key and the colon. Nothing in a list."""
        return self.text[self.starts[at] : self.values_at[at]]

    def separator(self, at: int) -> str:
        """Return what stands between an item, not the first, and the one before."""
        return self.text[self.ends[at - 1] : self.starts[at]]

    @property
    def opening(self) -> str:
        """What stands between the bracket and the first item."""
        return self.text[self.start + 1 : self.starts[0]] if self.values else ""

    @property
    def closing(self) -> str:
        """What stands between the last item and the bracket."""
        return self.text[self.ends[-1] : self.end - 1] if self.values else ""


def root(text: str) -> Piece:
    """Return the value of a JSON text. Raises JSONDecodeError."""
    start = _skip(text, 0)
    value, end = _scan(text, start)
    _check_end(text, end)
    return Piece(text, start, end, value)


def root_object(text: str, apart: Mapping[str, Container | None]) -> Container | None:
    """Return the object that a JSON text is, as `members` does; None where it is none. Raises JSONDecodeError."""
    start = _skip(text, 0)
    if text[start : start + 1] != "{":
        return None
    found = members(text, start, apart)
    _check_end(text, found.end)
    return found


def _check_end(text: str, end: int) -> None:
    if _skip(text, end) != len(text):
        raise json.JSONDecodeError("Extra data", text, end)


def elements(text: str, at: int, like: Container | None = None) -> Container:
    """Return the list that begins at `at`. What `like`, another version of it, has in the same words is taken from there
    without being read again. Raises JSONDecodeError."""
    found = Container(text, at)
    values, starts, ends = found.values, found.starts, found.ends
    known = _Known(like) if like is not None else None
    at = _skip(text, at + 1)
    if text[at : at + 1] == "]":
        found.end = at + 1
        return found
    while True:
        value, end = (known.read(text, at) if known is not None else None) or _scan(text, at)
        if known is not None:
            known.go_on_from(value)
        values.append(value)
        starts.append(at)
        ends.append(end)
        at = _skip(text, end)
        sign = text[at : at + 1]
        if sign == "]":
            break
        if sign != ",":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
        at = _skip(text, at + 1)
    found.values_at, found.end = starts, at + 1
    return found


class _Known:
    """The records of another version, in step with a text that has most of them in the same order."""

    def __init__(self, like: Container) -> None:
        self._like = like
        self._next = 0
        self._places = {v.get("id"): at for at, v in enumerate(like.values) if type(v) is dict and _is_id(v.get("id"))}

    def read(self, text: str, at: int) -> tuple[Any, int] | None:
        """Return the value at `at` and its end, where it is written as the next one of the other version is."""
        like, number = self._like, self._next
        if number < len(like.values) and type(like.values[number]) is dict:
            there = like.item(number)
            # an object ends itself: what begins with its text is that object
            if text.startswith(there, at):
                return like.values[number], at + len(there)
        return None

    def go_on_from(self, value: Any) -> None:
        if type(value) is dict and _is_id(number := value.get("id")):
            self._next = self._places.get(number, self._next - 1) + 1


def _is_id(value: object) -> bool:
    return type(value) in (int, str)


def members(text: str, at: int, apart: Mapping[str, Container | None] = _NONE) -> Container:
    """Return the object that begins at `at`. Lists that are members with a name in `apart` are taken apart as well, each
    beside another version of it, and the `Container` stands for the value. Raises JSONDecodeError."""
    found, seen = Container(text, at), set()
    at = _skip(text, at + 1)
    if text[at : at + 1] == "}":
        found.end = at + 1
        return found
    while True:
        if text[at : at + 1] != '"':
            raise json.JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
        key, end = _scan(text, at)
        colon = _skip(text, end)
        if text[colon : colon + 1] != ":":
            raise json.JSONDecodeError("Expecting ':' delimiter", text, colon)
        value_at = _skip(text, colon + 1)
        if key in seen:
            raise strict.twice(key)
        seen.add(key)
        found.keys.append(key)
        found.starts.append(at)
        found.values_at.append(value_at)
        if key in apart and text[value_at : value_at + 1] == "[":
            value = elements(text, value_at, apart[key])
            end = value.end
        else:
            value, end = _scan(text, value_at)
        found.values.append(value)
        found.ends.append(end)
        at = _skip(text, end)
        sign = text[at : at + 1]
        if sign == "}":
            break
        if sign != ",":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
        at = _skip(text, at + 1)
    found.end = at + 1
    return found


def _skip(text: str, at: int) -> int:
    if text[at : at + 1] not in ("", " ", "\n", "\t", "\r"):
        return at
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def _scan(text: str, at: int) -> tuple[Any, int]:
    try:
        found: tuple[Any, int] = strict.scan(text, at)
    except StopIteration as error:
        raise json.JSONDecodeError("Expecting value", text, error.value) from None
    return found


# writing


@dataclass(frozen=True, slots=True)
class Item:
    """What is written for an element or a member: its text, or two; `before` is what stood between it and the one before."""

    text: str | TextConflict
    before: str | None = None


def written(items: Iterable[Item], likes: Iterable[Container | None], markers: Markers, brackets: str = "[]") -> str:
    """Return a list or an object of these items, with the spaces that the first of `likes` has which has any.

    A conflict stands on lines of its own. A comma is where the text is right whichever side is taken; only where nothing
    but conflicts is left may one have to be mended.
    """
    items = list(items)
    opening, separator, closing = _spaces(likes)
    if not items:
        return brackets
    last_plain = max((at for at, item in enumerate(items) if isinstance(item.text, str)), default=-1)
    out = [brackets[0]]
    indent = opening.rpartition("\n")[2]
    is_first, is_fresh = True, False  # nothing is written yet; the last thing was a conflict, after which a line begins
    for at, item in enumerate(items):
        if isinstance(item.text, str):
            before = opening if is_first else (item.before or separator)
            if is_fresh:
                before = indent if is_first else "," + indent
            out += (before, item.text)
            is_first, is_fresh = False, False
            continue
        if not is_fresh:
            # before others the comma stands before the conflict and at the end of either side, after them at the start
            out.append(",\n" if at < last_plain and not is_first else "\n")
        lead, trail = (indent, ",") if at < last_plain else (indent if is_first else indent + ", ", "")
        sides = [lead + side + trail if side is not None else "" for side in item.text]
        out.append(markers.block(sides[0], sides[1]))
        is_fresh = True
        is_first = at < last_plain
    out.append(closing.removeprefix("\r").removeprefix("\n") if is_fresh else closing)
    out.append(brackets[1])
    return "".join(out)


def _spaces(likes: Iterable[Container | None]) -> tuple[str, str, str]:
    """Return what stands after the opening bracket, between items, and before the closing bracket."""
    having = [like for like in likes if like is not None and like.values]
    if not having:
        return "", ", ", ""
    first = having[0]
    several = next((like for like in having if len(like.values) > 1), None)
    separator = several.separator(1) if several is not None else "," + (first.opening or " ")
    return first.opening, separator, first.closing

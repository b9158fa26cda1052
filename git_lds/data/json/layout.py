"""JSON with the positions of its values, so that unchanged text is kept exactly: order, spaces and numbers.

Each value has its position in the text. A list or an object is parsed one level at a time.
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
    """A value and its position in a text."""

    whole: str
    start: int
    end: int
    value: Any

    @property
    def text(self) -> str:
        return self.whole[self.start : self.end]


class Container:
    """A list or an object of a text with the positions of its values, and of the keys of an object.

    `starts` has where each element or member begins, `values_at` where its value begins, `ends` where it ends.
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
        """Return the text of an element, or of a member with its key."""
        return self.text[self.starts[at] : self.ends[at]]

    def lead(self, at: int) -> str:
        """Return the text before the value of a member: its key and the colon. Empty in a list."""
        return self.text[self.starts[at] : self.values_at[at]]

    def separator(self, at: int) -> str:
        """Return the text between an item other than the first and the item before it."""
        return self.text[self.ends[at - 1] : self.starts[at]]

    @property
    def opening(self) -> str:
        """The text between the bracket and the first item."""
        return self.text[self.start + 1 : self.starts[0]] if self.values else ""

    @property
    def closing(self) -> str:
        """The text between the last item and the bracket."""
        return self.text[self.ends[-1] : self.end - 1] if self.values else ""


def root(text: str) -> Piece:
    """Return the value of a JSON text. Raises JSONDecodeError."""
    start = _skip(text, 0)
    value, end = _scan(text, start)
    _check_end(text, end)
    return Piece(text, start, end, value)


def root_object(text: str, parsed: Mapping[str, Container | None]) -> Container | None:
    """Return the object that a JSON text is, as `members` does, or None for another value. Raises JSONDecodeError."""
    start = _skip(text, 0)
    if text[start : start + 1] != "{":
        return None
    found = members(text, start, parsed)
    _check_end(text, found.end)
    return found


def _check_end(text: str, end: int) -> None:
    if _skip(text, end) != len(text):
        raise json.JSONDecodeError("Extra data", text, end)


def elements(text: str, at: int, like: Container | None = None) -> Container:
    """Return the list that begins at `at`.

    Elements that `like`, another version of it, has with the same text are shared instead of parsed. Raises JSONDecodeError.
    """
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
            known.continue_after(value)
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
    """The records of another version, read in step with a text that has most of them in the same order."""

    def __init__(self, like: Container) -> None:
        self._like = like
        self._next = 0
        self._index_of_id = {
            v.get("id"): at for at, v in enumerate(like.values) if type(v) is dict and _is_id(v.get("id"))
        }

    def read(self, text: str, at: int) -> tuple[Any, int] | None:
        """Return the value at `at` and its end if its text is that of the next record of the other version."""
        like, number = self._like, self._next
        if number < len(like.values) and type(like.values[number]) is dict:
            record = like.item(number)
            # an object ends itself: what begins with its text is that object
            if text.startswith(record, at):
                return like.values[number], at + len(record)
        return None

    def continue_after(self, value: Any) -> None:
        if type(value) is dict and _is_id(number := value.get("id")):
            self._next = self._index_of_id.get(number, self._next - 1) + 1


def _is_id(value: object) -> bool:
    return type(value) in (int, str)


def members(text: str, at: int, parsed: Mapping[str, Container | None] = _NONE) -> Container:
    """Return the object that begins at `at`.

    The value of a member with a name in `parsed`, if it is a list, is a `Container` of its own; `parsed` has another version
    of it, or None. Raises JSONDecodeError.
    """
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
        if key in parsed and text[value_at : value_at + 1] == "[":
            value = elements(text, value_at, parsed[key])
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
    """The text of an element or a member, or two in conflict; `before` is the original text after the item before it."""

    text: str | TextConflict
    before: str | None = None


def written(items: Iterable[Item], likes: Iterable[Container | None], markers: Markers, brackets: str = "[]") -> str:
    """Return the text of a list or an object with these items, with the spaces of the first of `likes` that is not empty.

    A conflict has lines of its own. Commas are placed so that the text is valid whichever side the user takes; only if all
    items are in conflict may a comma have to be corrected.
    """
    items = list(items)
    opening, separator, closing = _spaces(likes)
    if not items:
        return brackets
    last_plain = max((at for at, item in enumerate(items) if isinstance(item.text, str)), default=-1)
    out = [brackets[0]]
    indent = opening.rpartition("\n")[2]
    is_first, is_fresh = True, False  # no item is written yet; the item before was a conflict, which ends its line
    for at, item in enumerate(items):
        if isinstance(item.text, str):
            before = opening if is_first else (item.before or separator)
            if is_fresh:
                before = indent if is_first else "," + indent
            out += (before, item.text)
            is_first, is_fresh = False, False
            continue
        if not is_fresh:
            # commas end both sides of a conflict that others follow, and begin both sides of one after the last of them
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
    """Return the text after the opening bracket, between items, and before the closing bracket."""
    having = [like for like in likes if like is not None and like.values]
    if not having:
        return "", ", ", ""
    first = having[0]
    several = next((like for like in having if len(like.values) > 1), None)
    separator = several.separator(1) if several is not None else "," + (first.opening or " ")
    return first.opening, separator, first.closing

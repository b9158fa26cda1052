"""Which values differ between two JSON documents, each with the path to it."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from git_lds.data.json import strict
from git_lds.data.json.merge import key_of, same_value

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
ABSENT = object()
"""Stands for a value that one side does not have."""

MAX_LISTED = 3_000
"""Values that a comparison lists; the rest is counted."""


class Different(NamedTuple):
    """A value that differs: the path to it, such as `$.images[id=7].width`, and the value before and after, or ABSENT."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class ValueChanges:
    """How many values of JSON, or records of JSON Lines, were added, removed and changed.

    `listed` has the values that differ, up to MAX_LISTED, and `unlisted` counts the others. `names` are the records of JSON
    Lines that changed; None for JSON. Records without an id have neither: they are compared as whole lines.
    """

    added: int
    removed: int
    changed: int
    listed: tuple[Different, ...] = ()
    unlisted: int = 0
    names: tuple[str, ...] | None = None
    by_lines: bool = False

    def places(self, most: int) -> tuple[str, ...]:
        """Return the first paths or names of records that differ, at most `most`, without `$` at the start."""
        if self.names is not None:
            return self.names[:most]
        return tuple(value.path.removeprefix("$").removeprefix(".") for value in self.listed[:most])


def diff(before: bytes | None, after: bytes | None, name: str, key: Sequence[str] = ()) -> ValueChanges:
    """Return the changes between two versions of a JSON file; one that is None or empty has no values.

    Raises LdsError if a version is malformed.
    """
    old, new = (strict.loads(data, name) if data else ABSENT for data in (before, after))
    return compare(old, new, name)


def compare(before: Any, after: Any, name: str) -> ValueChanges:
    """Return the changes between two documents. ABSENT counts as an empty one, so that the values of a new file are listed.

    Raises LdsError if they are nested too deeply.
    """
    if before is ABSENT and isinstance(after, dict | list):
        before = type(after)()
    if after is ABSENT and isinstance(before, dict | list):
        after = type(before)()
    added = removed = changed = 0
    listed: list[Different] = []
    with strict.json_errors(name):
        for value in differences(before, after):
            added += value.before is ABSENT
            removed += value.after is ABSENT
            changed += value.before is not ABSENT and value.after is not ABSENT
            if len(listed) < MAX_LISTED:
                listed.append(value)
    return ValueChanges(added, removed, changed, tuple(listed), added + removed + changed - len(listed))


def differences(before: Any, after: Any) -> Iterator[Different]:
    """Yield the innermost values that differ, in the order of the documents.

    Elements of lists are matched by a key that names each of them, else by index.
    """
    # without recursion: what could be read may be nested deeper than Python calls
    waiting: list[tuple[str, Any, Any]] = [("$", before, after)]
    while waiting:
        path, old, new = waiting.pop()
        if isinstance(old, dict) and isinstance(new, dict):
            members = _members(old, new)
            inner = [(f"{path}{_step(key)}", one, other) for key, one, other in members if not _is_same(one, other)]
        elif isinstance(old, list) and isinstance(new, list) and not _are_numbers(old, new):
            elements = _elements(old, new)
            inner = [
                (f"{path}[{strict.shortened(key)}]", one, other)
                for key, one, other in elements
                if not _is_same(one, other)
            ]
        elif old is ABSENT or new is ABSENT or not same_value(old, new):
            yield Different(path, old, new)
            continue
        else:
            continue
        waiting += reversed(inner)


def _is_same(old: Any, new: Any) -> bool:
    return old is not ABSENT and new is not ABSENT and same_value(old, new)


def _are_numbers(*lists: list[Any]) -> bool:
    """Return whether all elements are numbers: a box or a vector is one value."""
    return all(type(value) in (int, float) for side in lists for value in side)


def _members(old: dict[str, Any], new: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    return ((key, old.get(key, ABSENT), new.get(key, ABSENT)) for key in dict.fromkeys([*old, *new]))


def _elements(old: list[Any], new: list[Any]) -> Iterable[tuple[Hashable, Any, Any]]:
    """Yield (key or index, element before, element after) of two lists."""
    key = key_of([old, new])
    if key is None:
        return ((at, _at(old, at), _at(new, at)) for at in range(max(len(old), len(new))))
    olds: dict[Hashable, Any] = {key(value): value for value in old}
    news: dict[Hashable, Any] = {key(value): value for value in new}
    names = dict.fromkeys([*olds, *news])
    return ((name, olds.get(name, ABSENT), news.get(name, ABSENT)) for name in names)


def _at(values: Sequence[Any], at: int) -> Any:
    return values[at] if at < len(values) else ABSENT


def _step(key: str) -> str:
    return f".{key}" if _PLAIN.fullmatch(key) and len(key) <= 60 else f"[{strict.shortened(key)}]"

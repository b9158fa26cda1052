"""Which values differ between two JSON documents, each with the way to it."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple

from git_lds.data.json import strict
from git_lds.data.json.merge import key_of, same_value

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
ABSENT = object()
"""Stands for a value that one side does not have."""


class Different(NamedTuple):
    """A value that differs: the way to it, such as `$.images[id=7].width`, and what it was and is; ABSENT where it is not."""

    path: str
    before: Any
    after: Any


def differences(before: Any, after: Any) -> Iterator[Different]:
    """Yield the innermost values that differ, in the order of the documents. Elements of lists are told apart by what names
    them, where something does, else by their place."""
    # without recursion: what could be read may be nested deeper than Python calls
    waiting: list[tuple[str, Any, Any]] = [("$", before, after)]
    while waiting:
        path, old, new = waiting.pop()
        if isinstance(old, dict) and isinstance(new, dict):
            keys = dict.fromkeys([*old, *new])
            inner = [(f"{path}{_step(key)}", old.get(key, ABSENT), new.get(key, ABSENT)) for key in keys]
        elif isinstance(old, list) and isinstance(new, list) and not _are_numbers(old, new):
            inner = _elements(path, old, new)
        elif old is ABSENT or new is ABSENT or not same_value(old, new):
            yield Different(path, old, new)
            continue
        else:
            continue
        waiting += [each for each in reversed(inner) if not _is_same(each[1], each[2])]


def _is_same(old: Any, new: Any) -> bool:
    return (
        old is not ABSENT and new is not ABSENT and type(old) is type(new) and bool(old == new) and same_value(old, new)
    )


def _are_numbers(*lists: list[Any]) -> bool:
    """Tell whether all elements are numbers: a box or a vector is one value."""
    return all(type(value) in (int, float) for side in lists for value in side)


def _elements(path: str, old: list[Any], new: list[Any]) -> list[tuple[str, Any, Any]]:
    key = key_of([old, new])
    if key is None:
        length = max(len(old), len(new))
        return [(f"{path}[{at}]", _at(old, at), _at(new, at)) for at in range(length)]
    olds: dict[Hashable, Any] = {key(value): value for value in old}
    news: dict[Hashable, Any] = {key(value): value for value in new}
    names = dict.fromkeys([*olds, *news])
    return [(f"{path}[{strict.shortened(name)}]", olds.get(name, ABSENT), news.get(name, ABSENT)) for name in names]


def _at(values: Sequence[Any], at: int) -> Any:
    return values[at] if at < len(values) else ABSENT


def _step(key: str) -> str:
    return f".{key}" if _PLAIN.fullmatch(key) and len(key) <= 60 else f"[{strict.shortened(key)}]"

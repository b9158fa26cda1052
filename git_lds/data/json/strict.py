"""JSON read strictly: what two programs could read differently, or could not read at all, is refused with its place."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from sys import intern
from typing import Any

from git_lds.errors import LdsError

MARK = b"\xef\xbb\xbf"
"""What some programs begin a text with."""


def loads(data: bytes, name: str) -> Any:
    """Return the value of a JSON text; `name` is that of its file, for messages.

    Raises LdsError for text that is no JSON, NaN and Infinity, a key that an object has twice, nesting too deep to read.
    """
    return value(text(data, name), name)


def text(data: bytes, name: str) -> str:
    """Return the text of a file, without the mark that some programs begin it with. Raises LdsError if it is not UTF-8."""
    try:
        return data.removeprefix(MARK).decode()
    except UnicodeDecodeError as error:
        raise LdsError(f"{name}: not UTF-8 text, at byte {error.start}", _HINT) from None


def value(text: str, name: str) -> Any:
    """Return the value of a JSON text, as `loads` does."""
    with no_pauses(), told_as_errors(name):
        return DECODER.decode(text)


_HINT = "mend the file: it is not JSON that all programs read alike"


@contextmanager
def told_as_errors(name: str) -> Iterator[None]:
    """Translate what goes wrong while JSON is read to LdsError."""
    try:
        yield
    except json.JSONDecodeError as error:
        raise LdsError(f"{name}: not JSON: {error.msg} (line {error.lineno}, column {error.colno})", _HINT) from None
    except RecursionError:
        raise LdsError(f"{name}: nested too deeply to be read", _HINT) from None
    except (_Refused, ValueError) as error:
        # a ValueError is Python's own refusal of a number with thousands of digits
        said = str(error) if isinstance(error, _Refused) else "a number with too many digits"
        raise LdsError(f"{name}: not JSON that can be relied on: {said}", _HINT) from None


@contextmanager
def no_pauses() -> Iterator[None]:
    """Do without Python's garbage collector: millions of values are made and none is thrown away, so its passes are in vain."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Refused(ValueError):
    """What `json` would take and others would not."""


def twice(key: str) -> ValueError:
    """Return the error of a key that an object has twice: some programs take the first value, some the last."""
    return _Refused(f"an object has the key {shortened(key)} twice")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        raise twice(next(key for key, _ in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]
    return found


def _record(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = {intern(key): value for key, value in pairs}
    return found if len(found) == len(pairs) else _object(pairs)


def _constant(word: str) -> Any:
    raise _Refused(f"{word} is no number of JSON")


DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)

scan = json.JSONDecoder(object_pairs_hook=_record, parse_constant=_constant).scan_once  # type: ignore[attr-defined]
"""Reads the value at a place of a text, and where it ends. `json` has one text for a key only within one call of it; one for
each key of each record would take 260 MB for 800,000 annotations."""


def shortened(value: object) -> str:
    """Return a value for a message: on one line, and not longer than it can be read."""
    try:
        shown = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        shown = repr(type(value))
    return shown if len(shown) <= 60 else shown[:57] + "..."

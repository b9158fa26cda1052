"""JSON read strictly: text that two programs could read differently is refused, with its position."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from sys import intern
from typing import Any

from git_lds.errors import LdsError

MARK = b"\xef\xbb\xbf"
"""The byte order mark that some programs write at the start of a text."""


def loads(data: bytes, name: str) -> Any:
    """Return the value of a JSON text; `name` is the name of its file, for messages.

    Raises LdsError for text that is not JSON, for NaN and Infinity, for a key that an object has twice, and for nesting that
    is too deep to read.
    """
    return value(text(data, name), name)


def text(data: bytes, name: str) -> str:
    """Return the text of a file without a byte order mark. Raises LdsError if it is not UTF-8."""
    try:
        return data.removeprefix(MARK).decode()
    except UnicodeDecodeError as error:
        raise LdsError(f"{name}: not UTF-8 text, at byte {error.start}", _HINT) from None


def value(text: str, name: str) -> Any:
    """Return the value of a JSON text. Raises LdsError as `loads` does."""
    with no_pauses(), json_errors(name):
        return DECODER.decode(text)


_HINT = "correct the file: programs read this JSON differently"


@contextmanager
def json_errors(name: str) -> Iterator[None]:
    """Translate errors of reading JSON. Raises LdsError."""
    try:
        yield
    except json.JSONDecodeError as error:
        raise LdsError(f"{name}: not JSON: {error.msg} (line {error.lineno}, column {error.colno})", _HINT) from None
    except RecursionError:
        raise LdsError(f"{name}: nested too deeply to be read", _HINT) from None
    except (_Refused, ValueError) as error:
        # a ValueError is Python's own refusal of a number with thousands of digits
        said = str(error) if isinstance(error, _Refused) else "a number with too many digits"
        raise LdsError(f"{name}: ambiguous JSON: {said}", _HINT) from None


@contextmanager
def no_pauses() -> Iterator[None]:
    """Turn off Python's garbage collector: while millions of values are made and kept, its passes free nothing."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Refused(ValueError):
    """JSON that Python reads and other programs may not."""


def twice(key: str) -> ValueError:
    """Return the error for a key that an object has twice: some programs take the first value, some the last."""
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
    raise _Refused(f"{word} is not a number of JSON")


DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)

scan = json.JSONDecoder(object_pairs_hook=_record, parse_constant=_constant).scan_once  # type: ignore[attr-defined]
"""Reads the value at a position of a text, and returns it with its end.

Keys are interned: `json` shares the text of a key within one call only, and a text for each key of each record would take
260 MB for 800,000 annotations."""


def shortened(value: object) -> str:
    """Return a value for a message, on one line and at most 60 characters long."""
    try:
        shown = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        shown = repr(type(value))
    return shown if len(shown) <= 60 else shown[:57] + "..."

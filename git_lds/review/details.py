"""The changes in a file as the page shows them: tables by row, JSON by value, text by line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from git_lds.data import registry
from git_lds.data.json import diff as json_diff
from git_lds.data.json import strict
from git_lds.data.json.diff import ValueChanges
from git_lds.data.registry import Kind
from git_lds.data.table.diff import Row, TableChanges
from git_lds.data.text.merge import is_text
from git_lds.errors import LdsError
from git_lds.git import diff_lines
from git_lds.repo import Repo
from git_lds.review.model import sentence

_MAX_TEXT = 16 << 20
"""Bytes of the largest text that is compared by lines."""

_MAX_LINES = 1 << 20
"""Bytes of differing lines of one file on the page."""

_MAX_CELL = 300
_MAX_PATH = 600
_MAX_LINE = 2_000
"""Characters of a cell or value, of the path to a value, and of a line that are shown."""

_MAX_DRAWING = 256 << 10
"""Bytes of the largest SVG that is shown as an image."""


@dataclass(frozen=True, slots=True)
class Details:
    """What the page shows of a file, and notes about what it cannot show."""

    detail: dict[str, object] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def describe(
    repo: Repo, kind: Kind, path: str, before: bytes | None, after: bytes | None, key: Sequence[str] = ()
) -> Details:
    """Return the changes between two versions of a file by its kind; None is a version that does not exist.

    They are those of `git lds diff`. `key` are declared key columns of a table. Contents that are malformed for their kind,
    or have nothing to match rows and records by, are compared by lines.
    """
    detail = None
    if before or after:
        try:
            if kind is registry.TABLE:
                detail = _table(kind.diff(before, after, path, key))
            elif kind in (registry.JSON, registry.JSONL):
                detail = _values(kind.diff(before, after, path, key))
        except LdsError as error:
            return lines_of(repo, path, before, after, sentence(error.message, path))
    return lines_of(repo, path, before, after) if detail is None else Details(detail)


def lines_of(repo: Repo, path: str, before: bytes | None, after: bytes | None, *notes: str) -> Details:
    """Return the lines that differ between two versions, and for an SVG both drawings."""
    detail = _lines(repo, before or b"", after or b"")
    if path.lower().endswith(".svg"):
        detail["drawings"] = [_drawing(data) for data in (before, after)]
    return Details(detail, list(notes))


def _table(changes: TableChanges) -> dict[str, object] | None:
    """Return the rows that differ, or None if no columns identify rows."""
    if not changes.key:
        return None
    states: dict[str, str] = {}
    if changes.columns not in (changes.columns_added, changes.columns_removed):  # the table was not added or removed
        states = {**dict.fromkeys(changes.columns_added, "added"), **dict.fromkeys(changes.columns_removed, "removed")}
    columns = [{"name": _short(name), "key": name in changes.key, "s": states.get(name)} for name in changes.columns]
    rows = [_row(changes.columns, row) for row in changes.listed]
    return {"table": {"columns": columns, "rows": rows, "more": changes.unlisted}}


def _row(columns: tuple[str, ...], row: Row) -> dict[str, object]:
    """Return a row as the page reads it: its state `s`, its cells, and where it changed the cells before as `old`."""
    current = row.after if row.after is not None else row.before
    assert current is not None
    cells = [_short(current.get(name, "")) for name in columns]
    if row.before is None or row.after is None:
        return {"s": "added" if row.before is None else "removed", "cells": cells}
    old = [
        _short(row.before.get(name, "")) if row.before.get(name) != row.after.get(name) else None for name in columns
    ]
    return {"s": "changed", "cells": cells, "old": old}


def _values(changes: ValueChanges) -> dict[str, object] | None:
    """Return the values that differ, or None for JSON Lines whose records have no ids."""
    if changes.by_lines:
        return None
    values = [_value(value) for value in changes.listed]
    detail: dict[str, object] = {"values": {"changes": values, "more": changes.unlisted}}
    if not values:
        detail["remarks"] = ["Only the formatting changed; all values are the same."]
    return detail


def _value(value: json_diff.Different) -> dict[str, object]:
    shown: dict[str, object] = {"path": value.path[:_MAX_PATH]}
    if value.before is not json_diff.ABSENT:
        shown["old"] = _json(value.before)
    if value.after is not json_diff.ABSENT:
        shown["new"] = _json(value.after)
    shown["s"] = "changed" if len(shown) == 3 else "removed" if "old" in shown else "added"
    return shown


def _json(value: object) -> str:
    """Return a value in one line; of a large object or list only its size, since all of it would be encoded to be cut off."""
    if isinstance(value, dict) and len(value) > 20:
        return f"{{{len(value)} keys}}"
    if isinstance(value, list) and len(value) > 50:
        return f"[{len(value)} values]"
    return _short(strict.shortened(value))


def _lines(repo: Repo, before: bytes, after: bytes) -> dict[str, object]:
    if not is_text(before) or not is_text(after):
        return {"remarks": ["It contains bytes that are not text."]}
    if max(len(before), len(after)) > _MAX_TEXT:
        return {"remarks": ["It is too large to be compared by lines."]}
    lines, is_whole = diff_lines.differences(repo.git, repo.tmp, before, after, limit=_MAX_LINES)
    texts = [_line(line.decode("utf-8", "replace")) for line in lines]
    detail: dict[str, object] = {"lines": {"lines": texts, "more": 0}}
    if not is_whole:
        detail["remarks"] = ["More lines differ than are shown here."]
    return detail


def _line(text: str) -> str:
    """Return a line of a diff as the page shows it; the head of a hunk becomes the number of its first line after."""
    if text.startswith("@"):
        return f"@line {text.rpartition('+')[2].partition(',')[0]}"
    return _short(text.expandtabs(4), _MAX_LINE)


def _drawing(data: bytes | None) -> str | None:
    """Return the text of an SVG for an <img>, in which a browser runs no scripts and loads nothing."""
    return data.decode("utf-8", "replace") if data and len(data) <= _MAX_DRAWING else None


def _short(text: str, most: int = _MAX_CELL) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"

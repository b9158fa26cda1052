"""What the page says of a file that is no image: tables by row, JSON by value, text by line."""

from __future__ import annotations

from dataclasses import dataclass, field

from git_lds.data import registry
from git_lds.data.image import render
from git_lds.data.json import diff as json_diff
from git_lds.data.json import strict
from git_lds.data.json.diff import ValueChanges
from git_lds.data.table import diff as table_diff
from git_lds.data.table.diff import TableChanges
from git_lds.data.text.merge import is_text
from git_lds.errors import LdsError
from git_lds.git import diff_lines
from git_lds.repo import Repo
from git_lds.snapshots.version import Version

_KINDS = {
    b".json": "json",
    b".geojson": "json",
    b".jsonl": "json",
    b".ndjson": "json",
    b".csv": "table",
    b".tsv": "table",
    b".tab": "table",
}
_TEXTS = tuple(
    b"." + word
    for word in b"txt md yaml yml toml xml svg py html css js cfg ini rst log".split()
    + b"gitattributes gitignore ldsconfig ldsdeps".split()
)

_MAX_TEXT = 16 << 20
"""Bytes of the largest text that is compared by lines."""

_MAX_LINES = 1 << 20
"""Bytes of differing lines that the page has of a file."""

_MAX_CELL = 300
_MAX_DRAWING = 256 << 10
"""Bytes of the largest SVG that is shown as the image that it is."""


@dataclass(frozen=True, slots=True)
class Described:
    """What the page shows of a file, and what is wrong with it."""

    detail: dict[str, object] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def kind_of(path: bytes, version: Version) -> str:
    """Return what kind of file a path is by its name: image, json, table, text or binary. A link is text: where it leads."""
    if version.mode == b"120000":
        return "text"
    name = path.lower()
    if name.endswith(render.ENDINGS):
        return "image"
    kind = next((kind for ending, kind in _KINDS.items() if name.endswith(ending)), None)
    return kind or ("text" if name.endswith(_TEXTS) else "binary")


def describe(repo: Repo, kind: str, path: str, before: bytes | None, after: bytes | None) -> Described:
    """Return what changed from one text to another; None stands for a file that is not there."""
    notes = []
    try:
        if kind == "table" and (found := _table(registry.TABLE.diff(before, after, path), before, after)) is not None:
            return Described(found)
        if kind == "json":
            data_kind = registry.JSONL if is_lines(path) else registry.JSON
            if (found := _values(data_kind.diff(before, after, path))) is not None:
                return Described(found)
    except LdsError as error:
        said = error.message.removeprefix(f"{path}: ")
        notes.append(f"{said[:1].upper()}{said[1:]}.")
    detail = _lines(repo, before or b"", after or b"")
    if path.lower().endswith(".svg"):
        detail["drawings"] = [_drawing(data) for data in (before, after)]
    return Described(detail, notes)


def _table(found: TableChanges, before: bytes | None, after: bytes | None) -> dict[str, object] | None:
    """Return the rows that differ; None where no column tells rows apart, so that lines say more."""
    if not found.key:
        return None
    both = bool(before and after)
    only = {**dict.fromkeys(found.columns_added, "added"), **dict.fromkeys(found.columns_removed, "removed")}
    columns = [
        {"name": _short(name), "key": name in found.key, "s": only.get(name) if both else None}
        for name in found.columns
    ]
    shown = [_row(found.columns, row) for row in found.listed]
    return {"table": {"columns": columns, "rows": shown, "more": found.unlisted}}


def _row(columns: tuple[str, ...], row: table_diff.Row) -> dict[str, object]:
    now = row.after if row.after is not None else row.before
    assert now is not None
    cells = [_short(now.get(name, "")) for name in columns]
    if row.before is None or row.after is None:
        return {"s": "added" if row.before is None else "removed", "cells": cells}
    old = [
        _short(row.before.get(name, "")) if row.before.get(name) != row.after.get(name) else None for name in columns
    ]
    return {"s": "changed", "cells": cells, "old": old}


def is_lines(path: str) -> bool:
    """Tell whether a file of JSON is one of JSON Lines, by its name."""
    return path.lower().endswith((".jsonl", ".ndjson"))


def _values(found: ValueChanges) -> dict[str, object] | None:
    """Return the values that differ; None for JSON Lines whose records nothing tells apart, so that lines say more."""
    if found.by_lines:
        return None
    changes = [_value(each) for each in found.listed]
    detail: dict[str, object] = {"values": {"changes": changes, "more": found.unlisted}}
    if not changes:
        detail["said"] = ["The values are as they were; only the way in which they are written changed."]
    return detail


def _value(each: json_diff.Different) -> dict[str, object]:
    found: dict[str, object] = {"path": each.path[:600]}
    if each.before is not json_diff.ABSENT:
        found["old"] = _json(each.before)
    if each.after is not json_diff.ABSENT:
        found["new"] = _json(each.after)
    found["s"] = "changed" if len(found) == 3 else "removed" if "old" in found else "added"
    return found


def _json(value: object) -> str:
    if isinstance(value, dict | list):
        # not all of it: a large value that is new would be written for nothing
        return f"{{{len(value)} keys}}" if isinstance(value, dict) and len(value) > 20 else _short_json(value)
    return _short_json(value)


def _short_json(value: object) -> str:
    if isinstance(value, list) and len(value) > 50:
        return f"[{len(value)} values]"
    return _short(strict.shortened(value))


def _lines(repo: Repo, before: bytes, after: bytes) -> dict[str, object]:
    if not is_text(before) or not is_text(after):
        return {"said": ["It holds bytes that are no text."]}
    if max(len(before), len(after)) > _MAX_TEXT:
        return {"said": ["It is too large to be compared by lines."]}
    found, is_whole = diff_lines.differences(repo.git, repo.tmp, before, after, limit=_MAX_LINES)
    texts = [_line(line.decode("utf-8", "replace")) for line in found]
    detail: dict[str, object] = {"lines": {"lines": texts, "more": 0}}
    if not is_whole:
        detail["said"] = ["More lines differ than are shown here."]
    return detail


def _line(text: str) -> str:
    """Return a line of a diff as the page has it: of a hunk's head only at which line of the file after it begins."""
    if text.startswith("@"):
        return f"@line {text.rpartition('+')[2].partition(',')[0]}"
    return _short(text.expandtabs(4), 2_000)


def _drawing(data: bytes | None) -> str | None:
    """Return the text of an SVG for an <img>, in which a browser runs nothing and loads nothing."""
    return data.decode("utf-8", "replace") if data and len(data) <= _MAX_DRAWING else None


def _short(text: str, most: int = _MAX_CELL) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"

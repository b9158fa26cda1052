"""Prints the changes in files, for people and as JSON."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import click

from git_lds.cli.render.output import amount, name
from git_lds.compare.compare import Compared
from git_lds.data.coco.diff import CocoChanges, ListChanges
from git_lds.data.diff import Changes
from git_lds.data.image.diff import FileKinds
from git_lds.data.json.diff import ValueChanges
from git_lds.data.table.diff import TableChanges
from git_lds.data.text.diff import LineChanges
from git_lds.snapshots.changes import Changed
from git_lds.snapshots.version import Version

_COLOURS = {"A": "green", "D": "red", "R": "cyan", "M": "yellow"}
_WORDS = {"A": "added", "D": "removed", "R": "renamed", "M": "changed"}
_MOST = 10
"""Categories, columns or fields that are named; the rest is counted."""

_PLACES = 20
"""Values that differ whose paths are named."""

_MOST_RECORDS = 1000
"""Records of each kind of change that `--json` lists."""


def _letter(change: Changed) -> str:
    if change.before is None:
        return "A"
    return "D" if change.after is None else "R" if change.old_path is not None else "M"


def lines(file: Compared, width: int) -> Iterator[str]:
    """Yield the lines about one file: its path and sizes, and below it the changes."""
    change = file.change
    letter = _letter(change)
    path = name(change.path)
    if change.old_path is not None:
        path = f"{name(change.old_path)} -> {path}"
    sizes = [amount(side.size) for side in (change.before, change.after) if side is not None]
    size = sizes[0] if len(set(sizes)) == 1 else " -> ".join(sizes)
    yield f"{click.style(letter, fg=_COLOURS[letter], bold=True)} {click.style(path, bold=True)}  {size}"
    if file.note:
        yield _indented(click.style(file.note, fg="magenta"))
    if change.before and change.after and change.before.mode != change.after.mode:
        yield _indented(f"mode {change.before.mode.decode()} -> {change.after.mode.decode()}")
    for line in _changes(file.changes, width):
        yield _indented(line)


def _indented(line: str) -> str:
    return "    " + line


def _changes(changes: Changes | None, width: int) -> Iterator[str]:
    if isinstance(changes, CocoChanges):
        yield from _coco(changes, width)
    elif isinstance(changes, TableChanges):
        yield from _table(changes)
    elif isinstance(changes, ValueChanges):
        yield f"values      {_counts(changes.added, changes.removed, changes.changed)}"
        if places := changes.places(_PLACES):
            yield f"            {_some(places)}"
    elif isinstance(changes, LineChanges):
        yield f"lines       {_counts(changes.added, changes.removed, 0)}"
    elif isinstance(changes, FileKinds):
        kinds = [kind for kind in (changes.before, changes.after) if kind is not None]
        yield " -> ".join(dict.fromkeys(kinds))


def _coco(found: CocoChanges, width: int) -> Iterator[str]:
    parts = (("images", found.images), ("annotations", found.annotations), ("categories", found.categories))
    for title, changes in parts:
        if changes:
            yield f"{title:<12}{_counts(len(changes.added), len(changes.removed), len(changes.changed))}{_fields(changes)}"
    overlaps = [
        change.iou for change in found.annotations.changed if "bbox" in change.fields and change.iou is not None
    ]
    if overlaps:
        mean = sum(overlaps) / len(overlaps)
        yield f"boxes       {len(overlaps):,} moved; overlap {mean:.2f} on average, {min(overlaps):.2f} at least"
    if found.others:
        yield f"also        {_some(found.others)}"
    if found.renumbered:
        yield f"ids         {found.renumbered:,} only have another id"
    if not (any(changes for _, changes in parts) or found.others or found.renumbered):
        yield "only written differently"
    differing = {kind: counts for kind, counts in found.counts.items() if counts[0] != counts[1]}
    if differing:
        yield from _categories(differing, width)


def _fields(changes: ListChanges) -> str:
    """Return how many records changed in each field, in parentheses."""
    fields = Counter(field for change in changes.changed for field in change.fields)
    return f" ({_some([f'{field} {count:,}' for field, count in fields.most_common()])})" if fields else ""


def _categories(counts: dict[str, tuple[int, int]], width: int) -> Iterator[str]:
    """Yield the number of annotations by category, those that changed most first."""
    order = sorted(counts.items(), key=lambda each: (-abs(each[1][1] - each[1][0]), each[0]))
    shown = order[:_MOST]
    most = max(8, width - 40)
    titles = [_short(name(kind), most) for kind, _ in shown]
    wide = max(map(len, [*titles, "category"]))
    yield click.style(f"{'category':<{wide}}  {'before':>9}  {'after':>9}", dim=True)
    for title, (_, (before, after)) in zip(titles, shown, strict=True):
        sign = click.style(f"{after - before:+,}", fg="green" if after > before else "red")
        yield f"{title:<{wide}}  {before:>9,}  {after:>9,}  {sign}"
    if len(order) > len(shown):
        yield f"and {len(order) - len(shown)} more categories"


def _table(found: TableChanges) -> Iterator[str]:
    if found.columns_added or found.columns_removed:
        signs = [f"+{column}" for column in found.columns_added] + [f"-{column}" for column in found.columns_removed]
        yield f"columns     {_some(signs)}"
    by = f", by {', '.join(map(name, found.key))}" if found.key else ", as whole lines"
    if found.added or found.removed or found.changed:
        yield f"rows        {_counts(found.added, found.removed, found.changed)}, {found.rows[0]:,} -> {found.rows[1]:,}{by}"
    if found.cells:
        yield f"cells       {_some([f'{column} {count:,}' for column, count in found.cells.items()])}"
    if not (found.columns_added or found.columns_removed or found.added or found.removed or found.changed):
        yield "only written differently"


def _counts(added: int, removed: int, changed: int) -> str:
    parts = [
        click.style(f"+{added:,}", fg="green") if added else "",
        click.style(f"-{removed:,}", fg="red") if removed else "",
        click.style(f"{changed:,} changed", fg="yellow") if changed else "",
    ]
    return " ".join(part for part in parts if part) or "none"


def _some(words: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(words) - _MOST} more" if len(words) > _MOST else ""
    return ", ".join(_short(name(word), 60) for word in words[:_MOST]) + more


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def total(files: Sequence[Changed]) -> str:
    """Return the line that counts all files."""
    letters = Counter(map(_letter, files))
    kinds = ", ".join(f"{letters[letter]} {_WORDS[letter]}" for letter in "ADRM" if letters[letter])
    new = sum(change.after.size for change in files if change.after and not change.old_path)
    old = sum(change.before.size for change in files if change.before and not change.old_path)
    sizes = f"; {amount(old)} -> {amount(new)}" if old or new else ""
    return f"{len(files)} {'file' if len(files) == 1 else 'files'}: {kinds}{sizes}"


# as JSON


def as_json(file: Compared) -> dict[str, Any]:
    """Return one file and its changes as `--json` prints them."""
    change = file.change
    return {
        "path": os.fsdecode(change.path),
        "status": _WORDS[_letter(change)],
        "old_path": os.fsdecode(change.old_path) if change.old_path is not None else None,
        "before": _version(change.before),
        "after": _version(change.after),
        "note": file.note,
        "changes": _json_changes(file.changes),
    }


def _version(side: Version | None) -> dict[str, Any] | None:
    if side is None:
        return None
    return {"mode": side.mode.decode(), "oid": f"blake3:{side.oid}" if side.oid else None, "size": side.size}


def _json_changes(changes: Changes | None) -> dict[str, Any] | None:
    if isinstance(changes, CocoChanges):
        return _json_coco(changes)
    if isinstance(changes, TableChanges):
        return _json_table(changes)
    if isinstance(changes, ValueChanges):
        counts = {"added": changes.added, "removed": changes.removed, "changed": changes.changed}
        return {"kind": "values", **counts, "places": list(changes.places(_PLACES))}
    if isinstance(changes, LineChanges):
        return {"kind": "lines", "added": changes.added, "removed": changes.removed}
    if isinstance(changes, FileKinds):
        return {"kind": "file", "before": changes.before, "after": changes.after}
    return None


def _json_coco(found: CocoChanges) -> dict[str, Any]:
    return {
        "kind": "coco",
        "images": _json_list(found.images),
        "annotations": _json_list(found.annotations),
        "categories": _json_list(found.categories),
        "counts": {kind: {"before": old, "after": new} for kind, (old, new) in found.counts.items()},
        "renumbered": found.renumbered,
        "others": list(found.others),
    }


def _json_table(found: TableChanges) -> dict[str, Any]:
    rows = {"before": found.rows[0], "after": found.rows[1]}
    return {
        "kind": "table",
        "key": list(found.key),
        "columns": {"added": list(found.columns_added), "removed": list(found.columns_removed)},
        "rows": {**rows, "added": found.added, "removed": found.removed, "changed": found.changed},
        "cells": found.cells,
    }


def _json_list(changes: ListChanges) -> dict[str, Any]:
    """Return how many records changed and how; the first of each kind of change are listed."""
    lists = {"added": changes.added, "removed": changes.removed, "changed": changes.changed}
    return {
        **{kind: len(records) for kind, records in lists.items()},
        "listed": {kind: [change._asdict() for change in records[:_MOST_RECORDS]] for kind, records in lists.items()},
    }

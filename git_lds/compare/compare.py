"""What changed in files, as data people think of it: images by their size, annotations, rows and columns, values, lines."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from git_lds.data.coco import model as coco
from git_lds.data.coco.model import CocoChanges
from git_lds.data.image.identify import described
from git_lds.data.json import merge as json_merge
from git_lds.data.json import strict
from git_lds.data.table import read as table
from git_lds.errors import LdsError
from git_lds.files import printable
from git_lds.snapshots.changes import Changed, Version
from git_lds.snapshots.contents import Contents

MAX_SIZE = 256 << 20
"""Bytes of the largest file that is compared as data: 100 MB of annotations take 1.5 GB for both sides."""

_MAX_LINES = 4000
"""How many lines two texts may have to be compared line by line, which takes time by the square."""

_MAX_TEXT = 32 << 20
"""Bytes of the largest text whose lines are counted."""

_HEAD = 64 << 10
"""Bytes of an image that are read for its size; the size of a JPEG stands behind its preview."""


@dataclass(frozen=True, slots=True)
class TableChanges:
    """What changed in a table: columns, and rows by the columns `key`, or as whole lines where none tell rows apart."""

    key: tuple[str, ...]
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    rows: tuple[int, int]
    added: int
    removed: int
    changed: int
    cells: dict[str, int]
    """How many cells changed, by column."""


@dataclass(frozen=True, slots=True)
class ValueChanges:
    """How many values of JSON, or records of JSON Lines, were added, removed and changed, and where, as far as listed."""

    added: int
    removed: int
    changed: int
    places: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LineChanges:
    """How many lines of a text were added and removed."""

    added: int
    removed: int


@dataclass(frozen=True, slots=True)
class FileKinds:
    """What a file was and is, in a word or two with an image's width and height: "PNG image, 640x480"."""

    before: str | None
    after: str | None


Details = CocoChanges | TableChanges | ValueChanges | LineChanges | FileKinds


@dataclass(frozen=True, slots=True)
class Compared:
    """One file that differs, and what differs in it; `note` says why that is not known."""

    change: Changed
    details: Details | None
    note: str | None = None


def compare(contents: Contents, change: Changed) -> Compared:
    """Return what differs in one file. What is malformed, too large or not here is said in `note`, never raised."""
    sides = [side for side in (change.before, change.after) if side is not None]
    absent = [side for side in sides if not contents.is_here(side)]
    if absent:
        return Compared(change, None, "not on this machine")
    if _is_same(change):
        return Compared(change, None)
    try:
        return Compared(change, _details(contents, change))
    except LdsError as error:
        return Compared(change, None, error.message.removeprefix(f"{printable(change.path)}: "))
    except (MemoryError, RecursionError):
        return Compared(change, None, "too large or nested too deeply to be compared")


def _is_same(change: Changed) -> bool:
    before, after = change.before, change.after
    if before is None or after is None:
        return False
    return before.oid == after.oid if before.oid is not None or after.oid is not None else before.blob == after.blob


def _details(contents: Contents, change: Changed) -> Details | None:
    path = change.path
    heads = [contents.head(side, _HEAD) or b"" if side is not None else None for side in (change.before, change.after)]
    if any(head is not None and (b"\0" in head or described(head)) for head in heads):
        return FileKinds(*(_kind(head) if head is not None else None for head in heads))
    name, ending = printable(path), path.rpartition(b".")[2].lower()
    if ending in (b"json", b"geojson"):
        return _of_json(contents, change, name)
    if ending in (b"jsonl", b"ndjson"):
        return _of_records(_lines(contents, change.before), _lines(contents, change.after), name)
    if ending in (b"csv", b"tsv"):
        return _of_table(_read(contents, change.before), _read(contents, change.after), name)
    return _of_lines(_lines(contents, change.before), _lines(contents, change.after))


def _kind(head: bytes) -> str:
    return described(head) or ("binary" if b"\0" in head else "text")


def _read(contents: Contents, side: Version | None, limit: int = MAX_SIZE) -> bytes | None:
    return contents.read(side, limit) if side is not None else None


def _lines(contents: Contents, side: Version | None) -> list[bytes]:
    return (_read(contents, side, _MAX_TEXT) or b"").splitlines()


def _of_json(contents: Contents, change: Changed, name: str) -> CocoChanges | ValueChanges:
    documents: list[Any] = []
    for side in (change.before, change.after):
        data = _read(contents, side)
        documents.append(strict.loads(data, name) if data else None)
        del data
    if any(coco.is_coco(document) for document in documents) and all(d is None or coco.is_coco(d) for d in documents):
        before, after = (coco.of_document(d, name) if d is not None else None for d in documents)
        return coco.compare(before, after)
    counts = {"added": 0, "removed": 0, "changed": 0}
    places: list[str] = []
    with strict.told_as_errors(name):
        _count(documents[0], documents[1], "", counts, places)
    return ValueChanges(counts["added"], counts["removed"], counts["changed"], tuple(places[:_LISTED]))


_LISTED = 20


def _count(before: Any, after: Any, where: str, counts: dict[str, int], places: list[str]) -> None:
    """Add up what differs between two values: members and elements that came or went, and single values that changed."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys: Iterable[Any] = dict.fromkeys([*before, *after])
        pairs = [
            (f"{where}.{key}" if where else str(key), before.get(key, _NOTHING), after.get(key, _NOTHING))
            for key in keys
        ]
    elif isinstance(before, list) and isinstance(after, list) and not _are_numbers(before, after):
        old, new = _keyed(before, after)
        pairs = [
            (f"{where}[{key}]", old.get(key, _NOTHING), new.get(key, _NOTHING)) for key in dict.fromkeys([*old, *new])
        ]
    elif before is _NOTHING or after is _NOTHING or before != after or type(before) is not type(after):
        kind = (
            "added"
            if before is _NOTHING or (before is None and not where)
            else "removed"
            if after is _NOTHING
            else "changed"
        )
        counts[kind] += 1
        if len(places) < _LISTED:
            places.append(where)
        return
    else:
        return
    for place, old_value, new_value in pairs:
        if old_value is not new_value:
            _count(old_value, new_value, place, counts, places)


_NOTHING = object()


def _are_numbers(*lists: list[Any]) -> bool:
    return all(type(value) in (int, float) for side in lists for value in side)


def _keyed(before: list[Any], after: list[Any]) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Return the elements by an id that all have, else by their number."""
    key = json_merge.key_of([before, after])
    if key is None:
        return dict(enumerate(before)), dict(enumerate(after))
    return {key(value): value for value in before}, {key(value): value for value in after}


def _of_records(before: Sequence[bytes], after: Sequence[bytes], name: str) -> ValueChanges:
    """Return how many records of JSON Lines differ: by their keys where all have one, else by what they say."""
    sides = []
    for lines in (before, after):
        with strict.no_pauses():
            sides.append([strict.loads(line, name) for line in lines if line.strip()])
    key = json_merge.key_of(sides)
    if key is None:
        old_lines, new_lines = (_often(map(_dumped, side)) for side in sides)
        return ValueChanges(_beyond(new_lines, old_lines), _beyond(old_lines, new_lines), 0, ())
    old, new = ({key(value): value for value in side} for side in sides)
    changed = [each for each in old if each in new and old[each] != new[each]]
    places = tuple(map(str, changed[:_LISTED]))
    return ValueChanges(len(new.keys() - old.keys()), len(old.keys() - new.keys()), len(changed), places)


def _dumped(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _of_lines(before: Sequence[bytes], after: Sequence[bytes]) -> LineChanges:
    """Return how many lines came and went; for long texts moved lines count as neither, to be quick."""
    if len(before) + len(after) > _MAX_LINES:
        old, new = _often(before), _often(after)
        return LineChanges(_beyond(new, old), _beyond(old, new))
    added = removed = 0
    for tag, a0, a1, b0, b1 in difflib.SequenceMatcher(None, before, after).get_opcodes():
        if tag != "equal":
            removed += a1 - a0
            added += b1 - b0
    return LineChanges(added, removed)


def _beyond(one: Mapping[Any, int], other: Mapping[Any, int]) -> int:
    """Return how many things are in the one and not in the other."""
    return sum(max(0, count - other.get(thing, 0)) for thing, count in one.items())


def _often(lines: Iterable[bytes]) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    for line in lines:
        found[line] = found.get(line, 0) + 1
    return found


def _of_table(before: bytes | None, after: bytes | None, name: str) -> TableChanges:
    old, new = (table.read(data, name) if data else None for data in (before, after))
    having = [side for side in (old, new) if side is not None]
    if not having:
        return TableChanges((), (), (), (0, 0), 0, 0, 0, {})
    key = table.key_columns(having) or ()
    old_columns, new_columns = old.columns if old else (), new.columns if new else ()
    both = [column for column in new_columns if column in old_columns]
    rows = [_rows(side, key or tuple(both)) for side in (old, new)]
    often = [{where: len(found) for where, found in side.items()} for side in rows]
    cells: dict[str, int] = {}
    changed = 0
    if key and old is not None and new is not None:
        for where in rows[0].keys() & rows[1].keys():
            one, other = rows[0][where][0], rows[1][where][0]
            different = [c for c in both if one[old.places[c]] != other[new.places[c]]]
            changed += bool(different)
            for column in different:
                cells[column] = cells.get(column, 0) + 1
    return TableChanges(
        key,
        tuple(column for column in new_columns if column not in old_columns),
        tuple(column for column in old_columns if column not in new_columns),
        (len(old.rows) if old else 0, len(new.rows) if new else 0),
        _beyond(often[1], often[0]),
        _beyond(often[0], often[1]),
        changed,
        dict(sorted(cells.items(), key=lambda cell: (-cell[1], cell[0]))),
    )


Rows = dict[tuple[str, ...], list[list[str]]]


def _rows(side: table.Table | None, key: tuple[str, ...]) -> Rows:
    found: Rows = {}
    for row in side.rows if side is not None else ():
        found.setdefault(side.key_of(row, key) if side and key else tuple(row), []).append(row)
    return found

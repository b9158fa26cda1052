"""Which rows and columns differ between two tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from git_lds.data.table import read as table
from git_lds.data.table.read import Table, key_columns

MAX_LISTED = 3_000
"""Rows that a comparison lists; the rest is counted."""


class Row(NamedTuple):
    """A row that differs: its cells before and after by column, None if it was added or removed."""

    before: dict[str, str] | None
    after: dict[str, str] | None


@dataclass(frozen=True, slots=True)
class TableChanges:
    """The changes between two tables, by the key columns `key`; without any, whole rows are compared.

    `columns` are those of both tables, `columns_added` and `columns_removed` those of one alone. `rows` counts the rows
    before and after. `changed` counts the rows with another value in a column that both have, and `cells` these values by
    column. `listed` has the rows that differ in any column, in the order of the table after, then the removed ones, up to
    MAX_LISTED, and `unlisted` counts the others; nothing is listed without a key.
    """

    key: tuple[str, ...]
    columns: tuple[str, ...]
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    rows: tuple[int, int]
    added: int
    removed: int
    changed: int
    cells: dict[str, int]
    listed: tuple[Row, ...] = ()
    unlisted: int = 0


def diff(before: bytes | None, after: bytes | None, name: str, key: Sequence[str] = ()) -> TableChanges:
    """Return the changes between two versions of a table; one that is None or empty has no rows and no columns.

    `key` are declared key columns. Raises LdsError if a version is not a table.
    """
    old, new = (table.read(data, name) if data else None for data in (before, after))
    return compare(old, new, key)


def compare(before: Table | None, after: Table | None, named: Sequence[str] = ()) -> TableChanges:
    """Return the changes between two tables, with the columns `named` as the key, if they are named."""
    tables = [side for side in (before, after) if side is not None]
    old_columns, new_columns = (side.columns if side is not None else () for side in (before, after))
    key = key_columns(tables, named) if tables else None
    counts = _by_key(before, after, key) if key else _by_whole_rows(before, after)
    return TableChanges(
        key or (),
        tuple(dict.fromkeys([*new_columns, *old_columns])),
        tuple(column for column in new_columns if column not in old_columns),
        tuple(column for column in old_columns if column not in new_columns),
        (len(before.rows) if before else 0, len(after.rows) if after else 0),
        *counts,
    )


_Counts = tuple[int, int, int, dict[str, int], tuple[Row, ...], int]
"""The fields of TableChanges from `added` on."""


def _by_key(before: Table | None, after: Table | None, key: tuple[str, ...]) -> _Counts:
    added = changed = unlisted = 0
    cells: Counter[str] = Counter()
    listed: list[Row] = []
    olds = {before.key_of(row, key): row for row in before.rows} if before is not None else {}
    same = before is not None and after is not None and set(before.columns) == set(after.columns)
    both = _common(before, after)
    for row in after.rows if after is not None else ():
        assert after is not None
        old = olds.pop(after.key_of(row, key), None)
        if old is None:
            added += 1
        else:
            different = [column for column, was, now in both if old[was] != row[now]]
            changed += bool(different)
            cells.update(different)
            if same and not different:
                continue
        if len(listed) < MAX_LISTED:
            listed.append(Row(_named(before, old), _named(after, row)))
        else:
            unlisted += 1
    removed = list(olds.values())
    room = MAX_LISTED - len(listed)
    listed += [Row(_named(before, row), None) for row in removed[:room]]
    unlisted += max(0, len(removed) - room)
    by_column = dict(sorted(cells.items(), key=lambda cell: (-cell[1], cell[0])))
    return added, len(removed), changed, by_column, tuple(listed), unlisted


def _common(before: Table | None, after: Table | None) -> list[tuple[str, int, int]]:
    """Return (column, index before, index after) of the columns that both tables have."""
    if before is None or after is None:
        return []
    return [(c, before.places[c], at) for c, at in after.places.items() if c in before.places]


def _named(side: Table | None, row: Sequence[str] | None) -> dict[str, str] | None:
    return dict(zip(side.columns, row, strict=True)) if side is not None and row is not None else None


def _by_whole_rows(before: Table | None, after: Table | None) -> _Counts:
    """Compare rows by the columns that both tables have; how often one occurs counts, its place does not."""
    both = tuple(column for column, _, _ in _common(before, after))
    old, new = (Counter(_rows(side, both)) for side in (before, after))
    return (new - old).total(), (old - new).total(), 0, {}, (), 0


def _rows(side: Table | None, columns: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for row in side.rows if side is not None else ():
        assert side is not None
        yield side.key_of(row, columns) if columns else tuple(row)

"""Which rows differ between two tables whose key columns tell them apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from git_lds.data.table.read import Table, key_columns


class Row(NamedTuple):
    """A row that is not in both tables as it is: its cells before and after by column, None where it was not there."""

    before: dict[str, str] | None
    after: dict[str, str] | None


@dataclass(frozen=True, slots=True)
class RowChanges:
    """What differs between two tables: the columns of both, those of one alone, the key, the rows."""

    columns: tuple[str, ...]
    added: frozenset[str]
    removed: frozenset[str]
    key: tuple[str, ...]
    rows: tuple[Row, ...]


def compare(before: Table | None, after: Table | None, named: Sequence[str] = ()) -> RowChanges | None:
    """Return what differs, rows in the order of the table after, then those removed; None where no column tells rows apart."""
    tables = [table for table in (before, after) if table is not None]
    key = key_columns(tables, named)
    if key is None:
        return None
    olds = {before.key_of(row, key): row for row in before.rows} if before is not None else {}
    rows = []
    for cells in after.rows if after is not None else ():
        assert after is not None
        old = olds.pop(after.key_of(cells, key), None)
        was = dict(zip(before.columns, old, strict=True)) if before is not None and old is not None else None
        now = dict(zip(after.columns, cells, strict=True))
        if was != now:
            rows.append(Row(was, now))
    rows += [Row(dict(zip(before.columns, cells, strict=True)), None) for cells in olds.values() if before is not None]
    old_columns = before.columns if before is not None else ()
    new_columns = after.columns if after is not None else ()
    columns = tuple(dict.fromkeys([*new_columns, *old_columns]))
    both = len(tables) == 2
    return RowChanges(
        columns,
        frozenset(set(new_columns) - set(old_columns) if both else ()),
        frozenset(set(old_columns) - set(new_columns) if both else ()),
        key,
        tuple(rows),
    )

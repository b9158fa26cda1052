"""Merges tables: rows by their key columns, cell by cell; columns by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from git_lds.data.conflicts import Markers, Merged, both_rewrote, merged_order, rows_order
from git_lds.data.table import read as table
from git_lds.data.table.read import Table
from git_lds.errors import LdsError

Row = Mapping[str, str]
Key = tuple[str, ...]


def merge(base: bytes, ours: bytes, theirs: bytes, name: str, markers: Markers, key: Sequence[str] = ()) -> Merged:
    """Return the merge of three versions of a table, with its rows matched by the columns `key`, if they are declared.

    Raises LdsError if a version is not a table, and if no columns identify the rows.
    """
    sides = [table.read(data, name) if data else None for data in (base, ours, theirs)]
    old, our, their = sides
    assert our is not None and their is not None
    having = [side for side in sides if side is not None]
    found = table.key_columns(having, key)
    if found is None:
        what = f"the columns {', '.join(key)} do not" if key else "no columns"
        raise LdsError(f"{name}: {what} identify its rows", "declare them in .gitattributes: lds-key=COLUMN,COLUMN")
    if not key and table.is_guess(found):
        keys = [{side.key_of(row, found) for row in side.rows} if side is not None else set() for side in sides]
        if both_rewrote(*keys):
            what = f"{', '.join(found)} of the same row were changed on both sides"
            raise LdsError(
                f"{name}: {what}", "if they identify rows, declare them in .gitattributes: lds-key=COLUMN,COLUMN"
            )
    return _TableMerger(old, our, their, found, markers).run()


class _TableMerger:
    """One merge of tables, by the key columns `key`."""

    def __init__(self, base: Table | None, ours: Table, theirs: Table, key: Key, markers: Markers) -> None:
        self._sides = base, ours, theirs
        self._ours, self._theirs = ours, theirs
        self._key = key
        self._markers = markers
        self._columns = _merged_columns(base.columns if base else (), ours.columns, theirs.columns)
        self._conflicts: list[str] = []

    def run(self) -> Merged:
        places = [_places(side, self._key) if side is not None else {} for side in self._sides]
        is_as_ours = self._columns == self._ours.columns
        out = [self._ours.header if is_as_ours else self._ours.line(self._columns)]
        for key in rows_order(*map(list, places)):
            at = [side.get(key) for side in places]
            out.append(self._row(key, at))
        text = "".join(line if line.endswith("\n") or not line else line + self._ours.ending for line in out)
        last = (self._ours.texts or [self._ours.header])[-1], (self._theirs.texts or [self._theirs.header])[-1]
        if not any(line.endswith("\n") for line in last) and not self._conflicts:
            text = text.removesuffix(self._ours.ending)
        return Merged((self._ours.mark + text).encode("utf-8", "surrogateescape"), tuple(self._conflicts))

    def _row(self, key: Key, at: Sequence[int | None]) -> str:
        old, our, their = (
            dict(zip(side.columns, side.rows[n], strict=True)) if side is not None and n is not None else None
            for side, n in zip(self._sides, at, strict=True)
        )
        about = ", ".join(key)
        if our is None or their is None:
            return self._one_sided(at, old, our, their, about)
        cells, others, clashing = [], [], []
        for column in self._columns:
            before, one, other = (row.get(column) if row is not None else None for row in (old, our, their))
            if one == other or other == before or other is None:
                mine = yours = one
            elif one == before or one is None:
                mine = yours = other
            else:
                mine, yours = one, other
                clashing.append(column)
            cells.append(mine or "")
            others.append(yours or "")
        if clashing:
            self._conflicts.append(f"{about}: {', '.join(clashing)}")
            return self._marked(self._ours.line(cells), self._ours.line(others))
        return self._as_written(at[1], cells)

    def _one_sided(
        self, at: Sequence[int | None], old: Row | None, our: Row | None, their: Row | None, about: str
    ) -> str:
        """Return a row that one side does not have; empty if that side deleted it and the other did not change it."""
        row = our if our is not None else their
        assert row is not None
        cells = [row.get(column, "") for column in self._columns]
        line = self._as_written(at[1], cells) if our is not None else self._ours.line(cells)
        if old is None:
            return line
        if all(old.get(column, "") == value for column, value in row.items()):
            return ""
        self._conflicts.append(f"{about}: deleted on one side, and changed on the other")
        return self._marked(line if our is not None else "", line if our is None else "")

    def _as_written(self, at: int | None, cells: Sequence[str]) -> str:
        """Return a row, with the text of ours if ours has exactly these cells."""
        if at is not None and self._ours.rows[at] == cells:
            return self._ours.texts[at]
        return self._ours.line(cells)

    def _marked(self, ours: str, theirs: str) -> str:
        return self._markers.block(ours.rstrip("\r\n"), theirs.rstrip("\r\n"), self._ours.ending)


def _places(side: Table, key: Key) -> dict[Key, int]:
    return {side.key_of(row, key): at for at, row in enumerate(side.rows)}


def _merged_columns(base: Sequence[str], ours: Sequence[str], theirs: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of the result: without those that a side removed, with those that either side added."""
    removed = {column for column in base if column not in ours or column not in theirs}
    return tuple(column for column in merged_order(ours, theirs) if column not in removed)

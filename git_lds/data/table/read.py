"""Tables: CSV and TSV files with a header, the text of their rows, and the key columns that identify the rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from git_lds.data.json import strict
from git_lds.errors import LdsError

_KEYS = ("id", "key", "uuid", "name", "file_name", "filename", "file", "path", "image", "image_id", "url")
"""Names of columns that identify rows, in lower case, the likeliest first."""

_ENDS = ("_id", "_key", " id")
_MAX_FIELD = 64 << 20
_HINT = "correct the file, or let git merge it as text: git lds track --merge text"


@dataclass(frozen=True)
class Table:
    """A table: its columns, its rows as lists of cells, and the text of each row with its line ending."""

    columns: tuple[str, ...]
    rows: list[list[str]]
    texts: list[str]
    header: str
    delimiter: str
    ending: str
    mark: str
    quotes_all: bool

    @cached_property
    def places(self) -> dict[str, int]:
        return {column: at for at, column in enumerate(self.columns)}

    def key_of(self, row: Sequence[str], key: Sequence[str]) -> tuple[str, ...]:
        return tuple(row[self.places[column]] for column in key)

    def line(self, cells: Sequence[str]) -> str:
        """Return cells as the text of a row of this file, with the line ending."""
        out = io.StringIO()
        form = "excel" if not self.quotes_all else "unix"  # they quote only what needs it, or everything
        csv.writer(out, form, delimiter=self.delimiter, lineterminator=self.ending).writerow(cells)
        return out.getvalue()


def read(data: bytes, name: str) -> Table:
    """Return the table that a file is.

    Raises LdsError for a file without a header, with rows of other lengths, or with two columns of one name.
    """
    text = data.decode("utf-8-sig", "surrogateescape")
    mark = "\ufeff" if data.startswith(b"\xef\xbb\xbf") else ""
    first = text.partition("\n")[0]
    delimiter = "\t" if name.lower().endswith((".tsv", ".tab")) else max(",;\t|", key=first.count)
    ending = "\r\n" if first.endswith("\r") else "\n"
    rows, texts = [], []
    try:
        for cells, line in _rows(text, delimiter):
            rows.append(cells)
            texts.append(line)
    except csv.Error as error:
        raise LdsError(f"{name}: not a table: {error} (row {len(rows) + 1})", _HINT) from None
    if not rows or not rows[0]:
        raise LdsError(f"{name}: not a table: it has no header", _HINT)
    columns = tuple(rows.pop(0))
    header = texts.pop(0)
    if len(set(columns)) != len(columns):
        twice = next(column for column in columns if columns.count(column) > 1)
        raise LdsError(f"{name}: not a table: two columns are named {strict.shortened(twice)}", _HINT)
    filled = [(cells, line) for cells, line in zip(rows, texts, strict=True) if cells]
    for at, (cells, _) in enumerate(filled):
        if len(cells) != len(columns):
            raise LdsError(
                f"{name}: not a table: row {at + 2} has {len(cells)} cells, and there are {len(columns)} columns", _HINT
            )
    quotes_all = header.count('"') >= 2 * len(columns) and header.startswith('"')
    return Table(columns, [c for c, _ in filled], [t for _, t in filled], header, delimiter, ending, mark, quotes_all)


def _rows(text: str, delimiter: str) -> Iterator[tuple[list[str], str]]:
    """Yield the cells of each row and its text, which may be several lines."""
    csv.field_size_limit(_MAX_FIELD)
    lines = io.StringIO(text, newline="").readlines()
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    done = 0
    for cells in reader:
        yield cells, "".join(lines[done : reader.line_num])
        done = reader.line_num


def key_columns(tables: Sequence[Table], named: Sequence[str] = ()) -> tuple[str, ...] | None:
    """Return the columns that identify the rows in each of the tables: `named` if given, else the first that do, or None."""
    common = [column for column in tables[0].columns if all(column in table.places for table in tables)]
    if named:
        return tuple(named) if set(named) <= set(common) and _are_unique(tables, tuple(named)) else None
    likely = sorted((c for c in common if c.lower() in _KEYS), key=lambda c: _KEYS.index(c.lower()))
    ends = [c for c in common if c.lower().endswith(_ENDS) and c not in likely]
    candidates: list[tuple[str, ...]] = [(c,) for c in dict.fromkeys([*likely, *ends, *common[:1]])]
    candidates += [tuple(common[:2])] if len(common) > 1 else []
    candidates += [tuple(likely[:2])] if len(likely) > 1 else []
    return next((key for key in candidates if _are_unique(tables, key)), None)


def is_guess(key: Sequence[str]) -> bool:
    """Return whether key columns may identify rows only by chance: they are several, or not named like an id."""
    return len(key) != 1 or not (key[0].lower() in _KEYS or key[0].lower().endswith(_ENDS))


def _are_unique(tables: Sequence[Table], key: tuple[str, ...]) -> bool:
    for table in tables:
        seen: set[Hashable] = {table.key_of(row, key) for row in table.rows}
        if len(seen) != len(table.rows):
            return False
    return True

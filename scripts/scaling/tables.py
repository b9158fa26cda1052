"""The tables that are measured: their rows as numbers, and as text in docs/scale.md and on the terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

Cell = str | float
"""A word, or a number in the unit that the head of its column says."""


@dataclass(frozen=True, slots=True)
class Table:
    """What was measured under one name: the columns' heads, with their units, and the rows."""

    name: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def markdown(self) -> str:
        """Return the table as it stands in the page."""
        lines = [
            self.head,
            ["---", *["---:"] * (len(self.head) - 1)],
            *([_text(cell) for cell in row] for row in self.rows),
        ]
        return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _text(cell: Cell) -> str:
    """Return a cell with three digits that count, and no exponent."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int) or abs(cell) >= 100:
        return f"{cell:,.0f}"
    return f"{cell:.3g}" if abs(cell) >= 0.001 or not cell else "< 0.001"


def mb(size: float) -> float:
    """Return bytes as MB."""
    return size / 1e6


def write_page(page: Path, machine: str, tables: Iterable[Table]) -> None:
    """Put the tables, and what the machine was, between the marks of the page that have their names."""
    text = _between(page.read_text(), "machine", machine + "\n")
    for table in tables:
        text = _between(text, table.name, table.markdown())
    page.write_text(text)


def _between(text: str, name: str, new: str) -> str:
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"the page has no place for {name!r}")
    return pattern.sub(lambda _: f"{start}\n{new}\n{end}", text)


def as_json(machine: str, tables: Iterable[Table]) -> str:
    """Return all of it as JSON."""
    found = {table.name: {"head": table.head, "rows": table.rows} for table in tables}
    return json.dumps({"machine": machine, "tables": found}, indent=1) + "\n"

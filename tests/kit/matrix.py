"""Tables of cases: a plain run tries some, and `--all` the rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def some_of(values: Iterable[Any], *chosen: Any) -> list[Any]:
    """Return the values of one parameter: those that are `chosen` always run, by default the first; the others are slow."""
    return some_rows([(value,) for value in values], *((value,) for value in chosen))


def some_rows(rows: Iterable[tuple[Any, ...]], *chosen: tuple[Any, ...]) -> list[Any]:
    """Return the values of several parameters: rows that are `chosen` always run, by default the first; others are slow."""
    table = list(rows)
    always = list(chosen) or table[:1]
    assert all(row in table for row in always), "a chosen case is not in the table"
    return [pytest.param(*row, marks=() if row in always else pytest.mark.slow) for row in table]

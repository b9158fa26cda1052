"""Clean and smudge: what git runs for each tracked file. Loads nothing but what most files need."""

from __future__ import annotations

import sys


def say(message: str, hint: str | None = None) -> None:
    """Tell the user on stderr, for in a filter stdout belongs to git."""
    sys.stderr.write(f"git-lds: {message}\n" + (f"hint: {hint}\n" if hint else ""))
    sys.stderr.flush()

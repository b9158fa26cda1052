"""Clean and smudge, which git runs for each tracked file. Loads only what most files need."""

from __future__ import annotations

import sys
from enum import Enum

from git_lds.errors import LdsError


class Delayed(Enum):
    """The answer "later" to git, which asks again when the path is reported as available."""

    DELAYED = "delayed"


DELAYED = Delayed.DELAYED


def say(message: str, hint: str | None = None) -> None:
    """Print a message for the user on stderr: in a filter stdout belongs to git."""
    sys.stderr.write(f"git-lds: {message}\n" + (f"hint: {hint}\n" if hint else ""))
    sys.stderr.flush()


def complain(error: LdsError) -> None:
    """Print an error that does not stop the filter."""
    say(error.message, error.hint)

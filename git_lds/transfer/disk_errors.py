"""Says in our words what this machine's disk has to say while objects move."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from git_lds.errors import LdsError


@contextlib.contextmanager
def disk_errors(directory: Path) -> Iterator[None]:
    """Raise LdsError where something below `directory` cannot be read or written: a full disk, no permission."""
    try:
        yield
    except OSError as error:
        raise LdsError(
            f"{error.filename or directory}: {error.strerror or error}",
            hint="make room there, or set the permissions, and do the same again: it goes on where it was",
        ) from error

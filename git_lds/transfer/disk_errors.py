"""Translates errors of this machine's disk while objects are transferred."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from git_lds.errors import LdsError


@contextlib.contextmanager
def disk_errors(directory: Path) -> Iterator[None]:
    """Raise LdsError for an OSError in the block, such as a full disk or a missing permission below `directory`."""
    try:
        yield
    except OSError as error:
        raise LdsError(
            f"{error.filename or directory}: {error.strerror or error}",
            hint="make room there or set the permissions, then run the same command again: it continues where it stopped",
        ) from error

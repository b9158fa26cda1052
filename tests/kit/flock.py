"""File systems whose flock is not what it should be, for all Python programs that are started with the variables given here."""

from __future__ import annotations

import os
from pathlib import Path

_CODE = """import fcntl, os
def flock(fd, operation, code=int(os.environ["FLOCK_ERRNO"])):
    if code:
        raise OSError(code, os.strerror(code))
fcntl.flock = flock
"""


def flock_says(directory: Path, code: int) -> dict[str, str]:
    """Return the variables under which flock fails with `code`; with 0 it always succeeds, and excludes no one."""
    directory.mkdir(exist_ok=True)
    (directory / "sitecustomize.py").write_text(_CODE)
    return {"PYTHONPATH": str(directory), "FLOCK_ERRNO": str(code)}


def run_environment(directory: Path, code: int) -> dict[str, str]:
    return {**os.environ, **flock_says(directory, code)}

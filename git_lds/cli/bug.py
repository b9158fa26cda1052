"""The report of a bug of ours: versions, the command and the traceback, in a file of its own."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from git_lds import __version__


@dataclass(frozen=True, slots=True)
class Report:
    """The text of a report, and the file that has it, None if that could not be written."""

    text: str
    path: Path | None


def report(error: Exception, words: Sequence[str]) -> Report:
    """Return the report of an unexpected error of git-lds with the arguments `words`."""
    text = "\n".join(
        (
            f"git-lds {__version__}, Python {platform.python_version()}, {platform.platform()}",
            f"command: git-lds {' '.join(map(repr, words))}",
            "",
            "".join(traceback.format_exception(error)),
        )
    )
    # a URL on the command line, or in a message, may hold a password
    text = re.sub(r"(://)[^/@\s'\"]*@", r"\1", text)
    return Report(text, _saved(text))


def _saved(text: str) -> Path | None:
    with contextlib.suppress(OSError):
        fd, name = tempfile.mkstemp(prefix="git-lds-bug-", suffix=".txt")
        with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        return Path(name)
    return None

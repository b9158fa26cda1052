"""The output of the commands: results on stdout, as text or JSON, and messages on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence

from git_lds.fast_typing import TYPE_CHECKING
from git_lds.files import printable

if TYPE_CHECKING:
    from git_lds.repo import Repo


def answer(text: str) -> None:
    """Print a line of the result."""
    print(text)


def answer_json(value: object) -> None:
    """Print the result as one JSON value. Names that are not UTF-8 appear as Python decodes them (U+DC80 and up)."""
    print(json.dumps(value, indent=2))


def say(text: str, *, quiet: bool = False) -> None:
    """Print a message, unless the user asked for quiet, after the results so far."""
    if not quiet:
        sys.stdout.flush()
        print(text, file=sys.stderr)


def warn(text: str, hint: str | None = None) -> None:
    """Print a warning, also with --quiet, and what can be done about it."""
    say(f"git-lds: warning: {text}")
    if hint:
        say(f"hint: {hint}")


def warn_of_ignored(keys: Sequence[str]) -> None:
    """Warn of unknown keys of `.ldsconfig`: a typing error, or a setting that a repository may not make."""
    if keys:
        warn(f".ldsconfig: unknown keys are ignored: {names(keys)}", "see the settings that count: git lds env")


def warn_of_notices(repo: Repo) -> None:
    """Warn of stores that are other ones than before."""
    for notice in repo.notices():
        warn(notice)


def warn_of_rewritten(output: str, rev: str, lock: str) -> None:
    """Warn that upstream rewrote the history of the branch of a dependency."""
    warn(
        f"{output}: upstream rewrote its history, {rev} no longer contains {lock[:10]}; local changes are kept",
        f"to stay at the old commit: git lds update {output} --rev {lock}",
    )


def name(path: str | bytes) -> str:
    """Return a path for people, on one line."""
    return printable(os.fsencode(path))


def names(paths: Iterable[str | bytes], *, most: int = 5) -> str:
    """Return the first paths, and the number of the others."""
    listed = [name(path) for path in paths]
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def amount(size: int) -> str:
    """Return a number of bytes for people: 999 B, 1.2 kB, 5.4 GB. Powers of 1000, as disks and networks are sold."""
    if size < 1000:
        return f"{size} B"
    value = float(size)
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        value /= 1000
        if value < 999.95 or unit == "PB":
            break
    return f"{value:.1f} {unit}"


def files(count: int, size: int) -> str:
    """Return a number of files and of bytes for people."""
    return f"{count} {'file' if count == 1 else 'files'} ({amount(size)})"

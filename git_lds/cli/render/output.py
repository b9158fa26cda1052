"""What the commands say: the answer on stdout, the conversation on stderr, both for people or as JSON for programs."""

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
    """Write a line of the answer."""
    print(text)


def answer_json(value: object) -> None:
    """Write the answer as one JSON value. Names that are not UTF-8 appear as Python decodes them (U+DC80 and up)."""
    print(json.dumps(value, indent=2))


def say(text: str, *, quiet: bool = False) -> None:
    """Write a line of the conversation, unless the user asked for quiet. It comes after the answer up to here."""
    if not quiet:
        sys.stdout.flush()
        print(text, file=sys.stderr)


def warn(text: str, hint: str | None = None) -> None:
    """Write a warning, which is said even when quiet is asked for, and what can be done about it."""
    say(f"git-lds: warning: {text}")
    if hint:
        say(f"hint: {hint}")


def warn_of_ignored(keys: Sequence[str]) -> None:
    """Warn of keys of `.ldsconfig` that mean nothing here: a typing error, or the wish to set what a repository may not."""
    if keys:
        warn(f".ldsconfig: ignored, as they mean nothing there: {names(keys)}", "git lds env shows what counts")


def warn_of_notices(repo: Repo) -> None:
    """Warn of stores that are other ones than before."""
    for notice in repo.notices():
        warn(notice)


def warn_of_rewritten(output: str, rev: str, lock: str) -> None:
    """Warn that upstream replaced the history of a branch that is followed."""
    warn(
        f"{output}: upstream rewrote its history, {rev} no longer has {lock[:10]}; edits made here are kept",
        f"to stay where you were instead: git lds update {output} --rev {lock}",
    )


def name(path: str | bytes) -> str:
    """Return a path for people, on one line."""
    return printable(os.fsencode(path))


def names(paths: Iterable[str | bytes], *, most: int = 5) -> str:
    """Return some of the paths, and how many there are more."""
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

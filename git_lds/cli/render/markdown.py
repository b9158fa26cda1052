"""Summaries for pull requests, in Markdown. Text from data is written in code spans, where it has no other meaning."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from git_lds.cli.render.output import amount, name
from git_lds.deps.manifest.transports import without_credentials
from git_lds.deps.merge.three_way import Conflict
from git_lds.deps.update.plan import DependencyUpdate
from git_lds.errors import LdsError
from git_lds.files import replace_with

if TYPE_CHECKING:  # an update does not load the code of contribute
    from git_lds.deps.contribute.contribute import Contribution

_MOST = 100
"""Files that a summary lists; the others are counted."""


def span(text: str | bytes) -> str:
    """Return text from data as a code span on one line."""
    plain = name(text)
    plain = plain if len(plain) <= 300 else plain[:297] + "…"
    longest = max((len(run) for run in re.findall("`+", plain)), default=0)
    fence = "`" * (longest + 1)
    padding = " " if plain.startswith("`") or plain.endswith("`") or not plain.strip() else ""
    return f"{fence}{padding}{plain}{padding}{fence}"


def of_contribution(done: Contribution) -> str:
    """Return the text of a pull request for a contribution."""
    plan, files, to = done.plan, done.plan.files, done.plan.destination
    count = len(plan.commits)
    lines = [
        f"{count} {'commit' if count == 1 else 'commits'} for {span(to.onto)}, with fixes that were made in a project "
        "that depends on this dataset.",
        "",
        *(f"- {span(each.subject)} by {span(each.author)}" for each in plan.commits[:_MOST]),
        "",
        *_files((("added", files.added), ("changed", files.changed), ("deleted", files.deleted)), files.size),
    ]
    if to.store is not None and done.uploaded:
        lines += [f"The contents of these files are in the store {span(without_credentials(to.store))}.", ""]
    if to.store is not None and to.target != to.url:
        lines += [
            "To read them before this is merged, with NAME for the remote of the fork:",
            "",
            f"    git config remote.NAME.ldsstore {_word(without_credentials(to.store))}",
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def of_update(done: Sequence[DependencyUpdate], *, is_done: bool) -> str:
    """Return the text of a pull request for an update, or the conflicts that prevented the update (not `is_done`)."""
    moving = [each for each in done if each.before != each.after]
    conflicts = [conflict for each in done for conflict in each.conflicts]
    lines: list[str] = []
    if conflicts:
        which = "1 file has" if len(conflicts) == 1 else f"{len(conflicts)} files have"
        lines += [f"{which} conflicting changes here and upstream."]
        lines += (
            ["Nothing was changed: run `git lds update`, resolve the conflicts, and commit."] if not is_done else []
        )
        lines += ["", *(_conflict(each) for each in conflicts[:_MOST]), *_more(len(conflicts)), ""]
    elif not moving:
        lines += ["Nothing new upstream.", ""]
    for each in moving:
        lines += [f"### {span(each.output)}", "", f"{span(each.before[:10])} to {span(each.after[:10])}", ""]
        renamed = [b"%s -> %s" % pair for pair in each.renamed]
        kinds = (("added", each.added), ("changed", each.changed), ("deleted", each.deleted), ("renamed", renamed))
        lines += _files(kinds, each.size, none="no other file differs" if each.conflicts else "no file differs")
    for each in done:
        if each.moved_tag is not None:
            lines += [f"{span(each.output)}: upstream moved its tag to {span(each.moved_tag[:10])}; not followed.", ""]
        if each.rewritten:
            lines += [
                f"{span(each.output)}: upstream rewrote its history; {span(each.before[:10])} is no longer in it.",
                "",
            ]
    return "\n".join(lines).rstrip() + "\n"


def _conflict(conflict: Conflict) -> str:
    return f"- {span(conflict.path)}: {conflict.here} here, {conflict.upstream} upstream"


def check(place: str) -> None:
    """Raise LdsError if a summary cannot be written to `place`. Called before the work that it summarizes."""
    path = Path(place).absolute()
    if place != "-" and (path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK)):
        raise LdsError(f"cannot write {name(place)}", "name a file in an existing directory")


def write(text: str, place: str) -> None:
    """Write a summary to a file, or to stdout for "-". Raises LdsError."""
    if place == "-":
        sys.stdout.write(text)
        return
    try:
        replace_with(Path(place).absolute(), text.encode("utf-8", "replace"))
    except OSError as error:
        raise LdsError(f"cannot write {name(place)}: {error.strerror}", "name another file") from None


def _files(kinds: Iterable[tuple[str, Sequence[bytes]]], size: int, *, none: str = "no file differs") -> list[str]:
    counts = [f"{len(paths)} {word}" for word, paths in kinds if paths]
    lines = [", ".join([*counts, *([amount(size)] if size else [])]) or none, ""]
    listed = [f"- {word} {span(path)}" for word, paths in kinds for path in paths]
    return [*lines, *listed[:_MOST], *_more(len(listed)), *([""] if listed else [])]


def _more(count: int) -> list[str]:
    return [f"- and {count - _MOST} more"] if count > _MOST else []


def _word(text: str) -> str:
    return "'" + "".join(c for c in text if c.isprintable() and c != "'") + "'"

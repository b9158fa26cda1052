"""`git lds diff`"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from typing import Any

import click

from git_lds.cli import options
from git_lds.cli.paths import from_top
from git_lds.cli.render import progress
from git_lds.cli.render.output import amount, answer_json, name, say, warn
from git_lds.compare.compare import ABSENT, Compared, compare_all
from git_lds.data.coco.diff import CocoChanges, ListChanges
from git_lds.data.diff import Changes
from git_lds.data.image.diff import FileKinds
from git_lds.data.json.diff import ValueChanges
from git_lds.data.table.diff import TableChanges
from git_lds.data.text.diff import LineChanges
from git_lds.errors import UsageError
from git_lds.repo import Repo
from git_lds.snapshots import revisions
from git_lds.snapshots.changes import Changed, Place, Side, changed
from git_lds.snapshots.contents import Contents

_COLOURS = {"A": "green", "D": "red", "R": "cyan", "M": "yellow"}
_MOST = 10
"""How many categories, columns or fields are named before the rest is counted."""

_PLACES = 20
"""How many of the values that differ are named."""

_MOST_RECORDS = 1000
"""How many records of each kind of change `--json` lists."""


class _WithPaths(click.Command):
    """A command whose words after -- are paths, and only those."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            args, ctx.meta["paths"] = args[:at], args[at + 1 :]
        return super().parse_args(ctx, args)


@click.command("diff", cls=_WithPaths)
@click.argument("words", nargs=-1, metavar="[REV [REV]] [-- PATH...]")
@click.option("--cached", "--staged", "cached", is_flag=True, help="What is staged, against HEAD or REV.")
@click.option("--stat", is_flag=True, help="Only the files and their sizes; reads no contents.")
@click.option("--fetch", is_flag=True, help="First download what is not here.")
@options.as_json
@options.quiet
@click.pass_context
def command(
    ctx: click.Context, words: tuple[str, ...], cached: bool, stat: bool, fetch: bool, as_json: bool, quiet: bool
) -> None:
    """Show what changed, as data people think of it.

    Without REV: what is changed and not staged. With one: the working tree against it. With two, or A..B, or A...B (since
    they parted): the one against the other. Downloads nothing unless asked to.
    """
    ctx.color = False if os.environ.get("NO_COLOR") else None
    with Repo.here() as repo:
        contents = Contents(repo)
        base, head, paths = _sides(repo, words, ctx.meta.get("paths"), cached=cached)
        found = changed(repo, base, head, [from_top(path, repo.work_tree) for path in paths])
        missing: list[str] = []
        if fetch:
            versions = [version for each in found for version in (each.before, each.after) if version is not None]
            missing = contents.fetch(versions, progress.shown(quiet=quiet))
            for wrong in missing:
                warn(wrong)
        compared = [Compared(each, None) for each in found] if stat else list(compare_all(repo, contents, found))
        absent = sum(each.note == ABSENT for each in compared)
    if as_json:
        answer_json({"base": _named(base), "head": _named(head), "files": [_json(each) for each in compared]})
        ctx.exit(1 if missing else 0)
    width = max(40, shutil.get_terminal_size().columns)
    for each in compared:
        for line in _lines(each, width):
            click.echo(line)
    if compared:
        click.echo(_total(found))
    if absent and not fetch:
        count = "1 file is" if absent == 1 else f"{absent} files are"
        say(f"{count} not on this machine; to compare the contents as well: git lds diff --fetch", quiet=quiet)
    ctx.exit(1 if missing else 0)


def _sides(
    repo: Repo, words: tuple[str, ...], paths: list[str] | None, *, cached: bool
) -> tuple[Side, Side, list[str]]:
    """Return what is compared with what, and the paths. Words are revisions as long as they name one."""
    named: list[str] = []
    rest = list(words)
    while rest and len(named) < 2 and (paths is not None or revisions.is_revision(repo, rest[0])):
        named.append(rest.pop(0))
    if paths is not None and rest:
        raise UsageError(f"at most two revisions are compared, and {rest[0]!r} is a third")
    if paths is None and rest and not all(os.path.lexists(path) or path.startswith(":") for path in rest):
        wrong = next(path for path in rest if not os.path.lexists(path))
        raise UsageError(f"{wrong!r} is neither a revision nor a file", "paths of files that are gone come after --")
    base, head = revisions.diff_sides(repo, named, cached=cached)
    return base, head, paths if paths is not None else rest


def _named(side: Side) -> str:
    return side.value if isinstance(side, Place) else side


def _letter(change: Changed) -> str:
    if change.before is None:
        return "A"
    return "D" if change.after is None else "R" if change.old_path is not None else "M"


def _lines(each: Compared, width: int) -> Iterator[str]:
    """Yield what is shown of one file: a line about it, and what changed in it below."""
    change = each.change
    letter = _letter(change)
    path = name(change.path)
    if change.old_path is not None:
        path = f"{name(change.old_path)} -> {path}"
    sizes = [amount(side.size) for side in (change.before, change.after) if side is not None]
    size = sizes[0] if len(set(sizes)) == 1 else " -> ".join(sizes)
    yield f"{click.style(letter, fg=_COLOURS[letter], bold=True)} {click.style(path, bold=True)}  {size}"
    if each.note:
        yield _indented(click.style(each.note, fg="magenta"))
    if change.before and change.after and change.before.mode != change.after.mode:
        yield _indented(f"mode {change.before.mode.decode()} -> {change.after.mode.decode()}")
    for line in _details(each.changes, width):
        yield _indented(line)


def _indented(line: str) -> str:
    return "    " + line


def _details(details: Changes | None, width: int) -> Iterator[str]:
    if isinstance(details, CocoChanges):
        yield from _coco(details, width)
    elif isinstance(details, TableChanges):
        yield from _table(details)
    elif isinstance(details, ValueChanges):
        yield f"values      {_counts(details.added, details.removed, details.changed)}"
        if places := details.places(_PLACES):
            yield f"            {_some(places)}"
    elif isinstance(details, LineChanges):
        yield f"lines       {_counts(details.added, details.removed, 0)}"
    elif isinstance(details, FileKinds):
        kinds = [kind for kind in (details.before, details.after) if kind is not None]
        yield " -> ".join(dict.fromkeys(kinds))


def _coco(found: CocoChanges, width: int) -> Iterator[str]:
    for title, changes in (
        ("images", found.images),
        ("annotations", found.annotations),
        ("categories", found.categories),
    ):
        if changes:
            fields = Counter(field for change in changes.changed for field in change.fields)
            named = f" ({_some([f'{field} {count:,}' for field, count in fields.most_common()])})" if fields else ""
            yield f"{title:<12}{_counts(len(changes.added), len(changes.removed), len(changes.changed))}{named}"
    overlaps = [
        change.iou for change in found.annotations.changed if "bbox" in change.fields and change.iou is not None
    ]
    if overlaps:
        mean = sum(overlaps) / len(overlaps)
        yield f"boxes       {len(overlaps):,} moved; overlap {mean:.2f} on average, {min(overlaps):.2f} at least"
    if found.others:
        yield f"also        {_some(found.others)}"
    if found.renumbered:
        yield f"ids         {found.renumbered:,} only have another id"
    if not (found.images or found.annotations or found.categories or found.others or found.renumbered):
        yield "only written differently"
    differing = {kind: counts for kind, counts in found.counts.items() if counts[0] != counts[1]}
    if differing:
        yield from _categories(differing, width)


def _categories(counts: dict[str, tuple[int, int]], width: int) -> Iterator[str]:
    """Yield the counts per category, those that changed most first."""
    order = sorted(counts.items(), key=lambda each: (-abs(each[1][1] - each[1][0]), each[0]))
    shown = order[:_MOST]
    most = max(8, width - 40)
    titles = [_short(name(kind), most) for kind, _ in shown]
    wide = max(map(len, [*titles, "category"]))
    yield click.style(f"{'category':<{wide}}  {'before':>9}  {'after':>9}", dim=True)
    for title, (_, (before, after)) in zip(titles, shown, strict=True):
        sign = click.style(f"{after - before:+,}", fg="green" if after > before else "red")
        yield f"{title:<{wide}}  {before:>9,}  {after:>9,}  {sign}"
    if len(order) > len(shown):
        yield f"and {len(order) - len(shown)} more categories"


def _table(found: TableChanges) -> Iterator[str]:
    if found.columns_added or found.columns_removed:
        signs = [f"+{column}" for column in found.columns_added] + [f"-{column}" for column in found.columns_removed]
        yield f"columns     {_some(signs)}"
    by = f", by {', '.join(map(name, found.key))}" if found.key else ", as whole lines"
    if found.added or found.removed or found.changed:
        yield f"rows        {_counts(found.added, found.removed, found.changed)}, {found.rows[0]:,} -> {found.rows[1]:,}{by}"
    if found.cells:
        yield f"cells       {_some([f'{column} {count:,}' for column, count in found.cells.items()])}"
    if not (found.columns_added or found.columns_removed or found.added or found.removed or found.changed):
        yield "only written differently"


def _counts(added: int, removed: int, changed: int) -> str:
    parts = [
        click.style(f"+{added:,}", fg="green") if added else "",
        click.style(f"-{removed:,}", fg="red") if removed else "",
        click.style(f"{changed:,} changed", fg="yellow") if changed else "",
    ]
    return " ".join(part for part in parts if part) or "none"


def _some(words: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(words) - _MOST} more" if len(words) > _MOST else ""
    return ", ".join(_short(name(word), 60) for word in words[:_MOST]) + more


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _total(found: list[Changed]) -> str:
    letters = Counter(map(_letter, found))
    words = {"A": "added", "D": "removed", "R": "renamed", "M": "changed"}
    kinds = ", ".join(f"{letters[letter]} {word}" for letter, word in words.items() if letters[letter])
    new = sum(each.after.size for each in found if each.after and not each.old_path)
    old = sum(each.before.size for each in found if each.before and not each.old_path)
    sizes = f"; {amount(old)} -> {amount(new)}" if old or new else ""
    return f"{len(found)} {'file' if len(found) == 1 else 'files'}: {kinds}{sizes}"


# as JSON


def _json(each: Compared) -> dict[str, Any]:
    change = each.change
    return {
        "path": os.fsdecode(change.path),
        "status": {"A": "added", "D": "removed", "R": "renamed", "M": "changed"}[_letter(change)],
        "old_path": os.fsdecode(change.old_path) if change.old_path is not None else None,
        "before": _version(change.before),
        "after": _version(change.after),
        "note": each.note,
        "changes": _json_details(each.changes),
    }


def _version(side: Any) -> dict[str, Any] | None:
    if side is None:
        return None
    return {"mode": side.mode.decode(), "oid": f"blake3:{side.oid}" if side.oid else None, "size": side.size}


def _json_details(details: Changes | None) -> dict[str, Any] | None:
    if isinstance(details, CocoChanges):
        return {
            "kind": "coco",
            "images": _json_changes(details.images),
            "annotations": _json_changes(details.annotations),
            "categories": _json_changes(details.categories),
            "counts": {kind: {"before": old, "after": new} for kind, (old, new) in details.counts.items()},
            "renumbered": details.renumbered,
            "others": list(details.others),
        }
    if isinstance(details, TableChanges):
        return {
            "kind": "table",
            "key": list(details.key),
            "columns": {"added": list(details.columns_added), "removed": list(details.columns_removed)},
            "rows": {
                "before": details.rows[0],
                "after": details.rows[1],
                "added": details.added,
                "removed": details.removed,
                "changed": details.changed,
            },
            "cells": details.cells,
        }
    if isinstance(details, ValueChanges):
        found = {"added": details.added, "removed": details.removed, "changed": details.changed}
        return {"kind": "values", **found, "places": list(details.places(_PLACES))}
    if isinstance(details, LineChanges):
        return {"kind": "lines", "added": details.added, "removed": details.removed}
    if isinstance(details, FileKinds):
        return {"kind": "file", "before": details.before, "after": details.after}
    return None


def _json_changes(changes: ListChanges) -> dict[str, Any]:
    """Return how many records changed and how; of each kind of change the first are listed."""
    lists = {"added": changes.added, "removed": changes.removed, "changed": changes.changed}
    return {
        **{kind: len(found) for kind, found in lists.items()},
        "listed": {kind: [change._asdict() for change in found[:_MOST_RECORDS]] for kind, found in lists.items()},
    }

"""`git lds diff`"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import click

from git_lds.cli import options
from git_lds.cli.paths import from_top
from git_lds.cli.render import diff as render
from git_lds.cli.render import progress
from git_lds.cli.render.output import answer_json, say, warn
from git_lds.compare.compare import ABSENT, Compared, compare_all
from git_lds.errors import UsageError
from git_lds.repo import Repo
from git_lds.snapshots import revisions
from git_lds.snapshots.changes import Changed, Place, Side, changed
from git_lds.snapshots.contents import Contents


class _WithPaths(click.Command):
    """A command that takes the words after -- as paths, and only those."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            args, ctx.meta["paths"] = args[:at], args[at + 1 :]
        return super().parse_args(ctx, args)


@click.command("diff", cls=_WithPaths)
@click.argument("words", nargs=-1, metavar="[REV [REV]] [-- PATH...]")
@click.option("--cached", "--staged", "cached", is_flag=True, help="Compare what is staged with HEAD or REV.")
@click.option("--stat", is_flag=True, help="Show only files and sizes; reads no contents.")
@click.option("--fetch", is_flag=True, help="First download missing contents.")
@options.as_json
@options.quiet
@click.pass_context
def command(
    ctx: click.Context, words: tuple[str, ...], cached: bool, stat: bool, fetch: bool, as_json: bool, quiet: bool
) -> None:
    """Show what changed in the data: images, annotations, rows, values.

    Without REV: changes that are not staged. With one: the working tree against it. With two, or A..B, or A...B (since
    their merge base): the one against the other. Downloads nothing without --fetch.
    """
    ctx.color = False if os.environ.get("NO_COLOR") else None
    with Repo.here() as repo:
        contents = Contents(repo)
        base, head, paths = _sides(repo, words, ctx.meta.get("paths"), cached=cached)
        files = changed(repo, base, head, [from_top(path, repo.work_tree) for path in paths])
        failures = _fetch(contents, files, quiet=quiet) if fetch else []
        compared = (Compared(change, None) for change in files) if stat else compare_all(repo, contents, files)
        if as_json:
            listed = [render.as_json(file) for file in compared]
            answer_json({"base": _named(base), "head": _named(head), "files": listed})
            ctx.exit(1 if failures else 0)
        absent = _print(compared)
    if files:
        click.echo(render.total(files))
    if absent and not fetch:
        count = "1 file is" if absent == 1 else f"{absent} files are"
        say(f"{count} not on this machine; to compare the contents as well: git lds diff --fetch", quiet=quiet)
    ctx.exit(1 if failures else 0)


def _fetch(contents: Contents, files: list[Changed], *, quiet: bool) -> list[str]:
    """Download what the comparison needs; warn about each failure, and return them."""
    versions = [version for change in files for version in (change.before, change.after) if version is not None]
    failures = contents.fetch(versions, progress.shown(quiet=quiet))
    for message in failures:
        warn(message)
    return failures


def _print(compared: Iterator[Compared]) -> int:
    """Print each file as soon as it is compared; return how many are not on this machine."""
    width = max(40, shutil.get_terminal_size().columns)
    absent = 0
    for file in compared:
        absent += file.note == ABSENT
        for line in render.lines(file, width):
            click.echo(line)
    return absent


def _sides(
    repo: Repo, words: tuple[str, ...], paths: list[str] | None, *, cached: bool
) -> tuple[Side, Side, list[str]]:
    """Return the two sides and the paths. Words are revisions as long as they name one."""
    named: list[str] = []
    rest = list(words)
    while rest and len(named) < 2 and (paths is not None or revisions.is_revision(repo, rest[0])):
        named.append(rest.pop(0))
    if paths is not None and rest:
        raise UsageError(f"at most two revisions are compared, and {rest[0]!r} is a third")
    if paths is None and rest and not all(os.path.lexists(path) or path.startswith(":") for path in rest):
        wrong = next(path for path in rest if not os.path.lexists(path))
        raise UsageError(f"{wrong!r} is neither a revision nor a file", "paths of deleted files come after --")
    base, head = revisions.diff_sides(repo, named, cached=cached)
    return base, head, paths if paths is not None else rest


def _named(side: Side) -> str:
    return side.value if isinstance(side, Place) else side

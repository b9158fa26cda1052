"""`git lds checkout`"""

from __future__ import annotations

from pathlib import Path

import click

from git_lds.cli import options, progress
from git_lds.cli.output import answer_json, names, say, warn
from git_lds.repo import Repo
from git_lds.sync.checkout import checkout


@click.command("checkout")
@click.argument("paths", nargs=-1)
@options.filters
@options.as_json
@options.quiet
def command(
    paths: tuple[str, ...], include: tuple[str, ...], exclude: tuple[str, ...], as_json: bool, quiet: bool
) -> None:
    """Put objects that are here in the work tree.

    Downloads nothing: see `git lds pull`. PATHS are git's pathspecs. Files that you changed stay as they are.
    """
    with Repo.here() as repo:
        done = checkout(
            repo,
            paths,
            include=options.patterns(include),
            exclude=options.patterns(exclude),
            progress=progress.shown(quiet=quiet),
            folder=Path.cwd(),
        )
    if as_json:
        answer_json({"written": done.written, "absent": list(done.absent)})
        return
    say(f"Put {done.written} {'file' if done.written == 1 else 'files'} in the work tree.", quiet=quiet)
    if done.absent:
        warn(f"not here, and still pointers: {names(done.absent)}", hint="git lds pull")

"""`git lds untrack`"""

from __future__ import annotations

import click

from git_lds.attributes import tracking
from git_lds.cli import options
from git_lds.cli.paths import current_directory
from git_lds.cli.render.output import say
from git_lds.errors import LdsError
from git_lds.repo import Repo


@click.command("untrack")
@click.argument("patterns", nargs=-1, required=True)
@options.dry_run
@options.quiet
def command(patterns: tuple[str, ...], dry_run: bool, quiet: bool) -> None:
    """Leave the files that match a pattern to git again.

    The pattern is taken out of .gitattributes in the current directory. Files that are committed stay as they are until
    they are added again.
    """
    with Repo.here() as repo:
        if repo.work_tree is None:
            raise LdsError("this repository has no working tree here", hint="cd into a working tree")
        gone = tracking.untrack(repo.git, current_directory(repo.work_tree), patterns, dry_run=dry_run)
    for pattern in gone:
        say(f"{'Would untrack' if dry_run else 'No longer tracking'} {pattern}", quiet=quiet)
    say("To hand files that are committed back to git: git add --renormalize . && git commit", quiet=quiet)

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
    """Stop tracking files that match a pattern.

    Removes the pattern from .gitattributes in the current directory. Committed files stay pointers until they are added
    again.
    """
    with Repo.here() as repo:
        if repo.work_tree is None:
            raise LdsError("this repository has no working tree here", hint="cd into a working tree")
        plan = tracking.plan_untrack(current_directory(repo.work_tree), patterns)
        if not dry_run:
            tracking.execute(plan)
    for pattern in plan.removed:
        say(f"{'Would untrack' if dry_run else 'No longer tracking'} {pattern}", quiet=quiet)
    say("To store committed files as plain files in git: git add --renormalize . && git commit", quiet=quiet)

"""`git lds uninstall`"""

from __future__ import annotations

import click

from git_lds.cli import options
from git_lds.cli.render.output import say, warn
from git_lds.git.run import Git
from git_lds.setup import install
from git_lds.setup.install import Scope


@click.command("uninstall")
@options.scope
@options.quiet
def command(scope: Scope | None, quiet: bool) -> None:
    """Remove the configuration that install added.

    Objects in .git/lds stay: those that were never pushed exist nowhere else.
    """
    scope = scope or "global"
    done = install.uninstall(Git(), scope=scope)
    if done.removed:
        say(f"Removed git-lds from git's {scope} configuration.", quiet=quiet)
    else:
        say(f"git-lds was not in git's {scope} configuration.", quiet=quiet)
    if done.hook is not None:
        say(f"Removed its lines from {done.hook}.", quiet=quiet)
    if done.kept:
        values = "its value was" if len(done.kept) == 1 else "their values were"
        warn(f"Kept {', '.join(done.kept)}: {values} not set by git-lds.")

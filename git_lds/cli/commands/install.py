"""`git lds install`"""

from __future__ import annotations

import click

from git_lds.cli import options
from git_lds.cli.render.output import say
from git_lds.git.run import Git
from git_lds.setup import install, launcher
from git_lds.setup.install import Scope


@click.command("install")
@options.scope
@click.option("--skip-smudge", is_flag=True, help="Leave pointers on checkout; `git lds pull` downloads contents.")
@click.option("--force", is_flag=True, help="Replace a filter and extend a hook that others set up.")
@options.quiet
def command(scope: Scope | None, skip_smudge: bool, force: bool, quiet: bool) -> None:
    """Set git up to use git-lds, for all your repositories.

    Run it once per user. In a repository it also installs the pre-push hook; other repositories get the hook with their
    first tracked file.
    """
    done = install.install(Git(), launcher.own_path(), scope=scope or "global", skip_smudge=skip_smudge, force=force)
    say(f"Added git-lds to git's {done.scope} configuration.", quiet=quiet)
    if done.hook is not None:
        say(f"Pushes from this repository upload first ({done.hook.path}).", quiet=quiet)

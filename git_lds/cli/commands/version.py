"""`git lds version`"""

from __future__ import annotations

import platform

import click

from git_lds import __version__
from git_lds.cli.render.output import answer
from git_lds.errors import LdsError
from git_lds.git.run import version_text


@click.command("version")
def command() -> None:
    """Show the versions of git-lds, git and Python."""
    answer(line())


def line() -> str:
    """Return the versions in one line."""
    try:
        git = version_text()
    except LdsError:
        git = "not found"
    return f"git-lds/{__version__} (git {git}; Python {platform.python_version()}; {platform.system()})"

"""Options that several commands share, so that they are spelt and explained alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from git_lds.setup.install import Scope

F = TypeVar("F", bound=Callable[..., Any])

quiet = click.option("-q", "--quiet", is_flag=True, help="Say nothing but warnings and errors.")
verbose = click.option("-v", "--verbose", is_flag=True, help="Name every file.")
as_json = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
dry_run = click.option("--dry-run", is_flag=True, help="Only say what would be done.")
everything = click.option("--all", "everything", is_flag=True, help="For all branches and tags.")


def scope(command: F) -> F:
    """Add the choice of git's configuration file; None stands for the default."""
    choices: dict[Scope, str] = {
        "global": "For all your repositories (the default).",
        "local": "For this repository.",
        "system": "For everybody on this machine.",
        "worktree": "For this working tree.",
    }
    for value, text in reversed(choices.items()):
        command = click.option(f"--{value}", "scope", flag_value=value, default=None, help=text)(command)
    return command


def filters(command: F) -> F:
    """Add --include and --exclude."""
    for letter, word, what in (("X", "exclude", "Leave out"), ("I", "include", "Only")):
        text = f"{what} paths that match; several with commas, or the option again. Instead of what is configured."
        command = click.option(f"-{letter}", f"--{word}", multiple=True, metavar="PATTERN", help=text)(command)
    return command


def patterns(given: Sequence[str]) -> list[str] | None:
    """Return the patterns of --include or --exclude; None when the option was not there, and none for an empty one."""
    if not given:
        return None
    return [part.strip() for text in given for part in text.split(",") if part.strip()]

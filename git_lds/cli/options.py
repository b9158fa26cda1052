"""Options that several commands share, with one spelling and one explanation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from git_lds.setup.install import Scope

F = TypeVar("F", bound=Callable[..., Any])

quiet = click.option("-q", "--quiet", is_flag=True, help="Print only warnings and errors.")
verbose = click.option("-v", "--verbose", is_flag=True, help="List every file.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
dry_run = click.option("--dry-run", is_flag=True, help="Only show what would be done.")
everything = click.option("--all", "everything", is_flag=True, help="Include all branches and tags.")


def scope(command: F) -> F:
    """Add the options for git's configuration file; None means the default."""
    choices: dict[Scope, str] = {
        "global": "For all your repositories (the default).",
        "local": "For this repository.",
        "system": "For all users of this machine.",
        "worktree": "For this working tree.",
    }
    for value, text in reversed(choices.items()):
        command = click.option(f"--{value}", "scope", flag_value=value, default=None, help=text)(command)
    return command


def filters(command: F) -> F:
    """Add --include and --exclude."""
    for letter, word, verb in (("X", "exclude", "Exclude"), ("I", "include", "Include only")):
        text = f"{verb} matching paths; separate patterns by commas or repeat the option. Overrides the configuration."
        command = click.option(f"-{letter}", f"--{word}", multiple=True, metavar="PATTERN", help=text)(command)
    return command


def patterns(given: Sequence[str]) -> list[str] | None:
    """Return the patterns of --include or --exclude; None without the option, and no patterns if it is empty."""
    if not given:
        return None
    return [part.strip() for text in given for part in text.split(",") if part.strip()]

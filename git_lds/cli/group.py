"""The commands for users: their names, a line about each, and the module that is loaded to run one."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from git_lds import __version__
from git_lds.errors import EXIT_INTERRUPTED, UsageError

_SECTIONS = {
    "Set up": {
        "install": "Set git up to use git-lds, for all your repositories.",
        "uninstall": "Remove the configuration that install added.",
        "init": "Start using git-lds in this repository.",
        "trust": "Trust a store that files of a repository name.",
        "doctor": "Find problems and show how to fix them.",
        "env": "Show versions, directories and settings, and the origin of each.",
        "version": "Show the versions of git-lds, git and Python.",
    },
    "Track": {
        "track": "Track files that match a pattern with git-lds.",
        "untrack": "Stop tracking files that match a pattern.",
        "status": "Show changed files, and files that are not yet in a store.",
        "ls-files": "List the files that git-lds tracks.",
    },
    "Move": {
        "push": "Upload objects to the store.",
        "fetch": "Download objects without changing the working tree.",
        "pull": "Download objects and put them in the working tree.",
        "checkout": "Replace pointers in the working tree by local objects.",
        "mirror": "Copy a store to another location.",
        "serve": "Serve stores to others over HTTP.",
    },
    "Review": {
        "diff": "Show what changed in the data: images, annotations, rows, values.",
        "review": "Make a page that shows how data changed.",
        "check": "Check annotations and images automatically.",
    },
    "Depend on other repositories": {
        "import": "Import a path of another repository into this one.",
        "update": "Update imported paths from upstream.",
        "outdated": "List imported paths that changed upstream.",
        "contribute": "Send fixes of an imported path back as a branch of upstream.",
        "deps": "List dependencies with their source, local changes and the status of contributions.",
    },
}
_MODULES = {"ls-files": "ls_files", "import": "import_"}  # the name of the command cannot be the name of a module


def run(words: Sequence[str]) -> int:
    """Run the command in `words`; return the exit code. Raises UsageError for errors of the command line."""
    gc.set_threshold(50_000)  # long lists of files are not garbage: collections took 6 % of an import, 9 % of an update
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _group.main(args=list(words) or ["--help"], prog_name="git lds", standalone_mode=False)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "git lds"
        raise UsageError(_lowered(error.format_message()), hint=f"see: {command} -h") from None
    except click.ClickException as error:
        raise UsageError(_lowered(error.format_message())) from None
    except click.Abort:
        return EXIT_INTERRUPTED
    return status if isinstance(status, int) else 0


def _lowered(message: str) -> str:
    return message[:1].lower() + message[1:].rstrip(".")


class _Group(click.Group):
    """The group of all commands; to list them, or to show the help of the group, loads no command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for section in _SECTIONS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(f"git_lds.cli.commands.{_MODULES.get(cmd_name, cmd_name)}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, lines in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(lines.items()), col_max=12)


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="`git lds COMMAND -h` explains a command.",
)
@click.version_option(__version__, message="git-lds/%(version)s")
def _group() -> None:
    """Living datasets: large files and data of other repositories in plain git."""

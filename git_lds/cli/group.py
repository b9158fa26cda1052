"""The commands that people type: their names, a line about each, and the module that is loaded when one is called."""

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
        "uninstall": "Take out what install put in.",
        "init": "Start using git-lds in this repository.",
        "trust": "Trust a store that a repository's files name.",
        "doctor": "Find out what is wrong, and what to do about it.",
        "env": "Show versions, directories and settings, and where each comes from.",
        "version": "Show the versions of git-lds and what it stands on.",
    },
    "Track": {
        "track": "Let git-lds keep the files that match a pattern.",
        "untrack": "Leave the files that match a pattern to git again.",
        "status": "Show what is changed, and what is not yet in a store.",
        "ls-files": "List the files that git-lds keeps.",
    },
    "Move": {
        "push": "Upload objects to the store.",
        "fetch": "Download objects, without touching the working tree.",
        "pull": "Download objects and put them in the working tree.",
        "checkout": "Put objects that are here in the working tree.",
        "mirror": "Copy a store to another place.",
        "serve": "Serve stores to others over HTTP.",
    },
    "Review": {
        "diff": "Show what changed, as data people think of it.",
        "review": "Make a page that shows how data changed.",
        "check": "Check annotations and images automatically.",
    },
    "Depend on other repositories": {
        "import": "Bring a path of another repository into this one.",
        "update": "Bring imported paths up to date.",
        "outdated": "Tell which imported paths changed upstream.",
        "contribute": "Send fixes of an imported path back, as a branch of upstream.",
        "deps": "List what is imported, from where, its edits here and what became of contributions.",
    },
}
_MODULES = {"ls-files": "ls_files", "import": "import_"}  # where the command's name is no name of a module


def run(words: Sequence[str]) -> int:
    """Run the command that `words` spell, with the errors of the command line as ours. Returns the exit code."""
    gc.set_threshold(50_000)  # lists of 10,000 files are no garbage: 6 % of an import, 9 % of an update
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
    """The group of all commands; naming them, or the help of the group, loads none."""

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
    """Living datasets: large files and other people's data, kept by plain git."""

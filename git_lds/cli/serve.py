"""`git lds serve`"""

from __future__ import annotations

from pathlib import Path

import click
import platformdirs

from git_lds import server
from git_lds.cli import options
from git_lds.cli.output import say
from git_lds.errors import LdsError
from git_lds.server.users import read_users


@click.command("serve")
@click.option(
    "--root",
    default=lambda: platformdirs.user_data_path("git-lds", appauthor=False) / "stores",
    show_default="stores, where git-lds keeps data",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The folder of the stores.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8420, show_default=True, type=click.IntRange(0, 65535), help="0 takes any free one.")
@click.option("--users", metavar="FILE", type=click.Path(path_type=Path), help="Who may come in: lines NAME:PASSWORD.")
@click.option("--allow-anonymous", is_flag=True, help="Let everybody in who reaches the address, to read and write.")
@options.quiet
def command(root: Path, host: str, port: int, users: Path | None, allow_anonymous: bool, quiet: bool) -> None:
    """Run a store for others to use over HTTP.

    Each folder of DIR is a store: the first push to http://HOST:PORT/NAME makes NAME. The address is written to standard
    output once it answers. Ctrl-C ends it.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LdsError(f"{root}: {error.strerror}", hint="choose another folder with --root") from None
    say(f"Stores are kept in {root.absolute()}. Ctrl-C ends this.", quiet=quiet)
    server.serve(root, host, port, read_users(users) if users else None, allow_anonymous=allow_anonymous)

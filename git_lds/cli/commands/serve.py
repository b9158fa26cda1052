"""`git lds serve`"""

from __future__ import annotations

from pathlib import Path

import click
import platformdirs

from git_lds import server, sharing
from git_lds.cli import options
from git_lds.cli.render.output import say
from git_lds.errors import LdsError
from git_lds.server.users import read_users
from git_lds.store.backends.by_url import without_secrets


@click.command("serve")
@click.option(
    "--root",
    default=lambda: str(platformdirs.user_data_path("git-lds", appauthor=False) / "stores"),
    show_default="stores, where git-lds keeps data",
    metavar="PLACE",
    help="The directory of the stores, or their URL in a bucket: s3://…, gs://… or az://….",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8420, show_default=True, type=click.IntRange(0, 65535), help="0 selects any free port.")
@click.option(
    "--users",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="File with the allowed users, one NAME:PASSWORD per line.",
)
@click.option(
    "--allow-anonymous", is_flag=True, help="Let everybody read and write; with --users, let all others read."
)
@click.option("--allow-removal", is_flag=True, help="Let users who may write also remove packs and delete files.")
@options.quiet
def command(
    root: str, host: str, port: int, users: Path | None, allow_anonymous: bool, allow_removal: bool, quiet: bool
) -> None:
    """Serve stores to others over HTTP.

    Each directory of PLACE is a store: the first push to http://HOST:PORT/NAME creates NAME. The URL is written to standard
    output once the server listens. Ctrl-C stops the server.

    The server checks what is pushed before anybody can see it. A push only adds to a store: to remove packs from stores, run a
    second server on the same PLACE with --allow-removal, with users of its own.

    Any number of servers may serve one bucket.
    """
    location = root if "://" in root else _directory(root)
    say(f"Serving stores from {without_secrets(str(location))}. Press Ctrl-C to stop.", quiet=quiet)
    server.serve(
        location,
        host,
        port,
        read_users(users) if users else None,
        allow_anonymous=allow_anonymous,
        allow_removal=allow_removal,
    )


def _directory(root: str) -> Path:
    """Return the directory as an absolute path, and create it if missing. Raises LdsError."""
    path = Path(root).absolute()
    try:
        sharing.make_directory(path)
    except (OSError, ValueError) as error:
        raise LdsError(
            f"{path}: {getattr(error, 'strerror', error)}", hint="choose another directory with --root"
        ) from None
    return path

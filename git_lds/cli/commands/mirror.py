"""`git lds mirror`"""

from __future__ import annotations

import contextlib

import click

from git_lds.cli import options
from git_lds.cli.render import progress
from git_lds.cli.render.output import answer_json, files, say
from git_lds.config.credentials import GitCredentials
from git_lds.config.settings import LdsConfig, Settings
from git_lds.git.run import Git
from git_lds.setup.start import store_url
from git_lds.store.backends.by_url import open_backend, without_secrets
from git_lds.transfer.store_copy import Mirrored, mirror


@click.command("mirror")
@click.argument("source", metavar="STORE")
@click.argument("target", metavar="COPY")
@options.as_json
@options.quiet
def command(source: str, target: str, as_json: bool, quiet: bool) -> None:
    """Copy a store to another location.

    STORE and COPY are URLs of stores: http(s)://…, s3://…, gs://…, az://…, file:///… or a directory. COPY is created if it
    does not exist. Each file is verified, and files that COPY has are not copied again: repeat the command to update COPY,
    or to complete it after an interruption.

    COPY stays the same store in another location as long as no one pushes to it: a copy whose log has diverged is never
    changed.
    """
    git = Git()
    cache_dir = Settings(git, git.environment, LdsConfig).cache_dir
    credentials = GitCredentials(git)
    with contextlib.ExitStack() as opened:
        store, copy = (
            opened.enter_context(contextlib.closing(open_backend(store_url(url), credentials)))
            for url in (source, target)
        )
        done = mirror(store, copy, cache_dir, progress.shown(quiet=quiet))
    if as_json:
        answer_json({"files": done.files, "size": done.size, "entries": done.entries})
    else:
        say(_summary(done, without_secrets(target)), quiet=quiet)


def _summary(done: Mirrored, target: str) -> str:
    if not done.files and not done.entries:
        return f"{target} is up to date."
    entries = "1 log entry" if done.entries == 1 else f"{done.entries} log entries"
    return f"Copied {files(done.files, done.size)} and {entries} to {target}."

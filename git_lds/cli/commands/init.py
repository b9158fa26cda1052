"""`git lds init`"""

from __future__ import annotations

import click

from git_lds.cli import options
from git_lds.cli.render.output import say, warn
from git_lds.config.settings import CONFIG_FILE
from git_lds.repo import Repo
from git_lds.setup import launcher, start
from git_lds.store.backends.by_url import without_secrets


@click.command("init")
@click.option(
    "--store",
    metavar="URL",
    help="The store for the objects: http(s)://…, s3://…, gs://…, az://…, file:///… or a directory.",
)
@options.quiet
def command(store: str | None, quiet: bool) -> None:
    """Start using git-lds in this repository.

    Writes the URL of the store to .ldsconfig, for everybody who clones, installs the pre-push hook, and configures the
    filter for this repository unless `git lds install` did so for all repositories. Without a store, and with a git
    remote that is a local path, objects go to the directory lds in that remote.
    """
    with Repo.here() as repo:
        done = start.start(repo, launcher.own_path(), store=store)
    if done.configured:
        say("Configured the filter for this repository. For all your repositories: git lds install", quiet=quiet)
    if done.store is None:
        say("No store is configured yet: git lds init --store URL", quiet=quiet)
    else:
        say(f"Objects are stored in {without_secrets(done.store.url)} ({done.store.origin}).", quiet=quiet)
    if done.single_writer and done.store is not None:
        warn(
            f"{without_secrets(done.store.url)} is marked single-writer: {start.SINGLE_WRITER}",
            "let one person or machine do all pushes, or choose a store with put-if-absent",
        )
    if done.doubt is not None:
        warn(f"the store cannot be used yet: {done.doubt.message}", done.doubt.hint)
    if done.written:
        say(f"Next: git lds track PATTERN…, then: git add {CONFIG_FILE} .gitattributes", quiet=quiet)

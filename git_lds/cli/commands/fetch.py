"""`git lds fetch`"""

from __future__ import annotations

import click

from git_lds.cli import options
from git_lds.cli.render import progress
from git_lds.cli.render.output import answer_json, files, say, warn_of_ignored, warn_of_notices
from git_lds.repo import Repo
from git_lds.sync.fetch import fetch


@click.command("fetch")
@click.argument("remote", required=False)
@click.argument("refs", nargs=-1)
@options.everything
@options.filters
@options.as_json
@options.quiet
def command(
    remote: str | None,
    refs: tuple[str, ...],
    everything: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Download objects without changing the working tree.

    Downloads the objects of REFS, or of the files checked out; with --all, those of the whole history.

    In a bare repository objects go to its own local store: `git clone --mirror` followed by `git lds fetch --all` makes a
    complete backup, whatever the configuration excludes.
    """
    with Repo.here() as repo:
        warn_of_ignored(repo.settings.committed.ignored)
        try:
            done = fetch(
                repo,
                remote,
                refs,
                everything=everything,
                include=options.patterns(include),
                exclude=options.patterns(exclude),
                progress=progress.shown(quiet=quiet),
            )
        finally:
            warn_of_notices(repo)
    if as_json:
        answer_json({"objects": done.objects, "size": done.size})
    elif done.objects:
        say(f"Downloaded {files(done.objects, done.size)}.", quiet=quiet)
    else:
        say("Already up to date.", quiet=quiet)

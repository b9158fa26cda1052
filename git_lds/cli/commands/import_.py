"""`git lds import`"""

from __future__ import annotations

import click

from git_lds.cli import options
from git_lds.cli.commands.deps import described
from git_lds.cli.paths import from_top, of_repository
from git_lds.cli.render import progress
from git_lds.cli.render.output import answer_json, say
from git_lds.deps.update.add import import_path
from git_lds.repo import Repo


@click.command("import")
@click.argument("url")
@click.argument("path")
@click.option(
    "-o",
    "--output",
    metavar="OUT",
    help="Path in this repository; by default the last name of PATH, at the top.",
)
@click.option("--rev", metavar="REV", help="The branch, tag or commit to follow; by default upstream's main branch.")
@click.option("--force", is_flag=True, help="Replace what is at OUT.")
@click.option("--vendor", is_flag=True, help="Let pushes copy its objects to this repository's own store.")
@click.option(
    "--include", multiple=True, metavar="GLOB", help="Import only the files of a directory that match; repeatable."
)
@click.option(
    "--exclude", multiple=True, metavar="GLOB", help="Do not import the files of a directory that match; repeatable."
)
@options.as_json
@options.quiet
def command(
    url: str,
    path: str,
    output: str | None,
    rev: str | None,
    force: bool,
    vendor: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Import a path of another repository into this one.

    PATH is a file or a directory of the repository at URL. Its files become ordinary files of this repository, staged to be
    committed. .ldsdeps records where they are from, and `git lds update` brings them up to date.
    """
    with Repo.here() as repo:
        shown = progress.shown(quiet=quiet)
        output_path = None if output is None else from_top(output, repo.work_tree)
        dependency = import_path(
            repo,
            of_repository(url),
            path,
            output=output_path,
            rev=rev,
            force=force,
            vendor=vendor,
            include=include,
            exclude=exclude,
            progress=shown,
        )
    if as_json:
        answer_json(described(dependency))
        return
    at = f"{dependency.rev}, {dependency.commit[:10]}"
    say(f"Imported {dependency.path} of {dependency.url} ({at}) as {dependency.output}.", quiet=quiet)
    say("Next: git commit", quiet=quiet)

"""`git lds pull`"""

from __future__ import annotations

import click

from git_lds.cli import options
from git_lds.cli.render import progress
from git_lds.cli.render.output import answer_json, files, names, say, warn, warn_of_ignored, warn_of_notices
from git_lds.errors import counted
from git_lds.repo import Repo
from git_lds.sync.pull import pull


@click.command("pull")
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
    """Download objects and put them in the working tree.

    `git pull` and `git checkout` do this automatically. By hand it completes files that were skipped, excluded or could
    not be fetched. Files that you changed stay as they are. REFS, or --all, are downloaded as well, for later.
    """
    with Repo.here() as repo:
        repo.require_work_tree()
        warn_of_ignored(repo.settings.committed.ignored)
        try:
            done = pull(
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
    placed, fetched = done.checked_out, done.fetched
    if done.missing is not None:
        say(f"Put {counted(placed.written, 'file', 'files')} in the working tree.", quiet=quiet)
        raise done.missing
    if as_json:
        absent = list(placed.absent)
        answer_json({"objects": fetched.objects, "size": fetched.size, "written": placed.written, "absent": absent})
        return
    say(f"Downloaded {files(fetched.objects, fetched.size)}, put {placed.written} in the working tree.", quiet=quiet)
    if placed.absent:
        warn(f"still pointers: {names(placed.absent)}")

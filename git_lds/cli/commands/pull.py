"""`git lds pull`"""

from __future__ import annotations

import click

from git_lds.cli import options
from git_lds.cli.render import progress
from git_lds.cli.render.output import answer_json, files, names, say, warn, warn_of_ignored, warn_of_notices
from git_lds.errors import CorruptData, LdsError, ObjectsMissing
from git_lds.repo import Repo
from git_lds.sync.checkout import checkout
from git_lds.sync.fetch import FetchResult, fetch


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

    `git pull` and `git checkout` do this by themselves. By hand it completes what was skipped, excluded or out of
    reach. Files that you changed stay as they are. REFS, or --all, are downloaded besides, for later.
    """
    wanted, unwanted = options.patterns(include), options.patterns(exclude)
    shown = progress.shown(quiet=quiet)
    missing: ObjectsMissing | None = None
    came = FetchResult(0, 0)

    def bring(repo: Repo) -> FetchResult:
        return fetch(
            repo,
            remote,
            refs,
            everything=everything,
            checked_out=True,
            include=wanted,
            exclude=unwanted,
            progress=shown,
        )

    with Repo.here() as repo:
        repo.require_work_tree()  # without a working tree nothing is to be downloaded either
        warn_of_ignored(repo.settings.committed.ignored)
        try:
            came = bring(repo)
        except ObjectsMissing as error:
            missing = error  # the others have come, and go where they belong first
        warn_of_notices(repo)
        repo.objects.reload()
        try:
            try:
                done = checkout(repo, (), include=wanted, exclude=unwanted, progress=shown)
            except CorruptData:
                # a small object that was found damaged counts as absent from now on
                came = bring(repo)
                done = checkout(repo, (), include=wanted, exclude=unwanted, progress=shown)
        except LdsError as error:
            raise missing or error from None
    if missing is not None:
        say(f"Put {done.written} {'file' if done.written == 1 else 'files'} in the working tree.", quiet=quiet)
        raise missing
    if as_json:
        answer_json({"objects": came.objects, "size": came.size, "written": done.written, "absent": list(done.absent)})
        return
    say(f"Downloaded {files(came.objects, came.size)}, put {done.written} in the working tree.", quiet=quiet)
    if done.absent:
        warn(f"still pointers: {names(done.absent)}")

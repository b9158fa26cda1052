"""`git lds push`"""

from __future__ import annotations

import click

from git_lds.cli import after_push, ask_consent, options
from git_lds.cli.render import progress
from git_lds.cli.render.output import amount, answer, answer_json, files, say, warn, warn_of_ignored
from git_lds.repo import Repo
from git_lds.sync.push import push
from git_lds.sync.send import PushResult


@click.command("push")
@click.argument("remote", required=False)
@click.argument("refs", nargs=-1)
@options.everything
@click.option(
    "--repair",
    is_flag=True,
    help="Read all that the store has of it, and send again what is damaged there.",
)
@options.dry_run
@options.as_json
@options.quiet
@options.verbose
def command(
    remote: str | None,
    refs: tuple[str, ...],
    everything: bool,
    repair: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Upload objects to the store.

    `git push` does this by itself. By hand it looks at the whole history of REFS (by default HEAD), and so fills a
    store that an earlier push went past. With --all, packs that the store lost are sent again by whoever has their
    objects; with --repair, those that are damaged as well, for which all of them are read.
    """
    shown = progress.shown(quiet=quiet)

    def run() -> None:
        with Repo.here() as repo:
            warn_of_ignored(repo.settings.committed.ignored)
            done = push(repo, remote, refs, everything=everything, repair=repair, dry_run=dry_run, progress=shown)
            for warning in done.warnings:
                warn(warning)
            if as_json:
                answer_json(_as_json(done, dry_run=dry_run))
            else:
                if verbose or dry_run:
                    for path in done.paths:
                        answer(path)
                say(_summary(done, dry_run=dry_run), quiet=quiet)
            if not dry_run:
                after_push.compact(repo, shown, quiet=quiet or as_json)

    ask_consent.asked_for(run)


def _as_json(done: PushResult, *, dry_run: bool) -> dict[str, object]:
    return {
        "store": done.store,
        "objects": done.objects,
        "uploaded": 0 if dry_run else len(done.paths),
        "size": done.size,
        "sent": done.sent,
        "paths": list(done.paths),
    }


def _summary(done: PushResult, *, dry_run: bool) -> str:
    if not done.objects:
        return "There is nothing to upload."
    if not done.paths:
        return f"Everything {'else ' if done.lost or done.unchecked else ''}is in {done.store}."
    if dry_run:
        return f"Would upload {files(len(done.paths), done.size)} to {done.store}."
    return f"Uploaded {files(len(done.paths), done.size)} to {done.store}, as {amount(done.sent)}."

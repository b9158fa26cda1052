"""`git lds push`"""

from __future__ import annotations

import click

from git_lds.cli import after_push, ask_consent, options
from git_lds.cli.render import progress
from git_lds.cli.render.output import amount, answer, answer_json, files, say, warn, warn_of_ignored
from git_lds.repo import Repo
from git_lds.sync.push import PushPlan, PushResult, execute, plan_push


@click.command("push")
@click.argument("remote", required=False)
@click.argument("refs", nargs=-1)
@options.everything
@click.option(
    "--repair",
    is_flag=True,
    help="Read the objects in the store, and replace damaged ones.",
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

    `git push` does this automatically. By hand it checks the whole history of REFS (by default HEAD), and so completes a
    store that an earlier push bypassed. With --all, packs that the store has lost are sent again if their objects are on
    this machine. With --repair, all packs are read, and damaged ones are sent again as well.
    """
    shown = progress.shown(quiet=quiet)

    def run() -> None:
        with Repo.here() as repo:
            warn_of_ignored(repo.settings.committed.ignored)
            plan = plan_push(repo, remote, refs, everything=everything, repair=repair, progress=shown)
            for warning in plan.warnings:
                warn(warning)
            done = PushResult() if dry_run else execute(repo, plan, shown)
            for warning in done.warnings:
                warn(warning)
            if as_json:
                answer_json(_as_json(plan, done))
            else:
                for path in plan.paths if verbose or dry_run else ():
                    answer(path)
                say(_summary(plan, done, dry_run=dry_run), quiet=quiet)
            if not dry_run:
                after_push.compact(repo, shown, quiet=quiet or as_json)

    ask_consent.with_consent(run)


def _as_json(plan: PushPlan, done: PushResult) -> dict[str, object]:
    return {
        "store": plan.store,
        "objects": plan.objects,
        "uploaded": done.objects,
        "size": plan.size,
        "sent": done.sent,
        "paths": list(plan.paths),
    }


def _summary(plan: PushPlan, done: PushResult, *, dry_run: bool) -> str:
    if not plan.objects:
        return "There is nothing to upload."
    if not plan.paths:
        return f"Everything {'else ' if plan.is_incomplete else ''}is in {plan.store}."
    if dry_run:
        return f"Would upload {files(len(plan.paths), plan.size)} to {plan.store}."
    return f"Uploaded {files(done.objects, done.size)} to {plan.store}, as {amount(done.sent)}."

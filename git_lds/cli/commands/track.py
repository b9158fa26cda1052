"""`git lds track`"""

from __future__ import annotations

from pathlib import Path

import click

from git_lds.attributes import tracking
from git_lds.cli import options
from git_lds.cli.paths import current_directory
from git_lds.cli.render.output import answer, answer_json, names, say, warn
from git_lds.data.kinds import KINDS
from git_lds.errors import LdsError, UsageError
from git_lds.repo import Repo


@click.command("track")
@click.argument("patterns", nargs=-1)
@click.option("--filename", is_flag=True, help="Treat the arguments as file names, not as patterns.")
@click.option(
    "--merge", type=click.Choice(KINDS), help="Merge matching files as this kind of data, whatever their names."
)
@options.dry_run
@options.as_json
@options.quiet
@options.verbose
def command(
    patterns: tuple[str, ...],
    filename: bool,
    merge: str | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Track files that match a pattern with git-lds.

    Patterns have the syntax of .gitattributes and are written to that file in the current directory. Quote them, so that
    the shell does not expand asterisks. The name of a directory means all files in it. Without a pattern, list the tracked
    patterns.
    """
    if merge and not patterns:
        raise UsageError("--merge needs a pattern", hint="git lds track --merge coco 'annotations/*.json'")
    with Repo.here() as repo:
        if repo.work_tree is None:
            raise LdsError("this repository has no working tree here", hint="cd into a working tree")
        if not patterns:
            _list(repo, repo.work_tree, as_json=as_json)
            return
        directory = current_directory(repo.work_tree)
        plan = tracking.plan_track(repo.git, directory, patterns, literal=filename, merge=merge)
        if not dry_run:
            tracking.execute(plan)
    for pattern in plan.added:
        say(f"{'Would track' if dry_run else 'Tracking'} {pattern}", quiet=quiet)
    for pattern in plan.present:
        say(f"Already tracked: {pattern}", quiet=quiet)
    if plan.plain:
        count = len(plan.plain)
        what = "1 matching file is stored in git as a plain file"
        if count > 1:
            what = f"{count} matching files are stored in git as plain files"
        warn(
            f"{what}: {names(plan.plain, most=count if verbose else 3)}",
            hint="to convert them to pointers: git add --renormalize . && git commit",
        )


def _list(repo: Repo, top: Path, *, as_json: bool) -> None:
    found = tracking.patterns(repo.git, top)
    if as_json:
        answer_json([{"pattern": p.text, "source": p.source, "tracked": p.tracked} for p in found])
        return
    if not found:
        say("Nothing is tracked. For example: git lds track '*.png' 'images/**'")
    for pattern in found:
        answer(f"{pattern.text} ({pattern.source}{'' if pattern.tracked else ', not tracked'})")

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
@click.option("--filename", is_flag=True, help="Take the arguments as names of files, not as patterns.")
@click.option("--merge", type=click.Choice(KINDS), help="Merge them as this kind of data, whatever their names.")
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
    """Let git-lds keep the files that match a pattern.

    Patterns are those of .gitattributes, and go to that file in the current directory; quote them, so that git-lds and not
    the shell sees the asterisks. A directory's name stands for all that is in it. Without a pattern, list what is tracked.
    """
    if merge and not patterns:
        raise UsageError(
            "--merge takes the patterns to merge so", hint="git lds track --merge coco 'annotations/*.json'"
        )
    with Repo.here() as repo:
        if repo.work_tree is None:
            raise LdsError("this repository has no working tree here", hint="cd into a working tree")
        if not patterns:
            _list(repo, repo.work_tree, as_json=as_json)
            return
        directory = current_directory(repo.work_tree)
        done = tracking.track(repo.git, directory, patterns, literal=filename, dry_run=dry_run, merge=merge)
    for pattern in done.added:
        say(f"{'Would track' if dry_run else 'Tracking'} {pattern}", quiet=quiet)
    for pattern in done.present:
        say(f"Already tracked: {pattern}", quiet=quiet)
    if done.plain:
        count = len(done.plain)
        what = f"{count} file that matches is" if count == 1 else f"{count} files that match are"
        warn(
            f"{what} in git as plain {'file' if count == 1 else 'files'}: {names(done.plain, most=count if verbose else 3)}",
            hint="to hand them to git-lds: git add --renormalize . && git commit",
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

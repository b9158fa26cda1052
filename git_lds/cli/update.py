"""`git lds update`"""

from __future__ import annotations

from collections.abc import Sequence

import click

from git_lds.cli import options, progress
from git_lds.cli.output import answer, answer_json, name, say, warn
from git_lds.cli.paths import from_top
from git_lds.imports.updating import Updated, update
from git_lds.repo import Repo


@click.command("update")
@click.argument("targets", nargs=-1, metavar="[PATH]...")
@click.option("--rev", metavar="REV", help="From now on follow this branch, or stay at this tag or commit.")
@options.dry_run
@options.as_json
@options.quiet
@options.verbose
def command(
    targets: tuple[str, ...], rev: str | None, dry_run: bool, as_json: bool, quiet: bool, verbose: bool
) -> None:
    """Bring imported paths up to date.

    All that are imported, or those at PATH. Where files were edited here they are listed, and nothing is done.
    """
    with Repo.here() as repo:
        places = [from_top(target, repo.work_tree) for target in targets]
        done = update(repo, places, rev=rev, dry_run=dry_run, progress=progress.shown(quiet=quiet))
    if as_json:
        answer_json([_described(each) for each in done])
        return
    if not quiet:
        for each in done:
            _tell(each, verbose=verbose or dry_run)
    for each in done:
        if each.moved_tag is not None:
            warn(
                f"{each.output}: upstream's tag is at {each.moved_tag[:10]} now, and this stays at {each.after[:10]}",
                hint=f"to move with it: git lds update {each.output} --rev TAG",
            )
    if not done:
        say("Nothing is imported.", quiet=quiet)
    if any(each.written and _files(each) for each in done):
        say("Next: git commit", quiet=quiet)


def _tell(each: Updated, *, verbose: bool) -> None:
    if each.before == each.after:
        answer(f"{each.output}: up to date")
        return
    counts = [f"{len(paths)} {word}" for word, paths in _files(each).items()]
    answer(f"{each.output}: {each.before[:10]} -> {each.after[:10]}, {', '.join(counts) or 'no file differs'}")
    if verbose:
        for word, paths in _files(each).items():
            for path in paths:
                answer(f"  {word} {name(path)}")


def _files(each: Updated) -> dict[str, Sequence[bytes]]:
    return {word: paths for word, paths in _lists(each).items() if paths}


def _described(each: Updated) -> dict[str, object]:
    return {
        "output": each.output,
        "before": each.before,
        "after": each.after,
        "written": each.written,
        "moved_tag": each.moved_tag,
        **{word: [path.decode("utf-8", "surrogateescape") for path in paths] for word, paths in _lists(each).items()},
    }


def _lists(each: Updated) -> dict[str, Sequence[bytes]]:
    return {"added": each.added, "changed": each.changed, "deleted": each.deleted}

"""`git lds outdated`"""

from __future__ import annotations

import click

from git_lds.cli import options
from git_lds.cli.paths import from_top
from git_lds.cli.render.output import amount, answer, answer_json, say, warn_of_rewritten
from git_lds.deps.update.outdated import Outlook, outdated
from git_lds.errors import EXIT_FAILED
from git_lds.repo import Repo


@click.command("outdated")
@click.argument("targets", nargs=-1, metavar="[PATH]...")
@click.option("--exit-code", "by_code", is_flag=True, help="Exit with 1 if something is outdated.")
@options.as_json
@options.quiet
def command(targets: tuple[str, ...], by_code: bool, as_json: bool, quiet: bool) -> int:
    """List imported paths that changed upstream.

    Lists all imported paths, or those at PATH, with how much changed. Only the content of the path counts, not new commits
    upstream. The exit code is 1 if an upstream could not be read.
    """
    with Repo.here() as repo:
        repo.require_work_tree()
        outlooks = outdated(repo, [from_top(target, repo.work_tree) for target in targets])
    if as_json:
        answer_json([_described(outlook) for outlook in outlooks])
    elif not quiet:
        for outlook in outlooks:
            answer(f"{outlook.output}: {_summary(outlook)}")
    for error in {outlook.error.message: outlook.error for outlook in outlooks if outlook.error}.values():
        if error.hint and not as_json:
            say(f"hint: {error.hint}")
    for outlook in outlooks if not as_json else ():
        if outlook.rewritten:
            warn_of_rewritten(outlook.output, outlook.rev, outlook.lock)
    if not outlooks:
        say("Nothing is imported.", quiet=quiet or as_json)
    failed = any(outlook.error for outlook in outlooks) or (by_code and any(outlook.outdated for outlook in outlooks))
    return EXIT_FAILED if failed else 0


def _summary(outlook: Outlook) -> str:
    if outlook.error is not None:
        return f"not known: {outlook.error.message}"
    if outlook.moved_tag:
        assert outlook.tip is not None
        follow = f"git lds update {outlook.output} --rev {outlook.rev}"
        return f"upstream moved the tag {outlook.rev} to {outlook.tip[:10]}; to follow: {follow}"
    if not outlook.outdated:
        return "up to date"
    assert outlook.tip is not None
    return f"{_counts(outlook) or 'other stores'} ({outlook.rev}: {outlook.lock[:10]} -> {outlook.tip[:10]})"


def _counts(outlook: Outlook) -> str:
    added = len(outlook.added)
    counts = [f"+{added} {'file' if added == 1 else 'files'}"] if added else []
    for word, paths in (("changed", outlook.changed), ("deleted", outlook.deleted), ("renamed", outlook.renamed)):
        counts += [f"{len(paths)} {word}"] if paths else []
    return ", ".join([*counts, *([amount(outlook.size)] if outlook.size else [])])


def _described(outlook: Outlook) -> dict[str, object]:
    return {
        "output": outlook.output,
        "rev": outlook.rev,
        "lock": outlook.lock,
        "tip": outlook.tip,
        "outdated": outlook.outdated,
        "moved_tag": outlook.moved_tag,
        "rewritten": outlook.rewritten,
        "added": len(outlook.added),
        "changed": len(outlook.changed),
        "deleted": len(outlook.deleted),
        "renamed": len(outlook.renamed),
        "size": outlook.size,
        "error": outlook.error.message if outlook.error else None,
    }

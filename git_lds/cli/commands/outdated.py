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
@click.option("--exit-code", "by_code", is_flag=True, help="Exit with 1 when something is outdated.")
@options.as_json
@options.quiet
def command(targets: tuple[str, ...], by_code: bool, as_json: bool, quiet: bool) -> int:
    """Tell which imported paths changed upstream.

    All that are imported, or those at PATH, and by how much. What counts is the content of the path, not that upstream has
    new commits. The exit code is 1 when an upstream could not be asked.
    """
    with Repo.here() as repo:
        repo.require_work_tree()
        found = outdated(repo, [from_top(target, repo.work_tree) for target in targets])
    if as_json:
        answer_json([_described(each) for each in found])
    elif not quiet:
        for each in found:
            answer(f"{each.output}: {_told(each)}")
    for error in {each.error.message: each.error for each in found if each.error}.values():
        if error.hint and not as_json:
            say(f"hint: {error.hint}")
    for each in found if not as_json else ():
        if each.rewritten:
            warn_of_rewritten(each.output, each.rev, each.lock)
    if not found:
        say("Nothing is imported.", quiet=quiet or as_json)
    failed = any(each.error for each in found) or (by_code and any(each.outdated for each in found))
    return EXIT_FAILED if failed else 0


def _told(each: Outlook) -> str:
    if each.error is not None:
        return f"not known: {each.error.message}"
    if each.moved_tag:
        assert each.tip is not None
        return f"upstream moved the tag {each.rev} to {each.tip[:10]}; to follow: git lds update {each.output} --rev {each.rev}"
    if not each.outdated:
        return "up to date"
    assert each.tip is not None
    return f"{_counts(each) or 'other stores'} ({each.rev}: {each.lock[:10]} -> {each.tip[:10]})"


def _counts(each: Outlook) -> str:
    added = len(each.added)
    counts = [f"+{added} {'file' if added == 1 else 'files'}"] if added else []
    for word, paths in (("changed", each.changed), ("deleted", each.deleted), ("renamed", each.renamed)):
        counts += [f"{len(paths)} {word}"] if paths else []
    return ", ".join([*counts, *([amount(each.size)] if each.size else [])])


def _described(each: Outlook) -> dict[str, object]:
    return {
        "output": each.output,
        "rev": each.rev,
        "lock": each.lock,
        "tip": each.tip,
        "outdated": each.outdated,
        "moved_tag": each.moved_tag,
        "rewritten": each.rewritten,
        "added": len(each.added),
        "changed": len(each.changed),
        "deleted": len(each.deleted),
        "renamed": len(each.renamed),
        "size": each.size,
        "error": each.error.message if each.error else None,
    }

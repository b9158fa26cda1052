"""`git lds contribute`"""

from __future__ import annotations

import click

from git_lds.cli import options
from git_lds.cli.paths import from_top
from git_lds.cli.render import markdown, progress
from git_lds.cli.render.output import amount, answer, answer_json, name, names, say, warn
from git_lds.deps.contribute.contribute import Contribution, contribute
from git_lds.deps.manifest.transports import without_credentials
from git_lds.errors import UsageError
from git_lds.repo import Repo


@click.command("contribute")
@click.argument("path")
@click.option(
    "--remote", metavar="FORK", help="Push to this fork: its address, or the name of a remote of this repository."
)
@click.option("--branch", metavar="NAME", help="The branch to push; by default lds/<user>/<PATH>.")
@click.option("--onto", metavar="REV", help="The branch upstream to base it on; by default the one that is followed.")
@click.option("--store", metavar="URL", help="Where the objects go; by default where upstream, or the fork, says.")
@click.option("--squash", is_flag=True, help="Make one commit of all.")
@click.option("-m", "--message", metavar="TEXT", help="Make one commit of all, with this message.")
@click.option("--body", metavar="FILE", help='Write a summary for the pull request there, in Markdown; "-" is stdout.')
@options.dry_run
@options.as_json
@options.quiet
def command(
    path: str,
    remote: str | None,
    branch: str | None,
    onto: str | None,
    store: str | None,
    squash: bool,
    message: str | None,
    body: str | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Send fixes of an imported path back, as a branch of upstream.

    The commits here that edited the files at PATH become commits on upstream's branch: with their authors and messages,
    and with these files alone. They are pushed to a branch of their own, ready for a pull request; their objects go to the
    store first. Run again, it adds to the branch what is new.
    """
    if message is not None and not message.strip():
        raise UsageError("the message is empty", 'for example: -m "Correct the labels"')
    if body == "-" and as_json:
        raise UsageError("--json and --body - both want stdout", "name a file: --body FILE")
    if body is not None:
        markdown.check(body)
    with Repo.here() as repo:
        repo.require_work_tree()
        done = contribute(
            repo,
            from_top(path, repo.work_tree),
            remote=remote,
            store=store,
            onto=onto,
            branch=branch,
            squash=squash,
            message=message,
            dry_run=dry_run,
            progress=progress.shown(quiet=quiet),
        )
    if body is not None and done.commits:
        markdown.write(markdown.of_contribution(done), body)
    if as_json:
        answer_json(_described(done))
    else:
        _tell(done, quiet=quiet, answers=body != "-")
    _warn(done)


def _tell(done: Contribution, *, quiet: bool, answers: bool) -> None:
    """Tell what was done; with `answers` also on stdout, else that is of the summary alone."""
    where = f"{done.branch} of {without_credentials(done.target)}"
    if not done.commits:
        if done.extends:
            say(f"There is nothing new; {where} has all edits of {done.output}.", quiet=quiet)
        else:
            say(f"There is nothing to contribute: {done.output} is as upstream has it.", quiet=quiet)
    else:
        for each in done.commits if answers else ():
            answer(f"{each.commit[:10]} {name(each.subject)}" if done.written else name(each.subject))
        for word, paths in (("added", done.added), ("changed", done.changed), ("deleted", done.deleted)):
            for path in paths if answers else ():
                answer(f"  {word} {name(path)}")
        verb = ("Added to" if done.extends else "Pushed") if done.written else "Would push"
        files = len(done.added) + len(done.changed) + len(done.deleted)
        objects = (
            f", {_count(done.uploaded, 'object')} to {without_credentials(done.store or '')}" if done.uploaded else ""
        )
        say(
            f"{verb} {where}: {_count(len(done.commits), 'commit')} onto {done.onto}, "
            f"{_count(files, 'file')}, {amount(done.size)}{objects}.",
            quiet=quiet,
        )
        if done.taken_back:
            say(f"No longer edited here, and so taken back there: {names(done.taken_back)}.", quiet=quiet)
    if answers and done.page is not None and (done.written or not done.commits):
        answer(done.page)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _warn(done: Contribution) -> None:
    if done.uncommitted:
        warn(f"not committed here, so not contributed: {names(done.uncommitted)}", "git commit, and contribute again")
    if done.left_out:
        warn(f"left out, as they are not of what is imported: {names(done.left_out)}")


def _described(done: Contribution) -> dict[str, object]:
    plain = ("output", "url", "target", "branch", "onto", "base", "tip", "extends", "size", "store", "uploaded", "sent")
    lists = ("added", "changed", "deleted", "taken_back", "uncommitted", "left_out")
    return {
        **{key: getattr(done, key) for key in plain},
        **{key: [path.decode("utf-8", "surrogateescape") for path in getattr(done, key)] for key in lists},
        "commits": [
            {"commit": each.commit, "subject": each.subject, "author": each.author, "sources": list(each.sources)}
            for each in done.commits
        ],
        "page": done.page,
        "written": done.written,
    }

"""`git lds contribute`"""

from __future__ import annotations

import click

from git_lds.cli import options
from git_lds.cli.paths import from_top
from git_lds.cli.render import markdown, progress
from git_lds.cli.render.output import amount, answer, answer_json, name, names, say, warn
from git_lds.deps.contribute.contribute import Contribution, contribute, preview
from git_lds.deps.contribute.edits import Options
from git_lds.deps.manifest.transports import without_credentials
from git_lds.errors import UsageError
from git_lds.repo import Repo


@click.command("contribute")
@click.argument("path")
@click.option(
    "--remote", metavar="FORK", help="Push to this fork: its URL, or the name of a remote of this repository."
)
@click.option("--branch", metavar="NAME", help="The branch to push; by default lds/<user>/<PATH>.")
@click.option("--onto", metavar="REV", help="The branch upstream to base it on; by default the one that is followed.")
@click.option(
    "--store", metavar="URL", help="The store for the objects; by default the one that upstream, or the fork, names."
)
@click.option("--squash", is_flag=True, help="Make one commit of all edits.")
@click.option("-m", "--message", metavar="TEXT", help="Make one commit of all edits, with this message.")
@click.option(
    "--body", metavar="FILE", help='Write a summary for the pull request to this file, in Markdown; "-" is stdout.'
)
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
    """Send fixes of an imported path back as a branch of upstream.

    The commits here that edited files at PATH become commits on upstream's branch, with their authors and messages and
    only these files. First their objects are uploaded to the store, then a branch for a pull request is pushed. Run again,
    it adds new edits to the branch.
    """
    if message is not None and not message.strip():
        raise UsageError("the message is empty", 'for example: -m "Correct the labels"')
    if body == "-" and as_json:
        raise UsageError("--json and --body - both want stdout", "name a file: --body FILE")
    if body is not None:
        markdown.check(body)
    asked = Options(remote, store, onto, branch, squash, message)
    with Repo.here() as repo:
        repo.require_work_tree()
        run = preview if dry_run else contribute
        done = run(repo, from_top(path, repo.work_tree), asked, progress=progress.shown(quiet=quiet))
    if body is not None and done.plan.commits:
        markdown.write(markdown.of_contribution(done), body)
    if as_json:
        answer_json(_described(done))
    else:
        _print(done, quiet=quiet, with_answers=body != "-")
    _warn(done)


def _print(done: Contribution, *, quiet: bool, with_answers: bool) -> None:
    """Print what was done; without answers, stdout is left to the summary."""
    plan, to = done.plan, done.plan.destination
    where = f"{to.branch} of {without_credentials(to.target)}"
    if plan.commits:
        if with_answers:
            _print_commits(done)
        say(_summary(done, where), quiet=quiet)
        if plan.not_contributed.reverted:
            paths = names(plan.not_contributed.reverted)
            say(f"Reverted on the branch because they were reverted here: {paths}.", quiet=quiet)
    elif to.extends:
        say(f"There is nothing new; {where} has all edits of {to.output}.", quiet=quiet)
    else:
        say(f"There is nothing to contribute: {to.output} is as upstream has it.", quiet=quiet)
    if with_answers and to.page is not None and (done.written or not plan.commits):
        answer(to.page)


def _print_commits(done: Contribution) -> None:
    files = done.plan.files
    for commit in done.plan.commits:
        answer(f"{commit.commit[:10]} {name(commit.subject)}" if done.written else name(commit.subject))
    for word, paths in (("added", files.added), ("changed", files.changed), ("deleted", files.deleted)):
        for path in paths:
            answer(f"  {word} {name(path)}")


def _summary(done: Contribution, where: str) -> str:
    plan, files, to = done.plan, done.plan.files, done.plan.destination
    verb = ("Added to" if to.extends else "Pushed") if done.written else "Would push"
    count = len(files.added) + len(files.changed) + len(files.deleted)
    store = without_credentials(to.store or "")
    objects = f", {_count(done.uploaded, 'object')} to {store}" if done.uploaded else ""
    return (
        f"{verb} {where}: {_count(len(plan.commits), 'commit')} onto {to.onto}, "
        f"{_count(count, 'file')}, {amount(files.size)}{objects}."
    )


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _warn(done: Contribution) -> None:
    skipped = done.plan.not_contributed
    if skipped.uncommitted:
        warn(
            f"uncommitted changes are not contributed: {names(skipped.uncommitted)}", "git commit, and contribute again"
        )
    if skipped.left_out:
        warn(f"left out, because they are not imported files: {names(skipped.left_out)}")


def _described(done: Contribution) -> dict[str, object]:
    """Return the answer in JSON. Its keys are an interface: they stay."""
    plan, to = done.plan, done.plan.destination
    files, skipped = plan.files, plan.not_contributed
    lists = {
        "added": files.added,
        "changed": files.changed,
        "deleted": files.deleted,
        "taken_back": skipped.reverted,
        "uncommitted": skipped.uncommitted,
        "left_out": skipped.left_out,
    }
    return {
        "output": to.output,
        "url": to.url,
        "target": to.target,
        "branch": to.branch,
        "onto": to.onto,
        "base": to.base,
        "tip": done.tip,
        "extends": to.extends,
        "size": files.size,
        "store": to.store,
        "uploaded": done.uploaded,
        "sent": done.sent,
        **{key: [path.decode("utf-8", "surrogateescape") for path in paths] for key, paths in lists.items()},
        "commits": [
            {"commit": each.commit, "subject": each.subject, "author": each.author, "sources": list(each.sources)}
            for each in plan.commits
        ],
        "page": to.page,
        "written": done.written,
    }

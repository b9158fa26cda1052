"""`git lds check`"""

from __future__ import annotations

import click

from git_lds.check import run as check_run
from git_lds.check.findings import CheckReport
from git_lds.check.rules import read_rules
from git_lds.check.run import Scope
from git_lds.cli import options
from git_lds.cli.paths import from_top
from git_lds.cli.render import progress
from git_lds.cli.render.output import answer, answer_json, names, say, warn, warn_of_ignored
from git_lds.errors import EXIT_FAILED, LdsError
from git_lds.git import index, refs
from git_lds.git.run import GitFailed
from git_lds.repo import Repo
from git_lds.snapshots.revisions import review_ends


@click.command("check")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option(
    "--against", metavar="COMMIT", help="The commit to compare with. Default: the one where `git lds review` starts."
)
@click.option("--changed", is_flag=True, help="Decode only the images that changed since that commit.")
@click.option("--fetch", is_flag=True, help="Download missing objects.")
@options.as_json
@options.quiet
def command(paths: tuple[str, ...], against: str | None, changed: bool, fetch: bool, as_json: bool, quiet: bool) -> int:
    """Check annotations and images automatically.

    Checks the files in the index, those at PATH or all, by the rules in the table [check] of .ldsconfig. The exit code is
    1 if there are mistakes.
    """
    with Repo.here() as repo:
        warn_of_ignored(repo.settings.committed.ignored)
        rules = read_rules(repo.settings.committed.check)
        scope = Scope(_named_paths(repo, paths), _base(repo, against), changed, fetch)
        report = check_run.check(repo, rules, scope, progress.shown(quiet=quiet))
    if as_json:
        answer_json(report.as_json())
    else:
        for line in report.lines():
            answer(line)
    for note in report.notes:
        warn(note)
    if report.absent:
        warn(f"not on this machine and not checked: {names(report.absent)}", "git lds check --fetch")
    say(_summary(report), quiet=quiet)
    return EXIT_FAILED if report.count else 0


def _summary(report: CheckReport) -> str:
    checked = f"{_counted(report.annotations, 'annotation file')} and {_counted(report.images, 'image')}"
    return f"Checked {checked}: {_counted(report.count, 'mistake') if report.count else 'no mistakes'}."


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _named_paths(repo: Repo, paths: tuple[str, ...]) -> frozenset[bytes] | None:
    """Return the files of the index at `paths`, None without any. Raises LdsError if a path matches nothing."""
    if not paths:
        return None
    try:
        return frozenset(index.required_paths(repo.git, [from_top(path, repo.work_tree) for path in paths]))
    except GitFailed:
        raise LdsError(f"git has no file at {names(paths)}", hint="git lds ls-files") from None


def _base(repo: Repo, against: str | None) -> str | None:
    """Return the commit that counts as before, None in a repository without commits. Raises LdsError."""
    if against is None and refs.head(repo.git) is None:
        return None
    return review_ends(repo, against).base

"""`git lds check`"""

from __future__ import annotations

import click

from git_lds.check import rules
from git_lds.check import run as check_run
from git_lds.check.run import Checked, Scope
from git_lds.cli import options
from git_lds.cli.paths import from_top
from git_lds.cli.render import progress
from git_lds.cli.render.output import answer, answer_json, names, say, warn, warn_of_ignored
from git_lds.errors import EXIT_FAILED, LdsError
from git_lds.git.run import GitFailed
from git_lds.repo import Repo
from git_lds.snapshots import compared_commits

_SHOWN = 10
"""Mistakes of one kind in one file that are shown to people."""


@click.command("check")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--against", metavar="COMMIT", help="What counts as before. Default: where `git lds review` begins.")
@click.option("--changed", is_flag=True, help="Of the images, look only into those that changed since then.")
@click.option("--fetch", is_flag=True, help="Download what is not on this machine.")
@options.as_json
@options.quiet
def command(paths: tuple[str, ...], against: str | None, changed: bool, fetch: bool, as_json: bool, quiet: bool) -> int:
    """Find mistakes in annotations and images that need no person.

    Looks at the files in the index, those at PATH or all, by the rules in the table [check] of .ldsconfig. The exit code is
    1 when something is wrong.
    """
    with Repo.here() as repo:
        warn_of_ignored(repo.settings.committed.ignored)
        found_rules = rules.rules(repo.settings.committed.check)
        scope = Scope(_named(repo, paths), _base(repo, against), changed, fetch)
        found = check_run.check(repo, found_rules, scope, progress.shown(quiet=quiet))
    if as_json:
        answer_json(_as_json(found))
    else:
        _tell(found)
    for note in found.notes:
        warn(note)
    if found.absent:
        warn(
            f"not on this machine and not looked into: {names(found.absent)}",
            "git lds check --fetch",
        )
    looked = f"{_many(found.annotations, 'annotation file')} and {_many(found.images, 'image')} looked into: "
    say(looked + (f"{_many(found.count, 'mistake')}." if found.count else "nothing wrong."), quiet=quiet)
    return EXIT_FAILED if found.count else 0


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _named(repo: Repo, paths: tuple[str, ...]) -> frozenset[bytes] | None:
    if not paths:
        return None
    pathspecs = [from_top(path, repo.work_tree) for path in paths]
    try:
        listed = repo.git.names("ls-files", "-z", "--full-name", "--error-unmatch", "--", *pathspecs)
    except GitFailed:
        raise LdsError(f"no file of git is at {names(paths)}", hint="git lds ls-files shows what there is") from None
    return frozenset(listed)


def _base(repo: Repo, against: str | None) -> str | None:
    if against is not None:
        return compared_commits.ends(repo, against).base
    if not repo.git.ok("rev-parse", "--verify", "--quiet", "HEAD"):
        return None
    return compared_commits.ends(repo, None).base


def _tell(found: Checked) -> None:
    shown: dict[tuple[str, str], int] = {}
    last: tuple[str, str] | None = None
    for finding in found.findings:
        kind = finding.path, finding.check
        if last is not None and kind != last:
            _tell_more(found, last, shown[last])
        last = kind
        shown[kind] = shown.get(kind, 0) + 1
        if shown[kind] <= _SHOWN:
            answer(f"{finding.path}: {finding.message}")
    if last is not None:
        _tell_more(found, last, shown[last])


def _tell_more(found: Checked, kind: tuple[str, str], kept: int) -> None:
    more = kept + found.more.get(kind, 0) - _SHOWN
    if more > 0:
        answer(f"{kind[0]}: and {more} more of this kind ({kind[1]})")


def _as_json(found: Checked) -> dict[str, object]:
    return {
        "count": found.count,
        "findings": [finding._asdict() for finding in found.findings],
        "more": [{"path": path, "check": kind, "count": count} for (path, kind), count in found.more.items()],
        "absent": found.absent,
        "notes": found.notes,
        "annotations": found.annotations,
        "images": found.images,
    }

"""`git lds update`"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click

from git_lds.cli import options
from git_lds.cli.paths import from_top
from git_lds.cli.render import markdown, progress
from git_lds.cli.render import update as render
from git_lds.cli.render.output import answer, answer_json, name, say
from git_lds.deps.manifest.branch_names import check_branch
from git_lds.deps.update import resolve
from git_lds.deps.update.on_branch import BranchUpdate, update_on_branch
from git_lds.deps.update.update import preview, update
from git_lds.errors import UsageError
from git_lds.repo import Repo


@dataclass(frozen=True)
class _UpdateOptions:
    """What the user typed."""

    targets: tuple[str, ...]
    rev: str | None
    step: str | None
    branch: str | None
    summary: str | None
    dry_run: bool
    as_json: bool
    quiet: bool
    verbose: bool

    def check(self) -> None:
        """Raise UsageError for options that exclude each other, LdsError for a summary that cannot be written."""
        goes_alone = self.rev is None and self.branch is None and self.summary is None
        if self.step is not None and not (goes_alone and not self.dry_run and not self.as_json):
            raise UsageError(f"--{self.step} goes with no other option")
        if self.summary == "-" and self.as_json:
            raise UsageError("--json and --summary - both want stdout", "name a file: --summary FILE")
        if self.summary is not None:
            markdown.check(self.summary)


@click.command("update")
@click.argument("targets", nargs=-1, metavar="[PATH]...")
@click.option("--rev", metavar="REV", help="From now on follow this branch, or stay at this tag or commit.")
@click.option("--ours", "step", flag_value="ours", help="Resolve the conflicts at PATH with your version.")
@click.option("--theirs", "step", flag_value="theirs", help="Resolve the conflicts at PATH with upstream's version.")
@click.option("--continue", "step", flag_value="continue", help="End an update whose conflicts are resolved.")
@click.option("--abort", "step", flag_value="abort", help="Go back to before the update that had conflicts.")
@click.option(
    "--branch",
    metavar="NAME",
    help="Create this branch from HEAD, check it out and commit the update there (for CI).",
)
@click.option("--summary", metavar="FILE", help='Write what changed, in Markdown; "-" is stdout.')
@options.dry_run
@options.as_json
@options.quiet
@options.verbose
def command(**words: object) -> int:
    """Update imported paths from upstream.

    Updates all imported paths, or those at PATH. Upstream's changes are merged with yours. Files that would change must not
    have uncommitted changes. If both sides changed a file in ways that cannot be merged, the rest is done and the
    conflict is left for you: take one side, or edit the file and git add it, and then --continue; or --abort.

    With --branch the update becomes a commit on a branch, ready to be pushed. If nothing is new, no branch is made; if there
    is a conflict, nothing is changed and the exit code is 1.
    """
    chosen = _UpdateOptions(**words)  # type: ignore[arg-type]  # click gives what the decorators name
    chosen.check()
    with Repo.here() as repo:
        paths = [from_top(target, repo.work_tree) for target in chosen.targets]
        if chosen.step is not None:
            return _take_step(repo, chosen.step, paths, quiet=chosen.quiet)
        result = _update(repo, paths, chosen)
    return _show(result, chosen)


def _update(repo: Repo, paths: Sequence[str], chosen: _UpdateOptions) -> BranchUpdate:
    """Update as the options say; without a branch the result has the name ""."""
    shown = progress.shown(quiet=chosen.quiet)
    if chosen.branch is not None:
        check_branch(repo.git, chosen.branch)
    if chosen.dry_run:
        return BranchUpdate(tuple(preview(repo, paths, rev=chosen.rev)), "")
    if chosen.branch is not None:
        return update_on_branch(repo, chosen.branch, paths, rev=chosen.rev, progress=shown)
    return BranchUpdate(tuple(update(repo, paths, rev=chosen.rev, progress=shown)), "")


def _show(result: BranchUpdate, chosen: _UpdateOptions) -> int:
    """Print the result as the options say; return the exit code."""
    updates = result.updates
    if chosen.summary is not None:
        is_done = chosen.branch is None or result.commit is not None
        markdown.write(markdown.of_update(updates, is_done=is_done), chosen.summary)
    if chosen.as_json:
        answer_json([render.as_json(each) for each in updates])
    else:
        if not chosen.quiet and chosen.summary != "-":
            render.show(updates, verbose=chosen.verbose, is_dry_run=chosen.dry_run)
        render.warn_of_upstream(updates)
    quiet = chosen.quiet or chosen.as_json
    if result.branch:
        return render.conclude_branch(updates, result.branch, result.commit, quiet=quiet)
    return render.conclude(updates, quiet=quiet)


def _take_step(repo: Repo, step: str, paths: Sequence[str], *, quiet: bool) -> int:
    """Resolve conflicts, or end an update that has some; return the exit code."""
    if step in ("continue", "abort"):
        if paths:
            raise UsageError(f"--{step} is for the whole update, and takes no PATH")
        if step == "continue":
            resolve.continue_update(repo)
            say("All conflicts are resolved. Next: git commit", quiet=quiet)
        else:
            outputs = resolve.abort(repo, progress=progress.shown(quiet=quiet))
            say(f"Back to before the update of {', '.join(outputs)}.", quiet=quiet)
        return 0
    if not paths:
        raise UsageError(f"--{step} needs the paths to resolve", f"for all of them: git lds update --{step} .")
    side = resolve.OURS if step == "ours" else resolve.THEIRS
    resolved = resolve.take(repo, paths, side, progress=progress.shown(quiet=quiet))
    if not quiet:
        for path in resolved.paths:
            answer(f"resolved {name(path)}")
    remaining = len(resolved.remaining)
    say(f"{render.count(remaining, 'conflict')} left" if remaining else "Next: git lds update --continue", quiet=quiet)
    return 0

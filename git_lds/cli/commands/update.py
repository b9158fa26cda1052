"""`git lds update`"""

from __future__ import annotations

from collections.abc import Sequence

import click

from git_lds.cli import options
from git_lds.cli.paths import from_top
from git_lds.cli.render import markdown, progress
from git_lds.cli.render.output import amount, answer, answer_json, name, say, warn, warn_of_rewritten
from git_lds.deps.manifest.branch_names import check_branch
from git_lds.deps.merge.three_way import Conflict
from git_lds.deps.update import resolve
from git_lds.deps.update.on_branch import update_on_branch
from git_lds.deps.update.update import Updated, update
from git_lds.errors import EXIT_FAILED, UsageError
from git_lds.repo import Repo

_RESOLVE = "for each: git lds update --ours PATH, or --theirs PATH, or edit it and git add PATH"


@click.command("update")
@click.argument("targets", nargs=-1, metavar="[PATH]...")
@click.option("--rev", metavar="REV", help="From now on follow this branch, or stay at this tag or commit.")
@click.option("--ours", "step", flag_value="ours", help="Resolve the conflicts at PATH with what is here.")
@click.option("--theirs", "step", flag_value="theirs", help="Resolve the conflicts at PATH with what upstream has.")
@click.option("--continue", "step", flag_value="continue", help="End an update whose conflicts are resolved.")
@click.option("--abort", "step", flag_value="abort", help="Go back to before the update that met conflicts.")
@click.option(
    "--branch", metavar="NAME", help="Commit the update on this branch, made from HEAD, and be there; for jobs."
)
@click.option("--summary", metavar="FILE", help='Write what came there, in Markdown; "-" is stdout.')
@options.dry_run
@options.as_json
@options.quiet
@options.verbose
def command(
    targets: tuple[str, ...],
    rev: str | None,
    step: str | None,
    branch: str | None,
    summary: str | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> int:
    """Bring imported paths up to date.

    All that are imported, or those at PATH. What changed upstream is merged with what was changed here; of files that would
    change, edits must be committed. Where both sides changed a file in ways that cannot be merged the rest is done, and
    the conflict is left for you: take one side, or git add what you make of it, and then --continue; or --abort.

    With --branch the update becomes a commit on a branch, ready to be pushed. With nothing new there is no branch; with a
    conflict nothing is done at all, and the exit code is 1.
    """
    if step is not None and (rev is not None or dry_run or as_json or branch is not None or summary is not None):
        raise UsageError(f"--{step} goes with no other option")
    if summary == "-" and as_json:
        raise UsageError("--json and --summary - both want stdout", "name a file: --summary FILE")
    if summary is not None:
        markdown.check(summary)
    with Repo.here() as repo:
        places = [from_top(target, repo.work_tree) for target in targets]
        if step is not None:
            return _end(repo, step, places, quiet=quiet)
        shown = progress.shown(quiet=quiet)
        if branch is not None:
            check_branch(repo.git, branch)
        made: str | None = None
        if branch is not None and not dry_run:
            unattended = update_on_branch(repo, branch, places, rev=rev, progress=shown)
            done, made = list(unattended.done), unattended.commit
        else:
            done = update(repo, places, rev=rev, dry_run=dry_run, progress=shown)
    if summary is not None:
        markdown.write(markdown.of_update(done, is_done=branch is None or made is not None), summary)
    if as_json:
        answer_json([_described(each) for each in done])
    elif not quiet and summary != "-":
        for each in done:
            _tell(each, verbose=verbose or dry_run)
        if dry_run and len(done) > 1:
            answer(_summary(done))
    for each in () if as_json else done:
        if each.moved_tag is not None:
            warn(
                f"{each.output}: upstream's tag is at {each.moved_tag[:10]} now, and this stays at {each.after[:10]}",
                hint=f"to move with it: git lds update {each.output} --rev TAG",
            )
    for each in () if as_json else done:
        if each.rewritten:
            warn_of_rewritten(each.output, "its branch", each.before)
    if branch is not None and not dry_run:
        return _close_branch(done, branch, made, quiet=quiet or as_json)
    return _close(done, quiet=quiet or as_json)


def _close_branch(done: Sequence[Updated], branch: str, commit: str | None, *, quiet: bool) -> int:
    """Say what became of an unattended update; return the exit code."""
    conflicts = sum(len(each.conflicts) for each in done)
    if conflicts:
        say(f"git-lds: {_count(conflicts, 'conflict')}; nothing was updated, and no branch was made")
        say("hint: git lds update, and resolve them")
        return EXIT_FAILED
    if commit is None:
        say("There is nothing new; no branch was made.", quiet=quiet)
    else:
        say(f"Committed {commit[:10]} on {branch}, which is checked out. Next: git push origin {branch}", quiet=quiet)
    return 0


def _close(done: Sequence[Updated], *, quiet: bool) -> int:
    """Say what comes next; return the exit code."""
    if not done:
        say("Nothing is imported.", quiet=quiet)
    conflicts = [conflict for each in done if each.written for conflict in each.conflicts]
    if conflicts:
        say(f"git-lds: {_count(len(conflicts), 'conflict')} to resolve; nothing else is left to do")
        say(f"hint: {_RESOLVE}; then git lds update --continue; or go back: git lds update --abort")
        return EXIT_FAILED
    if any(each.written and (each.before != each.after or _files(each) or each.moved_from) for each in done):
        say("Next: git commit", quiet=quiet)
    return 0


def _end(repo: Repo, step: str, places: Sequence[str], *, quiet: bool) -> int:
    if step in ("continue", "abort"):
        if places:
            raise UsageError(f"--{step} is for the whole update, and takes no PATH")
        if step == "continue":
            resolve.go_on(repo)
            say("All conflicts are resolved. Next: git commit", quiet=quiet)
        else:
            outputs = resolve.abort(repo, progress=progress.shown(quiet=quiet))
            say(f"Back to before the update of {', '.join(outputs)}.", quiet=quiet)
        return 0
    if not places:
        raise UsageError(f"--{step} needs the paths to resolve", f"for all of them: git lds update --{step} .")
    side = resolve.OURS if step == "ours" else resolve.THEIRS
    done = resolve.take(repo, places, side, progress=progress.shown(quiet=quiet))
    if not quiet:
        for path in done.paths:
            answer(f"resolved {name(path)}")
    left = f"{_count(len(done.left), 'conflict')} left" if done.left else "Next: git lds update --continue"
    say(left, quiet=quiet)
    return 0


def _tell(each: Updated, *, verbose: bool) -> None:
    if each.moved_from is not None:
        answer(f"{each.output}: followed from {each.moved_from}, where its files are no longer")
    if each.before == each.after:
        answer(f"{each.output}: up to date")
        return
    answer(f"{each.output}: {each.before[:10]} -> {each.after[:10]}, {_counts([each]) or 'no file differs'}")
    if verbose:
        for word, paths in _files(each).items():
            for path in paths:
                answer(f"  {word} {path}")
    for conflict in each.conflicts:
        answer(f"  conflict {name(conflict.path)}: {_told(conflict)}")


def _told(conflict: Conflict) -> str:
    both = f"{conflict.here} here, {conflict.upstream} upstream"
    return f"{both}; a file on one side and a directory on the other" if conflict.clashes else both


def _summary(done: Sequence[Updated]) -> str:
    moving = [each for each in done if each.before != each.after]
    return f"{len(moving)} of {_count(len(done), 'dependency')} to update" + (
        f": {counts}" if (counts := _counts(moving)) else ""
    )


def _counts(done: Sequence[Updated]) -> str:
    counts = [
        f"{total} {word}"
        for word in ("added", "changed", "deleted", "renamed")
        if (total := sum(len(_lists(each)[word]) for each in done))
    ]
    size, conflicts = sum(each.size for each in done), sum(len(each.conflicts) for each in done)
    counts += [amount(size)] if size else []
    counts += [_count(conflicts, "conflict")] if conflicts else []
    return ", ".join(counts)


def _count(number: int, word: str) -> str:
    if number != 1:
        word = word[:-1] + "ies" if word.endswith("y") else word + "s"
    return f"{number} {word}"


def _files(each: Updated) -> dict[str, Sequence[str]]:
    return {word: paths for word, paths in _lists(each).items() if paths}


def _lists(each: Updated) -> dict[str, Sequence[str]]:
    return {
        "added": [name(path) for path in each.added],
        "changed": [name(path) for path in each.changed],
        "deleted": [name(path) for path in each.deleted],
        "renamed": [f"{name(old)} -> {name(new)}" for old, new in each.renamed],
    }


def _described(each: Updated) -> dict[str, object]:
    plain = {"added": each.added, "changed": each.changed, "deleted": each.deleted}
    return {
        "output": each.output,
        "before": each.before,
        "after": each.after,
        "written": each.written,
        "moved_tag": each.moved_tag,
        "moved_from": each.moved_from,
        "rewritten": each.rewritten,
        "size": each.size,
        **{word: [_text(path) for path in paths] for word, paths in plain.items()},
        "renamed": [[_text(old), _text(new)] for old, new in each.renamed],
        "conflicts": [
            {
                "path": _text(conflict.path),
                "here": conflict.here,
                "upstream": conflict.upstream,
                "file_and_folder": conflict.clashes,
            }
            for conflict in each.conflicts
        ],
    }


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")

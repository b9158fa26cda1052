"""What `git lds update` prints: for each dependency what changed, for people or as JSON, and what comes next."""

from __future__ import annotations

from collections.abc import Sequence

from git_lds.cli.render.output import amount, answer, name, say, warn, warn_of_rewritten
from git_lds.deps.merge.three_way import Conflict
from git_lds.deps.update.plan import DependencyUpdate
from git_lds.errors import EXIT_FAILED

_RESOLVE = "for each: git lds update --ours PATH, or --theirs PATH, or edit it and git add PATH"


def show(updates: Sequence[DependencyUpdate], *, verbose: bool, is_dry_run: bool) -> None:
    """Print what happened to each dependency, or would happen."""
    for update in updates:
        _show_one(update, verbose=verbose or is_dry_run)
    if is_dry_run and len(updates) > 1:
        answer(_summary(updates))


def _show_one(update: DependencyUpdate, *, verbose: bool) -> None:
    if update.moved_from is not None:
        answer(f"{update.output}: followed from {update.moved_from}, where its files are no longer")
    if update.before == update.after:
        answer(f"{update.output}: up to date")
        return
    answer(f"{update.output}: {update.before[:10]} -> {update.after[:10]}, {_counts([update]) or 'no file differs'}")
    if verbose:
        for word, paths in _lists(update).items():
            for path in paths:
                answer(f"  {word} {path}")
    for conflict in update.conflicts:
        answer(f"  conflict {name(conflict.path)}: {_both_sides(conflict)}")


def _both_sides(conflict: Conflict) -> str:
    both = f"{conflict.here} here, {conflict.upstream} upstream"
    return f"{both}; a file on one side and a directory on the other" if conflict.file_directory_conflict else both


def _summary(updates: Sequence[DependencyUpdate]) -> str:
    changing = [update for update in updates if update.before != update.after]
    counts = _counts(changing)
    return f"{len(changing)} of {count(len(updates), 'dependency')} to update" + (f": {counts}" if counts else "")


def _counts(updates: Sequence[DependencyUpdate]) -> str:
    """Return the numbers of files, bytes and conflicts, "" if all are 0."""
    lists = [_lists(update) for update in updates]
    counts = [
        f"{total} {word}"
        for word in ("added", "changed", "deleted", "renamed")
        if (total := sum(len(of_update[word]) for of_update in lists))
    ]
    size, conflicts = sum(update.size for update in updates), sum(len(update.conflicts) for update in updates)
    counts += [amount(size)] if size else []
    counts += [count(conflicts, "conflict")] if conflicts else []
    return ", ".join(counts)


def count(number: int, word: str) -> str:
    """Return a number with its noun, in the plural if need be."""
    if number != 1:
        word = word[:-1] + "ies" if word.endswith("y") else word + "s"
    return f"{number} {word}"


def _lists(update: DependencyUpdate) -> dict[str, Sequence[str]]:
    """Return the paths of the files that changed, printable, by what happened to them."""
    return {
        "added": [name(path) for path in update.added],
        "changed": [name(path) for path in update.changed],
        "deleted": [name(path) for path in update.deleted],
        "renamed": [f"{name(old)} -> {name(new)}" for old, new in update.renamed],
    }


def warn_of_upstream(updates: Sequence[DependencyUpdate]) -> None:
    """Warn of tags that upstream moved, and of branches whose history it replaced."""
    for update in updates:
        if update.moved_tag is not None:
            warn(
                f"{update.output}: upstream's tag is at {update.moved_tag[:10]} now, and this stays at {update.after[:10]}",
                hint=f"to move with it: git lds update {update.output} --rev TAG",
            )
    for update in updates:
        if update.rewritten:
            warn_of_rewritten(update.output, "its branch", update.before)


def conclude(updates: Sequence[DependencyUpdate], *, quiet: bool) -> int:
    """Print what comes next after an update; return the exit code."""
    if not updates:
        say("Nothing is imported.", quiet=quiet)
    conflicts = sum(len(update.conflicts) for update in updates if update.written)
    if conflicts:
        say(f"git-lds: {count(conflicts, 'conflict')} to resolve; nothing else is left to do")
        say(f"hint: {_RESOLVE}; then git lds update --continue; or go back: git lds update --abort")
        return EXIT_FAILED
    if any(update.written and _has_changed(update) for update in updates):
        say("Next: git commit", quiet=quiet)
    return 0


def _has_changed(update: DependencyUpdate) -> bool:
    return update.before != update.after or any(_lists(update).values()) or update.moved_from is not None


def conclude_branch(updates: Sequence[DependencyUpdate], branch: str, commit: str | None, *, quiet: bool) -> int:
    """Print the result of an update on a branch; return the exit code. `commit` is None if nothing was committed."""
    conflicts = sum(len(update.conflicts) for update in updates)
    if conflicts:
        say(f"git-lds: {count(conflicts, 'conflict')}; nothing was changed, and no branch was made")
        say("hint: git lds update, and resolve them")
        return EXIT_FAILED
    if commit is None:
        say("There is nothing new; no branch was made.", quiet=quiet)
    else:
        say(f"Committed {commit[:10]} on {branch}, which is checked out. Next: git push origin {branch}", quiet=quiet)
    return 0


def as_json(update: DependencyUpdate) -> dict[str, object]:
    """Return an update for JSON."""
    return {
        "output": update.output,
        "before": update.before,
        "after": update.after,
        "written": update.written,
        "moved_tag": update.moved_tag,
        "moved_from": update.moved_from,
        "rewritten": update.rewritten,
        "size": update.size,
        "added": [_text(path) for path in update.added],
        "changed": [_text(path) for path in update.changed],
        "deleted": [_text(path) for path in update.deleted],
        "renamed": [[_text(old), _text(new)] for old, new in update.renamed],
        "conflicts": [
            {
                "path": _text(conflict.path),
                "here": conflict.here,
                "upstream": conflict.upstream,
                "file_and_folder": conflict.file_directory_conflict,
            }
            for conflict in update.conflicts
        ],
    }


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")

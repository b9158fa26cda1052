"""`git lds status`"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

from git_lds.cli import options
from git_lds.cli.render.output import amount, answer, answer_json, warn
from git_lds.repo import Repo
from git_lds.setup import checks
from git_lds.setup.checks import Check
from git_lds.sync.status import ChangedFile, Status, TrackedFile, status

_NAMED = 10
"""Files that are named of a list that may hold all files."""


@click.command("status")
@options.as_json
def command(as_json: bool) -> None:
    """Show changed files, and files that are not yet in a store."""
    with Repo.here() as repo:
        found = status(repo)
        wrong = [*checks.failing(repo), *_dependencies(repo)]
    if as_json:
        warnings = [{"name": check.name, "message": check.message, "hint": check.hint} for check in wrong]
        answer_json({**_as_json(found), "warnings": warnings})
    else:
        _show(found)
    for check in wrong:
        warn(check.message, check.hint)


def _dependencies(repo: Repo) -> list[Check]:
    """Return the first fault of `.ldsdeps`, and how many more there are."""
    data = repo.dependencies()
    if not data:
        return []
    from git_lds.deps.manifest import manifest  # late: few repositories have one

    faults = manifest.faults(data)
    more = f" (and {len(faults) - 1} more: git lds doctor)" if len(faults) > 1 else ""
    return [Check("dependencies", False, fault.message + more, fault.hint) for fault in faults[:1]]


def _show(found: Status) -> None:
    answer(f"Store: {found.store or 'none'}")
    _section("To be committed:", map(_change, found.staged))
    _section("Changed but not staged:", map(_change, found.unstaged))
    _section("Committed but not pushed:", map(_file, found.unpushed))
    _section("Still pointers in the working tree (git lds pull):", map(_file, found.pointers))
    _section("Tracked, but stored in git as plain files (git add --renormalize PATH…):", _some(found.plain))
    remedy = f"git lds push --all {found.remote}" if found.store else "git lds init --store URL"
    unconfirmed = _some([_file(file) for file in found.unconfirmed])
    _section(f"Pushed, but in no store that this machine knows of ({remedy}):", unconfirmed)


def _section(title: str, lines: Iterable[str]) -> None:
    listed: Sequence[str] = list(lines)
    if listed:
        answer(f"\n{title}")
        for line in listed:
            answer(f"  {line}")


def _some(paths: Sequence[str]) -> list[str]:
    """Return lines for the first paths, and how many more there are."""
    more = [f"… and {len(paths) - _NAMED} more"] if len(paths) > _NAMED else []
    return [*paths[:_NAMED], *more]


def _change(change: ChangedFile) -> str:
    states = f"  ({change.before} -> {change.after})" if change.before or change.after else ""
    return f"{change.kind} {change.path}{states}"


def _file(file: TrackedFile) -> str:
    return f"{file.path} ({amount(file.size)})"


def _as_json(found: Status) -> dict[str, object]:
    changes = {"staged": found.staged, "unstaged": found.unstaged}
    kept = {"unpushed": found.unpushed, "pointers": found.pointers, "unconfirmed": found.unconfirmed}
    return {
        "store": found.store,
        **{
            name: [{"path": c.path, "kind": c.kind, "before": c.before, "after": c.after} for c in listed]
            for name, listed in changes.items()
        },
        **{
            name: [
                {"path": f.path, "oid": f"blake3:{f.oid.hex()}", "size": f.size, "present": f.present} for f in listed
            ]
            for name, listed in kept.items()
        },
        "plain": list(found.plain),
    }

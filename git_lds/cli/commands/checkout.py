"""`git lds checkout`"""

from __future__ import annotations

from pathlib import Path

import click

from git_lds.cli import options
from git_lds.cli.paths import current_directory, from_top
from git_lds.cli.render import progress
from git_lds.cli.render.output import answer_json, files, name, names, say, warn
from git_lds.errors import UsageError, counted
from git_lds.repo import Repo
from git_lds.sync import conflict_sides
from git_lds.sync.checkout import checkout
from git_lds.sync.conflict_sides import Side


@click.command("checkout")
@click.argument("paths", nargs=-1)
@click.option("--ours", "side", flag_value="ours", default=None, help="Resolve a conflict with our version.")
@click.option("--theirs", "side", flag_value="theirs", help="Resolve a conflict with their version.")
@click.option("--base", "side", flag_value="base", help="With --to: the common ancestor of both sides.")
@click.option("--to", metavar="FILE", help="Write that version to FILE and leave the conflict unresolved.")
@options.filters
@options.as_json
@options.quiet
def command(
    paths: tuple[str, ...],
    side: Side | None,
    to: str | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Replace pointers in the working tree by local objects.

    Downloads nothing: see `git lds pull`. PATHS are git's pathspecs. Files that you changed stay as they are.

    With --ours or --theirs, resolve the conflict at PATHS with that version. With --to, only write that version to a file.
    """
    _check(paths, side, to)
    with Repo.here() as repo:
        if side is not None:
            _conflict(repo, side, [from_top(path, repo.work_tree) for path in paths], to, as_json=as_json, quiet=quiet)
            return
        done = checkout(
            repo,
            paths,
            include=options.patterns(include),
            exclude=options.patterns(exclude),
            progress=progress.shown(quiet=quiet),
            directory=None if repo.work_tree is None else current_directory(repo.work_tree),
        )
    if as_json:
        answer_json({"written": done.written, "absent": list(done.absent)})
        return
    say(f"Put {counted(done.written, 'file', 'files')} in the working tree.", quiet=quiet)
    if done.absent:
        warn(
            f"still pointers, because their objects are not on this machine: {names(done.absent)}", hint="git lds pull"
        )


def _check(paths: tuple[str, ...], side: Side | None, to: str | None) -> None:
    hint = "for example: git lds checkout --to FILE --theirs PATH"
    if to is not None and (side is None or len(paths) != 1):
        raise UsageError("--to needs one path and one of --base, --ours, --theirs", hint)
    if to == "-":
        raise UsageError(
            "--to needs the name of a file, not -",
            "to write to stdout: git cat-file --filters :1:PATH (the base; 2: ours, 3: theirs)",
        )
    if side is not None and not paths:
        raise UsageError(f"--{side} needs the path of a conflict", hint)
    if side == "base" and to is None:
        raise UsageError("--base needs --to: only --ours or --theirs resolve a conflict", hint)


def _conflict(repo: Repo, side: Side, paths: list[str], to: str | None, *, as_json: bool, quiet: bool) -> None:
    if to is not None:
        size = conflict_sides.write(repo, side, paths[0], Path(to), progress.shown(quiet=quiet))
        if as_json:
            answer_json({"path": name(paths[0]), "side": side, "to": to, "size": size})
        say(f"Wrote {files(1, size)} to {name(to)}.", quiet=quiet)
        return
    taken = conflict_sides.take(repo, side, paths, progress.shown(quiet=quiet))
    if as_json:
        answer_json({"side": side, "resolved": [name(path) for path in taken]})
    say(f"Resolved {names(taken)} with {side}.", quiet=quiet)

"""`git lds review`"""

from __future__ import annotations

import os
from pathlib import Path

import click

from git_lds.cli import options
from git_lds.cli.render import progress
from git_lds.cli.render.output import answer, answer_json, say, warn, warn_of_ignored
from git_lds.errors import LdsError
from git_lds.repo import Repo
from git_lds.review import summary
from git_lds.review.build import build
from git_lds.review.model import totals
from git_lds.snapshots.revisions import review_ends


@click.command("review")
@click.argument("commits", metavar="[BASE..HEAD]", required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The directory of the page. Default: .git/lds/review.",
)
@click.option("--open", "opens", is_flag=True, help="Open the page in your browser.")
@click.option(
    "--summary",
    "summary_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write a summary in Markdown.",
)
@click.option(
    "--fetch/--no-fetch", default=True, help="Download missing objects (the default), or show the page without them."
)
@options.as_json
@options.quiet
def command(
    commits: str | None,
    output: Path | None,
    opens: bool,
    summary_file: Path | None,
    fetch: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Make a page that shows how data changed.

    The page shows images before and after with their annotations, tables, JSON and text. It compares BASE with HEAD; by
    default, HEAD with its merge base with the branch that it will be merged into. The page is a directory of files that needs
    no server.
    """
    with Repo.here() as repo:
        warn_of_ignored(repo.settings.committed.ignored)
        ends = review_ends(repo, commits)
        directory = Path(os.path.abspath(output if output is not None else repo.lds_dir / "review"))
        say(f"{ends.how} ({ends.base[:9]}..{ends.head[:9]})", quiet=quiet)
        review = build(repo, ends, directory, fetch=fetch, progress=progress.shown(quiet=quiet))
    if summary_file is not None:
        _write(summary_file, summary.markdown(review))
    for note in review.notes:
        warn(note)
    incomplete = [entry for entry in review.entries if entry.notes]
    index = directory / "index.html"
    if as_json:
        answer_json({"page": str(index), "base": ends.base, "head": ends.head, "totals": totals(review),
                     "notes": {entry.path: entry.notes for entry in incomplete}})  # fmt: skip
    else:
        say(
            f"{len(review.entries)} {'file' if len(review.entries) == 1 else 'files'} on the page"
            + (f", {len(incomplete)} of them incomplete." if incomplete else "."),
            quiet=quiet,
        )
        answer(str(index))
    if opens:
        import webbrowser

        if not webbrowser.open(index.as_uri()):
            raise LdsError("cannot start a browser", hint=f"open {index}")


def _write(path: Path, text: str) -> None:
    try:
        # not through a symbolic link: in CI the directory has files that others wrote
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o666)
        with open(fd, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise LdsError(f"{path}: {error.strerror}", hint="name another file: --summary FILE") from None

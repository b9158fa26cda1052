"""`git lds ls-files`"""

from __future__ import annotations

import click

from git_lds.cli import options
from git_lds.cli.render.output import amount, answer, answer_json
from git_lds.repo import Repo
from git_lds.sync.status import ls_files


@click.command("ls-files")
@click.argument("rev", required=False)
@click.option("-l", "--long", is_flag=True, help="Show full oids.")
@click.option("-s", "--size", is_flag=True, help="Show sizes.")
@click.option("-n", "--name-only", is_flag=True, help="Show only paths.")
@options.as_json
def command(rev: str | None, long: bool, size: bool, name_only: bool, as_json: bool) -> None:
    """List the files that git-lds tracks.

    Lists those in the index, or in the revision REV. Each line has the oid, * if the object is on this machine or - if
    not, and the path.
    """
    with Repo.here() as repo:
        tracked = ls_files(repo, rev)
    if as_json:
        answer_json(
            [{"path": f.path, "oid": f"blake3:{f.oid.hex()}", "size": f.size, "present": f.present} for f in tracked]
        )
        return
    for file in tracked:
        if name_only:
            answer(file.path)
            continue
        oid = file.oid.hex() if long else file.oid.hex()[:10]
        answer(f"{oid} {'*' if file.present else '-'} {file.path}" + (f" ({amount(file.size)})" if size else ""))

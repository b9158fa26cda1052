"""`git lds deps`"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from git_lds.cli import options
from git_lds.cli.render.output import answer, answer_json, say
from git_lds.deps.history.records import Standing, standings
from git_lds.deps.manifest.manifest import Dependency
from git_lds.deps.manifest.own_files import read_manifest
from git_lds.deps.manifest.transports import without_credentials
from git_lds.deps.merge.base import local_edits
from git_lds.repo import Repo


@click.command("deps")
@options.as_json
def command(as_json: bool) -> None:
    """List dependencies with their source, local changes and the status of contributions.

    Uses no network. The status of a contribution is as of the last update: open, merged or superseded (changed in another
    way upstream).
    """
    with Repo.here() as repo:
        repo.require_work_tree()
        dependencies = list(read_manifest(repo).values())
        with tempfile.TemporaryDirectory(prefix="git-lds-") as directory:
            edits = local_edits(repo, dependencies, Path(directory) / "index") if dependencies else {}
        sent = {dependency.output: standings(repo, dependency) for dependency in dependencies}
    if as_json:
        answer_json([_described(each, edits[each.output], sent[each.output]) for each in dependencies])
        return
    if not dependencies:
        say("Nothing is imported. For example: git lds import https://example.org/grogu.git images -o data/images")
    for each in dependencies:
        answer(
            f"{each.output}\n  {each.path} of {each.url}\n  {each.rev} at {each.commit[:10]}{_edited(edits[each.output])}"
        )
        for standing in sent[each.output]:
            where = "" if standing.target == each.url else f" of {without_credentials(standing.target)}"
            answer(f"  contributed as {standing.branch}{where}: {standing.state}")


def _edited(count: int | None) -> str:
    return f", {count} {'file' if count == 1 else 'files'} edited here" if count else ""


def _described(each: Dependency, count: int | None, sent: Sequence[Standing]) -> dict[str, object]:
    return described(each) | {"edits": count, "contributions": [dataclasses.asdict(standing) for standing in sent]}


def described(dependency: Dependency) -> dict[str, object]:
    """Return a dependency for JSON."""
    return dataclasses.asdict(dependency)

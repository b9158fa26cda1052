"""`git lds deps`"""

from __future__ import annotations

import dataclasses

import click

from git_lds.cli import options
from git_lds.cli.output import answer, answer_json, say
from git_lds.imports.manifest import Dependency
from git_lds.imports.own_files import read_manifest
from git_lds.repo import Repo


@click.command("deps")
@options.as_json
def command(as_json: bool) -> None:
    """List what is imported, and from where."""
    with Repo.here() as repo:
        repo.checkout()
        found = list(read_manifest(repo).values())
    if as_json:
        answer_json([described(dependency) for dependency in found])
        return
    if not found:
        say("Nothing is imported. For example: git lds import https://example.org/grogu.git images -o data/images")
    for each in found:
        answer(f"{each.output}\n  {each.path} of {each.url}\n  {each.rev} at {each.commit[:10]}")


def described(dependency: Dependency) -> dict[str, object]:
    """Return a dependency for JSON."""
    return dataclasses.asdict(dependency)

"""`git lds doctor`"""

from __future__ import annotations

import dataclasses

import click

from git_lds.cli import options
from git_lds.cli.output import answer, answer_json
from git_lds.errors import EXIT_FAILED, LdsError
from git_lds.git.run import Git
from git_lds.repo import Repo
from git_lds.setup import doctor, launcher


@click.command("doctor")
@options.as_json
def command(as_json: bool) -> int:
    """Find out what is wrong, and what to do about it.

    Exits with 1 if anything is. Nothing is changed.
    """
    try:
        repo = Repo.here()
    except LdsError:
        repo = None
    try:
        checks = doctor.examine(Git(), launcher.own_path(), repo)
    finally:
        if repo is not None:
            repo.close()
    if as_json:
        answer_json([dataclasses.asdict(check) for check in checks])
    else:
        for check in checks:
            answer(f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {check.message}")
            if not check.ok and check.hint:
                answer(f"     hint: {check.hint}")
    return 0 if all(check.ok for check in checks) else EXIT_FAILED

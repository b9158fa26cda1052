"""`git lds doctor`"""

from __future__ import annotations

import dataclasses

import click

from git_lds.cli import options
from git_lds.cli.render.output import answer, answer_json
from git_lds.deps.manifest import manifest
from git_lds.errors import EXIT_FAILED, LdsError
from git_lds.git.repository import DubiousOwnership
from git_lds.git.run import Git
from git_lds.repo import Repo
from git_lds.setup import doctor, launcher
from git_lds.setup.checks import Check


@click.command("doctor")
@options.as_json
def command(as_json: bool) -> int:
    """Find problems and show how to fix them.

    Exits with 1 if there are problems. Nothing is changed.
    """
    repo, refused = None, None
    try:
        repo = Repo.here()
    except DubiousOwnership as error:
        refused = error
    except LdsError:
        pass  # outside a repository only the machine is checked
    try:
        checks = doctor.examine(Git(), launcher.own_path(), repo)
        if repo is not None and (data := repo.dependencies()):
            faults = manifest.faults(data)
            checks += [Check("dependencies", False, fault.message, fault.hint) for fault in faults]
        if refused is not None:
            checks.append(Check("repository", False, refused.message, refused.hint))
    finally:
        if repo is not None:
            repo.close()
    if as_json:
        answer_json([dataclasses.asdict(check) for check in checks])
    else:
        for check in doctor.without_repeats(checks):
            answer(f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {check.message}")
            if not check.ok and check.hint:
                answer(f"     hint: {check.hint}")
    return 0 if all(check.ok for check in checks) else EXIT_FAILED

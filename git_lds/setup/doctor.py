"""Finds out why git-lds does not work here: checks each requirement and says what to do about a failing one."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from git_lds import files
from git_lds.attributes import tracking
from git_lds.data.kinds import DRIVER, KINDS, OWN_KINDS
from git_lds.errors import LdsError, NotInStore
from git_lds.git import config, run
from git_lds.git.run import Git, GitFailed
from git_lds.repo import Repo
from git_lds.setup import launcher
from git_lds.setup.checks import Check, of, of_repository, recorded_program
from git_lds.setup.pushed_objects import pushed
from git_lds.setup.start import SINGLE_WRITER
from git_lds.store.backends.contract import Backend, NoPutIfAbsent
from git_lds.store.backends.directory import Directory
from git_lds.store.format import chunker
from git_lds.store.format.keys import PARAMETERS

_NAMED = 3
"""Files that a message names."""


def examine(git: Git, program: Path, repo: Repo | None) -> list[Check]:
    """Return the checks of this machine and, inside a repository, of that. Nothing is changed."""
    checks = [of("git", _git_version), of("program", lambda: _program(program, git)), of("chunker", _chunker)]
    checks.append(of("filter", lambda: _filter(git)))
    if checks[-1].ok:
        checks.append(of("diff and merge", lambda: _drivers(git)))
    if repo is not None:
        checks += of_repository(repo)
        is_used = any(check.name == "attributes" for check in checks)
        if is_used:
            checks.append(of("pointers", lambda: _pointers(repo)))
        checks.append(of("store", lambda: _store(repo, needed=is_used)))
        checks += pushed(repo)
    return checks


def without_repeats(checks: Sequence[Check]) -> list[Check]:
    """Return the checks for people: a fault that fails several, such as a broken `.ldsconfig`, only with the first."""
    first = {(check.message, check.hint): check for check in reversed(checks) if not check.ok}
    return [check for check in checks if check.ok or first[check.message, check.hint] is check]


def _git_version() -> Check:
    return Check("git", True, f"git {'.'.join(map(str, run.version()))} at {run.find_program('git')}")


def _program(program: Path, git: Git) -> Check:
    """Run the program as desktop applications do: by git's shell, with a PATH that no shell file extended."""
    try:
        run.run_as_alias(git, f"{launcher.quoted(program)} version")
    except GitFailed as error:
        last = error.stderr.strip().splitlines()[-1:] or [f"exit code {error.status}"]
        return Check(
            "program",
            False,
            f"{program} does not run with a bare PATH, as desktop applications have it: {last[0]}",
            "install git-lds with pipx, uv tool or in a virtual environment, then: git lds install",
        )
    return Check("program", True, f"{program} runs, with a bare PATH too")


def _chunker() -> Check:
    if chunker.is_fast():
        return Check("chunker", True, "pyfastcdc is compiled")
    return Check("chunker", False, chunker.SLOW, "pip install --force-reinstall pyfastcdc")


def _filter(git: Git) -> Check:
    """Check which program git would run, which file configures it, and that the program still exists."""
    values = _config(git)
    process = values.get("filter.lds.process")
    if process is None:
        return Check(
            "filter", False, "git is not set up to run git-lds: tracked files stay pointers", "git lds install"
        )
    command, origin = process
    if "git-lds" not in command:
        return Check("filter", False, f"{origin} sets filter.lds.process to something else: {command}", _REPLACE)
    for key in ("filter.lds.clean", "filter.lds.smudge"):
        if "git-lds" not in values.get(key, ("git-lds", ""))[0]:
            return Check("filter", False, f"{values[key][1]} sets {key} to something else: {values[key][0]}", _REPLACE)
    if values.get("filter.lds.required", ("", ""))[0].lower() not in ("true", "yes", "on", "1"):
        message = "filter.lds.required is not set: if the filter fails, git goes on with wrong contents"
        return Check("filter", False, message, "git lds install")
    recorded = recorded_program(command)
    if recorded is None:
        message = f"{origin} names git-lds without its directory, so desktop applications do not find it"
        return Check("filter", False, message, "git lds install")
    if not os.access(recorded, os.X_OK):
        message = f"{origin} names {recorded}, which is gone; git-lds is found only if PATH has it"
        return Check("filter", False, message, "git lds install")
    skipped = values.get("lds.skipsmudge", ("false", ""))[0] == "true"
    note = "; checkouts leave pointers (lds.skipsmudge)" if skipped else ""
    return Check("filter", True, f"{origin} runs {recorded}{note}")


_REPLACE = "to replace it: git lds install --force"


def _drivers(git: Git) -> Check:
    """Check that git runs us to show and merge data: an older git-lds did not configure that."""
    drivers = [DRIVER, *(f"{DRIVER}-{kind}" for kind in (*KINDS, *OWN_KINDS))]
    keys = ["diff.lds.textconv", *(f"merge.{driver}.driver" for driver in drivers)]
    values = {key: value for _, key, value in config.matching(git, r"^(diff|merge)\.lds")}
    missing = [key for key in keys if "git-lds" not in values.get(key, "")]
    if missing:
        more = f" and {len(missing) - 1} more keys" if len(missing) > 1 else ""
        message = f"git-lds does not show or merge data: it did not set {missing[0]}{more}"
        return Check("diff and merge", False, message, "git lds install (with --force, if others set them)")
    if values.get(f"merge.{DRIVER}.recursive") == "binary":
        message = (
            "an older git-lds set up merges: if branches merged each other before, a merge of data may undo an edit"
        )
        return Check("diff and merge", False, message, "git lds install")
    return Check("diff and merge", True, "git shows and merges the contents of tracked files")


def _config(git: Git) -> dict[str, tuple[str, str]]:
    """Return the values of our keys that count, each with the file that sets it."""
    values = config.matching(git, r"^filter\.lds\.|^lds\.skipsmudge$")
    return {key: (value, origin.removeprefix("file:")) for origin, key, value in values}


def _pointers(repo: Repo) -> Check:
    assert repo.work_tree is not None
    plain = tracking.plain_files(repo.git, repo.work_tree)
    if not plain:
        return Check("pointers", True, "every tracked file is a pointer in git")
    more = f" and {len(plain) - _NAMED} more" if len(plain) > _NAMED else ""
    message = f"tracked, but stored in git as plain files: {', '.join(map(files.printable, plain[:_NAMED]))}{more}"
    return Check("pointers", False, message, "git add --renormalize . && git commit")


def _store(repo: Repo, *, needed: bool) -> Check:
    """Check that the store answers and would accept a push; nothing is written to it that it does not have already."""
    setting = repo.settings.store_for(None)
    if setting is None:
        return Check("store", not needed, "no store is configured", "git lds init --store URL")
    where = f"{setting.url} ({setting.origin})"
    store = repo.store(setting)
    try:
        parameters = store.parameters()
    except NotInStore:
        is_created = setting.trusted or not isinstance(store.backend, Directory)
        message = f"{where}: no store exists there yet" + ("; the first push creates it" if is_created else "")
        return Check(
            "store", is_created, message, None if is_created else f"git lds init --store {shlex.quote(setting.url)}"
        )
    if parameters.single_writer:
        return Check("store", True, f"{where} answers; it is marked single-writer: {SINGLE_WRITER}")
    if isinstance(store.backend, Directory):
        writable, overwrites = os.access(store.backend.root, os.W_OK), False
    else:
        writable, overwrites = _try_to_write(store.backend)
    if overwrites:
        message = f"{where} is not marked single-writer: {SINGLE_WRITER}"
        return Check("store", False, message, f"mark it: single_writer = true, below [store] in its {PARAMETERS}")
    if not writable:
        return Check("store", False, f"{where} is read-only for you", "ask its owner for permission to write")
    return Check("store", True, f"{where} answers and is writable")


def _try_to_write(backend: Backend) -> tuple[bool, bool]:
    """Put a file that exists already; return whether we may write, and whether the store overwrote the file.

    Only to a client that may write does a store report that the file exists, and only one without put-if-absent
    overwrites it.
    """
    try:
        return True, backend.create(PARAMETERS, backend.read(PARAMETERS))
    except NoPutIfAbsent:
        return True, True
    except LdsError:
        return False, False

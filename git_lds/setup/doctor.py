"""Finds out why git-lds does not work here: each thing that must be so is looked at, and said with what to do about it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from git_lds import files
from git_lds.attributes import tracking
from git_lds.data.kinds import DRIVER, KINDS, OWN_KINDS
from git_lds.errors import LdsError, NotInStore
from git_lds.git import run
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
"""How many files a message names."""


def examine(git: Git, program: Path, repo: Repo | None) -> list[Check]:
    """Return what was found on this machine and, inside a repository, there. Nothing is changed."""
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


def _git_version() -> Check:
    return Check("git", True, f"git {'.'.join(map(str, run.version()))} at {run.find_program('git')}")


def _program(program: Path, git: Git) -> Check:
    """Run the program as desktop applications come to run it: by git's shell, with a PATH that no shell file extended."""
    line = f"!{launcher.quoted(program)} version"
    try:
        git.with_environment({"PATH": os.defpath}).bytes("-c", f"alias.lds-doctor={line}", "lds-doctor")
    except GitFailed as error:
        said = error.stderr.strip().splitlines()[-1:] or [f"exit code {error.status}"]
        return Check(
            "program",
            False,
            f"{program} does not run with a bare PATH, as desktop applications have it: {said[0]}",
            "install git-lds with pipx, uv tool or in a virtual environment, then: git lds install",
        )
    return Check("program", True, f"{program} runs, with a bare PATH too")


def _chunker() -> Check:
    if chunker.is_fast():
        return Check("chunker", True, "pyfastcdc is compiled")
    return Check("chunker", False, chunker.SLOW, "pip install --force-reinstall pyfastcdc")


def _filter(git: Git) -> Check:
    """Look at what git would run, where that is said, and whether it is still there."""
    found = _config(git)
    process = found.get("filter.lds.process")
    if process is None:
        return Check(
            "filter", False, "git is not set up to call git-lds: tracked files stay pointers", "git lds install"
        )
    command, origin = process
    if "git-lds" not in command:
        return Check("filter", False, f"{origin} sets filter.lds.process to something else: {command}", _REPLACE)
    for key in ("filter.lds.clean", "filter.lds.smudge"):
        if "git-lds" not in found.get(key, ("git-lds", ""))[0]:
            return Check("filter", False, f"{found[key][1]} sets {key} to something else: {found[key][0]}", _REPLACE)
    if found.get("filter.lds.required", ("", ""))[0].lower() not in ("true", "yes", "on", "1"):
        message = "filter.lds.required is not set: where the filter fails, git goes on with wrong contents"
        return Check("filter", False, message, "git lds install")
    recorded = recorded_program(command)
    if recorded is None:
        message = f"{origin} names git-lds without its directory, which desktop applications do not find"
        return Check("filter", False, message, "git lds install")
    if not os.access(recorded, os.X_OK):
        message = f"{origin} names {recorded}, which is gone; git-lds is found only where PATH has it"
        return Check("filter", False, message, "git lds install")
    skipped = found.get("lds.skipsmudge", ("false", ""))[0] == "true"
    note = "; checkouts leave pointers (lds.skipsmudge)" if skipped else ""
    return Check("filter", True, f"{origin} calls {recorded}{note}")


_REPLACE = "to replace it: git lds install --force"


def _drivers(git: Git) -> Check:
    """Look at whether git calls us to show and to merge data: an older git-lds did not tell it to."""
    drivers = [DRIVER, *(f"{DRIVER}-{kind}" for kind in (*KINDS, *OWN_KINDS))]
    keys = ["diff.lds.textconv", *(f"merge.{driver}.driver" for driver in drivers)]
    missing = [key for key in keys if "git-lds" not in (git.maybe("config", "--get", key) or "")]
    if missing:
        more = f" and {len(missing) - 1} more keys" if len(missing) > 1 else ""
        message = f"git-lds does not show or merge data, for it did not set {missing[0]}{more}"
        return Check("diff and merge", False, message, "git lds install (with --force, where others set them)")
    if git.maybe("config", "--get", f"merge.{DRIVER}.recursive") == "binary":
        message = (
            "where branches merged each other before, a merge of data may undo an edit, as an older git-lds set it up"
        )
        return Check("diff and merge", False, message, "git lds install")
    return Check("diff and merge", True, "git shows and merges the contents of tracked files")


def _config(git: Git) -> dict[str, tuple[str, str]]:
    """Return the values that git uses of our keys, and where each is said."""
    found = {}
    pattern = r"^filter\.lds\.|^lds\.skipsmudge$"
    parts = (git.maybe("config", "-z", "--show-origin", "--get-regexp", pattern) or "").split("\0")
    for origin, entry in zip(parts[::2], parts[1::2], strict=False):
        key, _, value = entry.partition("\n")
        found[key] = (value, origin.removeprefix("file:"))
    return found


def _pointers(repo: Repo) -> Check:
    assert repo.work_tree is not None
    plain = tracking.plain_files(repo.git, repo.work_tree)
    if not plain:
        return Check("pointers", True, "every tracked file is a pointer in git")
    more = f" and {len(plain) - _NAMED} more" if len(plain) > _NAMED else ""
    message = f"plain in git though they are tracked: {', '.join(map(files.printable, plain[:_NAMED]))}{more}"
    return Check("pointers", False, message, "git add --renormalize . && git commit")


def _store(repo: Repo, *, needed: bool) -> Check:
    """Look whether the store answers and would take a push; nothing is written that is not there already."""
    setting = repo.settings.store_for(None)
    if setting is None:
        return Check("store", not needed, "no store is set up", "git lds init --store URL")
    where = f"{setting.url} ({setting.origin})"
    store = repo.store(setting)
    try:
        parameters = store.parameters()
    except NotInStore:
        made = setting.trusted or not isinstance(store.backend, Directory)
        message = f"{where}: no store there yet" + ("; the first push makes it" if made else "")
        return Check("store", made, message, None if made else f"git lds init --store {shlex.quote(setting.url)}")
    if parameters.single_writer:
        return Check("store", True, f"{where} answers; it is marked single-writer: {SINGLE_WRITER}")
    if isinstance(store.backend, Directory):
        writable, taken = os.access(store.backend.root, os.W_OK), False
    else:
        writable, taken = _takes_again(store.backend)
    if taken:
        message = f"{where} is not marked single-writer: {SINGLE_WRITER}"
        return Check("store", False, message, f"mark it: single_writer = true, below [store] in its {PARAMETERS}")
    if not writable:
        return Check(
            "store", False, f"{where} can be read and not written to", "ask who keeps it for the right to write"
        )
    return Check("store", True, f"{where} answers, and can be written to")


def _takes_again(backend: Backend) -> tuple[bool, bool]:
    """Put what is there already; tell whether we may write, for only then a store says that it is there, and whether it
    was taken again, for which a store must be without put-if-absent."""
    try:
        return True, backend.create(PARAMETERS, backend.read(PARAMETERS))
    except NoPutIfAbsent:
        return True, True
    except LdsError:
        return False, False

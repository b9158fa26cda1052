"""Looks at what must be so in a repository that nothing is lost in silence. All is local and takes little time, so that
`git lds status` can look as well as `git lds doctor`."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from git_lds.attributes import overrides, tracking
from git_lds.errors import LdsError, counted
from git_lds.files import printable
from git_lds.git.run import Git
from git_lds.repo import Repo
from git_lds.setup import hooks
from git_lds.setup.hooks import Hook, State


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: whether it is as it must be, what was found, and what to do if it is not."""

    name: str
    ok: bool
    message: str
    hint: str | None = None


def of(name: str, look: Callable[[], Check]) -> Check:
    """Return what `look` finds; that it fails is a finding."""
    try:
        return look()
    except LdsError as error:
        return Check(name, False, error.message, error.hint)
    except OSError as error:
        return Check(name, False, f"{error.filename or name}: {error.strerror}")


def of_repository(repo: Repo) -> list[Check]:
    """Return what was found of the hook, the directories that are written to, the settings, and what is tracked where
    something is: the names of the latter begin with "attributes". Nothing is changed, no store asked."""
    checks = [
        of("hook", lambda: _hook(repo.git)),
        of("local store", lambda: _local_store(repo)),
        of("cache", lambda: _cache(repo)),
        of("settings", lambda: _settings(repo)),
    ]
    if repo.work_tree is not None:
        checks += _attributes(repo.git, repo.work_tree)
    return checks


def failing(repo: Repo) -> list[Check]:
    """Return what is wrong in a repository that tracks something; nothing in one that does not."""
    checks = of_repository(repo)
    is_used = any(check.name == "attributes" for check in checks)
    return [check for check in checks if not check.ok] if is_used else []


# the hook


def _hook(git: Git) -> Check:
    hook = hooks.look(git)
    if hook.state is State.ABSENT:
        return Check(
            "hook", False, f"there is no {hook.path}: pushes do not upload{_elsewhere(git)}", _absent(git, hook)
        )
    if hook.state is State.NOT_EXECUTABLE:
        message = f"{hook.path} is not executable, so git passes it over: pushes do not upload"
        return Check("hook", False, message, f"chmod +x {shlex.quote(str(hook.path))}")
    if hook.state is State.FOREIGN:
        whose = f"{hook.manager}'s" if hook.manager else "another hook"
        message = f"{hook.path} is {whose}: pushes do not upload{_elsewhere(git)}"
        return Check("hook", False, message, hooks.advice(hook))
    recorded = recorded_program(hook.path.read_text("utf-8", "surrogateescape")) if hook.state is State.OURS else None
    if recorded is not None and not os.access(recorded, os.X_OK):
        message = f"{hook.path} names {recorded}, which is gone; git-lds is found only where PATH has it"
        return Check("hook", False, message, "git lds install")
    note = f", by way of {hook.manager}" if hook.manager else ""
    return Check("hook", True, f"{hook.path} uploads before a push{note}")


def recorded_program(command: str) -> str | None:
    """Return the absolute path that `install` wrote into a shell line of ours."""
    form = re.search(r"(?:test -x |lds=)'((?:[^']|'\\'')*)'", command)
    return form[1].replace("'\\''", "'") if form else None


def _elsewhere(git: Git) -> str:
    """Say where it is configured that hooks are not in the directory of the repository, if it is."""
    origin, _, value = (git.maybe("config", "--show-origin", "--get", "core.hooksPath") or "").partition("\t")
    return f" (core.hooksPath is {value} in {origin.removeprefix('file:')})" if value else ""


def _absent(git: Git, hook: Hook) -> str:
    if hook.path.parent.exists() and not hook.path.parent.is_dir():  # such as /dev/null
        scope = (git.maybe("config", "--show-scope", "--get", "core.hooksPath") or "").partition("\t")[0]
        return f"git config --{scope} --unset core.hooksPath, and then: git lds install"
    return "git lds install"


# where is written


def _local_store(repo: Repo) -> Check:
    hint = "without it nothing can be added here"
    return _writable("local store", repo.lds_dir, f"{hint}; see who owns it: ls -ld {shlex.quote(str(repo.lds_dir))}")


def _cache(repo: Repo) -> Check:
    directory = repo.settings.cache_dir
    hint = f"see who owns it: ls -ld {shlex.quote(str(directory))}; or use another directory: export GIT_LDS_CACHE=DIRECTORY"
    return _writable("cache", directory, hint)


def _writable(name: str, directory: Path, hint: str) -> Check:
    there = next(path for path in (directory, *directory.parents) if os.path.lexists(path))
    inner = (
        [Path(entry) for entry in os.scandir(there) if entry.is_dir()] if there == directory and there.is_dir() else []
    )
    for path in (there, *inner):
        if not path.is_dir():
            return Check(name, False, f"{path} is not a directory", hint)
        if not os.access(path, os.W_OK | os.X_OK):
            return Check(name, False, f"{path} cannot be written to", hint)
    return Check(name, True, str(directory))


# what is configured and tracked


def _settings(repo: Repo) -> Check:
    ignored = repo.settings.committed.ignored
    if ignored:
        message = f".ldsconfig: ignored, as they mean nothing there: {', '.join(map(_printed, ignored))}"
        return Check("settings", False, message, "correct them in .ldsconfig; git lds env shows what counts")
    return Check("settings", True, "all keys of .ldsconfig are known")


def _printed(key: str) -> str:
    return printable(key.encode("utf-8", "surrogateescape"))


def _attributes(git: Git, top: Path) -> list[Check]:
    """Look at the patterns; empty where none is there."""
    try:
        found = [pattern for pattern in tracking.patterns(git, top) if pattern.tracked]
        wrong = overrides.overridden(git, top) if found else []
    except LdsError as error:  # a file of attributes that git does not read either
        return [Check("attributes", False, error.message, error.hint)]
    if not found:
        return []
    overridden = [Check("attributes in effect", False, each.message, each.hint) for each in wrong]
    return [of("attributes", lambda: _committed(git, found)), *overridden]


def _committed(git: Git, found: list[tracking.Pattern]) -> Check:
    sources = sorted({pattern.source for pattern in found})
    known = {os.fsdecode(name) for name in git.names("ls-files", "-z", "--", *sources)}
    new = [source for source in sources if source not in known]
    if new:
        message = f"{', '.join(new)} is not added: clones will not know what is tracked"
        return Check("attributes", False, message, f"git add {shlex.join(new)}")
    return Check("attributes", True, f"{counted(len(found), 'pattern', 'patterns')} in {', '.join(sources)}")

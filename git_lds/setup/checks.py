"""The checks of a repository that protect against silent loss. All are local and quick, so `git lds status` runs them too."""

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
from git_lds.git import config, index
from git_lds.git.run import Git
from git_lds.repo import Repo
from git_lds.setup import hooks
from git_lds.setup.hooks import Hook, State


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check: its name, whether it passed, what was found, and what to do if it failed."""

    name: str
    ok: bool
    message: str
    hint: str | None = None


def of(name: str, look: Callable[[], Check]) -> Check:
    """Return the check that `look` makes, or a failed one if it raises LdsError or OSError."""
    try:
        return look()
    except LdsError as error:
        return Check(name, False, error.message, error.hint)
    except OSError as error:
        return Check(name, False, f"{error.filename or name}: {error.strerror}")


def of_repository(repo: Repo) -> list[Check]:
    """Return the checks of the hook, the directories, the settings and, if files are tracked, of the attributes.

    The names of the latter begin with "attributes". Nothing is changed, and no store is read.
    """
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
    """Return the failed checks of a repository that tracks files; none if it tracks nothing."""
    checks = of_repository(repo)
    is_used = any(check.name == "attributes" for check in checks)
    return [check for check in checks if not check.ok] if is_used else []


# the hook


def _hook(git: Git) -> Check:
    hook = hooks.look(git)
    if hook.state is State.ABSENT:
        return Check(
            "hook", False, f"{hook.path} does not exist: pushes do not upload{_elsewhere(git)}", _absent(git, hook)
        )
    if hook.state is State.NOT_EXECUTABLE:
        message = f"{hook.path} is not executable, so git ignores it: pushes do not upload"
        return Check("hook", False, message, f"chmod +x {shlex.quote(str(hook.path))}")
    if hook.state is State.FOREIGN:
        whose = f"{hook.manager}'s" if hook.manager else "another hook"
        message = f"{hook.path} is {whose}: pushes do not upload{_elsewhere(git)}"
        return Check("hook", False, message, hooks.advice(hook))
    recorded = recorded_program(hook.path.read_text("utf-8", "surrogateescape")) if hook.state is State.OURS else None
    if recorded is not None and not os.access(recorded, os.X_OK):
        message = f"{hook.path} names {recorded}, which is gone; git-lds is found only if PATH has it"
        return Check("hook", False, message, "git lds install")
    note = f", through {hook.manager}" if hook.manager else ""
    return Check("hook", True, f"{hook.path} uploads before a push{note}")


def recorded_program(command: str) -> str | None:
    """Return the absolute path that `install` wrote into a shell line of ours."""
    form = re.search(r"(?:test -x |lds=)'((?:[^']|'\\'')*)'", command)
    return form[1].replace("'\\''", "'") if form else None


def _elsewhere(git: Git) -> str:
    """Return a note on the configuration that moves hooks out of the repository's directory, or ""."""
    configured = config.origin_of(git, "core.hooksPath")
    return f" (core.hooksPath is {configured[2]} in {configured[1].removeprefix('file:')})" if configured else ""


def _absent(git: Git, hook: Hook) -> str:
    if hook.path.parent.exists() and not hook.path.parent.is_dir():  # such as /dev/null
        scope, _, _ = config.origin_of(git, "core.hooksPath") or ("local", "", "")
        return f"git config --{scope} --unset core.hooksPath && git lds install"
    return "git lds install"


# directories that git-lds writes to


def _local_store(repo: Repo) -> Check:
    hint = "without it nothing can be added"
    return _writable("local store", repo.lds_dir, f"{hint}; see who owns it: ls -ld {shlex.quote(str(repo.lds_dir))}")


def _cache(repo: Repo) -> Check:
    directory = repo.settings.cache_dir
    hint = f"see who owns it: ls -ld {shlex.quote(str(directory))}; or use another directory: export GIT_LDS_CACHE=DIRECTORY"
    return _writable("cache", directory, hint)


def _writable(name: str, directory: Path, hint: str) -> Check:
    """Check that a directory, or the closest parent that exists, and the directories in it are writable."""
    existing = next(path for path in (directory, *directory.parents) if os.path.lexists(path))
    is_whole = existing == directory and existing.is_dir()
    inner = [Path(entry) for entry in os.scandir(existing) if entry.is_dir()] if is_whole else []
    for path in (existing, *inner):
        if not path.is_dir():
            return Check(name, False, f"{path} is not a directory", hint)
        if not os.access(path, os.W_OK | os.X_OK):
            return Check(name, False, f"{path} is not writable", hint)
    return Check(name, True, str(directory))


# settings and tracked files


def _settings(repo: Repo) -> Check:
    ignored = repo.settings.committed.ignored
    if ignored:
        message = f".ldsconfig: unknown keys are ignored: {', '.join(map(_printable, ignored))}"
        return Check("settings", False, message, "correct them in .ldsconfig; see the settings that count: git lds env")
    return Check("settings", True, "all keys of .ldsconfig are known")


def _printable(key: str) -> str:
    return printable(key.encode("utf-8", "surrogateescape"))


def _attributes(git: Git, top: Path) -> list[Check]:
    """Check the tracked patterns; without any there is nothing to check."""
    try:
        tracked = [pattern for pattern in tracking.patterns(git, top) if pattern.tracked]
        overridden = overrides.overridden(git, top) if tracked else []
    except LdsError as error:  # an attributes file that git does not read either
        return [Check("attributes", False, error.message, error.hint)]
    if not tracked:
        return []
    failed = [Check("attributes in effect", False, override.message, override.hint) for override in overridden]
    return [of("attributes", lambda: _committed(git, tracked)), *failed]


def _committed(git: Git, tracked: list[tracking.Pattern]) -> Check:
    sources = sorted({pattern.source for pattern in tracked})
    known = {os.fsdecode(name) for name in index.paths(git, [f":(top,literal){source}" for source in sources])}
    new = [source for source in sources if source not in known]
    if new:
        message = f"{', '.join(new)} is not added to git: clones will not know what is tracked"
        return Check("attributes", False, message, f"git add {shlex.join(new)}")
    return Check("attributes", True, f"{counted(len(tracked), 'pattern', 'patterns')} in {', '.join(sources)}")

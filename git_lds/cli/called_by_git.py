"""The commands that git runs, without click: the filter, textconv, the merge driver, hooks. Each loads only what it needs."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from git_lds.errors import UsageError
from git_lds.fast_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

    from git_lds.progress import Progress
    from git_lds.repo import Repo

_USAGE = {
    "filter-process": "git-lds filter-process",
    "clean": "git-lds clean [--] [PATH]",
    "smudge": "git-lds smudge [--] [PATH]",
    "textconv": "git-lds textconv FILE",
    "merge-driver": "git-lds merge-driver KIND BASE OURS THEIRS MARKER-SIZE PATH [BASE-NAME OURS-NAME THEIRS-NAME]",
    "hook": "git-lds hook pre-push REMOTE URL",
}


def run(words: Sequence[str]) -> int:
    """Run the command in `words`; return the exit code. Raises UsageError for a wrong call, and what the command raises."""
    verb, rest = words[0], list(words[1:])
    if rest[:1] in (["-h"], ["--help"]):
        print(f"Usage: {_USAGE[verb]}\n\n  git runs this command; it is not for use by hand.")
        return 0
    if verb == "hook":
        return _hook(rest)
    if verb == "filter-process":
        if rest:
            raise UsageError(f"filter-process takes no arguments, got {rest[0]!r}")
        return int(
            _load("git_lds.filters.process").main(
                progress=_progress, ending=_ensure_hook, install_hook=_install_checkout_hook
            )
        )
    if verb == "textconv":
        return _textconv(rest)
    if verb == "merge-driver":
        return _merge_driver(rest)
    path, oneshot = _path(verb, rest), _load("git_lds.filters.oneshot")
    return int(oneshot.clean(path) if verb == "clean" else oneshot.smudge(path, _progress()))


def _load(room: str) -> ModuleType:
    """Import a room without pauses for Python's garbage collector, now and later: they took 5 of 40 ms of a filter's start."""
    gc.disable()
    try:
        return import_module(room)
    finally:
        gc.freeze()
        gc.enable()


def _progress() -> Progress:
    shown: Progress = import_module("git_lds.cli.render.progress").shown()
    return shown


def _ensure_hook(repo: Repo) -> None:
    """Install the hook: one `git lds install` cannot do it for future repositories, so the first use of the filter does."""
    if not os.path.lexists(repo.hooks / "pre-push"):
        import_module("git_lds.setup.hooks").ensure(repo.git)


def _install_checkout_hook(repo: Repo) -> bool:
    """Install the hook that makes a checkout which lacks contents exit with 1; return whether it is in place."""
    return bool(import_module("git_lds.setup.hooks").ensure_checkout(repo.hooks, repo.common_dir))


def _path(verb: str, rest: list[str]) -> str | None:
    if rest[:1] == ["--"]:
        rest = rest[1:]
    elif rest and rest[0].startswith("-"):
        raise UsageError(f"{verb} has no option {rest[0]!r}", hint=f"usage: {_USAGE[verb]}")
    if len(rest) > 1:
        raise UsageError(f"{verb} takes one path", hint=f"usage: {_USAGE[verb]}")
    return rest[0] if rest else None


def _textconv(rest: list[str]) -> int:
    if len(rest) != 1:
        raise UsageError("textconv takes one file", hint=f"usage: {_USAGE['textconv']}")
    for block in _load("git_lds.drivers.textconv").convert(rest[0]):
        sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()
    return 0


def _merge_driver(rest: list[str]) -> int:
    if not 6 <= len(rest) <= 9:
        raise UsageError(
            "merge-driver takes a kind, three files, a size and a path", f"usage: {_USAGE['merge-driver']}"
        )
    kinds = _load("git_lds.data.kinds")
    known = ("auto", *kinds.KINDS, *kinds.OWN_KINDS)
    if rest[0] not in known:
        raise UsageError(f"merge-driver knows no kind {rest[0]!r}", hint=f"one of: {', '.join(known)}")
    if rest[0] in kinds.OWN_KINDS:
        outcome = _load("git_lds.deps.merge.driver").merge(rest[0], rest[1:4], rest[5], rest[4], rest[6:])
    else:
        driver = _load("git_lds.drivers.merge_driver")
        outcome = driver.merge(rest[0], rest[1:4], rest[5], rest[4], rest[6:], progress=_progress())
    for line in outcome.messages:
        print(line if line.startswith("hint: ") else f"git-lds: {line}", file=sys.stderr)
    return 0 if outcome.clean else 1


def _hook(rest: list[str]) -> int:
    if len(rest) != 3 or rest[0] != "pre-push":
        raise UsageError(f"git-lds has no hook {' '.join(rest)!r}", hint=f"usage: {_USAGE['hook']}")
    return int(import_module("git_lds.cli.pre_push").run(rest[1], rest[2], sys.stdin))

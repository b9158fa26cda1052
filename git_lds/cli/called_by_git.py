"""What git calls, without click: filter-process, clean, smudge, hook. Each loads only what it needs, when it is called."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from git_lds.cli import progress
from git_lds.errors import UsageError
from git_lds.git.run import Git

_USAGE = {
    "filter-process": "git-lds filter-process",
    "clean": "git-lds clean [--] [PATH]",
    "smudge": "git-lds smudge [--] [PATH]",
    "hook": "git-lds hook pre-push REMOTE URL",
}


def run(words: Sequence[str]) -> int:
    """Do what git asks with `words`. Returns the exit code."""
    verb, rest = words[0], list(words[1:])
    if rest[:1] in (["-h"], ["--help"]):
        print(f"Usage: {_USAGE[verb]}\n\n  git calls this; there is nothing to call by hand.")
        return 0
    if verb == "hook":
        return _hook(rest)
    if verb == "filter-process":
        if rest:
            raise UsageError(f"filter-process takes no arguments, and got {rest[0]!r}")
        status = int(import_module("git_lds.filters.process").main(progress=progress.shown))
        # one install for all repositories cannot put a hook into those to come: the first use of the filter does
        import_module("git_lds.setup.hooks").ensure(Git())
        return status
    path, oneshot = _path(verb, rest), import_module("git_lds.filters.oneshot")
    return int(oneshot.clean(path) if verb == "clean" else oneshot.smudge(path, progress.shown()))


def _path(verb: str, rest: list[str]) -> str | None:
    if rest[:1] == ["--"]:
        rest = rest[1:]
    elif rest and rest[0].startswith("-"):
        raise UsageError(f"{verb} has no option {rest[0]!r}", hint=f"usage: {_USAGE[verb]}")
    if len(rest) > 1:
        raise UsageError(f"{verb} takes one path", hint=f"usage: {_USAGE[verb]}")
    return rest[0] if rest else None


def _hook(rest: list[str]) -> int:
    if len(rest) != 3 or rest[0] != "pre-push":
        raise UsageError(f"git-lds has no hook {' '.join(rest)!r}", hint=f"usage: {_USAGE['hook']}")
    return int(import_module("git_lds.cli.pre_push").run(rest[1], rest[2], sys.stdin))

"""The command line: `main` is the one door, through which every command comes in and every error goes out.

Commands that git runs (the filter, textconv, the merge driver, hooks) bypass click: git starts the filter for many of its
commands, and click would be half of the cost.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from git_lds.errors import EXIT_BUG, EXIT_FAILED, EXIT_INTERRUPTED, LdsError

_CALLED_BY_GIT = ("filter-process", "clean", "smudge", "textconv", "merge-driver", "hook")
_MACHINE = ["EACCES", "EDQUOT", "EFBIG", "EIO", "EMFILE", "ENFILE", "ENOMEM", "ENOSPC", "EPERM", "EROFS", "ESTALE"]
_OF_THE_MACHINE = frozenset(getattr(errno, name) for name in _MACHINE if hasattr(errno, name))
"""Errors of the operating system that are the machine's fault and not ours."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command in `arguments`, by default those of the process; return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = _run(words)
        sys.stdout.flush()
    except LdsError as error:
        return _tell(error.message, error.hint, error.exit_code)
    except KeyboardInterrupt:
        return _tell("interrupted", None, EXIT_INTERRUPTED)
    except BrokenPipeError:
        # the reader of our output has seen enough; without this, Python complains again when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return EXIT_FAILED
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            return _tell(f"{error.filename or 'the system'}: {error.strerror}", None, EXIT_FAILED)
        return _tell_of_bug(error, words)
    return status


def _run(words: list[str]) -> int:
    room = "called_by_git" if words and words[0] in _CALLED_BY_GIT else "group"
    status: int = import_module(f"git_lds.cli.{room}").run(words)
    return status


def _tell(message: str, hint: str | None, status: int) -> int:
    lines = [f"git-lds: {message}"] + ([f"hint: {hint}"] if hint else [])
    try:
        print(*lines, sep="\n", file=sys.stderr, flush=True)
    except OSError:
        pass  # stderr is closed
    return status


def _tell_of_bug(error: Exception, words: list[str]) -> int:
    """Print that we are at fault. The traceback goes to a file for the report; GIT_LDS_DEBUG=1 shows it."""
    report = import_module("git_lds.cli.bug").report(error, words)
    if os.environ.get("GIT_LDS_DEBUG", "") not in ("", "0"):
        print(report.text, file=sys.stderr)
    kind = f"{type(error).__name__}: {error}".splitlines()[0]
    hint = f"please report it with {report.path}" if report.path else "GIT_LDS_DEBUG=1 shows where it happened"
    return _tell(f"this is a bug in git-lds: {kind}", hint, EXIT_BUG)

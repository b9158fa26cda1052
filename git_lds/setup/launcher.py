"""The `git-lds` program for git to start: its absolute path, and the shell words that find it again.

Desktop applications run git with a bare PATH that no shell file extended. The configured command therefore names the
program absolutely, and falls back to PATH only if it is gone from there.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from git_lds.errors import LdsError
from git_lds.git.run import find_program

NAME = "git-lds"
_FILE = NAME + (".exe" if sys.platform == "win32" else "")


SAFE_IMPORTS = "case $PYTHONPATH in :*|*:|*::*|[!/]*|*:[!/]*) unset PYTHONPATH;; esac"
"""Shell words that drop a PYTHONPATH with an empty or relative entry, such as PYTHONPATH=$PYTHONPATH:/x makes: Python would
import from its directory, here the working tree, where anyone may have put an re.py. They must run before Python starts."""


def own_path() -> Path:
    """Return the absolute path of the running program, else of the one beside this Python, else of the one on PATH.

    Symbolic links are kept: the name that an installer put on PATH survives an upgrade of its target. Raises LdsError if
    there is none.
    """
    running = Path(os.path.abspath(sys.argv[0])).with_suffix(".exe" if sys.platform == "win32" else "")
    for program in (running, Path(sys.executable).with_name(_FILE)):
        if program.name == _FILE and program.is_file() and os.access(program, os.X_OK):
            return program
    try:
        return Path(find_program(NAME))
    except LdsError:
        raise LdsError(
            f"the {NAME} program is neither beside this Python nor on PATH", hint="install it: pip install git-lds"
        ) from None


def quoted(program: Path) -> str:
    """Return the program as one word for a POSIX shell; git's own shell on Windows takes forward slashes."""
    return "'" + program.as_posix().replace("'", "'\\''") + "'"


def command(program: Path, arguments: str) -> str:
    """Return the shell line that runs git-lds with `arguments` (shell words), from `program` or else from PATH."""
    # a PATH with "." would find the program in the working tree, where anyone may have put it: that one is not run
    return (
        f"{SAFE_IMPORTS}; "
        f'lds={quoted(program)}; test -x "$lds" || lds=$(command -v {NAME}); '
        f'case $lds in /*|?:*) exec "$lds" {arguments};; esac; '
        "echo 'git-lds: the git-lds program was not found; install it again' >&2; exit 1"
    )

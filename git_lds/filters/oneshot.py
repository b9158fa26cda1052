"""Clean and smudge one file from stdin to stdout, for tools that do not start the long-running filter."""

from __future__ import annotations

import os
import sys

from git_lds import files, pointer
from git_lds.errors import LdsError
from git_lds.filters import Delayed, complain
from git_lds.filters.clean import Cleaner
from git_lds.filters.smudge import Smudger
from git_lds.hashing import READ_SIZE
from git_lds.progress import SILENT, Progress
from git_lds.repo import Repo


def clean(path: str | None) -> int:
    """Read contents and write their pointer; return the exit code. Raises LdsError if they cannot be stored."""
    name = os.fsencode(path or "")
    with Repo.here(on_config_error=complain) as repo:
        cleaner = Cleaner(repo)
        try:
            answer = cleaner.clean(name, iter(lambda: sys.stdin.buffer.read(READ_SIZE), b""))
            repo.own.sync()
        except OSError as error:
            raise LdsError(f"{files.printable(name)}: {error.strerror or error}") from error
        finally:
            cleaner.close()
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()
    return 0


def smudge(path: str | None, progress: Progress = SILENT) -> int:
    """Read a pointer and write its contents, or write anything else unchanged; return the exit code.

    Raises what `Smudger.smudge` raises.
    """
    name = os.fsencode(path or "")
    head = sys.stdin.buffer.read(pointer.MAX_LENGTH + 1)
    with Repo.here(on_config_error=complain) as repo:
        smudger = Smudger(repo, progress)
        if len(head) > pointer.MAX_LENGTH:
            smudger.pass_through(name, can_delay=False)
            sys.stdout.buffer.write(head)
            for block in iter(lambda: sys.stdin.buffer.read(READ_SIZE), b""):
                sys.stdout.buffer.write(block)
        else:
            answer = smudger.smudge(name, head, can_delay=False)
            assert not isinstance(answer, Delayed)
            for block in [answer] if isinstance(answer, bytes) else answer:
                sys.stdout.buffer.write(block)
        sys.stdout.buffer.flush()
    return 0

"""Clean and smudge for one file on stdin and stdout: for gits and tools that do not speak to a running filter."""

from __future__ import annotations

import os
import sys

from git_lds import files, pointer
from git_lds.errors import LdsError
from git_lds.filters.clean import Cleaner
from git_lds.filters.smudge import Delayed, Smudger, complain
from git_lds.hashing import READ_SIZE
from git_lds.progress import SILENT, Progress
from git_lds.repo import Repo


def clean(path: str | None) -> int:
    """Read contents, write their pointer. Returns the exit code."""
    name = os.fsencode(path or "")
    with Repo.here() as repo:
        repo.forgive = complain
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
    """Read a pointer, write its contents; anything else is written as it is. Returns the exit code."""
    name = os.fsencode(path or "")
    head = sys.stdin.buffer.read(pointer.MAX_LENGTH + 1)
    with Repo.here() as repo:
        repo.forgive = complain
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

"""Runs a command of git-lds in the process of the test: a tenth of the time that starting one takes.

What the command and the programs that it starts read and write goes through file descriptors 0, 1 and 2, as in a process of
its own. Not the same are signals, limits, what is loaded, and what a module keeps: where that counts, tests ask for a process.
"""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

PATH = os.environ.get("PATH", "")
"""Where programs are on this machine; the fixture `world` puts the directory of git-lds before it."""

_STARTED_BY_GIT = frozenset({"filter-process", "clean", "smudge", "textconv", "merge-driver", "hook"})
_OF_A_PROCESS = ("PYTHON", "LD_")
_running = threading.Lock()


def is_possible(words: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Return whether a command does the same here as in a process: no server, no other PATH, no variable of Python's."""
    if not words or words[0] == "serve" or words[0] in _STARTED_BY_GIT:
        return False
    if any(name.startswith(_OF_A_PROCESS) for name in (*environment, *os.environ)):
        return False
    directories = environment.get("PATH", os.environ.get("PATH", "")).split(os.pathsep, 1)
    is_usual = directories == [os.path.dirname(sys.executable), PATH]
    return is_usual and threading.current_thread() is threading.main_thread() and not _running.locked()


def call(
    words: Sequence[str], directory: Path, environment: Mapping[str, str], data: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command that `words` spell in a directory, with these variables besides those of the test.

    `data` is what the command reads from its standard input. Returns what a finished process would be.
    """
    from git_lds.cli import main

    with _running, contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        files[0].write((data or "").encode("utf-8", "surrogateescape"))
        files[0].seek(0)
        with _as_if_alone(words, directory, environment, [file.fileno() for file in files]):
            try:
                status = main(list(words))
            except SystemExit as error:
                status = error.code if isinstance(error.code, int) else 1
        texts = []
        for file in files[1:]:
            file.seek(0)
            texts.append(file.read().decode("utf-8", "surrogateescape").replace("\r\n", "\n"))
    return subprocess.CompletedProcess(["git-lds", *words], status, *texts)


@contextlib.contextmanager
def _as_if_alone(
    words: Sequence[str], directory: Path, environment: Mapping[str, str], descriptors: Sequence[int]
) -> Iterator[None]:
    """Give the command a directory, an environment and standard streams of its own; put back those of the test."""
    streams, argv, threshold = (sys.stdin, sys.stdout, sys.stderr), sys.argv, gc.get_threshold()
    variables, before = dict(os.environ), os.open(".", os.O_RDONLY)
    kept = [os.dup(number) for number in range(3)]
    for stream in streams[1:]:
        stream.flush()
    try:
        os.chdir(directory)
        os.environ.update(environment)
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)
        sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False, buffering=1)
        sys.argv = [os.path.join(os.path.dirname(sys.executable), "git-lds"), *words]
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        sys.stdin, sys.stdout, sys.stderr = streams
        sys.argv = argv
        for number, descriptor in enumerate(kept):
            os.dup2(descriptor, number)
            os.close(descriptor)
        gc.set_threshold(*threshold)
        for name in os.environ.keys() - variables.keys():
            del os.environ[name]
        os.environ.update(variables)
        os.fchdir(before)
        os.close(before)

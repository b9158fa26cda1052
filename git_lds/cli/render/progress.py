"""Progress for people and for desktop applications: a bar on a terminal, lines in a file that a program watches.

The bar appears late, because short work needs none, and only if standard error is a terminal. GIT_LDS_PROGRESS or
GIT_LFS_PROGRESS names the file; desktop applications set the latter. Each line has the verb, files done and in all, bytes
done and in all, and the file that was just done:

    download 3/5 1048576/5242880 images/a.png
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from git_lds.progress import SILENT, Progress

if TYPE_CHECKING:
    from git_lds.cli.render.progress_bar import Bar

PATIENCE = 0.5
"""Seconds before a bar is shown."""

_VARIABLES = ("GIT_LDS_PROGRESS", "GIT_LFS_PROGRESS")


def shown(*, quiet: bool = False) -> Progress:
    """Return the progress that the environment of this process asks for; with `quiet` without the terminal."""
    watchers: list[Progress] = []
    if not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        watchers.append(Terminal())
    path = next((os.environ[name] for name in _VARIABLES if os.environ.get(name)), None)
    if path is not None and os.path.isabs(path):  # a relative one would be another file in every directory
        watchers.append(Lines(path))
    return watchers[0] if len(watchers) == 1 else Several(watchers) if watchers else SILENT


class Several:
    """Passes progress on to several others."""

    def __init__(self, watchers: Sequence[Progress]) -> None:
        self._watchers = watchers

    def start(self, verb: str, files: int, size: int) -> None:
        for watcher in self._watchers:
            watcher.start(verb, files, size)

    def moved(self, size: int) -> None:
        for watcher in self._watchers:
            watcher.moved(size)

    def done(self, name: str) -> None:
        for watcher in self._watchers:
            watcher.done(name)

    def finish(self) -> None:
        for watcher in self._watchers:
            watcher.finish()


class Lines:
    """Progress as lines at the end of a file, one for each file that is done; errors of writing are ignored."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._fd = -1
        self._verb = ""
        self._files = self._files_done = self._size = self._size_done = 0

    def start(self, verb: str, files: int, size: int) -> None:
        with self._lock:
            self._verb, self._files, self._size = verb, files, size
            self._files_done = self._size_done = 0
            if self._fd < 0:
                try:
                    self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
                except OSError:
                    return

    def moved(self, size: int) -> None:
        with self._lock:
            self._size_done += size

    def done(self, name: str) -> None:
        with self._lock:
            self._files_done += 1
            files, size = f"{self._files_done}/{self._files}", f"{self._size_done}/{self._size}"
            line = f"{self._verb} {files} {size} {' '.join(name.splitlines())}\n"
            if self._fd >= 0:
                try:
                    os.write(self._fd, line.encode("utf-8", "surrogateescape"))
                except OSError:
                    self._close()

    def finish(self) -> None:
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Terminal:
    """Progress as a bar on standard error; rich, which draws it, is loaded when the bar appears."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._lock = threading.Lock()
        self._bar: Bar | None = None
        self._verb = ""
        self._files = self._files_done = self._size = self._size_done = 0
        self._due = 0.0

    def start(self, verb: str, files: int, size: int) -> None:
        with self._lock:
            self._stop()
            self._verb, self._files, self._size = verb, files, size
            self._files_done = self._size_done = 0
            self._due = time.monotonic() + self._patience

    def moved(self, size: int) -> None:
        with self._lock:
            self._size_done += size
            self._show()

    def done(self, name: str) -> None:
        with self._lock:
            self._files_done += 1
            self._show()

    def finish(self) -> None:
        with self._lock:
            self._stop()

    def _show(self) -> None:
        if self._bar is None:
            if time.monotonic() < self._due:
                return
            bar: Bar = import_module("git_lds.cli.render.progress_bar").Bar(self._verb, self._files, self._size)
            self._bar = bar
        self._bar.update(self._files_done, self._size_done)

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

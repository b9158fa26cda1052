"""Progress of long work: the code that does the work reports it, the command line decides how to show it.

The commands pass a `Progress` down, and nothing below them prints. Its methods may be called from many threads.
"""

from __future__ import annotations

from git_lds.fast_typing import Protocol


class Progress(Protocol):
    """Receives reports of one run of work at a time: how much there is, what is done, and the end."""

    def start(self, verb: str, files: int, size: int) -> None:
        """Begin a run with `files` files of `size` bytes in total.

        `verb` is "upload", "download", "checkout", "compact", "draw" or "check".
        """

    def moved(self, size: int) -> None:
        """Report that `size` more bytes of contents are done."""

    def done(self, name: str) -> None:
        """Report that one more file is done. `name` is its path for people."""

    def finish(self) -> None:
        """End the run, whether it succeeded or not."""


class Silent:
    """A progress that is not shown."""

    def start(self, verb: str, files: int, size: int) -> None: ...

    def moved(self, size: int) -> None: ...

    def done(self, name: str) -> None: ...

    def finish(self) -> None: ...


SILENT = Silent()

"""Progress: what moves files says how far it is; who shows it is somebody else's choice.

The shells pass a `Progress` down; nothing below them prints. Counting from many threads is allowed.
"""

from __future__ import annotations

from git_lds.fast_typing import Protocol


class Progress(Protocol):
    """Told of one run of work at a time: how much there is, what was done, the end."""

    def start(self, verb: str, files: int, size: int) -> None:
        """Begin a run: `verb` is "upload", "download", "checkout", "compact", "draw" or "check".

        It has `files` files of `size` bytes in all.
        """

    def moved(self, size: int) -> None:
        """`size` more bytes of contents are done."""

    def done(self, name: str) -> None:
        """One more file is done; `name` is its path for people."""

    def finish(self) -> None:
        """The run is over, well or not."""


class Silent:
    """The progress that nobody watches."""

    def start(self, verb: str, files: int, size: int) -> None: ...

    def moved(self, size: int) -> None: ...

    def done(self, name: str) -> None: ...

    def finish(self) -> None: ...


SILENT = Silent()

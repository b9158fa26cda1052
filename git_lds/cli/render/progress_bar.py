"""The progress bar on a terminal, drawn by rich. Loaded only to draw a bar."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

_DOING = {
    "upload": "Uploading",
    "download": "Downloading",
    "checkout": "Checking out",
    "compact": "Compacting",
    "draw": "Drawing",
    "check": "Checking",
}


class Bar:
    """A bar that is shown until it is closed, and then removed from the terminal."""

    def __init__(self, verb: str, files: int, size: int) -> None:
        self._files = files
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[files]}"),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            # git's stderr may carry lines of other programs, and rich must not capture ours
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task(_DOING.get(verb, verb), total=size, files=f"0/{files}")
        self._progress.start()

    def update(self, files_done: int, size_done: int) -> None:
        """Show the number of files and bytes that are done."""
        self._progress.update(self._task, completed=size_done, files=f"{files_done}/{self._files}")

    def close(self) -> None:
        """Remove the bar."""
        self._progress.stop()

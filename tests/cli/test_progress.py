"""Progress: lines in a file for windows, a late bar for terminals."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from git_lds.cli.render import progress
from git_lds.progress import SILENT, Progress


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "progress"
    monkeypatch.setenv("GIT_LDS_PROGRESS", str(path))
    return path


def work(shown: Progress, verb: str = "download") -> None:
    shown.start(verb, 2, 30)
    shown.moved(5)
    shown.moved(5)
    shown.done("images/a.png")
    shown.moved(20)
    shown.done("b c.png")
    shown.finish()


def test_without_a_terminal_and_a_file_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert progress.shown() is SILENT


@pytest.mark.parametrize("variable", ["GIT_LDS_PROGRESS", "GIT_LFS_PROGRESS"])
def test_the_file_gets_a_line_for_each_file_that_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    path = tmp_path / "progress"
    monkeypatch.setenv(variable, str(path))
    work(progress.shown())
    assert path.read_text() == "download 1/2 10/30 images/a.png\ndownload 2/2 30/30 b c.png\n"


def test_a_second_run_goes_to_the_end_of_the_same_file(file: Path) -> None:
    shown = progress.shown()
    work(shown)
    work(shown, "checkout")
    assert [line.split()[0] for line in file.read_text().splitlines()] == [
        "download",
        "download",
        "checkout",
        "checkout",
    ]


def test_a_name_with_newlines_stays_one_line(file: Path) -> None:
    shown = progress.shown()
    shown.start("upload", 1, 1)
    shown.done("a\nb")
    shown.finish()
    assert file.read_text() == "upload 1/1 0/1 a b\n"


def test_a_file_that_cannot_be_written_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (str(tmp_path / "no" / "such"), str(tmp_path), "relative"):
        monkeypatch.setenv("GIT_LDS_PROGRESS", path)
        work(progress.shown())
    assert list(tmp_path.iterdir()) == []


def test_many_threads_are_counted_right(file: Path) -> None:
    shown = progress.shown()
    shown.start("upload", 800, 8000)

    def one() -> None:
        for number in range(100):
            shown.moved(10)
            shown.done(f"{number}")

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shown.finish()
    lines = file.read_text().splitlines()
    assert len(lines) == 800 and sum("800/800 8000/8000" in line for line in lines) == 1


TERMINAL = """
import os, pty, sys, time
code = {code!r}
pid, fd = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm"
    os.execv(sys.executable, [sys.executable, "-c", code])
seen = b""
while True:
    try:
        block = os.read(fd, 4096)
    except OSError:
        break
    if not block:
        break
    seen += block
os.waitpid(pid, 0)
sys.stdout.buffer.write(seen)
"""

WORK = """
import sys, time
from git_lds.cli.render import progress
shown = progress.shown(quiet={quiet})
shown.start("download", 3, 3000)
for number in range(3):
    time.sleep({pause})
    shown.moved(1000)
    shown.done(str(number))
shown.finish()
print("rich" in sys.modules)
"""


def on_terminal(*, pause: float, quiet: bool = False) -> str:
    code = TERMINAL.format(code=WORK.format(pause=pause, quiet=quiet))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.decode()


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_a_bar_appears_on_a_terminal_when_the_work_takes_long() -> None:
    seen = on_terminal(pause=0.4)
    assert "Downloading" in seen and "3/3" in seen and seen.rstrip().endswith("True")


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_short_work_shows_no_bar_and_does_not_load_rich() -> None:
    assert on_terminal(pause=0).strip() == "False"
    assert on_terminal(pause=0.3, quiet=True).strip() == "False"

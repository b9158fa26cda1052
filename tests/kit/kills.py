"""Kills commands of a test at random points. The seed is printed; LDS_TEST_SEED=<seed> chooses the same points again."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from kit.work import LAUNCHER, Work

SEED = int(os.environ.get("LDS_TEST_SEED", time.time_ns() % 10**9))


def dice(what: str) -> random.Random:
    """The random numbers of one test."""
    print(f"LDS_TEST_SEED={SEED}")
    return random.Random(f"{SEED} {what}")


def start(work: Work, *command: str | Path) -> subprocess.Popen[str]:
    """Start a command as the leader of a process group of its own."""
    environment = {**os.environ, **({"GIT_LDS_CACHE": str(work.cache)} if work.cache else {})}
    return subprocess.Popen(
        list(map(str, command)),
        cwd=work.path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def timed(work: Work, *command: str | Path) -> float:
    """Run a command that works; return the seconds that it took."""
    began = time.monotonic()
    process = start(work, *command)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return time.monotonic() - began


def wait_for_a_moment(
    random: random.Random, seconds: float, signs_of: Callable[[], int], process: subprocess.Popen[str]
) -> None:
    """Let a command that takes `seconds` run for a random part of them.

    Two times of three only from the first sign that it does its work on, for starting takes most of the time.
    """
    before, end = signs_of(), time.monotonic() + 10 * seconds
    if random.random() < 0.3:
        time.sleep(random.uniform(0, seconds))
        return
    while signs_of() == before and process.poll() is None and time.monotonic() < end:
        time.sleep(0.001)
    time.sleep(random.uniform(0, 0.3 * seconds))


_MOST = 40
"""Kills after which one should have come halfway; a test that wants one goes on until then."""

_SHRINK = 0.93
"""Factor of the expected duration after a kill that came too late: the machine was busier when the command was timed."""


def kill_anywhere(
    command: Sequence[str | Path],
    origin: Work,
    check: Callable[[Work], bool],
    *,
    kills: int,
    until_halfway: bool = True,
) -> None:
    """Run a command in copies of `origin` and kill it, at moments that are spread over its run.

    `check` sees each copy after the kill, and returns whether the command was halfway: its state was neither that before
    nor that after. A third of the kills spares the gits that the command started. With `until_halfway` at least one kill
    comes halfway.
    """
    random = dice(" ".join(map(str, command[-2:])))
    copies = origin.path.parent
    seconds = timed(copy_of(origin, copies / "timed"), *command)
    killed = halfway = 0
    for number in itertools.count():
        if number >= kills and (halfway or not until_halfway or number >= _MOST):
            break
        work = copy_of(origin, copies / f"copy{number}")
        process = start(work, *command)
        time.sleep(seconds * (0.15 + 0.85 * (number % kills + random.random()) / kills))
        was_running = process.poll() is None
        if was_running:
            kill(process, alone=number % 3 == 0)
        else:
            assert process.returncode == 0, process.communicate()
            seconds *= _SHRINK
        killed += was_running
        halfway += check(work)
        shutil.rmtree(work.path)
    shutil.rmtree(copies / "timed")
    assert killed >= 0.3 * kills  # on a loaded machine they come too late
    assert halfway or not until_halfway


def copy_of(work: Work, path: Path) -> Work:
    """Copy a working tree and its repository, with time stamps and links."""
    subprocess.run(["cp", "-a", work.path, path], check=True)
    return Work(path)


def files_in(*directories: Path) -> int:
    """How many files are below some directories: a sign of work."""
    return sum(len(names) for directory in directories for _, _, names in os.walk(directory))


def kill(process: subprocess.Popen[str], *, alone: bool = False) -> None:
    """End a command and all that it started, as a crash of the machine would; `alone` without what it started."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL) if alone else os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)


def kill_ours(process: subprocess.Popen[str]) -> None:
    """End those descendants of a command that run git-lds; the command itself goes on, or says why it does not."""
    for pid in descendants(process.pid):
        with contextlib.suppress(OSError):
            if str(LAUNCHER).encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:3]:
                os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and those that they started."""
    found = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                found += [int(child), *descendants(int(child))]
    return found


def without_locks(*repositories: Path) -> None:
    """Take away the locks that a killed git left, as its user would: git leaves them for good."""
    for repository in repositories:
        for lock in repository.rglob("*.lock"):
            lock.unlink()

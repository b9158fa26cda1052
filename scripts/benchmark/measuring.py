"""Runs a step and tells what it took: time, memory, traffic with the store, and the sizes of directories."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
LONGEST_SECONDS = 3600


class Failed(Exception):
    """A step did not do what it should: the benchmark ends, without a result."""


@dataclass(frozen=True, slots=True)
class Took:
    """What a command and all processes below it took.

    Seconds, and the peak of resident memory of the largest single process, in bytes.
    """

    wall: float
    cpu: float
    memory: int
    output: str


def run(script: str, directory: Path, environment: Mapping[str, str]) -> Took:
    """Run shell words in a directory. Raises Failed when they fail."""
    report, said = (Path(environment["TMPDIR"], name) for name in ("report", "said"))
    command = [sys.executable, "-I", "-S", str(HERE / "spawn.py"), str(report), "sh", "-euc", script]
    with open(said, "wb") as output, open(said.with_name("complaints"), "wb") as complaints:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=complaints,
            start_new_session=True,
        )
        try:
            process.wait(LONGEST_SECONDS)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise Failed(f"{script}: not done after {LONGEST_SECONDS} s") from None
            raise
    if process.returncode:
        raise Failed(f"{script}: could not be run ({process.returncode}): {_tail(said)}")
    figures = json.loads(report.read_text())
    if figures["status"]:
        raise Failed(f"{script}: exit code {figures['status']}: {_tail(said.with_name('complaints'))} {_tail(said)}")
    return Took(figures["wall"], figures["cpu"], figures["memory"], said.read_text(errors="replace"))


def _tail(path: Path) -> str:
    return path.read_text(errors="replace")[-2000:].strip()


def size_of(directories: Sequence[Path]) -> int:
    """Return the sum of the lengths of all files below directories; a file with two names counts once."""
    seen: dict[tuple[int, int], int] = {}
    for top in directories:
        for directory, _, names in os.walk(top):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    found = os.lstat(os.path.join(directory, name))
                    seen[found.st_dev, found.st_ino] = found.st_size
    return sum(seen.values())


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a server has answered and used so far: requests, bytes of bodies from and to clients, seconds of CPU."""

    requests: int
    sent: int
    received: int
    cpu: float


class Server:
    """A store behind HTTP, in a process of its own."""

    def __init__(self, root: Path, environment: Mapping[str, str]) -> None:
        root.mkdir(parents=True)
        counters = root.with_name("counters")
        counters.write_bytes(bytes(24))
        with open(counters, "rb") as file:
            self._counters = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)).cast("Q")
        command = [sys.executable, "-I", str(HERE / "server.py"), str(root), str(counters)]
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if "listening on " not in line:
            self.close()
            raise Failed(f"the server did not start: {line!r}")
        self.url = line.split()[-1]

    def traffic(self) -> Traffic:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        return Traffic(*self._counters[:3], ticks / os.sysconf("SC_CLK_TCK"))

    def forget_peak(self) -> None:
        """Let the peak of its memory be what it uses now (proc(5), clear_refs)."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")

    def peak(self) -> int:
        """Return the peak of its resident memory since it was last forgotten, in bytes."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextlib.contextmanager
def traffic_of(server: Server | None) -> Iterator[dict[str, float]]:
    """Yield figures that, afterwards, say what a server did meanwhile; none where there is no server."""
    figures: dict[str, float] = {}
    if server is None:
        yield figures
        return
    server.forget_peak()
    before = server.traffic()
    yield figures
    after = server.traffic()
    figures |= {name: getattr(after, name) - getattr(before, name) for name in ("requests", "sent", "received")}
    figures |= {"server cpu": after.cpu - before.cpu, "server memory": server.peak()}


@contextlib.contextmanager
def ended_in_order() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that what was started is ended and what was made is removed."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

"""Measures what a piece of work takes in a process of its own: seconds, CPU seconds, and memory by kind."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Facts = dict[str, Any]
"""What a measurement says, as it comes from its process: numbers by name."""


class Wrong(Exception):
    """What was measured gave a wrong answer, so that no figure of it is worth anything."""


def check(is_right: bool, what: str) -> None:
    """Raise Wrong unless an answer is right."""
    if not is_right:
        raise Wrong(what)


@dataclass(slots=True)
class Took:
    """Seconds, CPU seconds of this process (all its threads), and its peak of resident memory meanwhile, in bytes."""

    wall: float = 0.0
    cpu: float = 0.0
    peak: int = 0


@contextlib.contextmanager
def taking() -> Iterator[Took]:
    """Yield figures that, afterwards, say what was done meanwhile."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is what is used now, see proc(5)
    took = Took()
    wall, cpu = time.perf_counter(), time.process_time()
    yield took
    took.cpu, took.wall = time.process_time() - cpu, time.perf_counter() - wall
    took.peak = memory()["VmHWM"]


def memory() -> dict[str, int]:
    """Return the bytes that this process has resident: in all, its own (RssAnon), of files (RssFile), and the peak."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {words[0][:-1]: int(words[1]) * 1024 for words in lines if words[0].startswith(("VmRSS", "VmHWM", "Rss"))}


def in_a_process(function: Callable[..., Facts], /, **arguments: object) -> Facts:
    """Return what `function` of a module of this package returns in a new Python process, and of that process: "seconds" of
    the work, "cpu" and "peak" from its start to its end, and "git cpu" of those below it. Raises Wrong where it fails."""
    command = [sys.executable, "-m", "scaling.measuring", function.__module__, function.__name__]
    done = subprocess.run(
        [*command, json.dumps(arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Wrong(f"{function.__name__} of {function.__module__}: {done.stderr.strip()[-2000:]}")
    facts: Facts = json.loads(done.stdout.splitlines()[-1])
    return facts


def _main(module: str, function: str, arguments: str) -> None:
    __import__(module)
    started = time.perf_counter()
    facts = getattr(sys.modules[module], function)(**json.loads(arguments))
    used, git = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    general = {
        "seconds": time.perf_counter() - started,
        "cpu": used.ru_utime + used.ru_stime,
        "peak": memory()["VmHWM"],
        "git cpu": git.ru_utime + git.ru_stime,
    }
    print(json.dumps(general | facts))


def size_of(directory: Path) -> int:
    """Return the sum of the lengths of all files below a directory."""
    return sum(os.lstat(os.path.join(place, name)).st_size for place, _, names in os.walk(directory) for name in names)


if __name__ == "__main__":
    _main(*sys.argv[1:])

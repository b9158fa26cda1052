"""Runs jobs in a few threads, and stops all of them when one fails or the user interrupts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from queue import SimpleQueue
from typing import Generic, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

WORKERS = 4
"""Jobs at a time. BLAKE3, zstd and the network release Python's lock, so these few fill the cores or the connection."""

_AHEAD = 2
"""Jobs that are read from their source before a worker is free."""

_PATIENCE = 2.0
"""Seconds to wait for stopped jobs. They check often, but not while they wait for a silent store."""


class Stopped(Exception):
    """A job was stopped because another failed. It never leaves `run`."""


class Stop:
    """The signal that long jobs check now and then to know whether to go on."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Make every `check` from here on raise."""
        self._event.set()

    def check(self) -> None:
        """Raise Stopped if the result of the job is no longer wanted."""
        if self._event.is_set():
            raise Stopped


def run(
    jobs: Iterable[Job],
    work: Callable[[Job, Stop], Result],
    interrupt: Callable[[], None] | None = None,
    *,
    count: int = WORKERS,
) -> Generator[Result, None, None]:
    """Yield what `work` returns for each of `jobs`, `count` at a time, in the order in which they end.

    `jobs` is read in the caller's thread, and only as fast as they are done. `interrupt` is called when the user presses
    Ctrl-C, to abort requests under way. Raises the first error of a job, once the others under way have stopped.
    """
    pool = _Pool(work, count)
    try:
        yield from _results(iter(jobs), pool)
    except (KeyboardInterrupt, SystemExit):
        pool.stop.set()
        if interrupt is not None:
            interrupt()
        raise
    finally:
        pool.close()


def side_by_side(
    calls: Sequence[Callable[[], Result]], interrupt: Callable[[], None] | None = None, *, count: int = 16
) -> list[Result]:
    """Make `calls` at the same time, and return their results in order: small requests in one round trip.

    Raises the first error of a call.
    """
    if len(calls) == 1:
        return [calls[0]()]
    results: dict[int, Result] = {}
    for number, result in run(enumerate(calls), lambda job, _: (job[0], job[1]()), interrupt, count=count):
        results[number] = result
    return [results[number] for number in range(len(calls))]


def in_time(
    calls: Sequence[Callable[[], Result]],
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    *,
    count: int = 32,
) -> list[Future[Result] | None]:
    """Make `calls` at the same time; return their futures in order, after `seconds` by `clock` at most.

    None stands for a call that was not done by then. It is abandoned, or not made at all if it has not begun.
    """
    pool: _Pool[Callable[[], Result], Result] = _Pool(lambda call, _: call(), count)
    futures = [pool.submit(call) for call in calls]
    until = clock() + seconds
    try:
        # checked every second, because the clock may stand still meanwhile
        while wait(futures, max(min(until - clock(), 1.0), 0.0)).not_done and clock() < until:
            pass
        return [future if future.done() else None for future in futures]
    finally:
        pool.close(patience=0.0)


def _results(jobs: Iterator[Job], pool: _Pool[Job, Result]) -> Iterator[Result]:
    running: set[Future[Result]] = set()
    has_more = True
    while has_more or running:
        if has_more:
            try:
                running.add(pool.submit(next(jobs)))
            except StopIteration:
                has_more = False
        is_full = len(running) >= pool.count + _AHEAD or not has_more
        done, running = wait(running, None if is_full else 0, FIRST_COMPLETED)
        for future in done:
            yield future.result()


class _Pool(Generic[Job, Result]):
    """Threads that end with the process. Python waits for those of ThreadPoolExecutor at its end: with a silent store,
    that was a minute after Ctrl-C."""

    def __init__(self, work: Callable[[Job, Stop], Result], count: int) -> None:
        self.count = count
        self.stop = Stop()
        self._work = work
        self._jobs: SimpleQueue[tuple[Job, Future[Result]] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def submit(self, job: Job) -> Future[Result]:
        future: Future[Result] = Future()
        self._jobs.put((job, future))
        if len(self._threads) < self.count:
            thread = threading.Thread(target=self._serve, name="worker", daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def close(self, patience: float = _PATIENCE) -> None:
        """Stop all jobs, and wait a little for them."""
        self.stop.set()
        for _ in self._threads:
            self._jobs.put(None)
        deadline = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _serve(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, future = item
            try:
                self.stop.check()
                future.set_result(self._work(job, self.stop))
            except BaseException as error:
                future.set_exception(error)

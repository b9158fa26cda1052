"""Jobs run side by side, few at a time, and stop together."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from git_lds import workers
from git_lds.workers import WORKERS, Stop


def test_every_job_is_done_and_no_more_are_taken_than_are_needed() -> None:
    taken = 0
    most = 0

    def jobs() -> Iterator[int]:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield number

    results = set()
    for done, result in enumerate(workers.run(jobs(), lambda job, _: job * 2), start=1):
        most = max(most, taken - done)
        results.add(result)
    assert results == {2 * number for number in range(100)}
    assert most < 2 * WORKERS + 2


def test_jobs_run_side_by_side() -> None:
    together = threading.Barrier(WORKERS, timeout=10)
    assert len(list(workers.run(range(WORKERS), lambda _job, _stop: together.wait()))) == WORKERS


def test_nothing_to_do_is_done() -> None:
    assert list(workers.run([], lambda job, _: job)) == []


def test_the_first_error_stops_the_others_and_is_raised() -> None:
    stopped = threading.Event()

    def work(job: int, stop: Stop) -> None:
        if job == 2:
            raise ValueError("the second")
        try:
            for _ in range(1000):
                stop.check()
                time.sleep(0.01)
        except workers.Stopped:
            stopped.set()
            raise

    start = time.monotonic()
    with pytest.raises(ValueError, match="the second"):
        list(workers.run(range(1000), work))
    assert stopped.is_set()
    assert time.monotonic() - start < 5


def test_an_error_in_the_source_of_jobs_stops_the_workers() -> None:
    def jobs() -> Iterator[int]:
        yield 1
        raise KeyError("source")

    def work(job: int, stop: Stop) -> None:
        while True:
            stop.check()
            time.sleep(0.01)

    with pytest.raises(KeyError, match="source"):
        list(workers.run(jobs(), work))


def test_ctrl_c_does_not_wait_for_a_silent_connection() -> None:
    """A job that waits for the network sees no `stop`: `interrupt` is what wakes it."""
    line = threading.Event()

    def jobs() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    def work(job: int, stop: Stop) -> None:
        line.wait(60)

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(workers.run(jobs(), work, line.set))
    assert time.monotonic() - start < 5


def test_a_job_that_hears_nothing_is_not_waited_for_long() -> None:
    line = threading.Event()

    def work(job: int, stop: Stop) -> None:
        if job == 3:
            raise ValueError("the fourth")
        line.wait(60)

    start = time.monotonic()
    with pytest.raises(ValueError, match="the fourth"):
        list(workers.run(range(4), work))
    assert time.monotonic() - start < 10
    line.set()


def test_closing_the_generator_stops_the_jobs() -> None:
    results = workers.run(range(1000), lambda job, _: job)
    next(results)
    results.close()


def test_a_call_that_exceeds_its_time_is_abandoned() -> None:
    for_ever = threading.Event()
    try:
        began = time.monotonic()
        quick, slow = workers.in_time([lambda: True, for_ever.wait], 0.3)
        assert time.monotonic() - began < 10
        assert quick is not None and quick.result() and slow is None
    finally:
        for_ever.set()


def test_calls_in_time_return_at_once_and_fail_separately() -> None:
    def fail() -> bool:
        raise ValueError("this one")

    began = time.monotonic()
    good, bad = workers.in_time([lambda: True, fail], 60)
    assert time.monotonic() - began < 30
    assert good is not None and bad is not None and good.result()
    with pytest.raises(ValueError, match="this one"):
        bad.result()


def test_time_that_the_clock_does_not_count_is_not_counted() -> None:
    (slow,) = workers.in_time([lambda: time.sleep(0.5)], 0.1, lambda: 0.0)
    assert slow is not None


def test_more_calls_than_threads_have_the_same_time_together() -> None:
    for_ever = threading.Event()
    try:
        assert workers.in_time([for_ever.wait] * 20, 0.2, count=4) == [None] * 20
    finally:
        for_ever.set()

"""Makes calls that cannot be interrupted in threads of their own, so that a caller can stop waiting for them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError, wait
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class CallsClosed(Exception):
    """The call was abandoned because `AbandonableCalls.close` was called."""


class CallTimedOut(Exception):
    """The call took too long. It goes on in its thread, and its result is dropped."""


class AbandonableCalls:
    """Makes calls in as many threads as there are waiting callers. None of the threads keeps Python from ending."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._waiting: set[Future[Any]] = set()
        self._threads = 0
        self._idle = 0
        self._closed = False

    def make(self, call: Callable[[], T], seconds: float) -> T:
        """Return the result of `call`. Raises CallsClosed once this is closed, CallTimedOut after `seconds`."""
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise CallsClosed
            self._waiting.add(future)
            if self._idle:
                self._idle -= 1
            else:
                self._threads += 1
                threading.Thread(target=self._work, name="bucket", daemon=True).start()
        self._jobs.put((future, call))
        try:
            if not wait([future], seconds).done:
                raise CallTimedOut
            return future.result()
        finally:
            with self._lock:
                self._waiting.discard(future)

    def close(self) -> None:
        """End all waiting."""
        with self._lock:
            self._closed = True
            for future in self._waiting:
                with contextlib.suppress(InvalidStateError):
                    future.set_exception(CallsClosed())
            threads, self._threads = self._threads, 0
        for _ in range(threads):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, call = job
            try:
                report: Callable[[], None] = partial(future.set_result, call())
            except BaseException as error:
                report = partial(future.set_exception, error)
            with self._lock:
                self._idle += 1
            with contextlib.suppress(InvalidStateError):  # the caller stopped waiting
                report()
            del job, future, call, report

"""Retries: the budget of one piece of work, and the circuit breaker of a store that seems to be down."""

from __future__ import annotations

import random
import threading
import time

from git_lds.errors import LdsError

TRIES = 5
SILENCE_COSTS = 3
"""Tries that a silence costs. So two silences use up the five tries, and a silent store is given up after two minutes
instead of five."""

PROGRESS = 1 << 16
"""Bytes of a body after which an interrupted one gets a full retry budget again."""

CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 60.0
FIRST_PAUSE = 0.2
AGAIN = "check the network and the URL of the store, then run the command again"


class Circuit:
    """A circuit breaker: whether a store seems to be up, shared by all threads that use it.

    It breaks when one thread has used up its tries and no thread got a response meanwhile. While it is broken no thread
    retries, and those that wait for a retry give up at once. It closes when the store responds again.
    """

    def __init__(self) -> None:
        self._broken = threading.Event()
        self._answered = 0.0

    def answered(self) -> None:
        """Record a response that only a working store gives."""
        self._answered = time.monotonic()
        if self._broken.is_set():
            self._broken.clear()

    def given_up(self, since: float) -> None:
        """Record that a piece of work used up its tries; its first failure was at `since`."""
        if self._answered < since:
            self._broken.set()

    def is_broken_within(self, seconds: float) -> bool:
        """Wait until `seconds` pass or the circuit breaks; return whether it is broken."""
        return self._broken.wait(seconds)


class RetryBudget:
    """How often one piece of work may still be retried, and how long to wait before each retry."""

    def __init__(self, pause: float, circuit: Circuit | None = None) -> None:
        self._first_pause = pause
        self._circuit = circuit or Circuit()
        self.renew()

    def renew(self) -> None:
        """Restore the full budget: the work made progress."""
        self._remaining = TRIES - 1
        self._pause = self._first_pause
        self._since: float | None = None

    def wait_or_raise(self, failure: LdsError, wait: float | None = None, *, cost: int = 1) -> None:
        """Wait until the next try is due. Raises `failure` if no try is left; it costs `cost` tries."""
        self._since = self._since or time.monotonic()
        self._remaining -= cost
        if self._remaining < 0:
            self._circuit.given_up(self._since)
            raise failure
        # spread out: those that failed at the same time would retry at the same time
        if self._circuit.is_broken_within(max(wait or 0.0, self._pause * random.uniform(0.5, 1.0))):
            raise failure
        self._pause *= 2

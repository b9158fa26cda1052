"""How often and how long a store is tried: the tries of one piece of work, and whether the store seems to be there at all."""

from __future__ import annotations

import random
import threading
import time

from git_lds.errors import LdsError

TRIES = 5
SILENCE_COSTS = 3
"""Tries that a silence takes of the five, so that two of them are the last: a store that says nothing is given up after
two minutes, not five."""

PROGRESS = 1 << 16
"""Bytes of a body after which one that breaks off is tried as if for the first time."""

CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 60.0
FIRST_PAUSE = 0.2
AGAIN = "check the network and the address of the store, then run the command again"


class Circuit:
    """Whether a store seems to be there at all, for all threads that use it.

    It breaks when one of them has used up its tries, and meanwhile none got an answer: from then on nobody tries twice,
    and whoever waits for a try gives up at once, until the store answers again.
    """

    def __init__(self) -> None:
        self._broken = threading.Event()
        self._answered = 0.0

    def answered(self) -> None:
        """The store said something that it can only say when it works."""
        self._answered = time.monotonic()
        if self._broken.is_set():
            self._broken.clear()

    def given_up(self, since: float) -> None:
        """A piece of work used up its tries; its first failure was at `since`."""
        if self._answered < since:
            self._broken.set()

    def is_broken_within(self, seconds: float) -> bool:
        """Wait for so long, or until it is broken; return whether it is."""
        return self._broken.wait(seconds)


class RetryBudget:
    """How often one piece of work may still be tried, and how long to wait before."""

    def __init__(self, pause: float, circuit: Circuit | None = None) -> None:
        self._first_pause = pause
        self._circuit = circuit or Circuit()
        self.renew()

    def renew(self) -> None:
        """Begin anew: the work got on."""
        self._left = TRIES - 1
        self._pause = self._first_pause
        self._since: float | None = None

    def wait_or_raise(self, failure: LdsError, wait: float | None = None, *, cost: int = 1) -> None:
        """Wait until the next try is due; raise `failure` when there is none left. It takes `cost` of them."""
        self._since = self._since or time.monotonic()
        self._left -= cost
        if self._left < 0:
            self._circuit.given_up(self._since)
            raise failure
        # spread out, for whoever failed with us comes back with us
        if self._circuit.is_broken_within(max(wait or 0.0, self._pause * random.uniform(0.5, 1.0))):
            raise failure
        self._pause *= 2

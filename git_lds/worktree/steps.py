"""The steps of a transaction, announced before they are taken, so that a test can fail, wait or die at any of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from enum import Enum, auto
from typing import Protocol


class Step(Enum):
    """A step of a transaction, in the order in which they are taken."""

    PREPARE = auto()
    LOCK_INDEX = auto()
    MOVE_OUT = auto()
    """One file goes from the working tree to the directory of the transaction."""
    MOVE_DIRECTORY = auto()
    """A new directory goes to the working tree as a whole. An OSError here makes its files go one by one."""
    MOVE_IN = auto()
    """One new file goes to the working tree."""
    PRUNE = auto()
    """Directories that became empty are removed."""
    WRITE_INDEX = auto()
    """A copy of git's index was made, and git is about to change it."""
    REPLACE_INDEX = auto()
    DISCARD = auto()
    """The directory of the transaction is deleted."""
    ROLL_BACK = auto()
    """One move is undone."""


class Steps(Protocol):
    """Receives each step before it is taken. An exception fails the step."""

    def __call__(self, step: Step, /) -> None: ...


def _no_steps(step: Step, /) -> None:
    """Ignore the step."""


_observer: ContextVar[Steps] = ContextVar("steps", default=_no_steps)


def before(step: Step) -> None:
    """Announce a step. Raises what the observer raises."""
    _observer.get()(step)


@contextlib.contextmanager
def observed_by(steps: Steps) -> Iterator[None]:
    """Announce the steps of all transactions within the block to `steps`."""
    token = _observer.set(steps)
    try:
        yield
    finally:
        _observer.reset(token)

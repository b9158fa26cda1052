"""Observers of the steps of a transaction, which fail or die at one of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from git_lds.worktree.steps import Step, observed_by


class FailsAt:
    """Fails the step number `number` of the kinds `steps`, as a full disk does."""

    def __init__(self, number: int, *steps: Step) -> None:
        self._steps = steps
        self._remaining = number

    def __call__(self, step: Step) -> None:
        self._remaining -= step in self._steps
        if step in self._steps and self._remaining == 0:
            raise OSError(28, "No space left on device")


class DiesAt:
    """Kills the process before the step number `number` of the kinds `steps`, after `last_act`.

    With `one_by_one` new directories do not come as a whole.
    """

    def __init__(
        self, number: int, *steps: Step, one_by_one: bool = False, last_act: Callable[[], object] | None = None
    ) -> None:
        self._steps = steps
        self._remaining = number
        self._one_by_one = one_by_one
        self._last_act = last_act

    def __call__(self, step: Step) -> None:
        self._remaining -= step in self._steps
        if step in self._steps and self._remaining == 0:
            if self._last_act is not None:
                self._last_act()
            os.kill(os.getpid(), signal.SIGKILL)
        if step is Step.MOVE_DIRECTORY and self._one_by_one:
            raise OSError("no directory comes as a whole")


def run_until_killed(command: Callable[[], object], dying: DiesAt) -> None:
    """Run a command in another process, which `dying` kills."""
    pid = os.fork()
    if pid == 0:
        try:
            with observed_by(dying):
                command()
        finally:
            os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL

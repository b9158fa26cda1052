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


def killed_at(number: int, step: Step, command: Callable[[], object], prepare: Callable[[], object] = int) -> None:
    """Run a command in a process that is killed before the step number `number` of the kind `step`, after `prepare`."""
    pid = os.fork()
    if pid == 0:
        remaining = number

        def dying(current: Step) -> None:
            nonlocal remaining
            remaining -= current is step
            if current is step and remaining == 0:
                prepare()
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            with observed_by(dying):
                command()
        finally:
            os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL

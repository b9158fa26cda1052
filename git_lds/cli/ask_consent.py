"""Asks on the terminal for the consent that a command needs; without a terminal the error and its hint stand."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from git_lds.errors import ConsentNeeded
from git_lds.git.run import Git
from git_lds.setup import trust

T = TypeVar("T")


def with_consent(action: Callable[[], T]) -> T:
    """Return what `action` returns. If it needs the user's trust in a store, ask for that and call it again.

    Raises ConsentNeeded if the user declines or cannot be asked.
    """
    while True:
        try:
            return action()
        except ConsentNeeded as error:
            if not _agrees(error):
                raise
            trust.add(Git(), error.address)


def _agrees(error: ConsentNeeded) -> bool:
    """Return whether the user trusts the store. As git for a password, ask on the terminal even if stdin is redirected."""
    if os.environ.get("GIT_TERMINAL_PROMPT", "1").lower() in ("0", "false", "no", "off", ""):
        return False
    try:
        with open("/dev/tty", "r+b", buffering=0) as terminal:
            terminal.write(f"git-lds: {error.message}\nTrust {error.address} in this repository? [y/N] ".encode())
            return terminal.readline(100).strip().lower() in (b"y", b"yes")
    except OSError:
        return False

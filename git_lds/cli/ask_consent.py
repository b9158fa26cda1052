"""Asks on the terminal for the consent that a command needs; without a terminal the error with its hint stands."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from git_lds.errors import ConsentNeeded
from git_lds.git.run import Git
from git_lds.setup import trust

T = TypeVar("T")


def asked_for(act: Callable[[], T]) -> T:
    """Return what `act` returns. Where it needs the user's trust in a store, ask for that, and call `act` again.

    Raises ConsentNeeded where the user says no, or cannot be asked.
    """
    while True:
        try:
            return act()
        except ConsentNeeded as error:
            if not _agrees(error):
                raise
            trust.add(Git(), error.address)


def _agrees(error: ConsentNeeded) -> bool:
    """Return whether the user, asked as git asks for a password, trusts the store: on the terminal, whatever is redirected."""
    if os.environ.get("GIT_TERMINAL_PROMPT", "1").lower() in ("0", "false", "no", "off", ""):
        return False
    try:
        with open("/dev/tty", "r+b", buffering=0) as terminal:
            terminal.write(f"git-lds: {error.message}\nTrust {error.address} in this repository? [y/N] ".encode())
            return terminal.readline(100).strip().lower() in (b"y", b"yes")
    except OSError:
        return False

"""Every error that git-lds raises on purpose, as one tree.

    LdsError                 something failed; `message` says what and where, `hint` the next command    exit 1
    ├── UsageError           the command was called wrongly                                              exit 2
    ├── CorruptData          bytes that are not what their form or their name says
    ├── ObjectsMissing       objects that no store and no local place has
    ├── NotInStore           a key that a store does not have
    ├── NotAllowed           a store refused us: who we are, or what we asked
    ├── ConsentNeeded        a store that a committed file names, and that the user has not trusted
    └── StoreUnreachable     a store could not be reached, or stopped answering

Anything else that escapes is a bug of ours (exit 3). Foreign errors (OSError, httpx, dulwich) are translated once, in the
room that knows the foreign thing.
"""

from __future__ import annotations

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_BUG = 3
EXIT_INTERRUPTED = 130


def counted(number: int, one: str, many: str) -> str:
    """Return a number with the words that go with it: "1 object is", "3 objects are"."""
    return f"{number} {one if number == 1 else many}"


class LdsError(Exception):
    """Something failed. `message` is one line in the user's language; `hint`, where there is one, is what to type next."""

    exit_code = EXIT_FAILED

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(LdsError):
    """The command was called wrongly."""

    exit_code = EXIT_USAGE


class CorruptData(LdsError):
    """Bytes that are not what their form or their name says. Never shown as an object."""


class ObjectsMissing(LdsError):
    """Objects that are neither here nor in any store that was asked."""


class NotInStore(LdsError):
    """A key that a store does not have."""


class NotAllowed(LdsError):
    """A store refused us: wrong or no credentials, or a read-only store."""


class ConsentNeeded(LdsError):
    """A store that a committed file names is needed, and the user has not trusted it. `address` is that store's."""

    def __init__(self, message: str, address: str) -> None:
        from shlex import quote  # late: the filter seldom needs it

        super().__init__(message, hint=f"if you trust it: git lds trust {quote(address)}")
        self.address = address


class StoreUnreachable(LdsError):
    """A store could not be reached, or stopped answering, after the retries that are due."""

"""All errors that git-lds raises on purpose, as one tree.

    LdsError                     something failed; `message` says what and where, `hint` is the next command     exit 1
    ├── UsageError               the command was called wrongly                                                  exit 2
    ├── CorruptData              bytes that do not match their format or their checksum
    ├── ObjectsMissing           objects that neither a store nor this machine has
    ├── NotInStore               a key that a store does not have
    ├── NotAllowed               a store refused the user or the request
    │   ├── OutOfSequence        ... a log entry whose predecessor is missing           (store/backends/contract)
    │   ├── NoPutIfAbsent        ... a put that must not overwrite anything             (store/backends/contract)
    │   └── RemovalRefused       ... an entry or request that removes something         (server/check_log)
    ├── ConsentNeeded            a store that a committed file names, and that the user has not trusted
    ├── StoreUnreachable         a store could not be reached, or stopped answering
    │   ├── InterruptedResponse  ... within a response                                  (store/backends/http_client)
    │   └── TransientFailure     ... in a way that a retry may mend                     (store/backends/obstore_errors)
    ├── PacksCondemned           packs that a push built on are being removed           (store/client/store)
    ├── StoreDamaged             the server cannot read its own store                   (server/check_log)
    ├── GitFailed                git exited with an error                               (git/run)
    ├── DubiousOwnership         git does not use the repository of another user        (git/repository)
    ├── NotCoco                  JSON without lists of images and annotations           (data/coco/model)
    └── LocalEdits               uncommitted changes would be overwritten               (worktree/state)

Any other exception is a bug of ours (exit 3). Foreign errors (OSError, httpx, obstore, dulwich) are translated once, in the
room that knows the foreign library.
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
    """Something failed. `message` is one line in the user's language; `hint`, if any, is what to type next."""

    exit_code = EXIT_FAILED

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(LdsError):
    """The command was called wrongly."""

    exit_code = EXIT_USAGE


class CorruptData(LdsError):
    """Bytes that do not match their format or their checksum. They are never given out as an object."""


class ObjectsMissing(LdsError):
    """Objects that are neither on this machine nor in any store that was asked."""


class NotInStore(LdsError):
    """A key that a store does not have."""


class NotAllowed(LdsError):
    """A store refused the user or the request: missing or wrong credentials, or a read-only store."""


class ConsentNeeded(LdsError):
    """A store that a committed file names is needed, and the user has not trusted it. `address` is its URL."""

    def __init__(self, message: str, address: str) -> None:
        from shlex import quote  # late: the filter seldom needs it

        super().__init__(message, hint=f"if you trust it: git lds trust {quote(address)}")
        self.address = address


class StoreUnreachable(LdsError):
    """A store could not be reached, or stopped answering, and retries did not help."""

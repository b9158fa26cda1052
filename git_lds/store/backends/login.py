"""Login at a store with the Basic scheme of HTTP."""

from __future__ import annotations

import base64
import threading

from git_lds.errors import NotAllowed
from git_lds.store.backends.contract import CredentialSource

Credentials = tuple[str, str]


class Login:
    """The credentials for one store: requested once for all threads, and given up once they were wrong."""

    def __init__(self, url: str, authorise: CredentialSource | None, *, safe: bool) -> None:
        self.current: Credentials | None = None
        self._url = url
        self._authorise = authorise
        self._safe = safe
        self._proven = False
        self._final: tuple[str, str] | None = None
        self._lock = threading.Lock()

    def renew(self, refused: Credentials | None, challenge: str) -> None:
        """Set `current` to other credentials than `refused`. Raises NotAllowed if there are none."""
        with self._lock:
            if self._final:
                raise NotAllowed(*self._final)
            if self.current is not None and self.current != refused:
                return  # another thread has renewed them
            self._final = self._replace(refused, challenge)
            if self._final:
                raise NotAllowed(*self._final)

    def confirm(self, used: Credentials) -> None:
        """Record that the store accepted `used`."""
        if self._proven or used != self.current:
            return
        with self._lock:
            if not self._proven and used == self.current and self._authorise is not None:
                self._proven = True
                self._authorise.approve(self._url, *used)

    def _replace(self, refused: Credentials | None, challenge: str) -> tuple[str, str] | None:
        """Request credentials; return None, or the message and hint if there are none."""
        if not self._safe:
            return (
                f"{self._url} asks for a user and password, which are not sent over plain http",
                "use the https URL of the store",
            )
        if challenge and "basic" not in challenge.lower():
            return f"{self._url} asks for a kind of login that git-lds does not support", "it supports Basic only"
        if self._authorise is None:
            return f"{self._url} asks for a user and password", "set up a git credential helper"
        if refused is not None:
            self._authorise.reject(self._url, *refused)
            self.current = None
            if not self._proven:
                return (
                    f"{self._url} refused the user and password",
                    "run the command again to enter others, or correct them in git's credential helper",
                )
            self._proven = False
        self.current = self._authorise.get(self._url)
        if self.current is None:
            return (
                f"{self._url} asks for a user and password, and git has none",
                "set up a git credential helper, or run the command in a terminal",
            )
        return None


def basic(credentials: Credentials) -> str:
    return "Basic " + base64.b64encode(":".join(credentials).encode()).decode("ascii")

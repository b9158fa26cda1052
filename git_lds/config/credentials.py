"""The user's credentials at a store, from `git credential` with the helpers and prompts that the user set up for git.

Nothing is logged, and only git and the store receive a password.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes, urlsplit

from git_lds.errors import LdsError
from git_lds.fast_typing import NamedTuple
from git_lds.git import credential
from git_lds.git.run import Git

# a line break would begin a new field and so ask for the credentials of another host (CVE-2020-5260, and CVE-2024-52006
# for a lone carriage return)
_FORBIDDEN = re.compile(rb"[\r\n\0]")


_asked = 0.0
_asking_since: float | None = None


def seconds_asked() -> float:
    """Return the seconds that git, its helpers and the user have taken so far to give credentials.

    Time limits leave them out: a store is not slow because somebody looks for a password.
    """
    since = _asking_since
    return _asked + (time.monotonic() - since if since is not None else 0.0)


@contextlib.contextmanager
def _counted() -> Iterator[None]:
    global _asked, _asking_since
    _asking_since = time.monotonic()
    try:
        yield
    finally:
        _asked, _asking_since = seconds_asked(), None


class _Answer(NamedTuple):
    """git's answer for one store, with all fields: some helpers need theirs back."""

    fields: tuple[tuple[str, str], ...]
    user: str
    password: str

    def lines(self) -> bytes:
        return b"".join(f"{name}={value}\n".encode("utf-8", "surrogateescape") for name, value in self.fields)


class GitCredentials:
    """Asks git once for each store, however many threads wait. Implements `contract.CredentialSource`."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._answers: dict[str, _Answer] = {}
        self._approved: set[_Answer] = set()
        self._lock = threading.Lock()

    def get(self, url: str) -> tuple[str, str] | None:
        """Return user and password for the store at `url`, or None if git has none and may not or cannot ask.

        Raises LdsError for a URL that must not be passed to a credential helper.
        """
        with self._lock:
            answer = self._known(url)
            if answer is None:
                answer = self._ask(url)
                if answer is None:
                    return None
                self._answers[_scope(url, answer)] = answer
            return answer.user, answer.password

    def approve(self, url: str, user: str, password: str) -> None:
        """Report to git that the store accepted the credentials, so that its helpers may store them."""
        with self._lock:
            answer = self._known(url)
            if answer and (answer.user, answer.password) == (user, password) and answer not in self._approved:
                self._approved.add(answer)
                credential.report(self._git, "approve", answer.lines())

    def reject(self, url: str, user: str, password: str) -> None:
        """Report to git that the store refused the credentials, so that its helpers erase them."""
        with self._lock:
            answer = self._known(url)
            if answer and (answer.user, answer.password) == (user, password):
                del self._answers[_scope(url, answer)]
                self._approved.discard(answer)
                credential.report(self._git, "reject", answer.lines())

    def _known(self, url: str) -> _Answer | None:
        return self._answers.get(_origin(url)) or self._answers.get(url)

    def _ask(self, url: str) -> _Answer | None:
        question = _fields(url)
        with _counted():
            output = credential.fill(self._git, _lines(question))
        if output is None:
            return None
        fields = tuple(_field(line) for line in output.decode("utf-8", "surrogateescape").split("\n") if "=" in line)
        values = dict(fields)
        # a helper may answer for another host, and those credentials must not be sent to this one
        if (values.get("protocol"), values.get("host")) != (question["protocol"], question["host"]):
            return None
        if not values.get("password"):
            return None
        return _Answer(fields, values.get("username", ""), values["password"])


def _fields(url: str) -> dict[str, str]:
    """Return the fields of `url` for git. Raises LdsError for line breaks and NUL, plain or percent-encoded."""
    if _FORBIDDEN.search(unquote_to_bytes(url)) or _FORBIDDEN.search(url.encode("utf-8", "surrogateescape")):
        raise LdsError(
            "the URL of the store contains a line break or NUL: it is not passed to git's credential helpers"
        )
    parts = urlsplit(url)
    if "@" in parts.netloc or not parts.hostname:
        raise LdsError(
            "the URL of the store must have a host and no user: it is not passed to git's credential helpers"
        )
    path = unquote_to_bytes(parts.path.lstrip("/")).decode("utf-8", "surrogateescape")
    return {"protocol": parts.scheme, "host": parts.netloc, "path": path}


def _lines(fields: dict[str, str]) -> bytes:
    return b"".join(f"{name}={value}\n".encode("utf-8", "surrogateescape") for name, value in fields.items())


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition("=")
    return name, value


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _scope(url: str, answer: _Answer) -> str:
    """Return where `answer` is valid: at the whole origin, or only at `url` if git uses paths (credential.useHttpPath)."""
    return url if any(name == "path" for name, _ in answer.fields) else _origin(url)

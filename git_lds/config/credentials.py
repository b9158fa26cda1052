"""Who we are at a store, as git knows it: `git credential` with the helpers and prompts that the user set up for git.

Nothing here is logged, and nothing but git is told a password.
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
from git_lds.git.run import Git, GitFailed

# a line break would begin a field of its own, and so ask for the credentials of another host (CVE-2020-5260, and
# CVE-2024-52006 for a lone carriage return)
_FORBIDDEN = re.compile(rb"[\r\n\0]")


_asked = 0.0
_asking_since: float | None = None


def seconds_asked() -> float:
    """Return how many seconds git, its helpers and the user have taken so far to say who we are. A store is not slow
    because somebody looks for a password."""
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
    """What git said for one store: all of its fields, for some helpers want to see theirs again."""

    fields: tuple[tuple[str, str], ...]
    user: str
    password: str

    def lines(self) -> bytes:
        return b"".join(f"{name}={value}\n".encode("utf-8", "surrogateescape") for name, value in self.fields)


class GitCredentials:
    """Asks git once for each store, whatever the number of threads that wait. The contract is `backend.Authorise`."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._answers: dict[str, _Answer] = {}
        self._approved: set[_Answer] = set()
        self._lock = threading.Lock()

    def get(self, url: str) -> tuple[str, str] | None:
        """Return user and password for the store at `url`, or None when git has none and may not or cannot ask.

        Raises LdsError for a url that must not be shown to a credential helper.
        """
        with self._lock:
            answer = self._known(url)
            if answer is None:
                answer = self._ask(url)
                if answer is None:
                    return None
                self._answers[_place(url, answer)] = answer
            return answer.user, answer.password

    def approve(self, url: str, user: str, password: str) -> None:
        """Tell git that those were accepted, so that its helpers may keep them."""
        with self._lock:
            answer = self._known(url)
            if answer and (answer.user, answer.password) == (user, password) and answer not in self._approved:
                self._approved.add(answer)
                self._tell("approve", answer)

    def reject(self, url: str, user: str, password: str) -> None:
        """Tell git that those were refused, so that its helpers forget them."""
        with self._lock:
            answer = self._known(url)
            if answer and (answer.user, answer.password) == (user, password):
                del self._answers[_place(url, answer)]
                self._approved.discard(answer)
                self._tell("reject", answer)

    def _known(self, url: str) -> _Answer | None:
        return self._answers.get(_origin(url)) or self._answers.get(url)

    def _ask(self, url: str) -> _Answer | None:
        asked = _fields(url)
        try:
            # git leaves the path out unless credential.useHttpPath is set, and honours GIT_TERMINAL_PROMPT
            with _counted():
                said = self._git.bytes("credential", "fill", stdin=_lines(asked))
        except GitFailed:
            return None
        fields = tuple(_field(line) for line in said.decode("utf-8", "surrogateescape").split("\n") if "=" in line)
        values = dict(fields)
        # a helper may answer for another host than it was asked about; that is then not ours to send
        if (values.get("protocol"), values.get("host")) != (asked["protocol"], asked["host"]):
            return None
        if not values.get("password"):
            return None
        return _Answer(fields, values.get("username", ""), values["password"])

    def _tell(self, verb: str, answer: _Answer) -> None:
        try:
            self._git.bytes("credential", verb, stdin=answer.lines())
        except GitFailed:
            pass  # a helper that cannot keep or forget is not a reason to stop


def _fields(url: str) -> dict[str, str]:
    """Return what git is told of `url`. Raises LdsError for line breaks and NUL, plain or percent-encoded."""
    if _FORBIDDEN.search(unquote_to_bytes(url)) or _FORBIDDEN.search(url.encode("utf-8", "surrogateescape")):
        raise LdsError(
            "the address of the store holds a line break or NUL: git's credential helpers are not asked for it"
        )
    parts = urlsplit(url)
    if "@" in parts.netloc or not parts.hostname:
        raise LdsError("the address of the store must name a host and no user: git's credential helpers are not asked")
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


def _place(url: str, answer: _Answer) -> str:
    """Return for what `answer` holds: the whole origin, unless git asked for this very path (credential.useHttpPath)."""
    return url if any(name == "path" for name, _ in answer.fields) else _origin(url)

"""One `git cat-file --batch-command` that stays open: it resolves names and reads objects, 0.08 ms each instead of 1.8 ms.

It sees objects and refs that are written after its start. It reads git's index once, so `:path` is not asked here
(`objects.BlobReader` is for that), and not what another environment than that of its start would change.
"""

from __future__ import annotations

import threading
import weakref

from git_lds.errors import LdsError
from git_lds.fast_typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import subprocess

    from git_lds.git.run import Git


class ObjectInfo(NamedTuple):
    """An object: its id in hex, its kind (blob, tree, commit or tag), and its size in bytes."""

    id: str
    kind: str
    size: int


class ObjectReader:
    """Answers questions about objects, from any thread, one at a time. Names are what `git rev-parse` takes, such as
    `HEAD^{commit}` or an object id; one with a newline or a leading ':' names nothing here."""

    def __init__(self, git: Git) -> None:
        self._git = git.without_reader()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def info(self, name: str) -> ObjectInfo | None:
        """Return what `name` resolves to, or None if it names no object that is present."""
        with self._lock:
            return self._ask(b"info", name)

    def read(self, name: str) -> tuple[ObjectInfo, bytes] | None:
        """Return what `name` resolves to with its contents, or None. The object is held in memory."""
        with self._lock:
            info = self._ask(b"contents", name)
            if info is None:
                return None
            stream = self._started().stdout
            assert stream is not None
            data = stream.read(info.size)
            stream.read(1)
            return info, data

    def close(self) -> None:
        """End the process."""
        with self._lock:
            if self._process is not None:
                self._end()
                self._process = None

    def _ask(self, command: bytes, name: str) -> ObjectInfo | None:
        asked = name.encode("utf-8", "surrogateescape")
        if not asked or b"\n" in asked or b"\0" in asked or asked.startswith(b":"):
            return None
        process = self._started()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(command + b" " + asked + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise LdsError(
                "git ended while it was asked for objects", "see whether the repository is damaged: git fsck"
            ) from None
        # "<id> <kind> <size>", or "<name> missing" and the like; a name may hold spaces, but no such three words
        words = process.stdout.readline().rstrip(b"\n").split(b" ")
        if len(words) != 3 or len(words[0]) not in (40, 64) or not words[2].isdigit():
            return None
        return ObjectInfo(words[0].decode(), words[1].decode(), int(words[2]))

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._process = self._git.start("cat-file", "--batch-command")
            self._end = weakref.finalize(self, _end, self._process)
        return self._process


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.close()
    except OSError:
        pass  # it is gone already
    process.stdout.close()
    process.wait()

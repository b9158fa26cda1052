"""One `git cat-file --batch-command` that stays open: it resolves names and reads objects, 0.08 ms each instead of 1.8 ms.

It sees objects and refs that are written after its start. It reads git's index once, so `:path` is not asked here
(`objects.BlobReader` is for that), and not what another environment than that of its start would change.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator

from git_lds.errors import LdsError
from git_lds.fast_typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import subprocess
    from typing import IO, TypeVar

    from git_lds.git.run import Git

    Answer = TypeVar("Answer")


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
        self._has_ended = False
        """Whether git ended in the midst of an answer."""

    def info(self, name: str) -> ObjectInfo | None:
        """Return what `name` resolves to, or None if it names no object that is present."""
        return next(self.infos((name,)))

    def read(self, name: str) -> tuple[ObjectInfo, bytes] | None:
        """Return what `name` resolves to with its contents, or None. The object is held in memory."""
        return next(self.contents((name,)))

    def infos(self, names: Iterable[str]) -> Iterator[ObjectInfo | None]:
        """Yield what each name resolves to, in their order: many questions in one turn, 5 µs each instead of 80."""
        for turn in _turns(names):
            yield from self._asked(b"info", turn, self._answer)

    def contents(self, names: Iterable[str]) -> Iterator[tuple[ObjectInfo, bytes] | None]:
        """Yield what each name resolves to with its contents, in their order. A turn of answers is held in memory."""
        for turn in _turns(names):
            yield from self._asked(b"contents", turn, self._answer_with_contents)

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._stop()

    def _asked(self, command: bytes, names: list[str], answer: Callable[[], Answer]) -> list[Answer | None]:
        """Return the answers to one turn of questions.

        A damaged object, or one that a partial clone cannot fetch, ends git: that question has no answer, and the ones
        after it are asked again.
        """
        answers: list[Answer | None] = []
        with self._lock:
            try:
                while len(answers) < len(names):
                    for can_be in self._send(command, names[len(answers) :]):
                        answers.append(answer() if can_be else None)
                        if self._has_ended:
                            self._stop()
                            break
            except BaseException:
                self._stop()  # unread answers would be taken for those to the next questions
                raise
        return answers

    def _stop(self) -> None:
        self._has_ended = False
        if self._process is not None:
            self._end()
            self._process = None

    def _send(self, command: bytes, names: list[str]) -> list[bool]:
        """Write a command for each name that can be asked; return which can be."""
        asked = [name.encode("utf-8", "surrogateescape") for name in names]
        can_be_asked = [bool(name) and not (b"\n" in name or b"\0" in name or name.startswith(b":")) for name in asked]
        lines = [command + b" " + name + b"\n" for name, can_be in zip(asked, can_be_asked, strict=True) if can_be]
        if not lines:
            return can_be_asked
        stdin = self._started().stdin
        assert stdin is not None
        try:
            stdin.write(b"".join(lines))
            stdin.flush()
        except BrokenPipeError:
            raise LdsError(
                "git ended while it was asked for objects", "see whether the repository is damaged: git fsck"
            ) from None
        return can_be_asked

    def _answer(self) -> ObjectInfo | None:
        stream = self._stream()
        # "<id> <kind> <size>", or "<name> missing" and the like; a name may hold spaces, but no such three words
        line = stream.readline()
        self._has_ended = not line.endswith(b"\n")
        words = line.rstrip(b"\n").split(b" ")
        if len(words) != 3 or len(words[0]) not in (40, 64) or not words[2].isdigit():
            return None
        return ObjectInfo(words[0].decode(), words[1].decode(), int(words[2]))

    def _answer_with_contents(self) -> tuple[ObjectInfo, bytes] | None:
        info = self._answer()
        if info is None:
            return None
        stream = self._stream()
        data = stream.read(info.size + 1)
        self._has_ended = len(data) <= info.size
        return None if self._has_ended else (info, data[:-1])

    def _stream(self) -> IO[bytes]:
        assert self._process is not None and self._process.stdout is not None
        return self._process.stdout

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._process = self._git.start("cat-file", "--batch-command")
            self._end = weakref.finalize(self, _end, self._process)
        return self._process


_TURN = 2048
"""Bytes of commands that are written before their answers are read: fewer than any pipe holds, so that neither side waits
for the other."""


def _turns(names: Iterable[str]) -> Iterator[list[str]]:
    turn: list[str] = []
    size = 0
    for name in names:
        turn.append(name)
        size += len(name) + 10
        if size > _TURN:
            yield turn
            turn, size = [], 0
    if turn:
        yield turn


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.close()
    except OSError:
        pass  # it is gone already
    process.stdout.close()
    process.wait()

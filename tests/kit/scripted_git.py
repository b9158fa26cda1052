"""A git that we write the lines of: it speaks to the real filter, rightly or wrongly."""

from __future__ import annotations

import os
import select
import subprocess
from dataclasses import dataclass, field
from types import TracebackType

from kit.work import LAUNCHER, Work

FLUSH = b"0000"
MAX = 65516


def packet(data: bytes) -> bytes:
    return b"%04x%s" % (len(data) + 4, data)


def packets(data: bytes, size: int = MAX) -> bytes:
    return b"".join(packet(data[at : at + size]) for at in range(0, len(data), size))


HELLO = packet(b"git-filter-client\n") + packet(b"version=2\n") + FLUSH
CAPABILITIES = b"".join(packet(b"capability=%s\n" % word) for word in (b"clean", b"smudge", b"delay")) + FLUSH


@dataclass
class Answer:
    """What the filter said about one file. `status` is the last word."""

    status: bytes
    data: bytes = b""


@dataclass
class Ended:
    """How the filter ended."""

    code: int
    stderr: str


@dataclass
class ScriptedGit:
    """A conversation with a running filter in a working tree; `with ScriptedGit(work) as git`, which shakes hands."""

    work: Work
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            [str(LAUNCHER), "filter-process"],
            cwd=self.work.path,
            env={**os.environ, **self.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.ended: Ended | None = None

    def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def packet(self) -> bytes | None:
        """Read one packet; None for a flush. Fails rather than waits when the filter says nothing for long."""
        length = int(self._read(4), 16)
        return self._read(length - 4) if length else None

    def packets(self) -> list[bytes]:
        """Read the packets up to a flush."""
        found = []
        while (data := self.packet()) is not None:
            found.append(data)
        return found

    def _read(self, count: int) -> bytes:
        assert self.process.stdout is not None
        data = b""
        while len(data) < count:
            ready, _, _ = select.select([self.process.stdout], [], [], 60)
            assert ready, "the filter says nothing"
            more = os.read(self.process.stdout.fileno(), count - len(data))
            if not more:
                raise EOFError(f"the filter went away: {self.end().stderr}")
            data += more
        return data

    def shake_hands(self) -> list[bytes]:
        self.send(HELLO)
        assert self.packets() == [b"git-filter-server\n", b"version=2\n"]
        self.send(CAPABILITIES)
        return self.packets()

    def request(self, command: bytes, path: bytes, *more: bytes) -> None:
        head = [b"command=" + command, b"pathname=" + path, *more]
        self.send(b"".join(packet(line + b"\n") for line in head) + FLUSH)

    def ask(self, command: bytes, path: bytes, data: bytes, *more: bytes) -> Answer:
        self.request(command, path, *more)
        self.send(packets(data) + FLUSH)
        return self.answer()

    def answer(self) -> Answer:
        (status,) = self.packets()
        if status != b"status=success\n":
            return Answer(status.removeprefix(b"status=").rstrip())
        data = b"".join(self.packets())
        last = self.packets()
        return Answer((last[-1] if last else status).removeprefix(b"status=").rstrip(), data)

    def clean(self, path: bytes, data: bytes) -> bytes:
        """Ask for a file to be cleaned; return the answer, which must be a success."""
        answer = self.ask(b"clean", path, data)
        assert answer.status == b"success", answer
        return answer.data

    def available(self) -> list[bytes]:
        self.send(packet(b"command=list_available_blobs\n") + FLUSH)
        paths = [line.removeprefix(b"pathname=").removesuffix(b"\n") for line in self.packets()]
        assert self.packets() == [b"status=success\n"]
        return paths

    def end(self) -> Ended:
        """Close the pipe and wait for the filter, as git does when it exits."""
        if self.ended is None:
            assert (
                self.process.stdin is not None and self.process.stderr is not None and self.process.stdout is not None
            )
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                pass
            self.process.stdout.close()
            stderr = self.process.stderr.read().decode(errors="replace")
            self.process.stderr.close()
            self.ended = Ended(self.process.wait(60), stderr)
        return self.ended

    def __enter__(self) -> ScriptedGit:
        self.shake_hands()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.process.kill()
        self.end()

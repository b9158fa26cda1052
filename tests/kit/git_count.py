"""Counts the git processes that our code starts itself: not those that git starts, and not those of a child of ours."""

from __future__ import annotations

import contextlib
import os
import subprocess
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from git_lds.git import run
from git_lds.git.run import Git


@dataclass
class GitProcesses:
    """The processes in their order: the words of each after `git`, and the functions of ours that called for it."""

    commands: list[str] = field(default_factory=list)
    callers: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.commands)

    def of(self, verb: str) -> list[str]:
        """Return the commands with this verb, such as "cat-file"."""
        return [command for command in self.commands if command.split(" ", 1)[0] == verb]

    def assert_at_most(self, count: int) -> None:
        """Fail with the list of all processes if there were more."""
        assert len(self) <= count, f"{len(self)} git processes, at most {count} expected:\n{self}"

    def __str__(self) -> str:
        pairs = zip(self.commands, self.callers, strict=True)
        return "\n".join(
            f"{number:3} git {command}\n      {caller}" for number, (command, caller) in enumerate(pairs, 1)
        )

    def add(self, words: tuple[str | bytes, ...]) -> None:
        """Note one process."""
        frames = [frame for frame in traceback.extract_stack() if "/git_lds/" in frame.filename]
        names = [f"{frame.filename.rpartition('/git_lds/')[2]}:{frame.name}" for frame in frames[-7:]]
        self.commands.append(" ".join(os.fsdecode(word) for word in words))
        self.callers.append(" > ".join(names))


@contextlib.contextmanager
def counted_git() -> Iterator[GitProcesses]:
    """Count the git processes that are started meanwhile, in all threads. The check of git's version counts as well."""
    counted = GitProcesses()
    originals = Git.bytes, Git.shown, Git.start

    def counted_bytes(git: Git, *args: str | bytes, stdin: bytes | None = None) -> bytes:
        counted.add(args)
        return originals[0](git, *args, stdin=stdin)

    def counted_shown(git: Git, *args: str | bytes) -> None:
        counted.add(args)
        originals[1](git, *args)

    def counted_start(git: Git, *args: str | bytes) -> subprocess.Popen[bytes]:
        counted.add(args)
        return originals[2](git, *args)

    run.version.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Git, "bytes", counted_bytes)
        patch.setattr(Git, "shown", counted_shown)
        patch.setattr(Git, "start", counted_start)
        yield counted

"""Starts the git program: argument lists only, a known environment, captured or handed to the user.

`git` is found on PATH by absolute directories alone, so that a program in a working tree is never mistaken for it.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable, Mapping

from git_lds.errors import LdsError
from git_lds.fast_typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from git_lds.git.reader import ObjectReader

Bytes = bytes
"""The built-in type, by a name that the method `Git.bytes` does not hide."""

MINIMUM = (2, 38)
"""git merge-tree --write-tree and ls-files --format came with 2.38."""

# What `git rev-parse --local-env-vars` names: it ties git to one repository, and so must not reach another's.
_LOCAL_VARIABLES = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CEILING_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
    "GIT_QUARANTINE_PATH",
)


class GitFailed(LdsError):
    """git answered with an error; `status` is its exit code and `stderr` what it said."""

    def __init__(self, args: Iterable[str | bytes], status: int, stderr: str) -> None:
        words = [os.fsdecode(a) for a in args]
        verb = next((w for w in words[1:] if not w.startswith("-")), "git")
        said = [line for line in stderr.strip().splitlines() if not line.startswith("hint:")]
        super().__init__(f"git {verb} failed: {said[-1] if said else f'exit code {status}'}")
        self.status = status
        self.stderr = stderr


@functools.cache
def find_program(name: str, path: str | None = None) -> str:
    """Return the absolute path of program `name`, looked up in the absolute directories of PATH only."""
    directories = (path if path is not None else os.environ.get("PATH", os.defpath)).split(os.pathsep)
    endings = os.environ.get("PATHEXT", ".EXE").split(os.pathsep) if sys.platform == "win32" else [""]
    for directory in directories:
        if not os.path.isabs(directory):
            continue
        for ending in endings:
            program = os.path.join(directory, name + ending)
            if os.path.isfile(program) and os.access(program, os.X_OK):
                return program
    raise LdsError(f"{name} was not found on PATH", hint=f"install {name}, or add its directory to PATH")


class Git:
    """The git program as seen from one directory. All methods wait for git and return what it wrote on stdout.

    `foreign` says that the directory is another repository than the one whose command or hook we run for: the variables
    by which git passes on its own repository are then removed.
    """

    def __init__(self, cwd: Path | Bytes | str | None = None, *, foreign: bool = False) -> None:
        self.cwd = os.fspath(cwd) if cwd is not None else None
        self.environment = dict(os.environ)
        if foreign:
            for name in _LOCAL_VARIABLES:
                self.environment.pop(name, None)
        self.environment["LC_ALL"] = "C"
        # what git starts in turn, such as ssh and credential helpers, is not taken from a working tree either
        directories = self.environment.get("PATH", os.defpath).split(os.pathsep)
        self.environment["PATH"] = os.pathsep.join(directory for directory in directories if os.path.isabs(directory))
        # our questions must not take index.lock from under the user's git
        self.environment["GIT_OPTIONAL_LOCKS"] = "0"
        self._reader: ObjectReader | None = None

    @property
    def reader(self) -> ObjectReader:
        """The open object reader of this repository. It is started by the first question, and ends with this value."""
        if self._reader is None:
            from git_lds.git.reader import ObjectReader  # late: many a command asks nothing

            self._reader = ObjectReader(self)
        return self._reader

    def close(self) -> None:
        """End the object reader. The next question starts another one."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def without_reader(self) -> Git:
        """Return the same git, which the object reader can hold without holding this value."""
        return self.with_environment({})

    def at(self, cwd: str) -> Git:
        """Return the same git in another directory of the same repository."""
        other = Git(cwd)
        other.environment = self.environment
        return other

    def with_environment(self, changes: Mapping[str, str]) -> Git:
        """Return the same git with some environment variables set."""
        other = Git(self.cwd)
        other.environment = {**self.environment, **changes}
        return other

    def bytes(self, *args: str | Bytes, stdin: Bytes | None = None) -> Bytes:
        """Run git; return its stdout. Raises GitFailed when it exits with another code than 0."""
        import subprocess  # late, here and below: 5 ms, where many a command starts no other

        command = [find_program("git"), *args]
        done = subprocess.run(
            command,
            cwd=self.cwd,
            env=self.environment,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise GitFailed(command, done.returncode, done.stderr.decode("utf-8", "replace"))
        return done.stdout

    def text(self, *args: str | Bytes, stdin: Bytes | None = None) -> str:
        """Run git; return its stdout as text without the last newline."""
        return self.bytes(*args, stdin=stdin).decode("utf-8", "surrogateescape").rstrip("\n")

    def names(self, *args: str | Bytes, stdin: Bytes | None = None) -> list[Bytes]:
        """Run git with NUL-separated output (pass `-z` yourself); return the parts."""
        parts = self.bytes(*args, stdin=stdin).split(b"\0")
        return parts[:-1] if parts and not parts[-1] else parts

    def ok(self, *args: str | Bytes) -> bool:
        """Run git; tell whether it exited with 0."""
        try:
            self.bytes(*args)
        except GitFailed:
            return False
        return True

    def maybe(self, *args: str | Bytes) -> str | None:
        """Run git; return its stdout as `text` does, or None when it failed."""
        try:
            return self.text(*args)
        except GitFailed:
            return None

    def shown(self, *args: str | Bytes) -> None:
        """Run git with the user's terminal: its output is the user's. Raises GitFailed."""
        import subprocess

        command = [find_program("git"), *args]
        status = subprocess.run(command, cwd=self.cwd, env=self.environment, check=False).returncode
        if status:
            raise GitFailed(command, status, "")

    def start(self, *args: str | Bytes) -> subprocess.Popen[Bytes]:
        """Start git with pipes on stdin and stdout, for a conversation; the caller ends it."""
        import subprocess

        return subprocess.Popen(
            [find_program("git"), *args],
            cwd=self.cwd,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )


@functools.cache
def version() -> tuple[int, ...]:
    """Return git's version, such as (2, 39, 5). Raises LdsError when git is older than `MINIMUM`."""
    words = Git().text("version").split()
    numbers = tuple(int(part) for part in words[2].split(".")[:3] if part.isdigit())
    if numbers < MINIMUM:
        wanted = ".".join(map(str, MINIMUM))
        raise LdsError(f"git {words[2]} is too old: git-lds needs {wanted} or newer", hint="install a newer git")
    return numbers

"""Starts the git program: with argument lists only, in a known environment, its output captured or left to the user.

`git` is looked up in the absolute directories of PATH alone, so that a program in a working tree is never mistaken for it.
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

# The variables of `git rev-parse --local-env-vars`: they tie git to one repository and must not reach another's git.
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
    """git failed; `status` is its exit code and `stderr` its output there."""

    def __init__(self, args: Iterable[str | bytes], status: int, stderr: str) -> None:
        words = [os.fsdecode(a) for a in args]
        verb = next((w for w in words[1:] if not w.startswith("-")), "git")
        lines = [line for line in stderr.strip().splitlines() if not line.startswith("hint:")]
        super().__init__(f"git {verb} failed: {lines[-1] if lines else f'exit code {status}'}")
        self.status = status
        self.stderr = stderr


@functools.cache
def find_program(name: str, path: str | None = None) -> str:
    """Return the absolute path of program `name`, looked up in the absolute directories of PATH only.

    Raises LdsError if it is in none of them.
    """
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
    """The git program as seen from one directory. Except for `start` its methods wait for git.

    With `foreign` the directory belongs to another repository than that of the command or hook that runs us: the
    variables by which git passes on its own repository are removed.
    """

    def __init__(self, cwd: Path | Bytes | str | None = None, *, foreign: bool = False) -> None:
        self.cwd = os.fspath(cwd) if cwd is not None else None
        self.environment = dict(os.environ)
        if foreign:
            for name in _LOCAL_VARIABLES:
                self.environment.pop(name, None)
        self.environment["LC_ALL"] = "C"
        # programs that git starts in turn, such as ssh and credential helpers, must not come from a working tree either
        directories = self.environment.get("PATH", os.defpath).split(os.pathsep)
        self.environment["PATH"] = os.pathsep.join(directory for directory in directories if os.path.isabs(directory))
        # our questions must not take index.lock away from the user's git
        self.environment["GIT_OPTIONAL_LOCKS"] = "0"
        self._reader: ObjectReader | None = None

    @property
    def reader(self) -> ObjectReader:
        """The open object reader of this repository. The first question starts it, and it ends with this value."""
        if self._reader is None:
            from git_lds.git.reader import ObjectReader  # late: many commands read no object

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
        return Git._made(cwd, self.environment)

    def with_environment(self, changes: Mapping[str, str]) -> Git:
        """Return the same git with some environment variables set."""
        return Git._made(self.cwd, {**self.environment, **changes})

    @classmethod
    def _made(cls, cwd: str | Bytes | None, environment: dict[str, str]) -> Git:
        """Return a git with this environment, without a look at that of the process."""
        git = cls.__new__(cls)
        git.cwd, git.environment, git._reader = cwd, environment, None
        return git

    def bytes(self, *args: str | Bytes, stdin: Bytes | None = None) -> Bytes:
        """Run git; return its stdout. Raises GitFailed if it exits with another code than 0."""
        import subprocess  # late, here and below: it takes 5 ms, and many commands start no process

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
        """Run git; return its stdout as text without the newlines at its end. Raises GitFailed."""
        return self.bytes(*args, stdin=stdin).decode("utf-8", "surrogateescape").rstrip("\n")

    def names(self, *args: str | Bytes, stdin: Bytes | None = None) -> list[Bytes]:
        """Run git with NUL-separated output (the caller passes `-z`); return the parts. Raises GitFailed."""
        parts = self.bytes(*args, stdin=stdin).split(b"\0")
        return parts[:-1] if parts and not parts[-1] else parts

    def ok(self, *args: str | Bytes) -> bool:
        """Run git; return whether it exited with 0."""
        try:
            self.bytes(*args)
        except GitFailed:
            return False
        return True

    def maybe(self, *args: str | Bytes) -> str | None:
        """Run git; return its stdout as `text` does, or None if it failed."""
        try:
            return self.text(*args)
        except GitFailed:
            return None

    def shown(self, *args: str | Bytes) -> None:
        """Run git with its output on the user's terminal. Raises GitFailed."""
        import subprocess

        command = [find_program("git"), *args]
        status = subprocess.run(command, cwd=self.cwd, env=self.environment, check=False).returncode
        if status:
            raise GitFailed(command, status, "")

    def start(self, *args: str | Bytes) -> subprocess.Popen[Bytes]:
        """Start git with pipes on stdin and stdout; the caller ends it."""
        import subprocess

        return subprocess.Popen(
            [find_program("git"), *args],
            cwd=self.cwd,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )


def run_as_alias(git: Git, line: str) -> None:
    """Run a shell line as git runs an alias, with the PATH that a shell has without any set. Raises GitFailed."""
    git.with_environment({"PATH": os.defpath}).bytes("-c", f"alias.git-lds-probe=!{line}", "git-lds-probe")


def version_text() -> str:
    """Return git's version as git spells it, such as "2.39.5". Raises LdsError if there is no git."""
    return Git().text("version").removeprefix("git version ")


@functools.cache
def version() -> tuple[int, ...]:
    """Return git's version, such as (2, 39, 5). Raises LdsError if git is older than `MINIMUM`."""
    number = version_text().split()[0]
    numbers = tuple(int(part) for part in number.split(".")[:3] if part.isdigit())
    if numbers < MINIMUM:
        wanted = ".".join(map(str, MINIMUM))
        raise LdsError(f"git {number} is too old: git-lds needs {wanted} or newer", hint="install a newer git")
    return numbers

"""The git command that started this process: git does not tell a filter what it needs a file for.

On Linux /proc knows. On other systems the functions return an empty or unknown answer.
"""

from __future__ import annotations

import os

from git_lds.fast_typing import TYPE_CHECKING

if TYPE_CHECKING:  # textconv does not need to run git
    from git_lds.git.run import Git

_SHOWING = frozenset(
    b"annotate blame commit diff diff-files diff-index diff-tree format-patch grep log range-diff reflog show status"
    b" whatchanged".split()
)
"""The commands of git that read versions of files only to show differences, such as `commit -v` and `status -v`."""

_WITH_VALUE = frozenset(
    (b"-C", b"-c", b"--git-dir", b"--work-tree", b"--namespace", b"--config-env", b"--super-prefix")
)


def words(pid: int | None = None) -> list[bytes]:
    """Return the words of the command that started this process, or of the process `pid`; none if unknown."""
    try:
        with open(f"/proc/{os.getppid() if pid is None else pid}/cmdline", "rb") as file:
            return file.read(1 << 20).split(b"\0")[:-1]
    except OSError:
        return []


def directory() -> str | None:
    """Return the directory in which the user gave the command, or None if unknown.

    It is the shell's PWD: git itself changes to the top of the working tree.
    """
    try:
        with open(f"/proc/{os.getppid()}/environ", "rb") as file:
            values = [entry for entry in file.read().split(b"\0") if entry.startswith(b"PWD=/")]
    except OSError:
        return None
    return os.fsdecode(values[0].removeprefix(b"PWD=")) if values else None


def parent(pid: int) -> int | None:
    """Return the process that started the process `pid`, or None if unknown."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read(4096).rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def is_running(pid: int) -> bool:
    """Return whether a process `pid` exists; True if that is unknown."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return True


def verb(words: list[bytes]) -> bytes:
    """Return the name of the git command in the words, such as `diff` of `git -c a=b diff HEAD`, or b""."""
    if not words:
        return b""
    name = words[0].rpartition(b"/")[2]
    if name.startswith(b"git-"):
        return name[len(b"git-") :]
    rest = iter(words[1:])
    for word in rest:
        if word in _WITH_VALUE:
            next(rest, None)
        elif not word.startswith(b"-"):
            return word
    return b""


def strategy_option(words: list[bytes]) -> str | None:
    """Return the side that the words tell git to prefer in a conflict, "ours" or "theirs", or None.

    git does not pass the option on to merge drivers.
    """
    for at, word in enumerate(words):
        value = words[at + 1] if word in (b"-X", b"--strategy-option") and at + 1 < len(words) else word
        value = value.removeprefix(b"--strategy-option=").removeprefix(b"-X")
        if value in (b"ours", b"theirs") and value != words[at]:
            return value.decode()
    return None


def only_shows(git: Git) -> bool:
    """Return whether a git command that only displays differences started this process, by its name or as an alias."""
    command = words()
    name = verb(command)
    if name == b"stash":
        return b"show" in command or b"list" in command  # its other verbs fill the working tree
    if name in _SHOWING or not name:
        return name != b""
    alias = git.maybe("config", "--get", f"alias.{os.fsdecode(name)}") if name.replace(b"-", b"").isalnum() else None
    return alias is not None and verb([b"git", *os.fsencode(alias).split()]) in _SHOWING

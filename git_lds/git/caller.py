"""Which git command started this process: git tells a filter what it wants of a file, and not what for.

Known on Linux, where /proc has it. Elsewhere nobody knows, and whoever asks must do without.
"""

from __future__ import annotations

import os

from git_lds.fast_typing import TYPE_CHECKING

if TYPE_CHECKING:  # what shows a file has no need of what runs git
    from git_lds.git.run import Git

_SHOWING = frozenset(
    b"annotate blame commit diff diff-files diff-index diff-tree format-patch grep log range-diff reflog show status"
    b" whatchanged".split()
)
"""The commands of git that read versions of files only to show how they differ; `commit -v` and `status -v` do."""

_WITH_VALUE = frozenset(
    (b"-C", b"-c", b"--git-dir", b"--work-tree", b"--namespace", b"--config-env", b"--super-prefix")
)


def words(pid: int | None = None) -> list[bytes]:
    """Return the words of the command that started this process, or of the process `pid`; none where that is not known."""
    try:
        with open(f"/proc/{os.getppid() if pid is None else pid}/cmdline", "rb") as file:
            return file.read(1 << 20).split(b"\0")[:-1]
    except OSError:
        return []


def directory() -> str | None:
    """Return the directory in which the user gave the command, as the shell says it; git itself goes to the top of
    the working tree.
    None where that is not known."""
    try:
        with open(f"/proc/{os.getppid()}/environ", "rb") as file:
            said = [entry for entry in file.read().split(b"\0") if entry.startswith(b"PWD=/")]
    except OSError:
        return None
    return os.fsdecode(said[0].removeprefix(b"PWD=")) if said else None


def parent(pid: int) -> int | None:
    """Return the process that started the process `pid`, None where that is not known."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read(4096).rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def runs(pid: int) -> bool:
    """Return whether there is a process `pid`; where that cannot be told, it may be."""
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
    """Return which of git's commands the words call: `diff` of `git -c a=b diff HEAD`. Empty where they call none."""
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
    """Return which side the words tell git to take where both changed the same, ours or theirs: git does not say it to
    merge drivers."""
    for at, word in enumerate(words):
        value = words[at + 1] if word in (b"-X", b"--strategy-option") and at + 1 < len(words) else word
        value = value.removeprefix(b"--strategy-option=").removeprefix(b"-X")
        if value in (b"ours", b"theirs") and value != words[at]:
            return value.decode()
    return None


def only_shows(git: Git) -> bool:
    """Tell whether this process was started by a git command that only shows what differs, by its name or as an alias."""
    called = verb(by := words())
    if called == b"stash":
        return b"show" in by or b"list" in by  # the others of its verbs fill the working tree
    if called in _SHOWING or not called:
        return called != b""
    alias = (
        git.maybe("config", "--get", f"alias.{os.fsdecode(called)}") if called.replace(b"-", b"").isalnum() else None
    )
    return alias is not None and verb([b"git", *os.fsencode(alias).split()]) in _SHOWING

"""The files of a checkout that hold pointers because their contents could not be fetched, and how git and the user learn of it.

An error would make git stop in the middle of the checkout, or leave the file out. Instead the file holds its pointer, which
git finds unchanged, and a message comes at the end. If git runs our `post-checkout` hook, the hook finds a file named by the
process id of git and makes git exit with 1.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from git_lds import files, sharing
from git_lds.filters import say
from git_lds.git import caller, index
from git_lds.git.objects import blob_id
from git_lds.git.run import GitFailed
from git_lds.pointer import Pointer
from git_lds.repo import Repo
from git_lds.worktree.place import WorkTree

SHOWN = 10
"""Files that are named before the rest is counted."""

_HOOKED = frozenset((b"checkout", b"clone", b"switch", b"worktree"))
"""The commands of git whose exit status comes from the `post-checkout` hook alone. Aliases may call them, too."""

_COUNTING = frozenset((b"checkout", b"restore", b"switch"))
"""The commands that, with some options, exit with 1 and leave nothing half done if a filter reports an error at the end.
Others, such as reset, would stop before they write their index."""


class Lacking:
    """The files of one git command that hold pointers. `install_hook` returns whether the hook is in place and ours."""

    def __init__(self, repo: Repo, install_hook: Callable[[Repo], bool]) -> None:
        self._repo = repo
        self._paths: dict[bytes, Pointer] = {}
        self._words = caller.words()
        self._marks = _mark(repo.lds_dir / "lacking", self._words)
        self._sets_exit_status = install_hook(repo)

    def add(self, path: bytes, target: Pointer) -> None:
        """Note that a file holds its pointer."""
        self._paths[path] = target

    def remove(self, path: bytes) -> None:
        """Note that the contents came after all, or that the file has other contents by now."""
        self._paths.pop(path, None)

    def has(self, path: bytes) -> bool:
        """Return whether a file was noted."""
        return path in self._paths

    @property
    def is_an_error(self) -> bool:
        """Whether git exits with 1, with everything else completed, if it gets an error after it has asked for all files."""
        return caller.verb(self._words) in _COUNTING

    def report(self, tree: WorkTree) -> None:
        """Print the files that still hold their pointers, and the command that completes them."""
        remaining = {path: target for path, target in self._paths.items() if tree.holds(path, target)}
        names = [files.printable(path) for path in remaining]
        if not names:
            return
        what = "1 file could" if len(names) == 1 else f"{len(names)} files could"
        so = "it is still a pointer" if len(names) == 1 else "they are still pointers"
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        message = f"the contents of {what} not be fetched, so {so}: {', '.join(names[:SHOWN])}{more}"
        if not self._sets_exit_status and (caller.verb(self._words) in _HOOKED or len(self._marks) > 1):
            hook = self._repo.hooks / "post-checkout"
            message += f"; git may still exit with 0, because {hook} is not the hook of git-lds"
        say(message, f"once they can be fetched: {self._completing_command(remaining)}")

    def _completing_command(self, remaining: Mapping[bytes, Pointer]) -> str:
        """Return the command that completes the files, in the form that works in the user's directory."""
        top = self._repo.work_tree
        assert top is not None
        if not os.path.lexists(top / ".git"):
            where = f" --git-dir={shlex.quote(str(self._repo.git_dir))} --work-tree={shlex.quote(str(top))}"
        else:
            where = "" if _is_inside(top) else f" -C {shlex.quote(str(top))}"
        command = f"git{where} lds pull"
        staged = self._staged()
        expected = {path: blob_id(target.encode(), self._repo.hash_size) for path, target in remaining.items()}
        if caller.verb(self._words) in (b"checkout", b"restore") and any(
            staged.get(path) != (b"0", blob.hex().encode()) for path, blob in expected.items()
        ):
            # the index does not know what the files should be; for a conflict git regards the file as written
            conflict = any(staged.get(path, (b"0", b""))[0] != b"0" for path in remaining)
            return ("delete the files, then " if conflict else "") + "run the same git command again"
        if not remaining.keys() <= staged.keys():
            return f"git add the new ones among them, then: {command}"
        if caller.verb(self._words) == b"clone" and any(word.startswith(b"--recurs") for word in self._words):
            # git leaves the submodules out if the hook fails
            command += f" && git{where} submodule update --init --recursive"
        return command

    def _staged(self) -> dict[bytes, tuple[bytes, bytes]]:
        """Return the stage and the blob, in hex, of each path of git's index; of a path in conflict those of one side."""
        try:
            return {entry.path: (entry.stage, entry.blob) for entry in index.entries(self._repo.git)}
        except GitFailed:
            return {}

    def close(self) -> None:
        """Remove the file that the hook looks for, unless the git command that runs the hook goes on after this."""
        for mark in self._marks[:1]:
            mark.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            os.rmdir(self._repo.lds_dir / "lacking")


def _is_inside(top: Path) -> bool:
    """Return whether the user gave the command inside the working tree `top`."""
    directory = Path(caller.directory() or "/").resolve()
    parents = (directory, *directory.parents)
    return next((parent for parent in parents if os.path.lexists(parent / ".git")), None) == top.resolve()


def _mark(directory: Path, words: list[bytes]) -> list[Path]:
    """Make the files that the hook looks for; return them, that of the git that started us first.

    `git worktree add` starts a `git reset` that writes the files, and runs the hook itself.
    """
    parent = os.getppid()
    pids = [parent]
    if caller.verb(words) == b"reset" and (above := caller.parent(parent)):
        pids += [above] if caller.verb(caller.words(above)) == b"worktree" else []
    marks = [directory / str(pid) for pid in pids]
    with contextlib.suppress(OSError):
        sharing.make_directory(directory)
        for old in directory.iterdir():
            if old.name.isdecimal() and not caller.is_running(int(old.name)):
                old.unlink(missing_ok=True)  # of a process that was killed
        for mark in marks:
            mark.touch()
    return marks

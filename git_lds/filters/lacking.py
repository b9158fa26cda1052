"""What a checkout lacks: files that got their pointers, as their contents could not be had; and how git and the user learn of it.

git is not told of an error: it would end in the midst of the checkout, or leave the file out. So the file holds its pointer,
which git finds unchanged; the user is told at the end; and where git runs a `post-checkout` hook, and it is ours, the hook
finds a file that bears the process id of git, and makes git end with 1.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from git_lds import files, sharing
from git_lds.filters import say
from git_lds.git import caller
from git_lds.git.objects import blob_id
from git_lds.git.run import GitFailed
from git_lds.pointer import Pointer
from git_lds.repo import Repo
from git_lds.worktree.place import WorkTree

SHOWN = 10
"""How many files are named before the rest is counted."""

_HOOKED = frozenset((b"checkout", b"clone", b"switch", b"worktree"))
"""The commands of git whose exit status comes from the `post-checkout` hook alone; there are aliases for them, too."""

_COUNTING = frozenset((b"checkout", b"restore", b"switch"))
"""The commands that end with 1 and leave nothing half done, with some of their options, where a filter reports an error
when all is written. Others, such as reset, would stop before they write their index."""


class Lacking:
    """The files of one git command that got their pointers. `put_hook_in` returns whether the hook is there and ours."""

    def __init__(self, repo: Repo, put_hook_in: Callable[[Repo], bool]) -> None:
        self._repo = repo
        self._paths: dict[bytes, Pointer] = {}
        self._words = caller.words()
        self._marks = _mark(repo.lds_dir / "lacking", self._words)
        self._exits = put_hook_in(repo)

    def add(self, path: bytes, found: Pointer) -> None:
        self._paths[path] = found

    def is_filled(self, path: bytes) -> None:
        """The contents came after all, or the file has other contents by now."""
        self._paths.pop(path, None)

    def has(self, path: bytes) -> bool:
        return path in self._paths

    @property
    def is_an_error(self) -> bool:
        """Whether git, told of an error when it has asked for all files, ends with 1 and has completed everything else."""
        return caller.verb(self._words) in _COUNTING

    def report(self, tree: WorkTree) -> None:
        """Name the files that still hold their pointers, and the command that completes them."""
        left_over = {path: found for path, found in self._paths.items() if tree.holds(path, found)}
        names = [files.printable(path) for path in left_over]
        if not names:
            return
        what = "1 file could" if len(names) == 1 else f"{len(names)} files could"
        left = "it is still a pointer" if len(names) == 1 else "they are still pointers"
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        message = f"the contents of {what} not be fetched, so {left}: {', '.join(names[:SHOWN])}{more}"
        if not self._exits and (caller.verb(self._words) in _HOOKED or len(self._marks) > 1):
            hook = self._repo.hooks / "post-checkout"
            message += f"; git may exit with 0 all the same, because {hook} is not the hook of git-lds"
        say(message, f"once they can be fetched: {self._completing(left_over)}")

    def _completing(self, left_over: Mapping[bytes, Pointer]) -> str:
        """Return the command that completes the files, as it works in the directory that the user is in."""
        top = self._repo.work_tree
        assert top is not None
        if not os.path.lexists(top / ".git"):
            where = f" --git-dir={shlex.quote(str(self._repo.git_dir))} --work-tree={shlex.quote(str(top))}"
        else:
            where = "" if _is_inside(top) else f" -C {shlex.quote(str(top))}"
        command = f"git{where} lds pull"
        index = self._index()
        expected = {path: blob_id(found.encode(), self._repo.hash_size) for path, found in left_over.items()}
        if caller.verb(self._words) in (b"checkout", b"restore") and any(
            index.get(path) != (b"0", blob.hex().encode()) for path, blob in expected.items()
        ):
            # the index does not know what the files are to be; of a conflict it knows that the file is written already
            conflict = any(index.get(path, (b"0", b""))[0] != b"0" for path in left_over)
            return ("delete the files, then " if conflict else "") + "run the same git command again"
        if not left_over.keys() <= index.keys():
            return f"git add what of them is new, then: {command}"
        if caller.verb(self._words) == b"clone" and any(word.startswith(b"--recurs") for word in self._words):
            # git leaves the submodules out where the hook fails
            command += f" && git{where} submodule update --init --recursive"
        return command

    def _index(self) -> dict[bytes, tuple[bytes, bytes]]:
        """Return the stage and the blob, in hex, of each path of git's index; of a path in conflict those of one side."""
        try:
            lines = self._repo.git.names("ls-files", "-s", "-z", "--full-name", "--", ":/")
        except GitFailed:
            return {}
        entries = (line.partition(b"\t")[::2] for line in lines)
        return {path: (about.split(b" ")[2], about.split(b" ")[1]) for about, path in entries}

    def close(self) -> None:
        """Take back what the hook looks for, unless the git command that runs the hook goes on after this."""
        for mark in self._marks[:1]:
            mark.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            os.rmdir(self._repo.lds_dir / "lacking")


def _is_inside(top: Path) -> bool:
    """Return whether the working tree `top` is the one that the user gave the command in."""
    directory = Path(caller.directory() or "/").resolve()
    return (
        next((each for each in (directory, *directory.parents) if os.path.lexists(each / ".git")), None)
        == top.resolve()
    )


def _mark(directory: Path, words: list[bytes]) -> list[Path]:
    """Make the file that the hook looks for; return it, first that of the git that started us.

    `git worktree add` has the files written by a `git reset` of its own, and runs the hook itself.
    """
    parent = os.getppid()
    pids = [parent]
    if caller.verb(words) == b"reset" and (above := caller.parent(parent)):
        pids += [above] if caller.verb(caller.words(above)) == b"worktree" else []
    marks = [directory / str(pid) for pid in pids]
    with contextlib.suppress(OSError):
        sharing.make_directory(directory)
        for old in directory.iterdir():
            if old.name.isdecimal() and not caller.runs(int(old.name)):
                old.unlink(missing_ok=True)  # of a process that was killed
        for mark in marks:
            mark.touch()
    return marks

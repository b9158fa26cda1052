"""Large files go around git: git gets the pointer, and the contents replace it when git has filled the working tree."""

from __future__ import annotations

import os
import sys
from functools import cached_property

from git_lds import files
from git_lds.errors import LdsError
from git_lds.fast_typing import TYPE_CHECKING
from git_lds.filters import complain, say
from git_lds.repo import Repo
from git_lds.worktree.place import Placement, WorkTree

if TYPE_CHECKING:
    from pathlib import Path

LARGE = 4 << 20
"""Objects larger than this, in bytes, are not sent through git, which would hold them whole in memory."""

_READING_HOOKS = ("post-checkout", "post-merge", "pre-merge-commit", "post-commit", "post-rewrite", "post-applypatch")
"""The hooks that git runs after it has filled a working tree and before it ends its filters."""

_OUR_HOOK = (b"#!/bin/sh\n# >>> git-lds >>>\n", b"\n# <<< git-lds <<<\n")
"""How a hook begins and ends that has our lines in it and nothing else."""


class LargeFiles:
    """The large files of one git command: whether they can go around git, and those that do."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self.items: list[Placement] = []

    def can_go_around_git(self) -> bool:
        """Return whether nothing reads the working tree between git's end with it and our placing of the large files.

        Hooks and the command of `rebase --exec` do, while we still run. We could not place the files in between: git goes
        on with the stat data that it remembers, and would treat them as changed by the user.
        """
        if self._repo.work_tree is None or sys.platform == "win32" or self._has_reading_hooks:
            return False
        try:
            todo = (self._repo.git_dir / "rebase-merge" / "git-rebase-todo").read_bytes()
        except OSError:
            return True
        return not any(line.split(maxsplit=1)[:1] in ([b"exec"], [b"x"]) for line in todo.splitlines())

    @cached_property
    def _has_reading_hooks(self) -> bool:
        hooks = [self._repo.hooks / name for name in _READING_HOOKS]
        return any(os.access(hook, os.X_OK) and not _is_ours(hook) for hook in hooks)

    def place(self, tree: WorkTree) -> None:
        """Replace the pointers by the contents; print which of them stay."""
        if not self.items:
            return
        try:
            tree.announce(self.items)
        except LdsError as error:
            complain(error)
            return
        for item in self.items:
            try:
                tree.place(item)
            except LdsError as error:
                complain(error)
            except OSError as error:
                say(f"{files.printable(item.path)}: still a pointer: {error.strerror}", "git lds checkout")


def _is_ours(hook: Path) -> bool:
    """Return whether a hook has our lines in it and nothing else."""
    try:
        text = hook.read_bytes()
    except OSError:
        return False
    return text.startswith(_OUR_HOOK[0]) and text.endswith(_OUR_HOOK[1]) and text.count(b"\n") == 4

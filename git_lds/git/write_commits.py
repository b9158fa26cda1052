"""Commits made from changed files: their trees by one `git mktree`, the commits by one `git hash-object`, however many.

Neither reads an index. Blobs that no change names may be absent, as in a partial clone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from git_lds.errors import LdsError
from git_lds.fast_typing import TYPE_CHECKING
from git_lds.git import trees
from git_lds.git.run import Git
from git_lds.git.trees import DIRECTORY, SUBMODULE, TreeEntry

if TYPE_CHECKING:
    import subprocess


class CommitWriter:
    """Writes trees and commits for `git`. Each process is started by the first question, and ended by `close`."""

    def __init__(self, git: Git, scratch: Path) -> None:
        """Commits are handed to git in the file `scratch`, which may be made."""
        self._git = git
        self._scratch = scratch
        self._trees: subprocess.Popen[bytes] | None = None
        self._commits: subprocess.Popen[bytes] | None = None

    def tree(self, revision: str, changes: Mapping[bytes, TreeEntry | None]) -> str:
        """Write the tree of a revision with files changed (None: deleted); return its id. Raises LdsError or GitFailed."""
        root = trees.at(self._git, revision, "")
        written = self._changed(root, changes)
        return (self._write_tree({}) if written is None else written.blob).decode()

    def tree_of(self, files: Mapping[bytes, TreeEntry]) -> str:
        """Write a tree with just these files; return its id. Raises LdsError."""
        written = self._changed(None, files)
        return (self._write_tree({}) if written is None else written.blob).decode()

    def commit(self, text: bytes) -> str:
        """Write a commit from its text; return its id. Raises LdsError if git refuses it."""
        self._scratch.write_bytes(text)
        if self._commits is None:
            self._commits = self._git.start("hash-object", "-t", "commit", "-w", "--stdin-paths")
        return _answer(self._commits, _quoted(os.fsencode(self._scratch)) + b"\n").decode()

    def close(self) -> None:
        """End the processes."""
        for process in (self._trees, self._commits):
            if process is not None:
                assert process.stdin is not None and process.stdout is not None
                process.stdin.close()
                process.stdout.close()
                process.wait()
        self._trees = self._commits = None
        self._scratch.unlink(missing_ok=True)

    def _changed(self, directory: TreeEntry | None, changes: Mapping[bytes, TreeEntry | None]) -> TreeEntry | None:
        """Write a directory with changes in it; return its entry, or None if nothing is left of it."""
        is_tree = directory is not None and directory.mode == DIRECTORY
        entries = trees.directory(self._git, directory.blob.decode()) if directory is not None and is_tree else {}
        inner: dict[bytes, dict[bytes, TreeEntry | None]] = {}
        files: dict[bytes, TreeEntry] = {}
        for path, file in changes.items():
            name, _, rest = path.partition(b"/")
            if rest:
                inner.setdefault(name, {})[rest] = file
            elif file is not None:
                files[name] = file
            elif name in entries and entries[name].mode != DIRECTORY:
                del entries[name]
        for name, below in inner.items():
            before = entries.get(name)
            if (before is None or before.mode != DIRECTORY) and not any(below.values()):
                continue  # what is deleted there is gone already
            after = self._changed(before, below)
            if after is not None:
                entries[name] = after
            else:
                entries.pop(name, None)
        entries |= files
        return TreeEntry(DIRECTORY, self._write_tree(entries)) if entries else None

    def _write_tree(self, entries: Mapping[bytes, TreeEntry]) -> bytes:
        if self._trees is None:
            self._trees = self._git.start("mktree", "-z", "--batch", "--missing")
        kinds = {DIRECTORY: b"tree", SUBMODULE: b"commit"}
        lines = [b"%s %s %s\t%s\0" % (e.mode, kinds.get(e.mode, b"blob"), e.blob, name) for name, e in entries.items()]
        return _answer(self._trees, b"".join(lines) + b"\0")

    def __enter__(self) -> CommitWriter:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


def _answer(process: subprocess.Popen[bytes], question: bytes) -> bytes:
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(question)
        process.stdin.flush()
    except BrokenPipeError:
        pass  # no answer follows
    line = process.stdout.readline().rstrip(b"\n")
    if not line:
        raise LdsError("git could not write a commit", "see whether the disk is full: git lds doctor")
    return line


def _quoted(path: bytes) -> bytes:
    """Return a path in the quotes of C, in which one line may hold any."""
    return b'"' + path.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'


def commit_index(git: Git, message: str) -> None:
    """Commit the index on the branch that is checked out, without hooks that check. Raises GitFailed."""
    git.bytes("commit", "--quiet", "--no-verify", "-F", "-", stdin=message.encode("utf-8", "replace"))

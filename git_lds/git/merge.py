"""git's own three-way merge, of commits, without a working tree."""

from __future__ import annotations

from git_lds.errors import LdsError
from git_lds.git.config import configured
from git_lds.git.run import Git

_CONFIG = {"merge.renames": "false", "merge.directoryRenames": "false"}


def merge_trees(git: Git, ours: str, theirs: str) -> tuple[str, set[bytes]]:
    """Return the merged tree of two commits, with conflict markers in it, and the paths in conflict; no rename counts.

    Raises LdsError if git cannot merge them.
    """
    options = ("--write-tree", "-z", "--name-only", "--no-messages")
    with configured(git, _CONFIG).start("merge-tree", *options, ours, theirs) as process:
        answer, _ = process.communicate()
    if process.returncode not in (0, 1):
        raise LdsError("git could not merge the files that both sides changed", "see: git lds doctor")
    tree, *paths = answer.rstrip(b"\0").split(b"\0")
    return tree.decode(), set(paths)

"""The names that the command line allows for a branch."""

from __future__ import annotations

from git_lds.deps.manifest import manifest
from git_lds.errors import LdsError, UsageError
from git_lds.git import refs
from git_lds.git.run import Git


def check_branch(git: Git, name: str) -> None:
    """Raise UsageError unless `name` can be the name of a branch, to git and in any command.

    git allows names that mean something else where they are used: `git push origin +x` forces.
    """
    try:
        manifest.check_rev(name)
    except LdsError:
        valid = False
    else:
        means_more = name.startswith(("+", "refs/")) or name in ("@", "HEAD") or manifest.is_object_id(name)
        valid = not means_more and refs.is_branch_name(git, name)
    if not valid:
        shown = "".join(c if c.isprintable() else "?" for c in name[:100])
        raise UsageError(f"'{shown}' cannot be the name of a branch", "for example: --branch fix-labels")

"""git with some of its configuration said for one command, in the environment.

Not with `-c`, for then git's own word for what failed is no longer the first of its arguments.
"""

from __future__ import annotations

from collections.abc import Mapping

from git_lds.git.run import Git


def configured(git: Git, values: Mapping[str, str]) -> Git:
    """Return the same git with configuration `values`, which go before those of all files; what the user said so stays."""
    before = git.environment.get("GIT_CONFIG_COUNT", "0")
    count = int(before) if before.isdigit() else 0
    changes = {"GIT_CONFIG_COUNT": str(count + len(values))}
    for number, (key, value) in enumerate(values.items(), count):
        changes |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return git.with_environment(changes)

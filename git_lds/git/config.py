"""git's configuration: values read and set, and values passed to one command through GIT_CONFIG_COUNT.

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


def get(git: Git, key: str, *, kind: str | None = None) -> str | None:
    """Return the value of a key, or None; `kind` is a type of git config, such as "path" or "bool"."""
    return git.maybe("config", *((f"--type={kind}",) if kind else ()), "--get", key)


def get_all(git: Git, key: str, *, scope: str | None = None) -> list[str]:
    """Return all values of a key in a scope ("local", "global"), or in all, in git's order."""
    said = git.maybe("config", *((f"--{scope}",) if scope else ()), "-z", "--get-all", key)
    return said.split("\0")[:-1] if said else []


def matching(git: Git, pattern: str) -> list[tuple[str, str, str]]:
    """Return (origin, key, value) of the keys that match a regular expression; origins are as `--show-origin` names them."""
    parts = (git.maybe("config", "-z", "--show-origin", "--get-regexp", pattern) or "").split("\0")
    found = []
    for origin, setting in zip(parts[::2], parts[1::2], strict=False):
        key, _, value = setting.partition("\n")
        found.append((origin, key, value))
    return found


def set_value(git: Git, key: str, value: str, *, scope: str = "local") -> None:
    """Set the one value of a key. Raises GitFailed."""
    git.bytes("config", f"--{scope}", key, value)


def add(git: Git, key: str, value: str, *, scope: str = "local") -> None:
    """Add a value to a key that may have several. Raises GitFailed."""
    git.bytes("config", f"--{scope}", "--add", key, value)

"""git's configuration: values read and set, and values passed to one command through GIT_CONFIG_COUNT.

Not with `-c`, for then git's own word for what failed is no longer the first of its arguments.
"""

from __future__ import annotations

from collections.abc import Mapping

from git_lds.git.run import Git, GitFailed


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


def get_from_file(git: Git, file: str, key: str) -> str | None:
    """Return the value of a key in one file of configuration, or None."""
    return git.maybe("config", "--file", file, key)


def get_all(git: Git, key: str, *, scope: str | None = None) -> list[str]:
    """Return all values of a key in a scope ("local", "global"), or in all, in git's order."""
    values = git.maybe("config", *((f"--{scope}",) if scope else ()), "-z", "--get-all", key)
    return values.split("\0")[:-1] if values else []


def origin_of(git: Git, key: str) -> tuple[str, str, str] | None:
    """Return (scope, origin, value) of the value of a key that counts, such as ("global", "file:/home/x/.gitconfig", "1")."""
    words = (git.maybe("config", "--show-scope", "--show-origin", "--get", key) or "").split("\t", 2)
    return (words[0], words[1], words[2]) if len(words) == 3 else None


def matching(git: Git, pattern: str) -> list[tuple[str, str, str]]:
    """Return (origin, key, value) of the keys that match a regular expression; origins are as `--show-origin` names them.

    A key that stands without a value is "true", as git reads it.
    """
    parts = (git.maybe("config", "-z", "--show-origin", "--get-regexp", pattern) or "").split("\0")
    return [(origin, *_setting(text)) for origin, text in zip(parts[::2], parts[1::2], strict=False)]


def matching_in(git: Git, scope: str, pattern: str) -> list[tuple[str, str]]:
    """Return (key, value) of the keys that match a regular expression in the file of one scope.

    Raises GitFailed if the file cannot be read, or the scope does not exist.
    """
    try:
        parts = git.names("config", f"--{scope}", "-z", "--get-regexp", pattern)
    except GitFailed as error:
        if error.status == 1:  # no key matches
            return []
        raise
    return [_setting(part.decode("utf-8", "surrogateescape")) for part in parts]


def _setting(text: str) -> tuple[str, str]:
    key, newline, value = text.partition("\n")
    return key, value if newline else "true"


def set_value(git: Git, key: str, value: str, *, scope: str = "local") -> None:
    """Set the one value of a key. Raises GitFailed."""
    git.bytes("config", f"--{scope}", key, value)


def replace_all(git: Git, key: str, value: str, *, scope: str = "local") -> None:
    """Set a key to one value, whatever values it has. Raises GitFailed."""
    git.bytes("config", f"--{scope}", "--replace-all", key, value)


def add(git: Git, key: str, value: str, *, scope: str = "local") -> None:
    """Add a value to a key that may have several. Raises GitFailed."""
    git.bytes("config", f"--{scope}", "--add", key, value)


def unset_all(git: Git, key: str, *, value: str | None = None, scope: str = "local") -> None:
    """Remove a key, or those of its entries that have `value`. Raises GitFailed."""
    if value is None:
        git.bytes("config", f"--{scope}", "--unset-all", key)
    else:
        git.bytes("config", f"--{scope}", "--fixed-value", "--unset-all", key, value)

"""Attributes of paths, as git answers them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from git_lds.git.run import Git


def check(
    git: Git, names: Sequence[str], paths: Iterable[bytes], *, cached: bool = False
) -> dict[bytes, dict[str, bytes]]:
    """Return the value of each attribute in `names` for each path: b"set", b"unset", b"unspecified" or what it is set to.

    With `cached` the attributes files are those of the index. One process for all. Raises GitFailed.
    """
    asked = list(dict.fromkeys(paths))
    if not asked:
        return {}
    options = ("--cached",) if cached else ()
    said = git.names("check-attr", *options, "--stdin", "-z", *names, stdin=b"".join(path + b"\0" for path in asked))
    found: dict[bytes, dict[str, bytes]] = {path: {} for path in asked}
    for path, name, value in zip(said[::3], said[1::3], said[2::3], strict=True):
        found[path][name.decode()] = value
    return found

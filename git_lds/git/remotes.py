"""Remotes on this machine: the URLs that git fetches from, and where a repository on the disk keeps its parts."""

from __future__ import annotations

import os
import re
from pathlib import Path

from git_lds.git.run import Git, GitFailed

_FETCHED = re.compile(rb" of (.+)$")
_MOST_POINTER = 1 << 16
"""Bytes that are read of a file that names a directory."""


def urls(git: Git, git_dir: Path) -> list[str]:
    """Return the URLs that git fetches from: those of the remotes, as `url.<base>.insteadOf` has them, and those that the last
    `git fetch` went to."""
    configured = _configured(git)
    names = dict.fromkeys(name for name, key, _ in configured if key == "remote")
    if any(key == "url" for _, key, _ in configured):
        found = [git.maybe("ls-remote", "--get-url", "--", name) or "" for name in names]
    else:
        # the first is the one to fetch from, the others are only pushed to
        found = [next(value for other, key, value in configured if (other, key) == (name, "remote")) for name in names]
    return list(dict.fromkeys(url for url in (*found, *_fetched(git_dir)) if url))


def _configured(git: Git) -> list[tuple[str, str, str]]:
    """Return name, section and value of each `remote.<name>.url` and `url.<base>.insteadOf` of git's configuration."""
    try:
        entries = git.names("config", "-z", "--get-regexp", r"^(remote\..*\.url|url\..*\.insteadof)$")
    except GitFailed:
        return []
    found = []
    for entry in entries:
        key, _, value = os.fsdecode(entry).partition("\n")
        section, _, rest = key.partition(".")
        found.append((rest.rpartition(".")[0], section, value))
    return found


def _fetched(git_dir: Path) -> list[str]:
    """Return the URLs that FETCH_HEAD names: `git pull PATH` needs no remote."""
    try:
        lines = (git_dir / "FETCH_HEAD").read_bytes().splitlines()
    except OSError:
        return []
    return [os.fsdecode(of[1]) for line in lines[:64] if (of := _FETCHED.search(line))]


def common_dir(path: str) -> Path | None:
    """Return the directory that the worktrees of the repository at `path` share, its `.git` or itself if it is bare; None
    if there is no repository. `path` may leave out a `.git` at its end, and that `.git` may be a file."""
    for place in (f"{path}/.git", path, f"{path}.git/.git", f"{path}.git"):
        git_dir = _named_in(place, b"gitdir: ") if os.path.isfile(place) else place
        if git_dir is not None and os.path.isfile(f"{git_dir}/HEAD"):
            common = _named_in(f"{git_dir}/commondir") or git_dir
            if os.path.isdir(f"{common}/objects"):
                return Path(os.path.abspath(common))
    return None


def _named_in(file: str, prefix: bytes = b"") -> str | None:
    """Return the path that `file` holds after `prefix`, relative to where the file is; None if it holds no such path."""
    try:
        with open(file, "rb") as opened:
            data = opened.read(_MOST_POINTER)
    except OSError:
        return None
    if not data.startswith(prefix):
        return None
    return os.path.join(os.path.dirname(file), os.fsdecode(data[len(prefix) :].rstrip(b"\r\n")))

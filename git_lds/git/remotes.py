"""Remotes: the URLs that git fetches from and pushes to, and where a repository on this machine keeps its parts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from git_lds.git import config as git_config
from git_lds.git.run import Git

_PUSH = ("--quiet", "--porcelain", "--no-follow-tags", "--recurse-submodules=no", "--no-verify")
_FETCH = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance")
_MOST_POINTER = 1 << 16
"""Bytes that are read of a file that names a directory."""


def urls(git: Git, git_dir: Path, config: Mapping[str, Sequence[tuple[str, str]]]) -> list[str]:
    """Return the URLs that git fetches from: those of the remotes, rewritten by `url.<base>.insteadOf`, and those of the
    last `git fetch`. `config` is git's configuration: by key, values with their origins."""
    configured = _configured(config)
    names = dict.fromkeys(name for name, section, _ in configured if section == "remote")
    if any(section == "url" for _, section, _ in configured):
        listed = [fetch_url(git, name) or "" for name in names]
    else:
        # the first is the one to fetch from, the others are only pushed to
        listed = [next(value for other, key, value in configured if (other, key) == (name, "remote")) for name in names]
    return list(dict.fromkeys(url for url in (*listed, *fetched_urls(git_dir)) if url))


def fetch_url(git: Git, remote: str) -> str | None:
    """Return the URL that git fetches a remote (a name or a URL) from, rewritten by `url.<base>.insteadOf`."""
    return git.maybe("ls-remote", "--get-url", "--", remote)


def push_url(git: Git, remote: str) -> str | None:
    """Return the URL that git pushes a remote of that name to, or None if there is no such remote."""
    return git.maybe("remote", "get-url", "--push", "--", remote)


def rewritten_push_url(git: Git, remote: str, url: str) -> str:
    """Return the URL that git pushes the remote at `url` to: its pushurl, else as pushInsteadOf or insteadOf rewrite `url`.

    For a remote that only the environment configures: `git remote get-url` does not know it.
    """
    rewritten: dict[int, str] = {}
    for _, key, value in git_config.matching(git, rf"^(remote\.{re.escape(remote)}\.pushurl|url\..*\.pushinsteadof)$"):
        if key.startswith("remote."):
            return fetch_url(git, value) or value
        if url.startswith(value):
            rewritten[len(value)] = key[len("url.") : -len(".pushinsteadof")] + url[len(value) :]
    return rewritten[max(rewritten)] if rewritten else fetch_url(git, remote) or url


def _configured(config: Mapping[str, Sequence[tuple[str, str]]]) -> list[tuple[str, str, str]]:
    """Return name, section and value of each `remote.<name>.url` and `url.<base>.insteadOf` of git's configuration."""
    entries = []
    for key, values in config.items():
        section, _, rest = key.partition(".")
        name, _, variable = rest.rpartition(".")
        if (section, variable) in (("remote", "url"), ("url", "insteadof")):
            entries += [(name, section, value) for value, _ in values]
    return entries


def fetched_urls(git_dir: Path) -> list[str]:
    """Return the URLs of the last `git fetch`, as FETCH_HEAD names them: `git pull URL` needs no remote.

    A line is "<id> TAB [not-for-merge] TAB <what> of <URL>", for the remote's HEAD "<id> TAB … TAB <URL>". No name of a
    branch or tag holds a space.
    """
    try:
        lines = (git_dir / "FETCH_HEAD").read_bytes().splitlines()
    except OSError:
        return []
    sources = [line.split(b"\t", 2)[2] for line in lines if line.count(b"\t") >= 2]
    return list(dict.fromkeys(os.fsdecode(_BEFORE_URL.sub(b"", source, count=1)) for source in sources))


_BEFORE_URL = re.compile(rb"^(?:[a-z-]+ (?:[a-z-]+ )*)?'[^ ]*' of ")


def common_dir(path: str) -> Path | None:
    """Return the directory that the worktrees of the repository at `path` share, its `.git` or itself if it is bare.

    None if there is no repository. `path` may leave out a `.git` at its end, and that `.git` may be a file.
    """
    for candidate in (f"{path}/.git", path, f"{path}.git/.git", f"{path}.git"):
        git_dir = _named_in(candidate, b"gitdir: ") if os.path.isfile(candidate) else candidate
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


def push(git: Git, name: str, commit: str, branch: str) -> None:
    """Make a branch of a remote be a commit that descends from it; hooks and tags are left out. Raises GitFailed."""
    git.bytes("push", *_PUSH, name, f"{commit}:refs/heads/{branch}")


def advertised(git: Git, name: str, *, head: bool = False) -> list[tuple[str, str]]:
    """Return (value, ref) of the branches and tags that a remote advertises, or, with `head`, of its HEAD.

    A value is an object id, or "ref: " with the name of the branch that HEAD is. An annotated tag comes twice, the second
    time with "^{}" at its name and the object that it means. Raises GitFailed if the remote cannot be read.
    """
    words = ("--symref", name, "HEAD") if head else ("--heads", "--tags", name)
    lines = git.bytes("ls-remote", *words).decode("utf-8", "replace").splitlines()
    return [(value, ref) for value, _, ref in (line.partition("\t") for line in lines)]


def fetch(git: Git, name: str, refspecs: Sequence[str], *options: str, stdin: bytes | None = None) -> None:
    """Fetch from a remote, quietly and without what git does by the way. With `--stdin` refspecs come from there.

    Raises GitFailed.
    """
    git.bytes("fetch", *_FETCH, *options, name, *refspecs, stdin=stdin)


def init_bare(git: Git, name: str, *, object_format: str, shared: str | None) -> None:
    """Make a bare repository `name` in git's directory, without a template. `shared` is as in `git init --shared`.

    Raises GitFailed.
    """
    options = ("--quiet", "--bare", "--template=", f"--object-format={object_format}")
    git.bytes("init", *options, *((f"--shared={shared}",) if shared is not None else ()), name)

"""Starts the use of git-lds in a repository: its store, the filter, the hook."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from git_lds.config.settings import CONFIG_FILE, StoreSetting, parse_config
from git_lds.errors import LdsError, UsageError
from git_lds.files import replace_with
from git_lds.repo import Repo
from git_lds.setup import hooks, install, trust
from git_lds.setup.hooks import Hook
from git_lds.store.backends.by_url import SUPPORTED
from git_lds.store.format.keys import Parameters


@dataclass(frozen=True, slots=True)
class Started:
    """The outcome of `start`: the store that counts now, whether `.ldsconfig` was written and the filter configured, the hook.

    `doubt` is what is wrong with the store for now, if anything. With `single_writer` only one client may push at a time.
    """

    store: StoreSetting | None
    written: bool
    configured: bool
    hook: Hook
    doubt: LdsError | None
    single_writer: bool = False


SINGLE_WRITER = (
    "it has no put-if-absent, so one of two simultaneous pushes may be lost: only one client may push at a time"
)


def start(repo: Repo, program: Path, *, store: str | None = None) -> Started:
    """Make git-lds work in the repository, with the store at `store` (a URL or a directory) if given.

    The URL goes to `.ldsconfig`, for everybody who clones. The store is created unless it exists; if it cannot be reached
    now and is not a directory, the first push creates it. Raises LdsError if another store is configured already, and
    UsageError if `store` is not the URL of a store.
    """
    written = False
    if store is not None:
        setting = StoreSetting(store_url(store), CONFIG_FILE, trusted=True)
        parameters, doubt = _create_or_doubt(repo, setting)
        written = _write_store(repo, setting.url)
        trust.add(repo.git, setting.url)
    configured = not install.is_installed(repo.git)
    if configured:
        install.install(repo.git, program, scope="local")
    hook = hooks.install(repo.git, program)
    if store is None:
        return Started(repo.settings.store_for(None), written, configured, hook, None)
    single_writer = parameters is not None and parameters.single_writer
    return Started(setting, written, configured, hook, doubt, single_writer)


def store_url(store: str) -> str:
    """Return the URL of a store, or the absolute path of a directory. Raises UsageError if it can be neither."""
    if "://" in store:
        return store
    if store.startswith("-") or not store.isprintable() or not store:
        raise UsageError(f"{store!r} is not the URL of a store", hint=SUPPORTED)
    if ":" in store.split("/")[0] and not os.path.isabs(store):
        # user@host:path, s3:bucket: a directory of that name is not what the user means
        raise UsageError(f"{store} is not the URL of a store", hint="write a directory with a colon as ./NAME")
    return os.path.abspath(os.path.expanduser(store))


def _create_or_doubt(repo: Repo, setting: StoreSetting) -> tuple[Parameters | None, LdsError | None]:
    """Create the store unless it exists; return its parameters, or the error of one that cannot be reached."""
    opened = repo.store(setting)  # raises UsageError if this is not the URL of a store
    if "://" not in setting.url or setting.url.startswith("file://"):
        return opened.create(), None
    try:
        return opened.create(), None
    except LdsError as error:
        return None, error


def _write_store(repo: Repo, url: str) -> bool:
    """Write the store's URL to `.ldsconfig` and leave everything else in it unchanged; return whether the file changed."""
    if repo.work_tree is None:
        raise LdsError("this repository has no working tree to write .ldsconfig to", hint=f"git config lds.store {url}")
    path = repo.work_tree / CONFIG_FILE
    if path.is_symlink():
        raise LdsError(f"{path} is a symbolic link", hint="replace it with a file")
    old = path.read_bytes() if path.exists() else b""
    present = parse_config(old).store
    if present == url:
        return False
    if present is not None:
        raise LdsError(
            f"{CONFIG_FILE} already names another store: {present}", hint=f"edit {CONFIG_FILE} to move to the new one"
        )
    replace_with(path, _with_store(old.decode(), url).encode())
    return True


def _with_store(text: str, url: str) -> str:
    """Return the TOML text with `url` in its table `store` and its comments kept. Raises LdsError if that cannot be done."""
    line = f"url = {_toml_text(url)}\n"
    wanted: dict[str, Any] = tomllib.loads(text)
    wanted["store"] = {**wanted.get("store", {}), "url": url}
    header = re.search(r"(?m)^[ \t]*\[[ \t]*store[ \t]*\][ \t]*(#.*)?$\n?", text)
    if header is None:
        gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
        new = f"{text}{gap}[store]\n{line}"
    else:
        new = text[: header.end()] + ("" if header[0].endswith("\n") else "\n") + line + text[header.end() :]
    try:
        if tomllib.loads(new) == wanted:
            return new
    except tomllib.TOMLDecodeError:
        pass
    raise LdsError(f"cannot add a store to {CONFIG_FILE} as it is written", hint=f"add to its [store]: {line.strip()}")


def _toml_text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

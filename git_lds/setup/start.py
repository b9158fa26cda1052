"""Starts the use of git-lds in a repository: which store it has, the filter, the hook."""

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
    """What `start` did: the store that counts now, whether `.ldsconfig` was changed and the filter configured, the hook.

    `doubt` says what is wrong with the store for now, where something is; `single_writer`, that only one may push to it at
    a time.
    """

    store: StoreSetting | None
    written: bool
    configured: bool
    hook: Hook
    doubt: LdsError | None
    single_writer: bool = False


SINGLE_WRITER = "it has no put-if-absent, so that of two pushes at once one may be lost: only one may push at a time"


def start(repo: Repo, program: Path, *, store: str | None = None) -> Started:
    """Make git-lds work in the repository, with the store at `store` (a URL or a directory) if that is given.

    The store's address goes to `.ldsconfig`, for everybody who clones. The store is made unless it is there; one elsewhere
    than in a directory may be out of reach today, and is then made by the first push. Raises LdsError where another store is
    configured already.
    """
    written = False
    if store is not None:
        setting = StoreSetting(address(store), CONFIG_FILE, trusted=True)
        parameters, doubt = _look_at(repo, setting)
        written = _write_store(repo, setting.url)
        trust.add(repo.git, setting.url)
    configured = not install.is_installed(repo.git)
    if configured:
        install.install(repo.git, program, scope="local")
    hook = hooks.put_in(repo.git, program)
    if store is None:
        found = repo.settings.store_for(None)
        return Started(found, written, configured, hook, None)
    single_writer = parameters is not None and parameters.single_writer
    return Started(setting, written, configured, hook, doubt, single_writer)


def address(store: str) -> str:
    """Return the store's address as it holds from any directory: a path without its ways around."""
    if "://" in store:
        return store
    if store.startswith("-") or not store.isprintable() or not store:
        raise UsageError(f"{store!r} is not the address of a store", hint=SUPPORTED)
    if ":" in store.split("/")[0] and not os.path.isabs(store):
        # user@host:path, s3:bucket: made into a directory of that name it would not be what was meant
        raise UsageError(f"{store} is not the address of a store", hint="a directory with a colon is written ./NAME")
    return os.path.abspath(os.path.expanduser(store))


def _look_at(repo: Repo, setting: StoreSetting) -> tuple[Parameters | None, LdsError | None]:
    """Make the store unless it is there; return its parameters, or what is wrong with one that is out of reach."""
    opened = repo.store(setting)  # raises UsageError for an address that is none
    if "://" not in setting.url or setting.url.startswith("file://"):
        return opened.create(), None
    try:
        return opened.create(), None
    except LdsError as error:
        return None, error


def _write_store(repo: Repo, url: str) -> bool:
    """Write the store's address to `.ldsconfig`, leaving all else in it as it is; tell whether that changed it."""
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
            f"{CONFIG_FILE} already names another store: {present}", hint=f"edit {CONFIG_FILE} if it is to move"
        )
    replace_with(path, _with_store(old.decode(), url).encode())
    return True


def _with_store(text: str, url: str) -> str:
    """Return the TOML text with `url` in its table `store`, its comments kept."""
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
    raise LdsError(
        f"{CONFIG_FILE} is written in a way that cannot be added to", hint=f"add to its [store]: {line.strip()}"
    )


def _toml_text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

"""Configuration: the environment overrides git's config, which overrides `.ldsconfig`; each value comes with its origin.

`.ldsconfig` is committed, so anyone who can commit can change it: only the keys listed here count, others are reported and
ignored, and a push never creates a directory that only this file names.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from git_lds import toml
from git_lds.errors import LdsError
from git_lds.fast_typing import TYPE_CHECKING, NamedTuple
from git_lds.git.run import Git
from git_lds.urls import has_control_character

if TYPE_CHECKING:
    from pathlib import Path

CONFIG_FILE = ".ldsconfig"
DEPS_FILE = ".ldsdeps"

CHECK_KEYS = frozenset(("annotations", "images", "exclude", "skip", "splits", "drift"))
"""The keys of the table `check`."""


class StoreSetting(NamedTuple):
    """A store's URL or directory, the place that names it, and whether that is the user (and not just a committed file)."""

    url: str
    origin: str
    trusted: bool


class LdsConfig(NamedTuple):
    """The contents of an `.ldsconfig`; `ignored` are its unknown keys."""

    store: str | None = None
    read: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    check: Mapping[str, object] = {}
    """The table `check` as it was read: only `git lds check` knows what it may contain."""


def parse_config(data: bytes, name: str = CONFIG_FILE) -> LdsConfig:
    """Return the contents of the bytes of an `.ldsconfig`. Raises LdsError, which names `name` and the fault."""
    tables = toml.read(data, name)
    known = {"store": {"url", "read"}, "fetch": {"include", "exclude"}, "check": CHECK_KEYS}
    ignored = [
        f"{table}.{key}" if isinstance(inner, dict) else table
        for table, inner in tables.items()
        for key in (inner if isinstance(inner, dict) else (table,))
        if not isinstance(inner, dict) or key not in known.get(table, ())
    ]
    store, fetch = _table(tables, "store"), _table(tables, "fetch")
    return LdsConfig(
        store=_checked_url(store["url"], name, "store.url") if "url" in store else None,
        read=tuple(_checked_url(url, name, "store.read") for url in _list(store.get("read", []), name, "store.read")),
        include=_list(fetch.get("include", []), name, "fetch.include"),
        exclude=_list(fetch.get("exclude", []), name, "fetch.exclude"),
        ignored=tuple(ignored),
        check=_table(tables, "check"),
    )


def _table(tables: Mapping[str, object], name: str) -> Mapping[str, object]:
    table = tables.get(name)
    return table if isinstance(table, dict) else {}


def _list(value: object, name: str, key: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise LdsError(f"{name}: {key} must be a list of strings", hint=f'write it as: {key.split(".")[1]} = ["…"]')
    return tuple(value)


def _checked_url(value: object, name: str, key: str) -> str:
    if not isinstance(value, str) or not _is_url(value):
        raise LdsError(f"{name}: {key} is not the URL of a store", hint='write it as: url = "https://…"')
    return value


def _is_url(text: str) -> bool:
    """Return whether a string of a committed file can be the URL of a store."""
    return text[:1] not in ("", "-") and text.isprintable() and not has_control_character(text)


_KEYS = r"^((lds|remote|branch|url)\.|core\.(sparsecheckout|autocrlf)$|filter\.lds\.process$)"
"""The keys of git's configuration that anything here needs: one question for all."""


class Settings:
    """The configuration of one repository; each source is read when a value of it is first needed."""

    def __init__(self, git: Git, environment: Mapping[str, str], committed: Callable[[], LdsConfig]) -> None:
        self.git = git
        self.environment = environment
        self._read_committed = committed

    @cached_property
    def committed(self) -> LdsConfig:
        """The contents of the repository's `.ldsconfig`. Raises LdsError if it cannot be read."""
        return self._read_committed()

    @cached_property
    def config(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        """git's config: each key (lower case but for its middle part) with its values and the origin of each."""
        from git_lds.git import config  # late: the greeting of the filter need not wait for it

        values: dict[str, list[tuple[str, str]]] = {}
        for origin, key, value in config.matching(self.git, _KEYS):
            values.setdefault(key, []).append((value, origin))
        return values

    def add(self, key: str, value: str) -> None:
        """Add a value to a key of the repository's own configuration. Raises GitFailed."""
        from git_lds.git import config  # late: what git starts adds nothing

        config.add(self.git, key, value)
        self.__dict__.pop("config", None)

    def value(self, variable: str, key: str) -> tuple[str, str] | None:
        """Return (value, origin) from the environment variable, else from git's config."""
        if self.environment.get(variable):
            return self.environment[variable], variable
        return self.config[key][-1] if self.config.get(key) else None

    def _flag(self, variable: str, key: str) -> bool:
        setting = self.value(variable, key)
        return setting is not None and setting[0].lower() not in ("", "0", "false", "no", "off")

    @property
    def skip_smudge(self) -> bool:
        """Whether checkouts leave pointers: GIT_LDS_SKIP_SMUDGE, or lds.skipsmudge, which `install --skip-smudge` sets."""
        return self._flag("GIT_LDS_SKIP_SMUDGE", "lds.skipsmudge")

    @property
    def include(self) -> tuple[str, ...]:
        """Patterns of the paths to fetch; without any, all."""
        return self._patterns("GIT_LDS_INCLUDE", "lds.fetchinclude", "include")

    @property
    def exclude(self) -> tuple[str, ...]:
        """Patterns of the paths not to fetch."""
        return self._patterns("GIT_LDS_EXCLUDE", "lds.fetchexclude", "exclude")

    def _patterns(self, variable: str, key: str, name: str) -> tuple[str, ...]:
        setting = self.value(variable, key)
        if setting is None:
            return self.committed.include if name == "include" else self.committed.exclude
        return tuple(part.strip() for part in setting[0].split(",") if part.strip())

    @property
    def cache_dir(self) -> Path:
        """The user's cache directory: GIT_LDS_CACHE, lds.cache, else the platform's own."""
        from pathlib import Path

        setting = self.value("GIT_LDS_CACHE", "lds.cache")
        if setting:
            return Path(os.path.abspath(os.path.expanduser(setting[0])))
        if sys.platform == "linux" and os.path.isabs(os.environ.get("HOME", "")):
            # the same as platformdirs, which takes 6 ms of each checkout to load
            base = os.environ.get("XDG_CACHE_HOME", "")
            return Path(base if os.path.isabs(base) else os.path.expanduser("~/.cache"), "git-lds")
        import platformdirs

        return Path(platformdirs.user_cache_dir("git-lds", appauthor=False))

    def remotes(self) -> list[str]:
        """Return the names of the remotes that have a URL, in the order of the config."""
        return [
            key[len("remote.") : -len(".url")]
            for key in self.config
            if key.startswith("remote.") and key.endswith(".url")
        ]

    def check_remote(self, remote: str | None) -> None:
        """Raise LdsError if `remote` is neither the name of a remote nor a URL."""
        if (
            remote is None
            or set(remote) & set("/:\\")
            or any(key.startswith(f"remote.{remote}.") for key in self.config)
        ):
            return
        if not os.path.exists(os.path.join(os.fsdecode(self.git.cwd or ""), remote)):
            raise LdsError(f"{remote}: no such remote", hint="to list remotes: git remote -v")

    def default_remote(self) -> str | None:
        """Return the remote for a command without one: the current branch's, else origin, else the only one."""
        from git_lds.git import refs  # late, as above

        names = self.remotes()
        branch = refs.current_branch(self.git)
        if branch and (values := self.config.get(f"branch.{branch}.remote")) and values[-1][0] in names:
            return values[-1][0]
        return "origin" if "origin" in names else names[0] if len(names) == 1 else None

    def store_for(self, remote: str | None, *, push_url: str | None = None) -> StoreSetting | None:
        """Return the store of a remote (its name or its URL; None: the default remote), or None if it has none.

        In order: GIT_LDS_STORE, remote.<name>.ldsstore, lds.store, `.ldsconfig`, the directory `lds` in a remote that is
        a local path. `push_url` is the URL that a push to the remote goes to, if it differs from the one to fetch from.
        """
        remote = remote or self.default_remote()
        if self.environment.get("GIT_LDS_STORE"):
            return StoreSetting(self.environment["GIT_LDS_STORE"], "GIT_LDS_STORE", trusted=True)
        for key in (f"remote.{remote}.ldsstore", "lds.store"):
            if self.config.get(key):
                return StoreSetting(*self.config[key][-1], trusted=True)
        if self.committed.store:
            return StoreSetting(self.committed.store, CONFIG_FILE, trusted=False)
        directory = self._directory_of(push_url or remote) if remote else None
        return StoreSetting(str(directory), f"the directory of remote {remote}", trusted=True) if directory else None

    def push_url(self, remote: str | None) -> str | None:
        """Return the URL that a push to the remote of that name goes to, or None if there is no such remote."""
        from git_lds.git import remotes  # late, as above

        name = remote or self.default_remote()
        return remotes.push_url(self.git, name) if name is not None and name in self.remotes() else None

    def _own_store_of(self, remote: str) -> StoreSetting | None:
        """Return the store of just this remote, if it has one: as `store_for` does, but without starting git."""
        if values := self.config.get(f"remote.{remote}.ldsstore"):
            return StoreSetting(*values[-1], trusted=True)
        if self.environment.get("GIT_LDS_STORE") or self.config.get("lds.store") or self.committed.store:
            return None  # this is the store of every remote
        directory = store_directory_of(self.config[f"remote.{remote}.url"][-1][0], base=self.git.cwd)
        is_store = directory is not None and (directory / "lds.toml").exists()
        return StoreSetting(str(directory), f"the directory of remote {remote}", trusted=True) if is_store else None

    def _directory_of(self, remote: str) -> Path | None:
        """Return the directory `lds` of a remote that is a local path: in the bare repository, or in its `.git`."""
        from git_lds.git import remotes  # late, as above

        url = remotes.fetch_url(self.git, remote)
        return store_directory_of(url, base=self.git.cwd) if url else None

    def read_stores(self, remote: str | None) -> list[StoreSetting]:
        """Return the stores to read from, in order and once each: the remote's, then `read` of `.ldsconfig`, then those of
        other remotes, which have the objects of what was fetched from a fork."""
        first = self.store_for(remote)
        others = [StoreSetting(url, CONFIG_FILE, trusted=False) for url in self.committed.read]
        if first and first.origin != CONFIG_FILE and self.committed.store:
            others.insert(0, StoreSetting(self.committed.store, CONFIG_FILE, trusted=False))
        others += [setting for name in self.remotes() if (setting := self._own_store_of(name)) is not None]
        by_url: dict[str, StoreSetting] = {}
        for setting in [*([first] if first else []), *others]:
            by_url.setdefault(setting.url, setting)
        return list(by_url.values())


def store_directory_of(url: str, *, base: str | bytes | None = None) -> Path | None:
    """Return the directory `lds` in the git repository at `url` if that is a local path, else None."""
    from git_lds.git.remotes import common_dir  # late: `git status` does not need it

    path = local_path(url, base=base)
    git_dir = common_dir(path) if path is not None else None
    return git_dir / "lds" if git_dir is not None else None


def local_path(url: str, *, base: str | bytes | None = None) -> str | None:
    """Return the path that the URL of a git remote names, or None if it is not local; relative paths count from `base`."""
    if url.startswith("file://"):
        from urllib.parse import unquote, urlsplit  # late: it takes 3 ms, and `git status` does not need it

        return unquote(urlsplit(url).path, errors="surrogateescape")
    if "://" in url or (":" in url.split("/")[0] and not os.path.exists(url)):
        return None
    return os.path.join(os.fsdecode(base or ""), os.path.expanduser(url))


def dependency_stores(deps: bytes | None) -> list[str]:
    """Return the stores that an `.ldsdeps` names, in its order: they have the objects of imported files.

    The checks are lenient, because objects must be readable even if an entry has a newer form; the code that writes
    `.ldsdeps` is stricter.
    """
    entries = []
    for side in toml.sides(deps or b""):  # in the middle of a merge the objects of both sides are needed
        with contextlib.suppress(LdsError):
            entries += [each for each in _table(toml.read(side, DEPS_FILE), "deps").values() if isinstance(each, dict)]
    urls = [url for entry in entries for url in (entry.get("store"), *_texts(entry.get("read")))]
    return list(dict.fromkeys(url for url in urls if isinstance(url, str) and _is_url(url)))


def outputs(deps: bytes | None, *, vendored: bool = False) -> list[str]:
    """Return the paths of the dependencies in an `.ldsdeps`; with `vendored` only those whose objects the repository's own
    store must have too."""
    with contextlib.suppress(LdsError):
        entries = _table(toml.read(deps or b"", DEPS_FILE), "deps").items()
        tables = [(output, entry) for output, entry in entries if isinstance(entry, dict)]
        return [output for output, entry in tables if not vendored or entry.get("vendor") is True]
    return []


def _texts(value: object) -> list[object]:
    return value if isinstance(value, list) else []

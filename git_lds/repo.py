"""One open repository: its settings, its objects and its stores. It joins the rooms below it and holds no verbs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from functools import cached_property

from git_lds import toml
from git_lds.config import settings
from git_lds.config.settings import CONFIG_FILE, DEPS_FILE, LdsConfig, Settings, StoreSetting
from git_lds.errors import LdsError
from git_lds.fast_typing import TYPE_CHECKING
from git_lds.files import WorkTreePath
from git_lds.git import shared
from git_lds.git.objects import small_blobs
from git_lds.git.run import Git
from git_lds.local.lookup import LocalObjects, belongs_to
from git_lds.local.objects import ObjectDirectory

if TYPE_CHECKING:
    from pathlib import Path

    from git_lds.config.credentials import GitCredentials
    from git_lds.consent import Consent
    from git_lds.errors import ConsentNeeded
    from git_lds.git.repository import Location
    from git_lds.store.client.store import Store


_BRANCHES = 32
"""Remote-tracking branches whose `.ldsconfig` is read for a store."""

_OWN_CONFIG = ("config", "config.worktree")
_ALTERNATES_DEPTH = 5
"""How far git itself follows alternates of alternates."""


class Repo:
    """An open git repository: its paths, its settings, the objects on this machine and the stores."""

    def __init__(
        self,
        git: Git,
        location: Location,
        *,
        checkout_tree: str | None = None,
        on_config_error: Callable[[LdsError], None] | None = None,
    ) -> None:
        """Open a repository whose parts git has located; `here` does both.

        `checkout_tree` is the tree that git is checking out, where the filter knows it: its `.ldsconfig` counts first.
        `on_config_error` receives the error of an `.ldsconfig` that cannot be read, and that of HEAD counts then, or none:
        git, in the middle of writing files, must not fail, as in a merge with a conflict in that very file. Without it
        the error is raised.
        """
        self.git = git
        self.git_dir, self.common_dir, self.index, self.hooks = location.paths
        self.work_tree = location.work_tree
        self.hash_size = location.hash_size
        """Bytes of an object id of git: 20 (SHA-1) or 32 (SHA-256)."""
        self.environment: Mapping[str, str] = git.environment
        self.checkout_tree = checkout_tree
        self._pushed_commit: str | None = None
        self._on_config_error = on_config_error
        self._files_read: dict[str, bytes | None] | None = None
        """Our files as they were read, None for those that do not exist. Only a push reads them once: others write them."""
        self._stores: dict[tuple[str, bool], Store] = {}

    @classmethod
    def here(
        cls,
        cwd: Path | None = None,
        *,
        checkout_tree: str | None = None,
        on_config_error: Callable[[LdsError], None] | None = None,
    ) -> Repo:
        """Return the repository around the current directory, or around `cwd`.

        The other arguments are those of the constructor. Raises LdsError if there is no repository, and
        DubiousOwnership if git refuses to use it.
        """
        from git_lds.git.repository import (
            locate,  # late: 4 ms for pathlib that the greeting of the filter need not wait for
        )

        git = Git(cwd)
        location = locate(git)
        for name, path in (
            ("GIT_DIR", location.paths.git_dir),
            ("GIT_INDEX_FILE", location.paths.index_file),
            ("GIT_WORK_TREE", location.work_tree),
        ):
            if path and git.environment.get(name):
                git.environment[name] = str(path)  # git sets them relative to the directory that it started in
        top_git = git if location.work_tree is None else git.at(str(location.work_tree))
        return cls(top_git, location, checkout_tree=checkout_tree, on_config_error=on_config_error)

    def require_work_tree(self) -> Path:
        """Return the top of the working tree. Raises LdsError in a bare repository."""
        if self.work_tree is None:
            raise LdsError("this repository has no working tree", hint="run this in a clone that is not bare")
        return self.work_tree

    @cached_property
    def lds_dir(self) -> Path:
        """The directory of git-lds in the repository. All worktrees share it, and it is as accessible as the repository."""
        directory = self.common_dir / "lds"
        shared.prepare(directory)
        return directory

    @property
    def tmp(self) -> Path:
        """The directory for files being written, on the file system of the local store."""
        return self.lds_dir / "tmp"

    @cached_property
    def settings(self) -> Settings:
        return Settings(self.git, self.environment, self._committed)

    @cached_property
    def own(self) -> ObjectDirectory:
        """The local store, which new content goes to."""
        return ObjectDirectory(self.lds_dir)

    @cached_property
    def objects(self) -> LocalObjects:
        """The objects on this machine: in the local store, in those of alternates, in the cache."""
        others = [ObjectDirectory(directory) for directory in self._alternates()]
        cache = ObjectDirectory(self.settings.cache_dir / "objects", lasting=False)
        return LocalObjects(self.own, cache, others, self._local_stores_of_remotes)

    def _alternates(self) -> list[Path]:
        """Return the local stores of the repositories whose objects git borrows.

        The environment and objects/info/alternates name them, and those of the alternates name more.
        """
        variable = self.environment.get("GIT_ALTERNATE_OBJECT_DIRECTORIES", "").split(os.pathsep)
        own = os.path.normpath(self.common_dir / "objects")
        alternates = dict.fromkeys([*(os.path.abspath(path) for path in variable if path), *_alternates_of(own)])
        for _ in range(_ALTERNATES_DEPTH):
            alternates |= dict.fromkeys(inner for path in list(alternates) for inner in _alternates_of(path))
        directories = [self.common_dir / os.path.dirname(path) / "lds" for path in alternates if path != own]
        return [directory for directory in directories if directory.is_dir()]

    def _local_stores_of_remotes(self) -> list[ObjectDirectory]:
        """Return the local stores of the remotes that are on this machine."""
        from git_lds.git import remotes  # late: needed only if an object is missing

        paths = (
            settings.local_path(url, base=self.git.cwd)
            for url in remotes.urls(self.git, self.git_dir, self.settings.config)
        )
        git_dirs = dict.fromkeys(remotes.common_dir(path) for path in paths if path)
        directories = {}
        for git_dir in filter(None, git_dirs):
            with contextlib.suppress(OSError):
                directory = git_dir / "lds"
                if directory.is_dir() and belongs_to(directory, git_dir):
                    directories[directory.resolve()] = directory
        directories.pop(self.lds_dir.resolve(), None)
        return [ObjectDirectory(directory, lasting=False) for directory in directories.values()]

    @cached_property
    def is_bare(self) -> bool:
        """Whether this is a bare repository, such as `git clone --mirror` makes, and not a linked worktree of one."""
        from git_lds.git.repository import is_bare

        return self.work_tree is None and is_bare(self.git)

    def _committed(self) -> LdsConfig:
        """Return the contents of the `.ldsconfig` that counts."""
        try:
            return _parsed(self._settings_file(CONFIG_FILE))
        except LdsError as error:
            if self._on_config_error is None:
                raise
            with contextlib.suppress(LdsError):
                config = _parsed(self._blob(f"HEAD:{CONFIG_FILE}"))
                self._on_config_error(LdsError(f"{error.message}; using that of HEAD instead", error.hint))
                return config
            self._on_config_error(LdsError(f"{error.message}; going on without it", error.hint))
            return LdsConfig()

    def _settings_file(self, name: str) -> bytes | None:
        """Return a file of ours at the top of the repository, or None.

        It comes from the tree that git is checking out, else from the working tree, else from HEAD. A symbolic link is
        not followed, and not much more is read than such a file may have.
        """
        if self._files_read is None:
            return self._read_settings_file(name)
        if name not in self._files_read:
            self._files_read[name] = self._read_settings_file(name)
        return self._files_read[name]

    def _read_settings_file(self, name: str) -> bytes | None:
        tree = self._pushed_commit or self.checkout_tree
        if tree and (data := self._blob(f"{tree}:{name}")) is not None:
            return data
        if self.work_tree is not None:
            with contextlib.suppress(OSError), WorkTreePath(os.fsencode(self.work_tree), name.encode()) as path:
                return path.read(toml.MAX_SIZE + 1)
        return self._blob(f"HEAD:{name}")

    def _blob(self, name: str) -> bytes | None:
        """Return the contents of a blob by the name that git resolves, or None."""
        read = self.git.reader.read(name)
        return read[1] if read is not None and read[0].kind == "blob" else None

    @cached_property
    def consent(self) -> Consent:
        """What the user agreed to have done with stores that committed files name."""
        from git_lds.consent import Consent

        return Consent(self.settings, self.git_dir)

    def store(self, setting: StoreSetting, *, anonymous: bool = False) -> Store:
        """Return the open store of a setting; each is opened once. An `anonymous` one is used without credentials."""
        # late: what moves objects loads httpx, and no `git status` should wait for that
        from git_lds.store.backends.by_url import open_backend
        from git_lds.store.client.store import Store

        key = setting.url, anonymous
        if key not in self._stores:
            backend = open_backend(setting.url, None if anonymous else self._credentials)
            self._stores[key] = Store(backend, self.settings.cache_dir)
        return self._stores[key]

    @cached_property
    def _credentials(self) -> GitCredentials:
        """The credentials for all stores, so that several stores of one origin ask the user once."""
        from git_lds.config.credentials import GitCredentials

        return GitCredentials(self.git)

    @property
    def open_stores(self) -> list[Store]:
        """The stores that were opened so far."""
        return list(self._stores.values())

    def reading_stores(self, remote: str | None = None) -> list[Store]:
        """Return the stores to look objects up in, in order: those of `reading_settings` that may be read from."""
        may_be_asked = filter(self.consent.may_ask, self.reading_settings(remote))
        return list(dict.fromkeys(self.store(setting) for setting in may_be_asked))

    def reading_settings(self, remote: str | None = None) -> list[StoreSetting]:
        """Return the stores that objects may be in, whether or not they may be read from.

        In order: this repository's, the one that was pushed into it, those of its dependencies, and those that the
        branches of its remotes name, such as a fork's.
        """
        named = [*self.settings.read_stores(remote), *self.inner_stores(), *self.dependency_settings()]
        named += [*self._stores_of_branches(), *self._trusted_in_this_repository()]
        by_url: dict[str, StoreSetting] = {}
        for setting in named:
            by_url.setdefault(setting.url, setting)
        return list(by_url.values())

    def _trusted_in_this_repository(self) -> list[StoreSetting]:
        """Return the stores trusted in this repository's own configuration: objects may be in one that no file names now."""
        from git_lds.consent import TRUST

        own = {
            os.path.realpath(directory / name) for directory in (self.common_dir, self.git_dir) for name in _OWN_CONFIG
        }
        top = os.fsdecode(self.git.cwd or "")
        return [
            StoreSetting(url, TRUST, trusted=True)
            for url, origin in self.settings.config.get(TRUST, ())
            if url and os.path.realpath(os.path.join(top, origin.removeprefix("file:"))) in own
        ]

    def read_settings_at(self, commit: str) -> None:
        """Read `.ldsconfig` and `.ldsdeps` from a commit, if it has them, from now on: from the one that is pushed."""
        self._pushed_commit = commit
        self.settings.__dict__.pop("committed", None)
        self._files_read = {}

    @property
    def settings_revision(self) -> str:
        """The revision whose `.ldsconfig` counts: that of `read_settings_at`, or HEAD."""
        return self._pushed_commit or self.checkout_tree or "HEAD"

    def copying_stores(self, target: str, remote: str | None = None) -> list[Store]:
        """Return the stores that objects may be copied from to the store at `target`: `own_stores`, then, without
        credentials, others that give objects to everybody."""
        others = [setting for setting in self.reading_settings(remote) if setting.url != target]
        public = [
            setting
            for setting in others
            if not self.consent.may_copy(setting) and self.consent.may_copy_what_is_public(setting, target)
        ]
        own = [store for store in self.own_stores(remote) if store.url != target]
        return [*own, *(self.store(setting, anonymous=True) for setting in public)]

    def own_stores(self, remote: str | None = None) -> list[Store]:
        """Return the stores that belong to this repository or that the user trusts."""
        return [self.store(setting) for setting in self.reading_settings(remote) if self.consent.may_copy(setting)]

    def refusals(self, remote: str | None = None) -> list[ConsentNeeded]:
        """Return an error for each store that is not used because the user has not agreed to it."""
        from git_lds.consent import not_asked

        return [not_asked(setting) for setting in self.reading_settings(remote) if not self.consent.may_ask(setting)]

    def notices(self) -> list[str]:
        """Return a warning for each store, of those opened so far, that is another one than before."""
        return [notice for store in self.open_stores if (notice := store.other_history) is not None]

    def inner_stores(self) -> list[StoreSetting]:
        """Return the store in the directory of git-lds itself, which pushes to this repository make, if it exists."""
        if not (self.lds_dir / "lds.toml").exists():
            return []
        return [StoreSetting(str(self.lds_dir), "this repository", trusted=True)]

    def _stores_of_branches(self) -> list[StoreSetting]:
        """Return the stores that the `.ldsconfig` of the latest remote-tracking branches name, or of the branches of a bare
        repository. Directories are left out."""
        from git_lds.git import refs  # late: as above

        prefixes = ("refs/heads", "refs/remotes") if self.is_bare else ("refs/remotes",)
        tips = refs.latest_tips(self.git, prefixes, count=_BRANCHES)
        names = dict.fromkeys(f"{tip}:{CONFIG_FILE}".encode() for tip in tips)
        stores: list[StoreSetting] = []
        for _, data in small_blobs(self.git, names, limit=toml.MAX_SIZE):
            with contextlib.suppress(LdsError):
                url = settings.parse_config(data).store
                if url and "://" in url and not url.lower().startswith("file:"):
                    stores.append(StoreSetting(url, "a branch of a remote", trusted=False))
        return stores

    def dependency_settings(self) -> list[StoreSetting]:
        """Return the stores that `.ldsdeps` names."""
        return [StoreSetting(url, DEPS_FILE, trusted=False) for url in self.dependency_urls()]

    def dependency_urls(self) -> list[str]:
        """Return the URLs of the stores that `.ldsdeps` names."""
        return settings.dependency_stores(self.dependencies())

    def dependency_stores(self) -> list[Store]:
        """Return the stores that `.ldsdeps` names and that may be read from."""
        return [self.store(setting) for setting in self.dependency_settings() if self.consent.may_ask(setting)]

    def dependencies(self) -> bytes | None:
        """Return the bytes of the `.ldsdeps` that counts, or None."""
        return self._settings_file(DEPS_FILE)

    def outputs(self, *, vendored: bool = False) -> list[str]:
        """Return the paths of the dependencies in `.ldsdeps`; with `vendored` only those whose objects this repository's
        own store must have too."""
        return settings.outputs(self.dependencies(), vendored=vendored)

    def close(self) -> None:
        """Close the stores, the files of the local store, and git's object reader."""
        self.git.close()
        for store in self._stores.values():
            store.close()
        if "objects" in self.__dict__:
            self.objects.close()
        elif "own" in self.__dict__:
            self.own.close()

    def __enter__(self) -> Repo:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _parsed(data: bytes | None) -> LdsConfig:
    return settings.parse_config(data) if data is not None else LdsConfig()


def _alternates_of(objects: str) -> list[str]:
    """Return the alternates that a directory of git objects names, each a directory of git objects."""
    try:
        with open(os.path.join(objects, "info", "alternates"), "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    paths = [os.fsdecode(line) for line in lines if line and not line.startswith(b"#")]
    return [os.path.normpath(os.path.join(objects, path)) for path in paths]

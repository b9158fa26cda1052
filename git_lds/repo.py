"""One open repository: joins what is below it, and holds no verbs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from git_lds import toml
from git_lds.config import settings
from git_lds.config.settings import CONFIG_FILE, DEPS_FILE, LdsConfig, Settings, StoreSetting
from git_lds.errors import LdsError
from git_lds.fast_typing import TYPE_CHECKING, NamedTuple
from git_lds.files import WorkTreePath
from git_lds.git import shared
from git_lds.git.objects import small_blobs
from git_lds.git.run import Git, GitFailed
from git_lds.local.lookup import LocalObjects, belongs_to
from git_lds.local.objects import ObjectDirectory

if TYPE_CHECKING:
    from pathlib import Path

    from git_lds.config.credentials import GitCredentials
    from git_lds.consent import Consent
    from git_lds.errors import ConsentNeeded
    from git_lds.store.client.store import Store


_BRANCHES = 32
"""Remote-tracking branches that are asked for the store of their `.ldsconfig`."""

_OWN_CONFIG = ("config", "config.worktree")
_ALTERNATES_DEPTH = 5
"""How far git itself follows alternates of alternates."""


class DubiousOwnership(LdsError):
    """The repository belongs to another user, so that git does not use it."""


class Places(NamedTuple):
    """Where git keeps the parts of a repository: its own directory, the one that working trees share, the index, the hooks."""

    git_dir: Path
    common_dir: Path
    index_file: Path
    hooks: Path


class Repo:
    """An open git repository: where its parts are, its settings, its objects here and its stores elsewhere."""

    def __init__(self, git: Git, places: Places, work_tree: Path | None, hash_size: int) -> None:
        self.git = git
        self.git_dir, self.common_dir, self.index, self.hooks = places
        self.work_tree = work_tree
        self.hash_size = hash_size
        """Bytes of an object id of git: 20 (SHA-1) or 32 (SHA-256)."""
        self.environment: Mapping[str, str] = git.environment
        self.treeish: str | None = None
        """The tree that git is checking out, where the filter was told: its `.ldsconfig` counts while there is no other."""
        self.forgive: Callable[[LdsError], None] | None = None
        """Told of an `.ldsconfig` that cannot be read, where git is in the midst of writing files and must not be left
        there, as in a merge that has a conflict in that very file. That of HEAD counts then, or none. Else it is an error."""
        self._read: dict[str, bytes | None] | None = None
        """Our files as they were read, None for those that are not there. Only a push reads them once: others write them."""
        self._stores: dict[tuple[str, bool], Store] = {}

    @classmethod
    def here(cls, cwd: Path | None = None) -> Repo:
        """Return the repository around the current directory, or around `cwd`. Raises LdsError where there is none."""
        from pathlib import Path  # late: 4 ms that the greeting of the filter need not wait for

        git = Git(cwd)
        form, *answers = _answers(git)
        places = Places(*map(Path, answers[:4]))
        work_tree = Path(answers[4]) if len(answers) > 4 else None
        for name, path in (
            ("GIT_DIR", places.git_dir),
            ("GIT_INDEX_FILE", places.index_file),
            ("GIT_WORK_TREE", work_tree),
        ):
            if path and git.environment.get(name):
                git.environment[name] = str(path)  # git hands them on relative to where it stood
        top_git = git if work_tree is None else git.at(str(work_tree))
        return cls(top_git, places, work_tree, 32 if form == "sha256" else 20)

    def require_work_tree(self) -> Path:
        """Return the top of the working tree. Raises LdsError in a bare repository."""
        if self.work_tree is None:
            raise LdsError("this repository has no working tree", hint="run this in a clone that is not bare")
        return self.work_tree

    @cached_property
    def lds_dir(self) -> Path:
        """The directory of git-lds in the repository, shared by its worktrees and by whom the repository is."""
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
        """The local store: where new content goes."""
        return ObjectDirectory(self.lds_dir)

    @cached_property
    def objects(self) -> LocalObjects:
        """The objects on this machine: the local store, those of borrowed repositories, the cache."""
        others = [ObjectDirectory(directory) for directory in self._alternates()]
        cache = ObjectDirectory(self.settings.cache_dir / "objects", lasting=False)
        return LocalObjects(self.own, cache, others, self._local_stores_of_remotes)

    def _alternates(self) -> list[Path]:
        """Return the local stores of the repositories whose objects git borrows: those that it is told of in the
        environment or in objects/info/alternates, and those that they borrow from in turn."""
        told = self.environment.get("GIT_ALTERNATE_OBJECT_DIRECTORIES", "").split(os.pathsep)
        own = os.path.normpath(self.common_dir / "objects")
        found = dict.fromkeys([*(os.path.abspath(path) for path in told if path), *_borrowed_by(own)])
        for _ in range(_ALTERNATES_DEPTH):
            found |= dict.fromkeys(inner for path in list(found) for inner in _borrowed_by(path))
        directories = [self.common_dir / os.path.dirname(path) / "lds" for path in found if path != own]
        return [directory for directory in directories if directory.is_dir()]

    def _local_stores_of_remotes(self) -> list[ObjectDirectory]:
        """Return the local stores of the remotes that are on this machine."""
        from git_lds.git import remotes  # late: nothing that git calls needs it unless an object is missing

        paths = (settings.local_path(url, base=self.git.cwd) for url in remotes.urls(self.git, self.git_dir))
        git_dirs = dict.fromkeys(found for path in paths if path and (found := remotes.common_dir(path)) is not None)
        directories = {}
        for git_dir in git_dirs:
            with contextlib.suppress(OSError):
                directory = git_dir / "lds"
                if directory.is_dir() and belongs_to(directory, git_dir):
                    directories[directory.resolve()] = directory
        directories.pop(self.lds_dir.resolve(), None)
        return [ObjectDirectory(directory, lasting=False) for directory in directories.values()]

    @cached_property
    def is_bare(self) -> bool:
        """Whether this is a bare repository, such as `git clone --mirror` makes, and not a linked worktree of one."""
        return self.work_tree is None and self.git.text("rev-parse", "--is-bare-repository") == "true"

    def _committed(self) -> LdsConfig:
        """Return what the `.ldsconfig` that counts says."""
        try:
            return _parsed(self._settings_file(CONFIG_FILE))
        except LdsError as error:
            if self.forgive is None:
                raise
            before = self._blob(f"HEAD:{CONFIG_FILE}")
            with contextlib.suppress(LdsError):
                found = _parsed(before)
                self.forgive(LdsError(f"{error.message}; going on with that of HEAD", error.hint))
                return found
            self.forgive(LdsError(f"{error.message}; going on without it", error.hint))
            return LdsConfig()

    def _settings_file(self, name: str) -> bytes | None:
        """Return a file of ours at the top of the repository: from the tree that git is checking out, else from the work
        tree, else from HEAD. A link is not followed, and not much more is read than such a file may have."""
        if self._read is None:
            return self._look_for(name)
        if name not in self._read:
            self._read[name] = self._look_for(name)
        return self._read[name]

    def _look_for(self, name: str) -> bytes | None:
        if self.treeish and (data := self._blob(f"{self.treeish}:{name}")) is not None:
            return data
        if self.work_tree is not None:
            with contextlib.suppress(OSError), WorkTreePath(os.fsencode(self.work_tree), name.encode()) as place:
                return place.read(toml.MAX_SIZE + 1)
        return self._blob(f"HEAD:{name}")

    def _blob(self, name: str) -> bytes | None:
        try:
            return self.git.bytes("cat-file", "blob", name)
        except GitFailed:
            return None

    @cached_property
    def consent(self) -> Consent:
        """What the user agreed to have done with stores that committed files name."""
        from git_lds.consent import Consent

        return Consent(self.settings)

    def store(self, setting: StoreSetting, *, anonymous: bool = False) -> Store:
        """Return the open store of a setting; each is opened once. An `anonymous` one is asked without credentials."""
        # the one late import of our own: what moves objects loads httpx, which no `git status` should wait for
        from git_lds.store.backends.by_url import open_backend
        from git_lds.store.client.store import Store

        key = setting.url, anonymous
        if key not in self._stores:
            backend = open_backend(setting.url, None if anonymous else self._credentials)
            self._stores[key] = Store(backend, self.settings.cache_dir)
        return self._stores[key]

    @cached_property
    def _credentials(self) -> GitCredentials:
        """One for all stores, so that several of one origin ask the user once."""
        from git_lds.config.credentials import GitCredentials

        return GitCredentials(self.git)

    @property
    def open_stores(self) -> list[Store]:
        """The stores that were opened so far."""
        return list(self._stores.values())

    def reading_stores(self, remote: str | None = None) -> list[Store]:
        """Return the stores to look objects up in, in order: those of `reading_settings` that may be asked."""
        may_be_asked = filter(self.consent.may_ask, self.reading_settings(remote))
        return list(dict.fromkeys(self.store(setting) for setting in may_be_asked))

    def reading_settings(self, remote: str | None = None) -> list[StoreSetting]:
        """Return the stores that objects may be in, whether or not they may be asked: this repository's, the one that was
        pushed into it, then those of its dependencies, then those that the branches of its remotes name, such as a fork's."""
        named = [*self.settings.read_stores(remote), *self.inner_stores(), *self.dependency_settings()]
        named += [*self._stores_of_branches(), *self._trusted_here()]
        found: dict[str, StoreSetting] = {}
        for setting in named:
            found.setdefault(setting.url, setting)
        return list(found.values())

    def _trusted_here(self) -> list[StoreSetting]:
        """Return the stores that the user trusts in this very repository: objects may be in one that nothing names any more."""
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
        """Have `.ldsconfig` and `.ldsdeps` read from a commit, where it has them: from the one that is pushed."""
        self.treeish = commit
        self.settings.__dict__.pop("committed", None)
        self._read = {}

    def copying_stores(self, target: str, remote: str | None = None) -> list[Store]:
        """Return the stores that objects may be copied from to the place at `target`: `own_stores`, then others as they answer
        to everybody."""
        others = [setting for setting in self.reading_settings(remote) if setting.url != target]
        public = [
            setting
            for setting in others
            if not self.consent.may_copy(setting) and self.consent.may_copy_what_is_public(setting, target)
        ]
        own = [store for store in self.own_stores(remote) if store.url != target]
        return [*own, *(self.store(setting, anonymous=True) for setting in public)]

    def own_stores(self, remote: str | None = None) -> list[Store]:
        """Return the stores that are this repository's own, or that the user trusts."""
        return [self.store(setting) for setting in self.reading_settings(remote) if self.consent.may_copy(setting)]

    def refusals(self, remote: str | None = None) -> list[ConsentNeeded]:
        """Return an error for each store that is not asked, for want of the user's consent."""
        from git_lds.consent import not_asked

        return [not_asked(each) for each in self.reading_settings(remote) if not self.consent.may_ask(each)]

    def notices(self) -> list[str]:
        """Return what is to be told of the stores that were opened: a line for each that is another one than before."""
        return [notice for store in self.open_stores if (notice := store.other_history) is not None]

    def inner_stores(self) -> list[StoreSetting]:
        """Return the store in the directory of git-lds itself, as pushes to this repository made it; none if there was none."""
        if not (self.lds_dir / "lds.toml").exists():
            return []
        return [StoreSetting(str(self.lds_dir), "this repository", trusted=True)]

    def _stores_of_branches(self) -> list[StoreSetting]:
        """Return the stores that the `.ldsconfig` of the latest remote-tracking branches name, or of the branches of a bare
        repository; directories are not meant."""
        listed = ("--sort=-committerdate", f"--count={_BRANCHES}", "--format=%(objectname):" + CONFIG_FILE)
        refs = ("refs/heads", "refs/remotes") if self.is_bare else ("refs/remotes",)
        names = self.git.text("for-each-ref", *listed, *refs).encode().splitlines()
        found: list[StoreSetting] = []
        for _, data in small_blobs(self.git, dict.fromkeys(names), limit=toml.MAX_SIZE):
            with contextlib.suppress(LdsError):
                url = settings.parse_config(data).store
                if url and "://" in url and not url.lower().startswith("file:"):
                    found.append(StoreSetting(url, "a branch of a remote", trusted=False))
        return found

    def dependency_settings(self) -> list[StoreSetting]:
        """Return the stores that `.ldsdeps` names."""
        return [StoreSetting(url, DEPS_FILE, trusted=False) for url in self.dependency_urls()]

    def dependency_urls(self) -> list[str]:
        """Return the URLs of the stores that `.ldsdeps` names."""
        return settings.dependency_stores(self.dependencies())

    def dependency_stores(self) -> list[Store]:
        """Return the stores that `.ldsdeps` names and that may be asked."""
        return [self.store(setting) for setting in self.dependency_settings() if self.consent.may_ask(setting)]

    def dependencies(self) -> bytes | None:
        """Return the bytes of the `.ldsdeps` that counts, or None where there is none."""
        return self._settings_file(DEPS_FILE)

    def outputs(self, *, vendored: bool = False) -> list[str]:
        """Return the outputs of `.ldsdeps`; with `vendored` those that this repository's own store is to have the objects of."""
        return settings.outputs(self.dependencies(), vendored=vendored)

    def close(self) -> None:
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


_QUESTIONS = (
    ("--show-object-format",),
    ("--absolute-git-dir",),
    ("--path-format=absolute", "--git-common-dir"),
    ("--path-format=absolute", "--git-path", "index"),
    ("--path-format=absolute", "--git-path", "hooks"),
)
_TOP = ("--show-toplevel",)


def _answers(git: Git) -> list[str]:
    """Return git's answers to `_QUESTIONS`, and to `_TOP` where there is a working tree. Raises LdsError."""
    try:
        return _ask(git, *_QUESTIONS, _TOP)
    except GitFailed as error:
        if "not a git repository" in error.stderr:
            raise LdsError("not inside a git repository", hint="cd into one, or start one: git init") from None
        if (refused := dubious_ownership(error.stderr)) is not None:
            raise refused from None
        if "work tree" not in error.stderr:
            raise
    return _ask(git, *_QUESTIONS)


def dubious_ownership(stderr: str) -> DubiousOwnership | None:
    """Return the error for a repository that git does not use because it belongs to another user, or None if `stderr`,
    which is what git wrote, says something else."""
    said = [line.strip().removeprefix("fatal: ") for line in stderr.splitlines()]
    message = next((line for line in said if line.startswith("detected dubious ownership")), None)
    if message is None:
        return None
    command = next((line for line in said if line.startswith("git config ")), None)
    return DubiousOwnership(message, command and f"to add an exception for this directory: {command}")


def _ask(git: Git, *questions: Sequence[str]) -> list[str]:
    """Return git's answers: all from one process, unless a path has a newline in it."""
    answers = git.text("rev-parse", *(word for question in questions for word in question)).split("\n")
    return answers if len(answers) == len(questions) else [git.text("rev-parse", *each) for each in questions]


def _borrowed_by(objects: str) -> list[str]:
    """Return the directories of git objects that the directory `objects` of git objects names as its alternates."""
    try:
        with open(os.path.join(objects, "info", "alternates"), "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    paths = [os.fsdecode(line) for line in lines if line and not line.startswith(b"#")]
    return [os.path.normpath(os.path.join(objects, path)) for path in paths]

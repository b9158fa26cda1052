"""Where a tool works: directories, homes, a server, and the environment that its commands see."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from string import Template

from benchmark.measuring import HERE, Failed, Server, run
from benchmark.tools import Tool

_OF_THE_MACHINE = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH")
"""What commands see of our own environment: nothing that changes what git or Python do."""

_CONFIG = """\
[user]
	name = Ada Bench
	email = ada@example.org
[init]
	defaultBranch = main
[gc]
	auto = 0
[maintenance]
	auto = false
[advice]
	detachedHead = false
[protocol "file"]
	allow = always
"""


class Place:
    """The directories of one tool in one work. `user` is whose home is used: each is another machine, with empty caches."""

    def __init__(self, root: Path, tool: Tool) -> None:
        self.root = root
        self.tool = tool
        self.owner = root / "owner"
        self.origin = root / "origin.git"
        self.temporary = root / "tmp"
        self.server: Server | None = None
        self._stores = root / "stores"

    def prepare(self) -> None:
        """Start the server where there is one, and make the owner's repository."""
        self.temporary.mkdir(parents=True)
        self.owner.mkdir()
        if self.tool.served:
            self.server = Server(self._stores, self._environment_of("server"))
        self.do('git init -q --bare "$ORIGIN"', self.root)
        self.do(self.tool.create, self.owner)

    @property
    def store(self) -> Path:
        """The directory of the store's files."""
        return self._stores / "data"

    def do(self, script: str, directory: Path, *, user: str = "owner") -> None:
        """Run what is not measured."""
        run(script, directory, self.environment(user))

    def environment(self, user: str, **variables: Path | None) -> dict[str, str]:
        """Return what a command of `user` sees. Their home is made when it is first used."""
        home = self.root / "homes" / user
        environment = self._environment_of(user) | {name: str(path) for name, path in variables.items() if path}
        if not home.exists():
            home.mkdir(parents=True)
            (home / ".gitconfig").write_text(_CONFIG)
            run(self.tool.home, home, environment)
        return environment

    def _environment_of(self, user: str) -> dict[str, str]:
        home = self.root / "homes" / user
        known = {name: os.environ[name] for name in _OF_THE_MACHINE if name in os.environ}
        return known | {
            "HOME": str(home),
            "TMPDIR": str(self.temporary),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CEILING_DIRECTORIES": str(self.root),
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(home / "site-cache"),  # else in /var/cache, shared by all users
            "ORIGIN": str(self.origin),
            "STORE": f"{self.server.url}/data" if self.server else str(self.store),
            "STORE_DIRECTORY": str(self.store),
            "NOTHING": shlex.join((sys.executable, "-I", str(HERE / "nothing.py"))),
        }

    def directories(self, names: tuple[str, ...], directory: Path, user: str) -> list[Path]:
        """Return the directories that a tool's templates name, for a working tree and a user."""
        environment = self._environment_of(user)
        return [directory / Template(name).substitute(environment) for name in names]

    def close(self) -> None:
        """End the server."""
        if self.server is not None:
            self.server.close()


def remove(top: Path) -> None:
    """Remove a directory and all in it.

    With threads: if each removal is reported to the disk (mount option `discard`), one waits 1.5 ms for each file, and
    eight remove ten times as many.
    """
    with ThreadPoolExecutor(8) as workers:
        list(workers.map(_empty, [directory for directory, _, _ in os.walk(top)]))
    shutil.rmtree(top, ignore_errors=True)


def _empty(directory: str) -> None:
    with os.scandir(directory) as entries:
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                with contextlib.suppress(OSError):
                    os.unlink(entry)


def version_of(script: str, directory: Path) -> str | None:
    """Return what shell words say, or None where they fail."""
    environment = {name: os.environ[name] for name in _OF_THE_MACHINE if name in os.environ}
    try:
        return run(script, directory, environment | {"HOME": str(directory), "TMPDIR": str(directory)}).output.strip()
    except Failed:
        return None

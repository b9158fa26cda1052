"""The words that tests about pushes are written in: a dataset with a git remote and a store, and what is in that store."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from git_lds.store.backends.directory import Directory
from git_lds.store.client.store import Store
from kit.stores import Machine
from kit.work import Work, add_remote, new_bare

PLACES = ("server", "directory", "remote")
"""Where the store of a published dataset is: behind a server, in a directory, or, with none set up, in the git remote."""


@dataclass(frozen=True)
class Published:
    """A working tree with the bare repository `origin`; `store` is the directory in which the store's files are."""

    work: Work
    bare: Path
    store: Path

    def keys(self, prefix: str = "") -> set[str]:
        """The names of what is in the store."""
        return set(Directory(self.store).list(prefix)) if self.store.is_dir() else set()

    def entries(self) -> int:
        """How many pushes are in the store's log."""
        return len(self.keys("log/") - {"log/HEAD"})

    def size(self) -> int:
        return sum((self.store / key).stat().st_size for key in self.keys())

    def refs(self) -> dict[str, str]:
        """The refs of the git remote, with what they name."""
        lines = Work(self.bare).git("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        return dict(line.split(" ") for line in lines)

    def gives(self, *contents: bytes) -> bool:
        """Whether the store gives these objects, the empty one apart, to somebody who has nothing."""
        reader = Machine(self.work.path.with_name(f"machine {os.urandom(4).hex()}"))
        return not reader.pull(self.store, *filter(None, contents)).missing

    def elsewhere(self, name: str, *options: str, source: str | Path | None = None, cache: Path | None = None) -> Work:
        """A clone on another machine, which has nothing of ours."""
        directory = self.work.path.parent
        other = Work(directory / name, cache or directory / f"{name}.cache")
        Work(directory, other.cache).git("clone", "-q", *options, str(source or self.bare), str(other.path))
        return other

    def assert_gives(self, contents: Mapping[str, bytes], name: str = "reader", *, branch: str = "main") -> Work:
        """Clone elsewhere, and see that these files come with their contents."""
        reader = self.elsewhere(name, "--branch", branch)
        assert {path: reader.read(path) for path in contents} == contents
        assert reader.is_clean()
        return reader


def change(work: Work, *names: str) -> dict[str, bytes]:
    """Commit new contents for these files; return them."""
    contents = {name: f"{name} as of {work.git('rev-list', '--all', '--count')}".encode() for name in names}
    for name, data in contents.items():
        work.write(name, data)
    work.commit()
    return contents


def with_store(work: Work, store: Path, address: str | None) -> Published:
    """Give a working tree a bare repository `origin`, and the store at `address`, if any, whose files are in `store`.

    What `git lds init` would do, in a few milliseconds; the hook comes with the first tracked file.
    """
    bare = work.path.with_name("origin.git")
    new_bare(bare)
    add_remote(work, bare)
    if address is not None:
        work.write(".ldsconfig", f'[store]\nurl = "{address}"\n')
        if address == str(store):  # a directory that only a committed file names is not made by a push
            Store(Directory(store), work.path.with_name("an unused cache")).create()
    return Published(work, bare, store)

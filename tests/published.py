"""The words that tests about pushes are written in: a dataset with a git remote and a store, and what is in that store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support import Work, running_server

from git_lds.remote.directory import Directory

PLACES = ("server", "directory", "remote")
"""Where the store of a published dataset is: behind a server, in a folder, or, with none set up, in the git remote."""


@dataclass(frozen=True)
class Published:
    """A work tree with the bare repository `origin`; `store` is the folder in which the store's files are."""

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

    def elsewhere(self, name: str, *options: str, source: str | Path | None = None, cache: Path | None = None) -> Work:
        """A clone on another machine, which has nothing of ours."""
        folder = self.work.path.parent
        other = Work(folder / name, cache or folder / f"{name}.cache")
        Work(folder, other.cache).git("clone", "-q", *options, str(source or self.bare), str(other.path))
        return other

    def assert_gives(self, contents: Mapping[str, bytes], name: str = "reader", *, branch: str = "main") -> Work:
        """Clone elsewhere, and see that these files come with their contents."""
        reader = self.elsewhere(name, "--branch", branch)
        assert {path: reader.read(path) for path in contents} == contents
        assert reader.is_clean()
        return reader


@contextmanager
def publishing(new_work: Callable[..., Work], folder: Path, place: str) -> Iterator[Published]:
    """Make a dataset below `folder`, with its store at one of PLACES; nothing is pushed yet."""
    work = new_work("dataset")
    bare = folder / "origin.git"
    work.git("init", "-q", "--bare", str(bare))
    work.git("remote", "add", "origin", str(bare))
    if place == "server":
        (folder / "stores").mkdir()
        with running_server(folder / "stores") as url:
            work.lds("init", "--store", f"{url}/dataset")
            yield Published(work, bare, folder / "stores" / "dataset")
    elif place == "directory":
        work.lds("init", "--store", str(folder / "shared store"))
        yield Published(work, bare, folder / "shared store")
    else:
        yield Published(work, bare, bare / "lds")

"""The words that tests about dependencies are written in: a dataset that others import from, and what a repository holds."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from git_lds.deps.manifest import manifest
from git_lds.deps.manifest.manifest import Dependency
from git_lds.deps.update.add import import_path
from git_lds.deps.update.plan import DependencyUpdate
from git_lds.deps.update.update import preview, update, update_unless_conflicts
from git_lds.repo import Repo
from kit.work import Work, add_remote, as_before, new_bare, new_repository

TRACK = ("images/** filter=lds diff=lds merge=lds -text", "*.json filter=lds diff=lds merge=lds -text")


@dataclass(frozen=True)
class Dataset:
    """A repository that is imported from: a bare one at `url`, and the working tree that pushes to it."""

    work: Work
    bare: Path

    @property
    def url(self) -> str:
        return str(self.bare)

    def publish(self, files: Mapping[str, bytes | str | None], message: str = "change") -> str:
        """Write (None: delete) files, commit and push; return the commit."""
        for name, data in files.items():
            if data is None:
                (self.work.path / name).unlink()
            else:
                self.work.write(name, data)
        commit = self.work.commit(message)
        self.work.publish_again()
        return commit


def new_dataset(directory: Path, name: str = "A", *, track: tuple[str, ...] = TRACK) -> Dataset:
    """Make an empty dataset whose store is the directory `lds` of its bare repository."""
    bare = directory / f"{name}.git"
    new_bare(bare)
    work = as_before("installed for itself", directory / name, _install)
    add_remote(work, bare)
    if track:
        work.write(".gitattributes", "".join(line + "\n" for line in track))
    return Dataset(work, bare)


def _install(work: Work) -> None:
    work.git("init", "-q")
    work.lds("install", "--local")


def new_consumer(directory: Path, name: str = "B") -> Work:
    """Make a repository with one commit, that imports."""
    work = new_repository(directory / name)
    work.write("code.py", "print('hello')\n")
    work.commit("start")
    return work


def new_importer(directory: Path, dataset: Dataset) -> Work:
    """Make a repository that imports the directories `images` and `notes` of a dataset, committed, below `data`."""
    work = new_consumer(directory)
    with opened(work) as repo:
        for path in ("images", "notes"):
            import_path(repo, dataset.url, path, output=f"data/{path}")
    work.commit("import")
    return work


def run(
    work: Work, *targets: str, rev: str | None = None, dry_run: bool = False, or_nothing: bool = False
) -> dict[str, DependencyUpdate]:
    """Update; return what that did to each dependency, by its output."""
    with opened(work) as repo:
        if dry_run:
            updates = preview(repo, targets, rev=rev)
        else:
            updates = (update_unless_conflicts if or_nothing else update)(repo, targets, rev=rev)
        return {update.output: update for update in updates}


def lock(work: Work, output: str = "data/images") -> Dependency:
    """The entry of `.ldsdeps` in the working tree."""
    return manifest.parse(work.read(".ldsdeps"))[output]


@contextmanager
def opened(work: Work) -> Iterator[Repo]:
    with Repo.here(work.path) as repo:
        yield repo


def files_of(work: Work, below: str = "") -> dict[str, bytes]:
    """All files of a working tree with their contents (of a symlink: its target), without `.git`."""
    found = {}
    top = work.path / below
    for directory, directories, names in os.walk(top):
        if ".git" in directories:
            directories.remove(".git")
        for name in names + [f for f in directories if os.path.islink(os.path.join(directory, f))]:
            path = os.path.join(directory, name)
            data = os.fsencode(os.readlink(path)) if os.path.islink(path) else Path(path).read_bytes()
            found[os.path.relpath(path, top)] = data
    return found


def state_of(work: Work) -> tuple[dict[str, bytes], str]:
    """What must be as before when a command fails: the working tree and the index."""
    return files_of(work), work.git("ls-files", "-s")


def times_of(work: Work, below: str) -> dict[str, tuple[int, int]]:
    """The time stamp and inode of each file below a directory: what shows that a file was not written again."""
    return {
        str(path.relative_to(work.path / below)): (path.lstat().st_mtime_ns, path.lstat().st_ino)
        for path in (work.path / below).rglob("*")
        if path.is_symlink() or path.is_file()
    }

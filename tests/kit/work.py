"""The words that tests are written in: a working tree with git in it, a server, bytes."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kit import in_process

LAUNCHER = Path(sys.executable).parent / "git-lds"


@dataclass(frozen=True)
class Work:
    """A working tree and git in it. `git` and `lds` fail the test when the command fails; `try_*` return what happened."""

    path: Path
    cache: Path | None = None
    """The user's cache on the machine that the working tree is on, where that is not the machine of the test."""

    def try_run(self, *command: str | bytes | Path, **options: object) -> subprocess.CompletedProcess[str]:
        data = options.pop("input", None)
        cache = {"GIT_LDS_CACHE": str(self.cache)} if self.cache else {}
        environment = {**os.environ, **cache, **options}  # type: ignore[dict-item]
        return subprocess.run(
            command,
            cwd=self.path,
            env=environment,
            input=data,  # type: ignore[arg-type]
            stdin=subprocess.DEVNULL if data is None else None,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=240,
            check=False,
        )

    def try_git(self, *args: str | bytes | Path, **options: object) -> subprocess.CompletedProcess[str]:
        return self.try_run("git", *args, **options)

    def try_lds(
        self, *args: str | bytes | Path, process: bool = False, **options: object
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of git-lds: in this process where that is the same, else, or if the test wants it, in its own."""
        data = options.pop("input", None)
        cache = {"GIT_LDS_CACHE": str(self.cache)} if self.cache else {}
        environment = {**cache, **{name: os.fspath(value) for name, value in options.items()}}  # type: ignore[call-overload]
        words = [os.fsdecode(arg) for arg in args]
        if process or not in_process.is_possible(words, environment):
            return self.try_run(LAUNCHER, *args, input=data, **options)
        return in_process.call(words, self.path, environment, data)  # type: ignore[arg-type]

    def git(self, *args: str | bytes | Path, **options: object) -> str:
        done = self.try_git(*args, **options)
        assert done.returncode == 0, f"git {args}: {done.stdout}{done.stderr}"
        return done.stdout.rstrip("\n")

    def lds(self, *args: str | bytes | Path, process: bool = False, **options: object) -> str:
        done = self.try_lds(*args, process=process, **options)
        assert done.returncode == 0, f"git lds {args}: {done.stdout}{done.stderr}"
        return done.stdout.rstrip("\n")

    def write(self, name: str | bytes, data: bytes | str) -> Path:
        path = Path(os.fsdecode(os.path.join(os.fsencode(self.path), os.fsencode(name))))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    def read(self, name: str | bytes) -> bytes:
        return Path(os.fsdecode(os.path.join(os.fsencode(self.path), os.fsencode(name)))).read_bytes()

    def commit(self, message: str = "change") -> str:
        self.git("add", "-A")
        self.git("commit", "-qm", message)
        return self.git("rev-parse", "HEAD")

    def is_clean(self) -> bool:
        return self.git("status", "--porcelain") == ""

    def committed(self, name: str, rev: str = "HEAD") -> bytes:
        """The blob that git has for a file, without filters."""
        done = subprocess.run(
            ["git", "cat-file", "blob", f"{rev}:{name}"], cwd=self.path, capture_output=True, check=True
        )
        return done.stdout

    def clone(self, name: str, *options: str, source: str | Path | None = None, **environment: object) -> Work:
        """Clone this repository (or `source`) to a directory beside it."""
        other = Work(self.path.parent / name)
        self.git("clone", "-q", *options, str(source or self.path), str(other.path), **environment)
        return other

    def publish(self, name: str = "origin.git") -> Path:
        """Push the current branch and its objects to a new bare repository beside this one; its directory `lds` is the store."""
        bare = self.path.parent / name
        new_bare(bare)
        add_remote(self, bare)
        self.publish_again()
        return bare

    def publish_again(self) -> None:
        self.lds("push", "origin")
        self.git("push", "-q", "--no-verify", "-u", "origin", "HEAD")

    def starts_filter(self, *args: str | bytes | Path) -> bool:
        """Run git; tell whether it started our filter, as its own trace says."""
        done = self.try_git(*args, GIT_TRACE="1")
        assert done.returncode == 0, f"git {args}: {done.stdout}{done.stderr}"
        return "filter-process" in done.stderr

    def leftovers(self) -> list[str]:
        """Return the files in the temporary directories of the repository and of the cache, and stale locks."""
        common = Path(self.git("rev-parse", "--path-format=absolute", "--git-common-dir"))
        cache = Path(os.environ["GIT_LDS_CACHE"])
        found = [*common.glob("lds/tmp/*"), *common.rglob("*.lock"), *cache.rglob("tmp/*"), *cache.rglob(".*")]
        return [str(path) for path in found]

    def unreadable(self, *revisions: str) -> list[str]:
        """The paths in the index and in `revisions` whose pointer has no contents, or wrong ones, on this machine."""
        from git_lds import hashing
        from git_lds.repo import Repo
        from git_lds.snapshots import pointers

        bad = []
        with Repo.here(self.path) as repo:
            for found in [
                *pointers.in_index(repo.git),
                *(f for rev in revisions for f in pointers.in_tree(repo.git, rev)),
            ]:
                stream = repo.objects.open(found.pointer.oid)
                if stream is None or hashing.of_stream(stream) != (found.pointer.oid, found.pointer.size):
                    bad.append(f"{found.path!r} {found.pointer.oid.hex()}")
        return bad

    def local_objects(self) -> set[str]:
        """The oids in the local store."""
        from git_lds.local.objects import ObjectDirectory

        return {oid.hex() for oid in ObjectDirectory(self.path / ".git" / "lds")}


_MADE: dict[str, list[tuple[str, int, bytes | None]]] = {}
"""What was made once for all tests of this process: path, mode, and contents, None for a directory."""


def as_before(name: str, directory: Path, make: Callable[[Work], object]) -> Work:
    """Do `make` in the new directory, the first time really, then by writing what it left: `git init` takes 6 ms, that 0.5."""
    directory.mkdir(parents=True)
    if name not in _MADE:
        make(Work(directory))
        paths = [path for path in sorted(directory.rglob("*")) if path.suffix != ".sample"]
        _MADE[name] = [
            (str(path.relative_to(directory)), path.stat().st_mode, None if path.is_dir() else path.read_bytes())
            for path in paths
        ]
        return Work(directory)
    for place, mode, data in _MADE[name]:
        path = directory / place
        if data is None:
            path.mkdir()
        else:
            path.write_bytes(data)
            path.chmod(mode)
    return Work(directory)


def new_repository(directory: Path) -> Work:
    """Make an empty repository with a working tree."""
    return as_before("repository", directory, lambda work: work.git("init", "-q"))


def new_bare(directory: Path) -> Work:
    """Make an empty bare repository."""
    return as_before("bare", directory, lambda work: work.git("init", "-q", "--bare"))


def add_remote(work: Work, bare: Path, name: str = "origin") -> None:
    """Name a repository as a remote, as `git remote add` writes it."""
    with open(work.path / ".git/config", "a") as config:
        config.write(f'[remote "{name}"]\n\turl = {bare}\n\tfetch = +refs/heads/*:refs/remotes/{name}/*\n')


class running_server:
    """A server process; `with running_server(root) as url`. Ended by its id."""

    def __init__(self, root: Path, *options: str) -> None:
        command = [str(LAUNCHER), "serve", "--root", str(root), "--port", "0", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert "http://" in line, f"the server said {line!r}"
        return line[line.index("http://") :].strip()

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()


def pointer_of(data: bytes) -> bytes:
    """The pointer of some contents, put together by hand."""
    from blake3 import blake3

    return b"version git-lds/v1\noid blake3:%s\nsize %d\n" % (blake3(data).hexdigest().encode(), len(data))


def random_bytes(seed: int, size: int) -> bytes:
    """Bytes that do not compress and are the same in each run."""
    from blake3 import blake3

    return blake3(b"git-lds test %d" % seed).digest(length=size)


def flip_in_packs(directory: Path, contents: bytes | str | None) -> int:
    """Flip a bit of these contents in each local pack below a directory that has them; return how many had."""
    assert isinstance(contents, bytes)
    flipped = 0
    for pack in directory.rglob("*.pack"):
        data = bytearray(pack.read_bytes())
        if (at := data.find(contents)) >= 0:
            data[at + len(contents) // 2] ^= 1
            pack.chmod(0o644)
            pack.write_bytes(data)
            flipped += 1
    return flipped


@contextlib.contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """As with a full disk, a write beyond it fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)

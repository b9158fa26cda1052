"""What tests stand on: real git in a home of its own, real files, and a real server on a free port of loopback."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kit.faulty_proxy import Between, between
from kit.lds_server import serving
from kit.published import Published, with_store
from kit.scripted_server import Answer, DrippingHandshake, Scripted
from kit.seaweed import Seaweed, Shared
from kit.work import LAUNCHER, Work, add_remote, new_bare, new_repository, running_server

_OF_THE_MACHINE = ("GIT_", "LDS_", "XDG_", "PYTHON", "SSH_", "AWS_", "AZURE_", "GOOGLE_")


@pytest.fixture(autouse=True)
def world(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a git identity, nothing else, and no variable of the machine that could change what git does."""
    home = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(_OF_THE_MACHINE) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "0")
    monkeypatch.setenv("GIT_LDS_CACHE", str(home / "cache"))
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("PATH", f"{LAUNCHER.parent}{os.pathsep}{os.environ['PATH']}")
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Ada Test\n\temail = ada@example.org\n[init]\n\tdefaultBranch = main\n"
        '[protocol "file"]\n\tallow = always\n[gc]\n\tauto = 0\n'
    )
    return home


_INSTALLED: dict[str, str] = {}
"""What `git lds install` made of a configuration; it takes 0.2 s."""


@pytest.fixture
def installed(world: Path) -> None:
    """git-lds is installed for the user, as `git lds install` does it: for the first test really, then by a copy."""
    config = world / ".gitconfig"
    bare = config.read_text()
    if bare not in _INSTALLED:
        Work(world).lds("install")
        _INSTALLED[bare] = config.read_text()
    config.write_text(_INSTALLED[bare])


@pytest.fixture
def new_work(tmp_path: Path, installed: None) -> Callable[..., Work]:
    """Make a repository that tracks *.bin and images/**, with git-lds installed for the user."""

    def make(name: str = "work", *, track: tuple[str, ...] = ("*.bin", "images/**")) -> Work:
        work = new_repository(tmp_path / name)
        if track:
            work.write(".gitattributes", "".join(f"{p} filter=lds diff=lds merge=lds -text\n" for p in track))
        return work

    return make


@pytest.fixture
def work(new_work: Callable[..., Work]) -> Work:
    return new_work()


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A server for many tests, each with a store of its own: its URL, and the directory of its stores."""
    root = tmp_path_factory.mktemp("stores")
    with running_server(root) as url:
        yield url, root


@pytest.fixture
def server(shared_server: tuple[str, Path], tmp_path: Path) -> Iterator[str]:
    """The URL of a real `git lds serve` on loopback, below which no other test has a store; its stores are in tmp_path/stores."""
    url, root = shared_server
    own = root / os.urandom(8).hex()
    own.mkdir()
    (tmp_path / "stores").symlink_to(own)
    yield f"{url}/{own.name}"
    shutil.rmtree(own, ignore_errors=True)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Between, Path]]:
    """A proxy that fails on demand, one for the tests of a file, and the directory of the stores that are behind it."""
    root = tmp_path_factory.mktemp("stores")
    with serving(root) as served, between(served.url) as proxy:
        yield proxy, root


@pytest.fixture
def script() -> Iterator[Callable[..., Scripted]]:
    """Start a server with scripted answers."""
    with contextlib.ExitStack() as running:

        def start(*answers: Answer, context: ssl.SSLContext | DrippingHandshake | None = None) -> Scripted:
            server = Scripted(answers, context)
            running.callback(server.close)
            return server

        yield start


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """A real distributed store, shared by all tests of a run."""
    root = tmp_path_factory.getbasetemp()
    shared = Shared(root.parent if "PYTEST_XDIST_WORKER" in os.environ else root)
    yield shared.cluster
    shared.close()


@pytest.fixture
def bucket(seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a new store in a bucket, which this process and those that it starts may read and write."""
    for name, value in seaweed.environment().items():
        monkeypatch.setenv(name, value)
    return seaweed.new_store()


def pytest_collection_finish() -> None:
    """Leave what was collected out of garbage collections: 4,000 tests are a large part of what each would visit."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    said = (str(report.longrepr[2]) for report in skipped if isinstance(report.longrepr, tuple))
    for reason in sorted({text.removeprefix("Skipped: ") for text in said if "NOT TESTED" in text}):
        terminalreporter.write_line(reason, red=True)


@pytest.fixture
def dataset(request: pytest.FixtureRequest, new_work: Callable[..., Work], tmp_path: Path) -> Published:
    """A dataset repository with a bare `origin`, and a store at one of PLACES: that of `request.param`, else a server."""
    place = getattr(request, "param", "server")
    if place == "server":
        url, root = request.getfixturevalue("shared_server")
        name = os.urandom(8).hex()
        return with_store(new_work("dataset"), root / name, f"{url}/{name}")
    if place == "directory":
        return with_store(new_work("dataset"), tmp_path / "shared store", str(tmp_path / "shared store"))
    return with_store(new_work("dataset"), tmp_path / "origin.git" / "lds", None)


@pytest.fixture
def served(new_work: Callable[..., Work], server: str, tmp_path: Path) -> Work:
    """A dataset as `dataset` with a store on the server, set up by `git lds init`; nothing is pushed yet."""
    work = new_work("dataset")
    bare = tmp_path / "origin.git"
    new_bare(bare)
    add_remote(work, bare)
    work.lds("init", "--store", f"{server}/dataset")
    return work

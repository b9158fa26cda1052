"""A store that fails for good: git push, git lds fetch and git clone end with the right status and a clear line, and the same
command completes it when the store is back."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kit import faulty_proxy
from kit.faulty_proxy import Action, Between, Fault, status
from kit.matrix import some_of
from kit.published import with_store
from kit.work import Work, pointer_of, random_bytes

from git_lds.store.format.keys import KeyKind

ALWAYS = 10**6
FAULTS: dict[str, tuple[Action, str]] = {
    "403": (status(403), "answered 403: because of the test"),
    "503": (status(503), "answered 503: because of the test"),
    "cut": (faulty_proxy.cut_before, "could not be reached"),
    "shortened": (faulty_proxy.shortened, ""),
    "flipped": (faulty_proxy.flipped, ""),
    "a login page": (faulty_proxy.saying(b"<html>Please log in</html>"), ""),
}


def assert_clear(said: str, needle: str) -> None:
    """A failure in our words: what, and with which store."""
    assert "Traceback" not in said and "bug" not in said.lower(), said
    assert needle in said, said
    assert len(said.splitlines()) < 14, said
    assert any(line.startswith(("error: ", "git-lds: ", "fatal: ")) for line in said.splitlines()), said


@pytest.mark.parametrize("fault", some_of(FAULTS, "503", "cut", "flipped"))
def test_the_user_is_told_and_the_same_command_completes_it(
    proxy: tuple[Between, Path], new_work: Callable[..., Work], fault: str
) -> None:
    line, root = proxy
    line.forget()
    action, needle = FAULTS[fault]
    name = os.urandom(8).hex()
    dataset = with_store(new_work("dataset"), root / name, f"{line.url}/{name}")
    contents = {f"{n}.bin": random_bytes(n, 3000 + 100_000 * n) for n in range(4)}
    for path, data in contents.items():
        dataset.work.write(path, data)
    dataset.work.commit()

    line.faults = [Fault("PUT", KeyKind.PACK, action, ALWAYS)]
    done = dataset.work.try_git("push", "-q", "origin", "main")
    if done.returncode:
        assert_clear(done.stderr, needle)
        assert dataset.refs() == {}, "the ref moved without its objects"
        line.forget()
        dataset.work.git("push", "-q", "origin", "main")
    line.forget()
    dataset.assert_gives(contents)

    line.faults = [Fault("GET", KeyKind.PACK, action, ALWAYS)]
    clone = Work(dataset.work.path.with_name("clone"), dataset.work.path.with_name("clone.cache"))
    above = Work(clone.path.parent, clone.cache)
    done = above.try_git("clone", "-q", str(dataset.bare), str(clone.path))
    assert done.returncode == 1
    assert_clear(done.stderr, needle)
    here = {path: clone.read(path) for path in contents}
    pointers = {path for path in contents if here[path] != contents[path]}
    assert pointers and {path: here[path] for path in pointers} == {
        path: pointer_of(contents[path]) for path in pointers
    }
    assert done.stderr.endswith(f"hint: once they can be fetched: git -C {clone.path} lds pull\n") and clone.is_clean()
    line.forget()
    clone.lds("pull")
    assert {path: clone.read(path) for path in contents} == contents and clone.is_clean()
    shutil.rmtree(clone.path, ignore_errors=True)
    line.forget()
    above.git("clone", "-q", str(dataset.bare), str(clone.path))
    assert {path: clone.read(path) for path in contents} == contents

    other = Work(dataset.work.path.with_name("other"), dataset.work.path.with_name("other.cache"))
    above = Work(other.path.parent, other.cache)
    above.git("clone", "-q", str(dataset.bare), str(other.path), GIT_LDS_SKIP_SMUDGE="1")
    line.faults = [Fault("GET", KeyKind.PACK, action, ALWAYS)]
    done = other.try_lds("fetch")
    assert done.returncode == 1
    assert_clear(done.stderr, needle)
    line.forget()
    other.lds("pull")
    assert {path: other.read(path) for path in contents} == contents
    assert other.is_clean()


def test_twenty_stores_to_read_from_that_are_dead_cost_no_more_than_one(
    new_work: Callable[..., Work], tmp_path: Path
) -> None:
    """The dataset moved to the last of the stores that it names; on the way to it are machines that refuse, each for 2 s."""
    with socket.create_server(("127.0.0.1", 0)) as closing:
        port = closing.getsockname()[1]
    dataset = with_store(new_work("dataset"), tmp_path / "store", str(tmp_path / "store"))
    dead = [f"http://127.0.0.1:{port}/{number}" for number in range(20)]
    read = ", ".join(f'"{url}"' for url in [*dead, str(tmp_path / "moved")])
    dataset.work.write(".ldsconfig", f'[store]\nurl = "{tmp_path / "store"}"\nread = [{read}]\n')
    contents = {f"{n}.bin": random_bytes(n, 3000) for n in range(4)}
    for path, data in contents.items():
        dataset.work.write(path, data)
    dataset.work.commit()
    dataset.work.git("push", "-q", "origin", "main")
    (tmp_path / "store").rename(tmp_path / "moved")

    clone = dataset.elsewhere("clone", "--no-checkout")
    clone.git("checkout", "-q", "main", GIT_LDS_SKIP_SMUDGE="1")
    began = time.monotonic()
    clone.lds("pull")
    assert time.monotonic() - began < 30, "one after the other they take 40 s"
    assert {path: clone.read(path) for path in contents} == contents

    (tmp_path / "moved").rename(tmp_path / "gone")
    shutil.rmtree(clone.cache)
    lost = dataset.elsewhere("lost", "--no-checkout")
    lost.git("checkout", "-q", "main", GIT_LDS_SKIP_SMUDGE="1")
    done = lost.try_lds("pull")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"http://127.0.0.1:{port}/19 could not be reached" in done.stderr

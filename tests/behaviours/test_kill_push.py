"""A push that is killed, or that loses its server, at random points: nothing is lost, the next one completes it, and what the
store has by then is not sent again."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.kills import dice, files_in, kill, kill_ours, start, timed, wait_for_a_moment, without_locks
from kit.published import Published, with_store
from kit.stores import Machine, packs_in, state_of
from kit.work import Work, random_bytes, running_server

from git_lds import hashing

ROUNDS = 1
KILLS = 3
"""How often one push is killed before it may come to its end."""


def change(work: Work, number: int) -> list[bytes]:
    """Commit new contents that make four packs: a large file, smaller ones, and many small ones."""
    sizes = [7 << 20, 1 << 20, 200_000, *[100_000] * 60, *[10_000] * 100]
    contents = [random_bytes(1000 * number + n, size) for n, size in enumerate(sizes)]
    for n, data in enumerate(contents):
        work.write(f"{n:03}.bin", data)
    work.commit(f"change {number}")
    return contents


def assert_whole_or_not_there(dataset: Published, contents: list[bytes], before: dict[str, str], scratch: Path) -> None:
    """The store has all objects of a push or none, and all of them if its ref has moved."""
    found = state_of(dataset.store, scratch).find(hashing.of_bytes(data) for data in contents)
    assert len(found) in (0, len(contents))
    if dataset.refs() != before:
        assert not Machine(scratch / "reader").pull(dataset.store, *contents).missing


def assert_no_pack_was_sent_twice(dataset: Published, contents: list[bytes], scratch: Path) -> None:
    """Every pack in the store is one that the log names, and together they have the size of what was pushed."""
    assert packs_in(dataset.store) == state_of(dataset.store, scratch).state.packs.keys()
    assert dataset.size() < 1.02 * sum(map(len, contents)) + 100_000


@pytest.mark.parametrize(
    ("dataset", "who"),
    [("server", "the whole push"), ("server", "the hook alone")],
    indirect=["dataset"],
)
def test_a_push_that_is_killed_anywhere_is_completed_by_the_next(dataset: Published, who: str, tmp_path: Path) -> None:
    """Behaviour 21."""
    rounds(dataset, who, tmp_path, ROUNDS)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("who", ["the whole push", "the hook alone"])
@pytest.mark.parametrize("dataset", ["server", "directory", "remote"], indirect=True)
def test_a_push_that_is_killed_very_often_is_completed_by_the_next(
    dataset: Published, who: str, tmp_path: Path
) -> None:
    """Behaviour 21."""
    rounds(dataset, who, tmp_path, 30)


def rounds(dataset: Published, who: str, scratch: Path, count: int) -> None:
    random = dice(f"{who} {dataset.store.name}")
    contents = change(dataset.work, 0)
    took = timed(dataset.work, "git", "push", "-q", "origin", "main")
    for number in range(1, count + 1):
        new = change(dataset.work, number)
        contents += new
        before = dataset.refs()
        for _ in range(KILLS):
            process = start(dataset.work, "git", "push", "-q", "origin", "main")
            wait_for_a_moment(random, took, lambda: files_in(dataset.store), process)
            if who == "the whole push":
                kill(process)
            else:
                kill_ours(process)
                _, said = process.communicate(timeout=60)
                assert (process.returncode == 0) == (dataset.refs() != before), said
            without_locks(dataset.bare, dataset.work.path / ".git")
            assert_whole_or_not_there(dataset, new, before, scratch / "seen")
            if dataset.refs() != before:
                break
        dataset.work.git("push", "-q", "origin", "main")
        assert dataset.refs()["refs/heads/main"] == dataset.work.git("rev-parse", "HEAD")
        assert_no_pack_was_sent_twice(dataset, contents, scratch / "seen")
    assert dataset.work.leftovers() == [] and list((dataset.store / "tmp").glob("*")) == []
    assert dataset.work.unreadable() == []
    dataset.assert_gives({"000.bin": contents[-163]})


# the server


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def served(new_work: Callable[..., Work], tmp_path: Path) -> tuple[Published, int]:
    """A dataset whose store is at a port that has no server yet; and the port."""
    port = free_port()
    return with_store(new_work("dataset"), tmp_path / "stores" / "dataset", f"http://127.0.0.1:{port}/dataset"), port


def test_a_push_whose_server_dies_says_so_and_is_completed_when_it_is_back(
    served: tuple[Published, int], tmp_path: Path
) -> None:
    """Behaviour 21."""
    dataset, port = served
    random = dice("server dies")
    contents = change(dataset.work, 0)
    with running_server(tmp_path / "stores", "--port", str(port)):
        took = timed(dataset.work, "git", "push", "-q", "origin", "main")
    for number in range(1, ROUNDS + 1):
        new = change(dataset.work, number)
        contents += new
        before = dataset.refs()
        server = running_server(tmp_path / "stores", "--port", str(port))
        with server:
            process = start(dataset.work, "git", "push", "-q", "origin", "main")
            wait_for_a_moment(random, took, lambda: files_in(dataset.store), process)
            server.process.kill()
            _, said = process.communicate(timeout=120)
        assert "Traceback" not in said
        assert (process.returncode == 0) == (dataset.refs() != before), said
        if process.returncode:
            assert f"git-lds: http://127.0.0.1:{port}/dataset could not be reached" in said and "hint: " in said
        assert_whole_or_not_there(dataset, new, before, tmp_path / "seen")
        with running_server(tmp_path / "stores", "--port", str(port)):
            dataset.work.git("push", "-q", "origin", "main")
            assert_no_pack_was_sent_twice(dataset, contents, tmp_path / "seen")
            dataset.assert_gives({"000.bin": new[0]}, f"reader {number}")
    assert dataset.work.leftovers() == [] and list((dataset.store / "tmp").glob("*")) == []


def test_a_push_outlives_a_server_that_is_killed_and_started_again(
    served: tuple[Published, int], tmp_path: Path
) -> None:
    """Behaviour 21: what comes back within a second or two is asked again."""
    dataset, port = served
    random = dice("server restarts")
    contents = change(dataset.work, 0)
    with running_server(tmp_path / "stores", "--port", str(port)):
        took = timed(dataset.work, "git", "push", "-q", "origin", "main")
    server = running_server(tmp_path / "stores", "--port", str(port))
    server.__enter__()
    for number in range(1, ROUNDS + 1):
        contents += change(dataset.work, number)
        process = start(dataset.work, "git", "push", "-q", "origin", "main")
        time.sleep(random.uniform(0, took))
        server.process.kill()
        server.__exit__()
        server = running_server(tmp_path / "stores", "--port", str(port))
        server.__enter__()
        process.communicate(timeout=120)
        if process.returncode:
            # on a machine with much to do the server takes longer to come up than a push is patient
            dataset.work.git("push", "-q", "origin", "main")
    dataset.assert_gives({"000.bin": contents[-163]})
    assert packs_in(dataset.store) >= state_of(dataset.store, tmp_path / "seen").state.packs.keys()
    server.__exit__()

"""How many round trips follow on each other, counted by a proxy that delays each, as docs/http.md has them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.faulty_proxy import Between
from kit.published import Published, with_store
from kit.stores import Machine
from kit.work import Work, random_bytes

from git_lds import hashing
from git_lds.store.backends.http import Http
from git_lds.store.client.log_reader import CHECKPOINT_EVERY
from git_lds.store.format.keys import KeyKind


@pytest.fixture
def slow(proxy: tuple[Between, Path]) -> Between:
    # parallel requests must overlap, even if a busy machine starts a thread late
    proxy[0].delay = 0.1
    proxy[0].forget()
    return proxy[0]


@pytest.fixture
def dataset(proxy: tuple[Between, Path], slow: Between, new_work: Callable[..., Work]) -> Published:
    """A dataset whose store is behind the proxy, with its first push made."""
    name = os.urandom(8).hex()
    made = with_store(new_work("dataset"), proxy[1] / name, f"{slow.url}/{name}")
    change(made, "first.bin", 1000)
    made.work.git("push", "-q", "-u", "origin", "main")
    return made


def change(dataset: Published, name: str, size: int) -> None:
    dataset.work.write(name, random_bytes(size, size))
    dataset.work.commit()


def rounds(line: Between) -> int:
    """The round trips since this was last asked."""
    counted = line.rounds()
    line.forget()
    return counted


def test_a_first_push_makes_the_store(slow: Between, dataset: Published) -> None:
    assert rounds(slow) <= 10


def test_a_push_takes_five_rounds_and_one_more_for_a_large_file(slow: Between, dataset: Published) -> None:
    for size, expected in ((2000, 5), (200_000, 6), (3000, 5)):
        slow.forget()
        change(dataset, f"{size}.bin", size)
        dataset.work.git("push", "-q", "origin", "main")
        assert rounds(slow) == expected, [(a.method, a.key) for a in slow.asked]


def test_a_push_after_one_from_elsewhere_takes_no_more_rounds(slow: Between, dataset: Published) -> None:
    other = dataset.elsewhere("other")
    other.write("other.bin", random_bytes(5, 5000))
    other.commit()
    other.git("push", "-q", "origin", "HEAD")
    dataset.work.git("pull", "-q", "--rebase", GIT_LDS_SKIP_SMUDGE="1")
    slow.forget()
    change(dataset, "mine.bin", 4000)
    dataset.work.git("push", "-q", "origin", "main")
    # the entry comes with the first look; its index, which may have what we are about to send, takes one
    assert rounds(slow) == 6


def test_a_clone_takes_three_rounds_and_two_more_for_large_files(slow: Between, dataset: Published) -> None:
    slow.forget()
    dataset.elsewhere("small")
    assert rounds(slow) == 3
    for number in range(3):
        change(dataset, f"{number}.bin", 200_000 + number)
        dataset.work.git("push", "-q", "origin", "main")
    slow.forget()
    dataset.elsewhere("large")
    # the entries of the log are one more, as they are more than two
    assert rounds(slow) == 6


def test_a_pull_takes_three_rounds_with_news_and_one_without(slow: Between, dataset: Published) -> None:
    clone = dataset.elsewhere("clone")
    change(dataset, "second.bin", 2000)
    dataset.work.git("push", "-q", "origin", "main")
    slow.forget()
    clone.git("pull", "-q")
    assert rounds(slow) == 3
    clone.git("pull", "-q")
    clone.lds("pull")
    clone.lds("fetch", "--all")
    assert slow.asked == []


@pytest.mark.parametrize("entries", [1, 2, 3, CHECKPOINT_EVERY + 5, 2 * CHECKPOINT_EVERY + 3])
def test_a_log_of_any_length_is_read_in_few_rounds(
    slow: Between, tmp_path: Path, proxy: tuple[Between, Path], entries: int
) -> None:
    name = os.urandom(8).hex()
    writer = Machine(tmp_path / "writer")
    for number in range(entries):
        writer.push(proxy[1] / name, writer.add(b"%d" % number))
    for cache in ("new", "old"):
        store = Machine(tmp_path / "reader").store(Http(f"{slow.url}/{name}"))
        slow.forget()
        assert store.refresh().seq >= entries - 1
        # an entry more than two: another look; up to 35 entries after a checkpoint are asked for 16 at a time
        assert rounds(slow) <= (1 if cache == "old" or entries == 1 else 2 if entries < 10 else 4)


def test_packs_are_sent_without_a_question_before(slow: Between, dataset: Published) -> None:
    slow.forget()
    dataset.work.write("large.bin", random_bytes(9, 3 << 20))
    dataset.work.commit()
    dataset.work.git("push", "-q", "origin", "main")
    assert slow.of("HEAD") == []
    assert len(slow.of("PUT", KeyKind.PACK)) == 2


def test_a_new_index_is_one_request(slow: Between, dataset: Published, tmp_path: Path) -> None:
    slow.forget()
    reader = Machine(tmp_path / "reader")
    data = dataset.work.read("first.bin")
    assert reader.pull(Http(f"{slow.url}/{dataset.store.name}"), data).missing == ()
    assert reader.has(data) and hashing.of_bytes(data)
    assert len(slow.of("GET", KeyKind.INDEX)) == 1 and slow.of("HEAD") == []

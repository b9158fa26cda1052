"""A machine that has the bytes sends again what a store lost or damaged: `git lds push --all` and `git lds push --repair`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from kit.matrix import some_rows
from kit.published import Published
from kit.work import Work, random_bytes

places = pytest.mark.parametrize(
    "dataset", ["directory", pytest.param("server", marks=pytest.mark.slow)], indirect=True
)

SMALL = {f"images/{number}.png": random_bytes(number, 5_000) for number in range(8)}
LARGE = {"large.bin": random_bytes(99, 700_000)}


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


def halve(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def delete(path: Path) -> None:
    path.unlink()


def filled(dataset: Published) -> dict[str, bytes]:
    """Push in two turns, so that there are several packs and indexes."""
    for files in (SMALL, LARGE):
        for name, data in files.items():
            dataset.work.write(name, data)
        dataset.work.commit()
        dataset.work.git("push", "-q", "origin", "main")
    return SMALL | LARGE


def forget_all(dataset: Published, world: Path) -> None:
    """What a machine remembers of a store must not be needed, nor hide the damage."""
    import shutil

    shutil.rmtree(world / "cache")


@places
@pytest.mark.parametrize(
    ("kind", "harm", "option"),
    some_rows(
        [
            (kind, harm, option)
            for harm, option in ((delete, "--all"), (halve, "--all"), (flip, "--repair"))
            for kind in ("pack", "index")
        ],
        ("index", delete, "--all"),
        ("pack", halve, "--all"),
        ("pack", flip, "--repair"),
    ),
)
def test_whoever_has_the_bytes_makes_good_what_a_store_lost(
    dataset: Published, world: Path, kind: str, harm: Callable[[Path], None], option: str
) -> None:
    contents = filled(dataset)
    forget_all(dataset, world)
    for key in sorted(dataset.keys(f"{kind}/")):
        harm(dataset.store / key)
    assert not dataset.gives(*contents.values())
    done = dataset.work.try_lds("push", option)
    assert done.returncode == 0 and "Uploaded 9 files" in done.stderr, done.stderr
    dataset.assert_gives(contents)
    again = dataset.work.try_lds("push", option)
    assert again.returncode == 0 and "Everything is in" in again.stderr, again.stderr


@places
def test_what_is_whole_is_not_sent_again(dataset: Published) -> None:
    contents = filled(dataset)
    before = dataset.keys()
    for option in ("--all", "--repair"):
        assert "Everything is in" in dataset.work.try_lds("push", option).stderr
    assert dataset.keys() == before
    (first,) = (dataset.store / key for key in sorted(dataset.keys("pack/"))[:1])
    flip(first)
    done = dataset.work.try_lds("push", "--repair")
    assert done.returncode == 0 and "Uploaded" in done.stderr and "Uploaded 9" not in done.stderr
    dataset.assert_gives(contents)


@places
def test_a_clone_gives_back_what_it_fetched_from_the_store(dataset: Published, tmp_path: Path) -> None:
    """It has the objects in the cache alone, and sends them to where they came from."""
    contents = filled(dataset)
    clone = dataset.elsewhere("clone")
    for key in sorted(dataset.keys("pack/")):
        delete(dataset.store / key)
    done = clone.try_lds("push", "--all")
    assert done.returncode == 0 and "Uploaded 9 files" in done.stderr, done.stderr
    dataset.assert_gives(contents)


def test_what_is_lost_for_good_is_named_and_the_rest_is_made_good(dataset: Published, world: Path) -> None:
    contents = filled(dataset)
    lazy = dataset.elsewhere("lazy")
    lazy.write("mine.bin", b"mine")
    lazy.commit()
    lazy.git("push", "-q", "origin", "main")
    import shutil

    shutil.rmtree(lazy.cache or world)
    for key in sorted(dataset.keys("pack/")):
        delete(dataset.store / key)
    done = Work(lazy.path, lazy.cache).try_lds("push", "--all")
    assert done.returncode == 0 and "warning: 9 objects" in done.stderr and "large.bin" in done.stderr, done.stderr
    assert dataset.gives(b"mine") and not dataset.gives(contents["large.bin"])

"""Who clones a repository with dependencies gets everything from the stores, through any number of repositories between."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from kit.datasets import files_of, new_consumer, opened
from kit.work import Work, random_bytes

from git_lds.deps.manifest import manifest
from git_lds.deps.update.add import import_path
from git_lds.deps.update.update import update


@pytest.fixture
def stores(tmp_path: Path, installed: None, server: str) -> str:
    return server


def publish(work: Work, tmp_path: Path, store: str) -> str:
    """Give a repository a store and a bare origin, and push; return the URL of the origin."""
    bare = tmp_path / f"{work.path.name}.git"
    work.git("init", "-q", "--bare", str(bare))
    work.git("remote", "add", "origin", str(bare))
    work.lds("init", "--store", store)
    work.commit("publish")
    work.git("push", "-q", "origin", "HEAD")
    return str(bare)


def take(work: Work, url: str, path: str, output: str) -> manifest.Dependency:
    with opened(work) as repo:
        found = import_path(repo, url, path, output=output)
    work.commit(f"import {path}")
    return found


def fresh_clone(work: Work, tmp_path: Path, world: Path) -> Work:
    shutil.rmtree(world / "cache", ignore_errors=True)
    work.git("clone", "-q", str(work.path), str(tmp_path / "fresh"))
    return Work(tmp_path / "fresh")


def dataset(tmp_path: Path, stores: str) -> tuple[Work, str]:
    work = Work(tmp_path / "A")
    work.path.mkdir()
    work.git("init", "-q")
    work.lds("track", "images/**")
    for number in range(8):
        work.write(f"images/{number}.png", random_bytes(number, 5000))
    work.write("images/big.bin", random_bytes(77, 5_000_000))
    return work, publish(work, tmp_path, f"{stores}/a")


def test_a_fresh_clone_when_upstream_is_gone(tmp_path: Path, stores: str, world: Path) -> None:
    a, url = dataset(tmp_path, stores)
    b = new_consumer(tmp_path)
    assert take(b, url, "images", "data/images").store == f"{stores}/a"
    expected = files_of(a, "images")
    shutil.rmtree(url)
    shutil.rmtree(a.path)
    assert files_of(fresh_clone(b, tmp_path, world), "data/images") == expected


def test_a_chain(tmp_path: Path, stores: str, world: Path) -> None:
    """A → B → C, where B's store holds nothing of A."""
    a, url = dataset(tmp_path, stores)
    b = new_consumer(tmp_path)
    b.lds("track", "data/own/**")
    b.write("data/own/labels.bin", "labels of b")
    take(b, url, "images", "data/images")
    b_url = publish(b, tmp_path, f"{stores}/b")
    c = new_consumer(tmp_path, "C")
    found = take(c, b_url, "data", "from-b")
    assert (found.store, found.read) == (f"{stores}/b", (f"{stores}/a",))
    only_own = take(c, b_url, "data/own", "own")
    assert (only_own.store, only_own.read) == (f"{stores}/b", ())
    expected = {f"images/{name}": data for name, data in files_of(a, "images").items()} | {
        "own/labels.bin": b"labels of b"
    }
    for gone in (url, b_url, a.path, b.path):
        shutil.rmtree(gone)
    assert files_of(fresh_clone(c, tmp_path, world), "from-b") == expected


def test_an_update_through_a_chain(tmp_path: Path, stores: str) -> None:
    a, url = dataset(tmp_path, stores)
    b = new_consumer(tmp_path)
    take(b, url, "images", "data/images")
    b_url = publish(b, tmp_path, f"{stores}/b")
    c = new_consumer(tmp_path, "C")
    take(c, b_url, "data/images", "images")
    a.write("images/new.png", "new in a")
    a.commit()
    a.git("push", "-q", "origin", "HEAD")
    for work in (b, c):
        with opened(work) as repo:
            assert [each.written for each in update(repo)] == [True]
        work.commit("update")
        if work is b:
            work.git("push", "-q", "origin", "HEAD")
    assert c.read("images/new.png") == b"new in a"


def test_one_of_many_files_is_a_handful_of_requests(tmp_path: Path, stores: str, world: Path) -> None:
    a, url = dataset(tmp_path, stores)
    for number in range(500):
        a.write(f"images/many/{number}.png", random_bytes(1000 + number, 300))
    a.commit()
    a.git("push", "-q", "origin", "HEAD")
    b = new_consumer(tmp_path)
    take(b, url, "images", "images")
    a.write("images/many/7.png", "edited")
    a.commit()
    a.git("push", "-q", "origin", "HEAD")
    with opened(b) as repo:
        assert update(repo)[0].changed == (b"images/many/7.png",)
        requests = sum(store.backend.requests for store in repo._stores.values())
    assert requests <= 8, requests


def test_vendored_objects_survive_their_upstream(tmp_path: Path, stores: str, world: Path) -> None:
    """Repository and store of upstream are gone, and a clone of the consumer has everything."""
    a, url = dataset(tmp_path, stores)
    b = new_consumer(tmp_path)
    with opened(b) as repo:
        import_path(repo, url, "images", output="data/images", vendor=True)
        import_path(repo, url, "images/big.bin", output="big.bin")
    b.commit("import")
    publish(b, tmp_path, f"{stores}/b")
    assert manifest.parse(b.read(".ldsdeps"))["data/images"].vendor
    a.write("images/new.png", "new")
    a.commit("more")
    a.git("push", "-q", "origin", "HEAD")
    with opened(b) as repo:
        update(repo)
    b.commit("update")
    assert manifest.parse(b.read(".ldsdeps"))["data/images"].vendor
    # nothing of it is on the machine that pushes: it is copied from one store to the other
    lazy = b.clone("lazy", source=b.path, GIT_LDS_SKIP_SMUDGE="1")
    shutil.rmtree(world / "cache")
    lazy.git("push", "-q", str(tmp_path / "B.git"), "HEAD:main")
    shutil.rmtree(tmp_path / "A.git")
    shutil.rmtree(tmp_path / "stores" / "a")
    shutil.rmtree(world / "cache", ignore_errors=True)
    b.git("clone", "-q", str(tmp_path / "B.git"), str(tmp_path / "fresh"))
    assert files_of(Work(tmp_path / "fresh"), "data/images") == files_of(a, "images")

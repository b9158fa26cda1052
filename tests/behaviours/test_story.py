"""The story of the README, with the commands that people type, real git and a real server."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.counting_proxy import counting
from kit.git_http import serving_git
from kit.matrix import some_of
from kit.work import Work, random_bytes


@pytest.fixture
def grogu(served: Work) -> Work:
    """A dataset with small and large files, tracked and plain, pushed."""
    served.lds("track", "images/**", "annotations/*.json")
    for n in range(20):
        served.write(f"images/{n}.png", random_bytes(n, 20_000 + n))
    served.write("images/large.png", random_bytes(99, 6_000_000))
    served.write("annotations/train.json", '{"boxes": [1, 2, 3]}\n')
    served.write("annotations/README.md", "How these came to be.\n")
    served.commit("Start the dataset")
    served.git("push", "-qu", "origin", "main")
    return served


@pytest.fixture
def detector(grogu: Work, new_work: Callable[..., Work], server: str, tmp_path: Path) -> Work:
    """A project with a store of its own that imports two directories of the dataset, committed and pushed."""
    work = new_work("detector", track=())
    bare = tmp_path / "detector.git"
    work.git("init", "-q", "--bare", bare)
    work.git("remote", "add", "origin", bare)
    work.lds("init", "--store", f"{server}/detector")
    work.lds("import", tmp_path / "origin.git", "images", "-o", "data/raw/images")
    work.lds("import", tmp_path / "origin.git", "annotations", "-o", "data/raw/annotations")
    work.commit("Depend on grogu")
    work.git("push", "-qu", "origin", "main")
    return work


def same(one: Path, other: Path) -> bool:
    """Tell whether two directories hold the same files, byte for byte."""
    names = [{p.relative_to(root) for p in root.rglob("*") if p.is_file()} for root in (one, other)]
    return names[0] == names[1] and all((one / name).read_bytes() == (other / name).read_bytes() for name in names[0])


def empty_caches(world: Path) -> None:
    shutil.rmtree(world / "cache", ignore_errors=True)


def clone(source: Path, target: Path) -> Work:
    Work(target.parent).git("clone", "-q", source, target)
    return Work(target)


def test_a_fresh_clone_is_what_was_pushed_and_clean(grogu: Work, tmp_path: Path, world: Path) -> None:
    empty_caches(world)
    copy = clone(tmp_path / "origin.git", tmp_path / "copy")
    assert same(grogu.path / "images", copy.path / "images")
    assert same(grogu.path / "annotations", copy.path / "annotations")
    assert copy.is_clean()
    assert copy.committed("images/large.png").startswith(b"version git-lds/v1\n")
    assert copy.committed("annotations/README.md") == b"How these came to be.\n"


def test_imported_files_are_ordinary_files_in_the_form_that_upstream_gives_them(grogu: Work, detector: Work) -> None:
    """Behaviour 23."""
    assert same(grogu.path / "images", detector.path / "data/raw/images")
    assert detector.is_clean()
    assert detector.committed("data/raw/images/3.png") == grogu.committed("images/3.png")
    assert detector.committed("data/raw/annotations/README.md") == b"How these came to be.\n"
    detector.write("data/raw/annotations/train.json", "an edit")
    detector.commit()
    assert detector.committed("data/raw/annotations/train.json").startswith(b"version git-lds/v1\n")


def test_an_update_brings_what_changed_and_touches_nothing_else(grogu: Work, detector: Work) -> None:
    """Behaviours 28 and 29."""
    assert "up to date" in detector.lds("update")
    grogu.write("notes.txt", "outside of what is imported")
    grogu.commit()
    grogu.git("push", "-q")
    assert "up to date" in detector.lds("update") and detector.is_clean()
    grogu.write("images/3.png", b"mended")
    grogu.git("rm", "-q", "images/4.png")
    grogu.write("images/new.png", b"new")
    grogu.commit()
    grogu.git("push", "-q")
    before = {p: p.stat().st_mtime_ns for p in (detector.path / "data").rglob("*.*")}
    detector.lds("update")
    assert same(grogu.path / "images", detector.path / "data/raw/images")
    touched = {p.name for p, at in before.items() if not p.exists() or p.stat().st_mtime_ns != at}
    assert touched == {"3.png", "4.png"}
    detector.commit("Update grogu")
    assert detector.is_clean()


def test_an_update_meets_local_edits_and_loses_none(grogu: Work, detector: Work) -> None:
    """Behaviours 30 and 31: what is not committed is listed, what is committed is merged, what clashes can be chosen."""
    detector.write("data/raw/images/3.png", b"mine")
    detector.write("data/raw/images/5.png", b"mine too")
    grogu.write("images/3.png", b"theirs")
    grogu.write("images/6.png", b"theirs alone")
    grogu.commit()
    grogu.git("push", "-q")
    before = detector.git("status", "--porcelain"), detector.read(".ldsdeps")
    done = detector.try_lds("update")
    assert done.returncode == 1 and "hint: " in done.stderr
    assert "data/raw/images/3.png" in done.stderr and "data/raw/images/5.png" not in done.stderr
    assert (detector.git("status", "--porcelain"), detector.read(".ldsdeps")) == before
    detector.commit("Fixes of ours")
    done = detector.try_lds("update")
    assert done.returncode == 1 and "conflict data/raw/images/3.png: modified here, modified upstream" in done.stdout
    assert (
        detector.read("data/raw/images/3.png") == b"mine" and detector.read("data/raw/images/6.png") == b"theirs alone"
    )
    detector.lds("update", "--abort")
    assert detector.is_clean() and detector.read(".ldsdeps") == before[1]
    detector.try_lds("update")
    assert detector.try_lds("update", "--continue").returncode == 1
    detector.lds("update", "--theirs", "data/raw/images/3.png")
    detector.lds("update", "--continue")
    detector.commit("Update grogu")
    assert detector.is_clean()
    assert detector.read("data/raw/images/3.png") == b"theirs" and detector.read("data/raw/images/5.png") == b"mine too"


def test_a_clone_of_the_consumer_alone_brings_everything(
    grogu: Work, detector: Work, tmp_path: Path, world: Path
) -> None:
    """Behaviours 27 and 35: upstream's repository is gone, all caches are empty, and one imported file was fixed here."""
    detector.write("data/raw/images/5.png", b"a fix of ours")
    detector.commit()
    detector.git("push", "-q")
    shutil.rmtree(tmp_path / "origin.git")
    empty_caches(world)
    copy = clone(tmp_path / "detector.git", tmp_path / "copy")
    assert same(detector.path / "data", copy.path / "data")
    assert copy.read("data/raw/images/5.png") == b"a fix of ours"
    assert copy.is_clean()


def test_an_old_commit_has_its_old_data(grogu: Work, detector: Work, world: Path) -> None:
    grogu.write("images/3.png", b"mended")
    grogu.commit()
    grogu.git("push", "-q")
    detector.lds("update")
    detector.commit("Update grogu")
    empty_caches(world)
    detector.git("checkout", "-q", "HEAD^")
    assert detector.read("data/raw/images/3.png") == random_bytes(3, 20_003)
    detector.git("checkout", "-q", "main")
    assert detector.read("data/raw/images/3.png") == b"mended"
    assert detector.is_clean()


def test_what_cannot_be_imported_is_one_line_and_creates_nothing(
    grogu: Work, new_work: Callable[..., Work], tmp_path: Path
) -> None:
    """Behaviours 24 and 25."""
    work = new_work("other", track=())
    upstream = tmp_path / "origin.git"
    work.write("taken/file", "mine")
    grogu.write("images/local.png", b"never pushed to the store")
    grogu.commit()
    grogu.git("push", "-q", "--no-verify")
    for words, said in (
        (("nowhere", "-o", "a"), "nowhere"),
        (("images", "-o", "taken"), "taken"),
        (("images", "-o", "a"), "local.png"),
    ):
        done = work.try_lds("import", upstream, *words)
        lines = done.stderr.splitlines()
        assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr
        assert lines[0].startswith("git-lds: ") and any(line.startswith("hint: ") for line in lines)
        assert work.git("status", "--porcelain") == "?? taken/" and work.read("taken/file") == b"mine"


def test_a_chain_of_dependencies_comes_from_the_stores_alone(
    grogu: Work, detector: Work, new_work: Callable[..., Work], server: str, tmp_path: Path, world: Path
) -> None:
    """Behaviour 27: A → B → C, where B's store has none of A's objects, but the one that B fixed."""
    detector.write("data/raw/images/5.png", b"a fix of ours")
    detector.commit()
    detector.git("push", "-q")
    last = new_work("paper", track=())
    bare = tmp_path / "paper.git"
    last.git("init", "-q", "--bare", bare)
    last.git("remote", "add", "origin", bare)
    last.lds("init", "--store", f"{server}/paper")
    last.lds("import", tmp_path / "detector.git", "data/raw", "-o", "figures")
    last.commit("Depend on the detector")
    last.git("push", "-q", "origin", "main")
    assert same(detector.path / "data/raw", last.path / "figures")
    assert not (tmp_path / "stores" / "paper" / "pack").exists()
    detector_packs = sum(
        p.stat().st_size for p in (tmp_path / "stores" / "detector" / "pack").rglob("*") if p.is_file()
    )
    assert detector_packs < 1000
    for gone in (grogu.path, tmp_path / "origin.git", tmp_path / "detector.git", last.path):
        shutil.rmtree(gone)
    empty_caches(world)
    copy = clone(bare, tmp_path / "copy")
    assert same(detector.path / "data/raw", copy.path / "figures")
    assert copy.read("figures/images/5.png") == b"a fix of ours"
    assert copy.is_clean() and copy.unreadable() == []


@pytest.mark.parametrize("files", some_of([1000, 5000]))
def test_one_of_thousands_of_files_is_a_handful_of_requests(
    new_work: Callable[..., Work], server: str, tmp_path: Path, files: int
) -> None:
    """Behaviour 29, counted on the way to the store and at the git server."""
    upstream, consumer = new_work("many"), new_work("consumer", track=())
    bare = tmp_path / "served" / "many.git"
    upstream.git("init", "-q", "--bare", bare)
    Work(bare).git("config", "uploadpack.allowFilter", "true")
    Work(bare).git("config", "uploadpack.allowAnySHA1InWant", "true")
    upstream.git("remote", "add", "origin", bare)
    with counting(server) as store, serving_git(bare.parent) as (git_server, asked):
        upstream.lds("init", "--store", f"{store.url}/many")
        for n in range(files):
            upstream.write(f"images/{n % 50}/{n}.png", f"the contents of image {n}")
        upstream.commit()
        upstream.git("push", "-q", "origin", "main")
        assert len(store.of("PUT")) <= 6
        store.requests.clear()
        consumer.lds("import", f"{git_server}/many.git", "images", "-o", "data")
        consumer.commit("Depend on many")
        assert same(upstream.path / "images", consumer.path / "data")
        assert len(store.requests) <= 12 and len(asked) <= 12

        store.requests.clear()
        asked.clear()
        before = {p: p.stat().st_mtime_ns for p in (consumer.path / "data").rglob("*.png")}
        assert "up to date" in consumer.lds("update")
        assert store.requests == [] and len(asked) <= 2
        assert consumer.is_clean()

        asked.clear()
        upstream.write("images/7/7.png", b"mended")
        upstream.commit()
        upstream.git("push", "-q", "origin", "main")
        store.requests.clear()
        received = store.received
        consumer.lds("update")
        assert len(store.requests) <= 8 and len(asked) <= 10
        assert store.received - received < 300_000
    assert consumer.read("data/7/7.png") == b"mended"
    touched = [p for p, at in before.items() if p.stat().st_mtime_ns != at]
    assert touched == [consumer.path / "data/7/7.png"]
    consumer.commit("Update many")
    assert consumer.is_clean()


def test_a_pull_brings_other_refs_too_when_asked(grogu: Work, tmp_path: Path, world: Path) -> None:
    grogu.git("checkout", "-qb", "other")
    grogu.write("images/0.png", b"on the other branch")
    grogu.commit()
    grogu.git("push", "-q", "origin", "other")
    for words, present in ((("pull",), 0), (("pull", "origin", "origin/other"), 1), (("pull", "--all"), 1)):
        empty_caches(world)
        copy = clone(tmp_path / "origin.git", tmp_path / f"copy{len(words)}{words[-1]}".replace("/", "-"))
        copy.lds(*words)
        shown = copy.lds("ls-files", "origin/other", "--json")
        (file,) = [f for f in json.loads(shown) if f["path"] == "images/0.png"]
        assert file["present"] == bool(present)
        assert copy.read("images/large.png") == grogu.read("images/large.png")

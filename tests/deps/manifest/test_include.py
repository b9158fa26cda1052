"""A part of a directory is imported: what is left out does not come, does not count, and is not touched upstream."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from kit.datasets import Dataset, files_of, lock, new_consumer, opened, run
from kit.work import Work

from git_lds.deps.contribute.contribute import contribute
from git_lds.deps.manifest import include
from git_lds.deps.update.add import import_path
from git_lds.deps.update.outdated import outdated
from git_lds.errors import LdsError

FILES = {
    "images/a.png": "a",
    "images/raw/a.cr2": "raw a",
    "images/drafts/b.png": "b",
    "images/drafts/c.txt": "c",
    "images/.gitattributes": "*.txt -filter\n",
}


def narrowed(directory: Path, there: Dataset) -> Work:
    here = new_consumer(directory)
    with opened(here) as repo:
        import_path(repo, there.url, "images", output="data", include=["*.png", "*.txt"], exclude=["drafts/b*"])
    here.commit("import")
    return here


@pytest.mark.parametrize(
    ("pattern", "matching"),
    [
        ("*.png", {"a.png", "x/b.png", "x/y/c.png"}),
        ("x", {"x/b.png", "x/y/c.png", "x/n.txt"}),
        ("x/", {"x/b.png", "x/y/c.png", "x/n.txt"}),
        ("/a.png", {"a.png"}),
        ("x/*.png", {"x/b.png"}),
        ("x/**/*.png", {"x/b.png", "x/y/c.png"}),
        ("**/y", {"x/y/c.png"}),
        ("x/**", {"x/b.png", "x/y/c.png", "x/n.txt"}),
        ("[ab].pn?", {"a.png", "x/b.png"}),
        ("**", {"a.png", "x/b.png", "x/y/c.png", "x/n.txt"}),
        ("y/c.png", set()),
    ],
)
def test_globs_mean_what_they_mean_in_gitignore(pattern: str, matching: set[str]) -> None:
    names = {"a.png", "x/b.png", "x/y/c.png", "x/n.txt"}
    assert {name for name in names if include.matches(name.encode(), [pattern], [])} == matching
    assert {name for name in names if include.matches(name.encode(), [], [pattern])} == names - matching


def test_hostile_globs_take_no_time() -> None:
    started = time.monotonic()
    for pattern in ("*a" * 200 + "b", "**/" * 200 + "x", "/".join(["**", "a*"] * 100)):
        include.matches(b"a" * 255 + b"/" + b"/".join([b"aaaaaa"] * 500), [pattern], [])
    assert time.monotonic() - started < 2


def test_a_part_of_a_directory_is_imported_and_updated(there: Dataset, tmp_path: Path) -> None:
    here = narrowed(tmp_path, there)
    assert files_of(here, "data") == {".gitattributes": b"*.txt -filter\n", "a.png": b"a", "drafts/c.txt": b"c"}
    assert here.committed("data/drafts/c.txt") == b"c" and here.committed("data/a.png").startswith(b"version")
    assert (lock(here, "data").include, lock(here, "data").exclude) == (("*.png", "*.txt"), ("drafts/b*",))
    here.write("data/a.png", "mine")
    here.commit("fix")
    there.publish({"images/raw/a.cr2": "raw again", "images/drafts/b.png": "b2"})
    with opened(here) as repo:
        assert not outdated(repo)[0].outdated
    assert not run(here)["data"].written
    there.publish({"images/new.png": "new", "images/raw/new.cr2": "new"})
    assert run(here)["data"].added == (b"data/new.png",)
    here.commit("update")
    assert "raw" not in str(files_of(here, "data").keys()) and here.read("data/a.png") == b"mine"
    assert "1 file edited here" in here.lds("deps")


def test_a_contribution_leaves_alone_what_is_not_imported(there: Dataset, tmp_path: Path) -> None:
    here = narrowed(tmp_path, there)
    here.write("data/a.png", "fixed")
    here.write("data/new.png", "new")
    here.write("data/raw/a.cr2", "something of our own")
    here.commit("fix")
    with opened(here) as repo:
        done = contribute(repo, "data")
    assert done.plan.not_contributed.left_out == (b"data/raw/a.cr2",)
    listed = Work(there.bare).git("diff", "--name-status", f"main...{done.plan.destination.branch}").splitlines()
    assert listed == ["M\timages/a.png", "A\timages/new.png"]


def test_what_can_not_be(there: Dataset, tmp_path: Path) -> None:
    here = new_consumer(tmp_path)
    for path, patterns, says in (
        ("images", ["*.jpeg"], "holds no files that are wanted"),
        ("images/a.png", ["*.png"], "is a file"),
        ("images", ["-x"], "starts with '-'"),
        ("images", ["/"], "matches nothing"),
        ("images", ["x"] * 201, "more than 200"),
    ):
        with opened(here) as repo, pytest.raises(LdsError) as failed:
            import_path(repo, there.url, path, output="data", include=patterns)
        assert says in failed.value.message

"""A fresh clone: each file is asked for once, and nothing comes that is not checked out."""

from __future__ import annotations

from pathlib import Path

import pytest
from kit.work import Work, flip_in_packs, pointer_of

from git_lds import hashing
from git_lds.local.objects import ObjectDirectory

FILES = {f"images/{number}.bin": b"image %d" % number for number in range(12)} | {"top.bin": b"top"}


@pytest.fixture
def published(work: Work) -> Path:
    for name, data in FILES.items():
        work.write(name, data)
    work.commit()
    return work.publish()


def cached(cache: Path) -> set[str]:
    """The paths whose contents came into the cache."""
    here = set(ObjectDirectory(cache / "objects"))
    return {name for name, data in FILES.items() if hashing.of_bytes(data) in here}


def asked(trace: Path) -> int:
    return trace.read_text(errors="replace").count("> command=smudge")


def test_a_clone_asks_for_each_file_once(work: Work, published: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    clone = work.clone("clone", source=published, GIT_LDS_CACHE=tmp_path / "cache", GIT_TRACE_PACKET=trace)
    assert {name: clone.read(name) for name in FILES} == FILES
    assert clone.is_clean()
    assert asked(trace) == len(FILES)


def test_a_sparse_clone_fetches_what_is_in_its_cone(work: Work, published: Path, tmp_path: Path) -> None:
    work.clone("clone", "--sparse", source=published, GIT_LDS_CACHE=tmp_path / "cache")
    assert cached(tmp_path / "cache") == {"top.bin"}


def test_a_path_taken_from_a_clone_without_files_comes_alone(work: Work, published: Path, tmp_path: Path) -> None:
    clone = work.clone("clone", "--no-checkout", source=published)
    clone.git("reset", "-q")  # git takes its attributes from the index
    clone.git("checkout", "HEAD", "--", "images/3.bin", GIT_LDS_CACHE=tmp_path / "cache")
    assert clone.read("images/3.bin") == FILES["images/3.bin"]
    assert cached(tmp_path / "cache") == {"images/3.bin"}


def test_a_clone_fetches_what_its_patterns_want(work: Work, published: Path, tmp_path: Path) -> None:
    options = {"GIT_LDS_CACHE": tmp_path / "cache", "GIT_LDS_INCLUDE": "images", "GIT_LDS_EXCLUDE": "images/1*"}
    clone = work.clone("clone", source=published, **options)
    wanted = {name for name in FILES if name.startswith("images/") and not name.startswith("images/1")}
    assert cached(tmp_path / "cache") == wanted
    assert clone.read("top.bin") == pointer_of(FILES["top.bin"])


def test_a_clone_names_once_what_no_store_has_and_has_the_rest(work: Work, published: Path, tmp_path: Path) -> None:
    work.write("images/lost.bin", pointer_of(b"no store has it"))
    work.commit()
    work.git("push", "-q", "--no-verify", "origin", "HEAD")
    target = tmp_path / "clone"
    done = work.try_git("clone", "-q", str(published), str(target), GIT_LDS_CACHE=tmp_path / "cache")
    assert done.returncode == 1
    assert done.stderr.count("git-lds: images/lost.bin (") == 1
    clone = Work(target)
    assert {name: clone.read(name) for name in FILES} == FILES
    assert clone.read("images/lost.bin") == pointer_of(b"no store has it") and clone.is_clean()


def test_a_clone_with_its_store_gone_counts_its_files_and_ends(work: Work, published: Path, tmp_path: Path) -> None:
    (published / "lds").rename(tmp_path / "elsewhere")
    target = tmp_path / "clone"
    done = work.try_git("clone", "-q", str(published), str(target), GIT_LDS_CACHE=tmp_path / "cache")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert sum(line.startswith(f"git-lds: {len(FILES)} files: ") for line in lines) == 1, "the reason is printed once"
    assert len(lines) < 5
    assert f"the contents of {len(FILES)} files could not be fetched, so they are still pointers: " in done.stderr
    clone = Work(target)
    assert {name: clone.read(name) for name in FILES} == {name: pointer_of(data) for name, data in FILES.items()}
    assert clone.is_clean()


def test_what_is_damaged_in_the_cache_is_fetched_again(work: Work, published: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    work.clone("clone", source=published, GIT_LDS_CACHE=cache)
    assert flip_in_packs(cache, b"image 7") == 1
    again = work.clone("again", source=published, GIT_LDS_CACHE=cache)
    assert {name: again.read(name) for name in FILES} == FILES

"""Small files of an import are written without git, as git would write them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kit.datasets import Dataset, files_of, new_consumer, new_dataset, opened
from kit.git_count import counted_git
from kit.work import Work, flip_in_packs, no_file_larger_than, random_bytes

from git_lds import hashing
from git_lds.deps.update.add import import_path
from git_lds.errors import CorruptData, LdsError
from git_lds.git.trees import TreeEntry
from git_lds.local.objects import SMALL
from git_lds.pointer import Pointer
from git_lds.worktree import fill

FILES: dict[str, bytes | str | None] = {
    "images/a.png": random_bytes(1, 5_000),
    "images/deep/b.png": random_bytes(2, SMALL),
    "images/deep/run.png": b"#!/bin/sh\n",
    "images/large.png": random_bytes(3, SMALL + 1),
}


@pytest.fixture
def there(tmp_path: Path, installed: None) -> Dataset:
    dataset = new_dataset(tmp_path)
    dataset.work.write("images/deep/run.png", "").chmod(0o755)
    dataset.publish(FILES)
    return dataset


@pytest.fixture
def here(tmp_path: Path, installed: None) -> Work:
    return new_consumer(tmp_path)


def take(here: Work, there: Dataset) -> None:
    with opened(here) as repo:
        import_path(repo, there.url, "images", output="in")
    assert files_of(here, "in") == files_of(there.work, "images")


def smudged(trace: Path) -> set[str]:
    """Return the names of the files that git asked a filter for."""
    return {line.rpartition("/")[2] for line in trace.read_text().splitlines() if "> pathname=" in line}


def test_git_writes_large_files_alone(
    there: Dataset, here: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TRACE_PACKET", str(tmp_path / "trace"))
    take(here, there)
    assert smudged(tmp_path / "trace") == {"large.png"}
    assert (here.path / "in/deep/run.png").stat().st_mode & 0o111
    assert not (here.path / "in/a.png").stat().st_mode & 0o111
    here.git("commit", "-qm", "import")
    assert here.is_clean()


@pytest.mark.parametrize("words", ["ident", "working-tree-encoding=UTF-8", "-text ident", "filter=lds text=auto"])
def test_git_writes_files_that_it_changes(
    there: Dataset, here: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    (here.path / ".git/info/attributes").write_text(f"in/a.png {words}\n")
    monkeypatch.setenv("GIT_TRACE_PACKET", str(tmp_path / "trace"))
    take(here, there)
    assert smudged(tmp_path / "trace") == {"large.png", "a.png"}


def test_git_writes_nothing_if_all_files_are_small(there: Dataset, here: Work) -> None:
    there.publish({"images/large.png": None, "images/notes.txt": "notes\n"})
    with counted_git() as processes:
        take(here, there)
    assert processes.of("read-tree") == []
    here.git("commit", "-qm", "import")
    assert here.is_clean() and not here.starts_filter("status")


@pytest.mark.parametrize(
    ("attributes", "autocrlf"),
    [
        ("text eol=crlf", "false"),
        ("eol=crlf", "false"),
        ("crlf=input", "false"),
        ("text=auto", "true"),
        ("ident", "false"),
        ("working-tree-encoding=UTF-16LE", "false"),
        ("filter=upper", "false"),
        ("-text", "true"),
        ("", "true"),
        ("", "false"),
    ],
)
def test_plain_files_come_as_git_writes_them(there: Dataset, here: Work, attributes: str, autocrlf: str) -> None:
    names = {"in/notes.txt", "in/run.sh", "in/empty"}
    there.work.write("plain/run.sh", "").chmod(0o755)
    there.publish({"plain/notes.txt": "one $Id$\ntwo\n", "plain/run.sh": "#!/bin/sh\n", "plain/empty": ""})
    (here.path / ".git/info/attributes").write_text(f"in/notes.txt {attributes}\nin/run.sh {attributes}\n")
    here.git("config", "core.autocrlf", autocrlf)
    here.git("config", "filter.upper.smudge", "tr a-z A-Z")
    with opened(here) as repo:
        import_path(repo, there.url, "plain", output="in")
    written = {name: (here.read(name), (here.path / name).stat().st_mode) for name in names}
    here.git("commit", "-qm", "import")
    assert here.is_clean()
    for name in names:
        (here.path / name).unlink()
    here.git("checkout", "--", ".")
    assert {name: (here.read(name), (here.path / name).stat().st_mode) for name in names} == written


def test_a_file_whose_object_is_damaged_in_the_cache_is_fetched_again(
    there: Dataset, here: Work, tmp_path: Path
) -> None:
    take(here, there)
    assert flip_in_packs(Path(os.environ["GIT_LDS_CACHE"]), FILES["images/a.png"]) == 1
    take(new_consumer(tmp_path, "C"), there)


def test_a_damaged_object_that_no_store_has_is_an_error(there: Dataset, here: Work, tmp_path: Path) -> None:
    take(here, there)
    data = FILES["images/a.png"]
    assert isinstance(data, bytes)
    flip_in_packs(Path(os.environ["GIT_LDS_CACHE"]), data)
    pointer = Pointer(hashing.of_bytes(data), len(data))
    (there.bare / "lds").rename(tmp_path / "gone")
    with opened(here) as repo, pytest.raises(CorruptData, match=r"in/a\.png: the local copy of .* is damaged"):
        fill.write(repo, tmp_path, {b"in/a.png": (pointer, TreeEntry(b"100644", b""))})


@pytest.mark.parametrize("path", [b"link/a.png", b"link", b"directory/link/deep/a.png"])
def test_no_file_is_written_through_a_link(there: Dataset, here: Work, tmp_path: Path, path: bytes) -> None:
    take(here, there)
    data = FILES["images/a.png"]
    assert isinstance(data, bytes)
    pointer = Pointer(hashing.of_bytes(data), len(data))
    new, outside = tmp_path / "new", tmp_path / "outside"
    (new / "directory").mkdir(parents=True)
    outside.mkdir()
    for place in (new / "link", new / "directory/link"):
        place.symlink_to(outside)
    with opened(here) as repo, pytest.raises(LdsError, match=r"symbolic link|Not a directory"):
        fill.write(repo, new, {path: (pointer, TreeEntry(b"100644", b""))})
    assert not list(outside.iterdir())


def test_a_full_disk_is_named(there: Dataset, here: Work) -> None:
    take(here, there)
    here.git("reset", "-q", "--hard")
    data = FILES["images/deep/b.png"]
    assert isinstance(data, bytes)
    pointer = Pointer(hashing.of_bytes(data), len(data))
    new = here.path.parent / "new"
    new.mkdir()
    with opened(here) as repo, no_file_larger_than(1000), pytest.raises(LdsError, match="File too large") as failed:
        fill.write(repo, new, {b"deep/b.png": (pointer, TreeEntry(b"100644", b""))})
    assert failed.value.hint is not None and str(new) in failed.value.message

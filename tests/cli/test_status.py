"""What `git lds status` says, in repositories where something is wrong and where nothing is."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Work

RAW = ("-c", "filter.lds.process=", "-c", "filter.lds.clean=", "-c", "filter.lds.required=false")
"""Options of git with which it adds files as a client without git-lds does."""


def status(work: Work) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(work.lds("status", "--json"))
    return found


@pytest.fixture
def healthy(new_work: Callable[..., Work], tmp_path: Path) -> Work:
    """A repository with a remote and a store, where all is pushed."""
    work = new_work()
    work.lds("init", "--store", str(tmp_path / "store"))
    work.write("a.bin", b"contents of a")
    work.write("images/b.png", b"contents of b")
    work.commit()
    work.git("init", "-q", "--bare", str(tmp_path / "origin.git"))
    work.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    work.git("push", "-q", "-u", "origin", "main")
    return work


def test_where_all_is_well_nothing_but_the_store_is_said(healthy: Work, tmp_path: Path) -> None:
    done = healthy.try_lds("status")
    assert (done.stdout, done.stderr) == (f"Store: {tmp_path}/store\n", "")
    assert [name for name, value in status(healthy).items() if value] == ["store"]


# no false alarms


def test_a_file_that_was_only_touched_is_not_changed(healthy: Work) -> None:
    for name in ("a.bin", "images/b.png"):
        os.utime(healthy.path / name, (1_000_000_000, 1_000_000_000))
    assert healthy.git("diff-files", "--name-only") == "a.bin\nimages/b.png"
    assert status(healthy)["unstaged"] == []
    assert healthy.git("diff-files", "--name-only") == "", "git need not look into them again"


@pytest.mark.parametrize("obstacle", ["locked", "optional locks are off"])
def test_a_touched_file_is_not_changed_where_the_index_is_not_to_be_written(healthy: Work, obstacle: str) -> None:
    os.utime(healthy.path / "a.bin", (1_000_000_000, 1_000_000_000))
    index = healthy.path / ".git/index"
    before = index.read_bytes()
    if obstacle == "locked":
        (healthy.path / ".git/index.lock").write_bytes(b"somebody's")
    done = healthy.try_lds("status", "--json", GIT_OPTIONAL_LOCKS="0" if obstacle != "locked" else "1")
    assert json.loads(done.stdout)["unstaged"] == [] and done.stderr == ""
    assert index.read_bytes() == before
    if obstacle == "locked":
        assert (healthy.path / ".git/index.lock").read_bytes() == b"somebody's"


def test_files_that_are_changed_deleted_or_in_conflict_are_told_apart(healthy: Work) -> None:
    healthy.git("switch", "-qc", "side")
    healthy.write("images/b.png", b"theirs")
    healthy.commit()
    healthy.git("switch", "-q", "main")
    healthy.write("images/b.png", b"ours")
    healthy.commit()
    healthy.write("c.bin", b"c")
    healthy.commit()
    assert healthy.try_git("merge", "side").returncode == 1
    healthy.write("a.bin", b"edited here")
    (healthy.path / "c.bin").unlink()
    healthy.write("other.txt", b"not ours")
    healthy.git("add", "-N", "other.txt")
    healthy.write("new.bin", b"new")
    healthy.git("add", "-N", "new.bin")
    found = {change["path"]: change["kind"] for change in status(healthy)["unstaged"]}
    assert found == {"a.bin": "M", "c.bin": "D", "images/b.png": "U", "new.bin": "A"}


# contents that went into git


def test_contents_that_git_has_under_a_pattern_are_listed(healthy: Work) -> None:
    healthy.write("raw.bin", b"raw " * 100)
    healthy.write("images/short.png", b"raw")
    healthy.git(*RAW, "add", "raw.bin", "images/short.png")
    assert status(healthy)["plain"] == ["images/short.png", "raw.bin"]
    healthy.git("commit", "-qm", "by a client without filters")
    assert status(healthy)["plain"] == ["images/short.png", "raw.bin"]
    said = healthy.lds("status")
    assert "Plain in git though they are tracked (git add --renormalize PATH…):\n  images/short.png\n  raw.bin" in said
    healthy.git("add", "--renormalize", "raw.bin", "images/short.png")
    assert status(healthy)["plain"] == []


def test_files_that_are_rightly_plain_are_not_listed(healthy: Work) -> None:
    healthy.write(".gitattributes", "* filter=lds diff=lds merge=lds -text\n*.md -filter\nREADME !filter\n")
    for name, data in (
        (".gitignore", "*.o\n"),
        ("empty.bin", ""),
        ("a.md", "plain"),
        ("README", "plain"),
        (".ldsdeps", ""),
    ):
        healthy.write(name, data)
    (healthy.path / "link.bin").symlink_to("a.md")
    healthy.commit()
    assert status(healthy)["plain"] == []
    assert "pointers: every tracked file is a pointer in git" in healthy.try_lds("doctor").stdout


def test_a_long_list_of_plain_files_is_cut(healthy: Work) -> None:
    for number in range(30):
        healthy.write(f"raw{number:02}.bin", b"raw")
    healthy.git(*RAW, "add", ".")
    assert len(status(healthy)["plain"]) == 30
    assert "  raw09.bin\n  … and 20 more" in healthy.lds("status")

"""Files on disk: scratch files, copies, and paths that lead out of a working tree."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_lds import files
from git_lds.files import Scratch, WorkTreePath


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/", "./a", ".git", "a/.git/config", ".GIT/hooks/x", ".git ", ".git.",
     ".git . .", "git~1", "GIT~1/x", ".git::$INDEX_ALLOCATION", ".git:stream", "a\\..\\b", ".git\\config",
     ".g\u200cit", "\u202e.git",
     "x\0y"],
)  # fmt: skip
def test_a_path_out_of_the_work_tree_or_into_any_spelling_of_git_is_refused(path: str) -> None:
    assert not files.is_safe_path(path.encode())


@pytest.mark.parametrize(
    "path", ["a", "a/b c", ".gitattributes", ".github/x", "a\nb", "-x", "git", "a.git", "a\\b", "a:b", "\u00e9"]
)
def test_ordinary_names_are_allowed(path: str) -> None:
    assert files.is_safe_path(path.encode())
    assert files.is_safe_path(b"\xff\xfe")


def test_a_link_in_a_path_is_never_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "link").symlink_to(outside)
    with pytest.raises(OSError), WorkTreePath(os.fsencode(tree), b"link/file", create=True):
        pass
    assert not list(outside.iterdir())


def test_scratch_leaves_nothing_unless_it_gets_a_name(tmp_path: Path) -> None:
    with Scratch(tmp_path / "tmp") as scratch:
        files.write_all(scratch.fd, b"gone")
    with Scratch(tmp_path / "tmp") as scratch:
        files.write_all(scratch.fd, b"kept")
        scratch.move_to(tmp_path / "to" / "name")
    assert list((tmp_path / "tmp").iterdir()) == []
    assert (tmp_path / "to" / "name").read_bytes() == b"kept"


def test_sweep_deletes_files_of_killed_processes_and_spares_files_in_use(tmp_path: Path) -> None:
    code = (
        "import sys, os, signal; from pathlib import Path; from git_lds.files import Scratch\n"
        "Scratch(Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    with Scratch(tmp_path) as living:
        assert files.sweep(tmp_path) == 1
        assert list(tmp_path.iterdir()) == [living.path]


@given(st.binary(max_size=300), st.integers(min_value=0, max_value=300))
def test_copy_copies_the_start_and_moves_to_its_end(data: bytes, size: int) -> None:
    size = min(size, len(data))
    source, target = os.memfd_create("source"), os.memfd_create("target")
    try:
        os.write(source, data)
        files.copy_contents(source, target, size)
        os.write(target, b"!")
        assert files.read_at(target, 1000, 0) == data[:size] + b"!"
    finally:
        os.close(source)
        os.close(target)


def test_names_are_shown_on_one_line_without_control_characters() -> None:
    assert files.printable(b"a\nb\x1b[31m") == r"a\nb\x1b[31m"
    assert files.printable(b"\xff") == r"\xff"

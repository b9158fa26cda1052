"""One open repository: its parts are found from wherever git may start us."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kit.work import Work, random_bytes

from git_lds import hashing
from git_lds.errors import LdsError
from git_lds.repo import Repo


def parts(repo: Repo) -> tuple[Path, Path, Path, Path | None]:
    return repo.git_dir, repo.common_dir, repo.index, repo.work_tree


def test_the_parts_of_an_ordinary_repository(work: Work) -> None:
    work.write("images/a.png", b"a")
    git_dir = work.path / ".git"
    for directory in (work.path, work.path / "images"):
        with Repo.here(directory) as repo:
            assert parts(repo) == (git_dir, git_dir, git_dir / "index", work.path)
            assert repo.lds_dir == git_dir / "lds" and repo.hash_size == 20
            assert repo.git.text("rev-parse", "--show-prefix") == "", "git is asked at the top"


def test_inside_of_git_s_directory_and_in_a_bare_repository_there_is_no_work_tree(work: Work) -> None:
    bare = work.clone("bare.git", "--bare")
    for directory, git_dir in ((work.path / ".git" / "refs", work.path / ".git"), (bare.path, bare.path)):
        with Repo.here(directory) as repo:
            assert repo.work_tree is None and repo.git_dir == git_dir
            with pytest.raises(LdsError):
                repo.require_work_tree()


def test_a_linked_work_tree_has_an_index_of_its_own_and_shares_the_local_store(work: Work) -> None:
    work.write("a.bin", b"a")
    work.commit()
    work.git("worktree", "add", "-q", "../beside")
    beside = work.path.parent / "beside"
    git_dir = work.path / ".git"
    with Repo.here(beside) as repo:
        assert parts(repo) == (
            git_dir / "worktrees" / "beside",
            git_dir,
            git_dir / "worktrees" / "beside" / "index",
            beside,
        )
        assert repo.lds_dir == git_dir / "lds"


def test_a_submodule_has_its_own(work: Work) -> None:
    work.write("a.bin", b"a")
    work.commit()
    outer = Work(work.path.parent / "outer")
    outer.path.mkdir()
    outer.git("init", "-q")
    outer.git("submodule", "--quiet", "add", str(work.path), "inner", GIT_LDS_SKIP_SMUDGE="1")
    with Repo.here(outer.path / "inner") as repo:
        assert repo.git_dir == outer.path / ".git" / "modules" / "inner" and repo.work_tree == outer.path / "inner"


def test_the_variables_by_which_git_passes_on_its_repository_hold(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be relative: GIT_DIR and GIT_WORK_TREE to where git stands, GIT_INDEX_FILE to the top."""
    work.write("images/a.png", b"a")
    work.commit()
    monkeypatch.chdir(work.path / "images")
    for name, value in (("GIT_DIR", "../.git"), ("GIT_WORK_TREE", ".."), ("GIT_INDEX_FILE", ".git/other")):
        monkeypatch.setenv(name, value)
    with Repo.here() as repo:
        git_dir = work.path / ".git"
        assert parts(repo) == (git_dir, git_dir, git_dir / "other", work.path)
        assert repo.git.text("rev-parse", "--absolute-git-dir", "--show-toplevel") == f"{git_dir}\n{work.path}"
        assert repo.git.text("rev-parse", "--path-format=absolute", "--git-path", "index") == str(git_dir / "other")


def test_sha256_is_seen(tmp_path: Path, world: Path) -> None:
    Work(tmp_path).git("init", "-q", "--object-format=sha256")
    with Repo.here(tmp_path) as repo:
        assert repo.hash_size == 32


@pytest.mark.parametrize("name", ["new\nline", "with space", "-x", os.fsdecode(b"\xff")])
def test_a_directory_of_any_name_is_found(tmp_path: Path, world: Path, name: str) -> None:
    path = tmp_path / name
    path.mkdir()
    Work(path).git("init", "-q")
    with Repo.here(path) as repo:
        assert parts(repo) == (path / ".git", path / ".git", path / ".git" / "index", path)


def test_no_repository_is_one_line_with_a_hint(tmp_path: Path, world: Path) -> None:
    with pytest.raises(LdsError) as raised:
        Repo.here(tmp_path)
    assert raised.value.message == "not inside a git repository" and raised.value.hint


def test_objects_are_looked_up_here_then_in_borrowed_repositories_then_in_the_cache(work: Work, world: Path) -> None:
    """Behaviour 16."""
    work.write("a.bin", b"borrowed")
    work.commit()
    second = work.clone("second", "--shared")
    third = second.clone("third", "--shared")
    third.write("b.bin", b"own")
    third.git("add", "-A")
    with Repo.here(third.path) as repo:
        repo.objects.cache.put(hashing.of_bytes(b"cached"), b"cached")
        for data in (b"borrowed", b"own", b"cached"):
            assert repo.objects.read(hashing.of_bytes(data)) == data
        assert not repo.own.has(hashing.of_bytes(b"borrowed"))
    (third.path / ".git" / "objects" / "info" / "alternates").write_text(
        "# nothing\n\n../no/such\n../../.git/objects\n/also/not/here\n"
    )
    with Repo.here(third.path) as repo:
        assert repo.objects.read(hashing.of_bytes(b"borrowed")) is None, (
            "a bad line is passed over, and no circle is walked"
        )
        assert repo.objects.read(hashing.of_bytes(b"own")) == b"own"


def test_a_damaged_copy_is_passed_over_for_a_good_one(work: Work) -> None:
    work.write("a.bin", b"twice")
    work.commit()
    clone = work.clone("clone", "--shared")
    clone.write("again.bin", b"twice")
    clone.git("add", "-A")
    (pack,) = (clone.path / ".git" / "lds" / "packs").glob("*.pack")
    pack.write_bytes(pack.read_bytes()[:-1] + b"!")
    with Repo.here(clone.path) as repo:
        assert repo.objects.read(hashing.of_bytes(b"twice")) == b"twice"


def test_the_config_of_the_tree_being_checked_out_counts_first(work: Work) -> None:
    work.write(".ldsconfig", '[store]\nurl = "https://example.org/committed"\n')
    work.commit()
    work.write(".ldsconfig", '[store]\nurl = "https://example.org/edited"\n')
    with Repo.here(work.path) as repo:
        assert repo.settings.committed.store == "https://example.org/edited"
    with Repo.here(work.path, checkout_tree="HEAD") as repo:
        assert repo.settings.committed.store == "https://example.org/committed"
    (work.path / ".ldsconfig").unlink()
    with Repo.here(work.path) as repo:
        assert repo.settings.committed.store == "https://example.org/committed"


def test_a_config_file_that_is_a_link_or_a_pipe_is_not_followed(work: Work, tmp_path: Path) -> None:
    """Behaviour 39."""
    secret = tmp_path / "secret"
    secret.write_text('[store]\nurl = "https://example.org/secret"\n')
    (work.path / ".ldsconfig").symlink_to(secret)
    with Repo.here(work.path) as repo:
        assert repo.settings.committed.store is None
    (work.path / ".ldsconfig").unlink()
    os.mkfifo(work.path / ".ldsconfig")
    with Repo.here(work.path) as repo:
        assert repo.settings.committed.store is None
    (work.path / ".ldsconfig").unlink()
    (work.path / ".ldsconfig").write_bytes(random_bytes(1, 1 << 20))
    with Repo.here(work.path) as repo, pytest.raises(LdsError):
        _ = repo.settings.committed

"""Pointers in commits, trees and the index: all that are there, each where it stands, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from kit.work import Work, pointer_of, random_bytes

from git_lds import hashing
from git_lds.errors import LdsError
from git_lds.git.run import Git
from git_lds.local.objects import SMALL
from git_lds.repo import Repo
from git_lds.snapshots import pointers


def paths(found: list[pointers.PointerFile]) -> dict[str, str]:
    return {item.path.decode(): item.pointer.oid.hex()[:8] for item in found}


def oid(data: bytes) -> str:
    return hashing.of_bytes(data).hex()[:8]


def test_the_index_has_each_path_with_its_mode(work: Work) -> None:
    work.write("a.bin", b"same")
    work.write("b.bin", b"same").chmod(0o755)
    work.write("plain.txt", "plain")
    work.write("empty.bin", b"")
    work.write("looks like one.txt", pointer_of(b"in a plain file"))
    (work.path / "link.bin").symlink_to("a.bin")
    work.git("add", "-A")
    found = pointers.in_index(Git(work.path))
    assert paths(found) == {"a.bin": oid(b"same"), "b.bin": oid(b"same"), "looks like one.txt": oid(b"in a plain file")}
    assert {item.path: item.executable for item in found}[b"b.bin"] is True
    assert {item.path: item.executable for item in found}[b"a.bin"] is False


def test_paths_are_bytes_from_the_top_wherever_git_stands(work: Work) -> None:
    names = [b"images/new\nline.png", b"images/\xff.png", b"images/-x.png", b"top.bin"]
    for n, name in enumerate(names):
        work.write(name, b"%d" % n)
    work.commit()
    for directory in (work.path, work.path / "images"):
        assert {item.path for item in pointers.in_index(Git(directory))} == set(names)
        assert {item.path for item in pointers.in_tree(Git(directory), "HEAD")} == set(names)
    assert {item.path for item in pointers.in_index(Git(work.path / "images"), ["-x.png"])} == {b"images/-x.png"}
    assert {item.path for item in pointers.in_index(Git(work.path), [":(glob)*.bin"])} == {b"top.bin"}
    assert {item.path for item in pointers.in_commits(Git(work.path), ["HEAD"])} == {n.split(b"\n")[0] for n in names}


def test_conflicted_and_sparse_paths_do_not_belong_in_the_working_tree(work: Work) -> None:
    work.write("a.bin", b"base")
    work.write("out/b.bin", b"out")
    work.commit()
    work.git("switch", "-qc", "other")
    work.write("a.bin", b"theirs")
    work.commit()
    work.git("switch", "-q", "main")
    work.write("a.bin", b"ours")
    work.commit()
    assert work.try_git("merge", "other").returncode == 1
    assert set(paths(pointers.in_index(Git(work.path)))) == {"out/b.bin"}
    work.git("merge", "--abort")
    work.git("sparse-checkout", "set", "nothing")
    assert set(paths(pointers.in_index(Git(work.path)))) == {"a.bin"}


def test_a_range_has_deleted_contents_and_each_object_once(work: Work) -> None:
    work.write("old.bin", b"old")
    first = work.commit()
    work.write("passing.bin", b"for a moment")
    work.write("copy.bin", b"old")
    work.commit()
    (work.path / "passing.bin").unlink()
    work.write("new.bin", b"new")
    work.write("new again.bin", b"new")
    work.commit()
    assert set(paths(pointers.in_commits(Git(work.path), ["HEAD"])).values()) == {
        oid(b"old"),
        oid(b"for a moment"),
        oid(b"new"),
    }
    found = pointers.in_commits(Git(work.path), ["HEAD"], [first])
    assert sorted(item.pointer.oid.hex()[:8] for item in found) == sorted([oid(b"for a moment"), oid(b"new")])


def test_merges_tags_and_several_starts_are_followed(work: Work) -> None:
    work.write("base.bin", b"base")
    base = work.commit()
    for name in ("one", "two"):
        work.git("switch", "-qc", name, base)
        work.write(f"{name}.bin", name)
        work.commit()
    work.git("merge", "-q", "-m", "merged", "one")
    work.git("tag", "-a", "-m", "a tag", "v1")
    git = Git(work.path)
    everything = {oid(b"base"), oid(b"one"), oid(b"two")}
    assert set(paths(pointers.in_commits(git, ["v1"])).values()) == everything
    assert set(paths(pointers.in_commits(git, [work.git("rev-parse", "v1")])).values()) == everything
    assert set(paths(pointers.in_commits(git, ["one", "two"], [base])).values()) == {oid(b"one"), oid(b"two")}
    assert set(paths(pointers.in_commits(git, ["--all"])).values()) == everything
    assert pointers.in_commits(git, []) == [] and pointers.in_commits(git, [base], [base]) == []
    assert set(paths(pointers.in_tree(git, "v1")).values()) == everything


def test_remote_tracking_branches_are_excluded(work: Work) -> None:
    work.write("old.bin", b"old")
    work.commit()
    work.publish()
    work.write("new.bin", b"new")
    work.commit()
    found = pointers.in_commits(Git(work.path), ["HEAD"], ["--remotes=origin"])
    assert paths(found) == {"new.bin": oid(b"new")}


def test_large_blobs_are_not_read_and_their_number_does_not_matter(work: Work) -> None:
    """Blobs that are not pointers, as in a repository that existed before git-lds."""
    for n in range(300):
        work.write(f"plain/{n}.txt", f"{n}")
    work.write("plain/large.txt", random_bytes(1, 3 << 20))
    work.write("a.bin", b"a")
    work.commit()
    assert paths(pointers.in_tree(Git(work.path), "HEAD")) == {"a.bin": oid(b"a")}


def test_a_partial_clone_is_read_without_fetching(work: Work) -> None:
    work.write("in.bin", b"in")
    work.commit()
    bare = work.publish()
    Work(bare).git("config", "uploadpack.allowFilter", "true")
    clone = work.clone("clone", "--filter=blob:none", "--no-checkout", source=f"file://{bare}")
    git = Git(clone.path)
    assert pointers.in_tree(git, "HEAD") == [] and pointers.in_commits(git, ["HEAD"]) == []
    assert clone.git("rev-list", "--objects", "--all", "--missing=print").count("?") == 2, "still not here"


@pytest.mark.parametrize("revision", ["nothing", "--all", "-x", "", "HEAD:none", "HEAD^{blob}"])
def test_an_unknown_revision_is_refused_in_one_line(work: Work, revision: str) -> None:
    """It never reaches git as an option."""
    work.write("a.bin", b"a")
    work.commit()
    with pytest.raises(LdsError) as raised:
        pointers.in_tree(Git(work.path), revision)
    assert "no such revision" in raised.value.message and "\n" not in raised.value.message


def test_an_empty_repository_has_nothing(tmp_path: Path, world: Path) -> None:
    Work(tmp_path).git("init", "-q")
    assert pointers.in_index(Git(tmp_path)) == [] and pointers.in_commits(Git(tmp_path), ["--all"]) == []


@pytest.mark.parametrize("form", ["sha1", "sha256"])
def test_precomputed_pointers_are_those_that_git_has(world: Path, form: str) -> None:
    work = Work(world / "repo")
    work.path.mkdir()
    work.git("init", "-q", f"--object-format={form}")
    work.lds("install", "--local")
    work.write(".gitattributes", "*.bin filter=lds -text\n")
    for number in range(20):
        work.write(f"{number % 3}/{number}.bin", b"contents %d" % (number // 2))
    work.write("large.bin", random_bytes(1, SMALL + 1))
    work.write("absent.bin", pointer_of(b"not here"))
    work.write("plain.txt", b"plain")
    work.commit()
    with Repo.here(work.path) as repo:
        asked = {"in_index": (), "in_tree": ("HEAD",), "in_commits": (["HEAD"],)}
        for name, args in asked.items():
            find = getattr(pointers, name)
            pointers_found = find(repo.git, *args)
            assert len(pointers_found) == (12 if name == "in_commits" else 22)
            assert find(repo.git, *args, here=repo.objects) == pointers_found


def test_git_is_not_asked_for_pointers_to_local_objects(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        work.write(f"{number}.bin", b"%d" % number)
    work.commit()
    monkeypatch.setenv("GIT_TRACE2_EVENT", str(tmp_path / "trace"))
    with Repo.here(work.path) as repo:
        assert len(pointers.in_index(repo.git, [":(glob)*.bin"], here=repo.objects)) == 5
    assert "cat-file" not in (tmp_path / "trace").read_text()

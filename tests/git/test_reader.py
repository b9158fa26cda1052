"""The open object reader, and what refs and trees say through it: as git itself says, whatever happens meanwhile."""

from __future__ import annotations

import subprocess
import threading

import pytest
from kit.work import Work

from git_lds.git import attributes, index, objects, refs, trees
from git_lds.git.run import Git
from git_lds.git.trees import TreeEntry


@pytest.fixture
def git(work: Work) -> Git:
    for name in ("a.txt", "directory/b.txt", "directory/deep/c d.txt", "ü"):
        work.write(name, name.encode())
    work.commit("one")
    return Git(work.path)


@pytest.mark.parametrize("name", ["HEAD", "HEAD^{tree}", "main", "HEAD~0", "HEAD^{commit}"])
def test_names_resolve_as_rev_parse_resolves_them(git: Git, name: str) -> None:
    found = git.reader.info(name)
    assert found is not None and found.id == git.text("rev-parse", name)


@pytest.mark.parametrize(
    "name", ["", "HEAD^", "no such", "a b missing", ":a.txt", "x\ny", "-e", "0" * 40, "0" * 40 + " 1"]
)
def test_what_names_nothing_is_none_and_the_next_answer_is_right(git: Git, name: str) -> None:
    assert git.reader.info(name) is None and git.reader.read(name) is None
    assert git.reader.info("HEAD") is not None


def test_contents_of_any_kind_are_read(git: Git) -> None:
    found = git.reader.read("HEAD:ü")
    assert found is not None and (found[0].kind, found[1]) == ("blob", "ü".encode())
    commit = git.reader.read("HEAD")
    assert commit is not None and commit[1] == git.bytes("cat-file", "commit", "HEAD")


def test_objects_refs_and_packs_that_come_after_its_start_are_seen(git: Git, work: Work) -> None:
    before = refs.head(git)
    work.write("new.txt", b"new")
    work.commit("two")
    assert refs.head(git) == work.git("rev-parse", "HEAD") != before
    work.git("gc", "-q")
    assert refs.commit(git, "HEAD~1") == before
    blob = objects.write_blob(git, b"written later")
    read = git.reader.read(blob)
    assert read is not None and read[1] == b"written later"


@pytest.mark.parametrize("damage", [b"", b"not an object", None])
def test_a_damaged_object_has_no_answer_and_the_others_have_theirs(git: Git, work: Work, damage: bytes | None) -> None:
    blobs = [objects.write_blob(git, b"blob %d" % number * 1000) for number in range(5)]
    path = work.path / ".git" / "objects" / blobs[2][:2] / blobs[2][2:]
    whole = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    read = [answer and answer[1] for answer in git.reader.contents(blobs)]
    assert read == [None if number == 2 else b"blob %d" % number * 1000 for number in range(5)]
    infos = list(git.reader.infos(blobs))
    assert [info and info.id for info in infos if info is not infos[2]] == [*blobs[:2], *blobs[3:]]
    assert git.reader.info("HEAD") is not None


def test_one_process_serves_threads_and_ends_with_its_git(git: Git) -> None:
    ids = {name: git.text("rev-parse", name) for name in ("HEAD", "HEAD^{tree}", "HEAD:a.txt", "HEAD:directory")}
    wrong: list[str] = []

    def ask() -> None:
        for _ in range(50):
            for name, expected in ids.items():
                found = git.reader.info(name)
                if found is None or found.id != expected:
                    wrong.append(name)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    process = git.reader._process
    assert isinstance(process, subprocess.Popen) and process.poll() is None
    git.close()
    assert process.poll() == 0


def test_trees_and_differences_are_those_of_git(git: Git, work: Work) -> None:
    listed = trees.files(git, "HEAD")
    assert sorted(listed) == sorted(git.names("ls-tree", "-r", "-z", "--name-only", "HEAD"))
    assert trees.at(git, "HEAD", "directory") == TreeEntry(b"040000", git.text("rev-parse", "HEAD:directory").encode())
    assert trees.at(git, "HEAD", "none") is None
    first = refs.required_tree(git, "HEAD")
    assert trees.empty(git) != first and {d.path for d in trees.diff(git, trees.empty(git), first)} == listed.keys()
    work.write("a.txt", b"other")
    (work.path / "ü").unlink()
    work.commit("two")
    differences = {each.path: each for each in trees.diff_of_commit(git, "HEAD")}
    assert differences.keys() == {b"a.txt", "ü".encode()}
    assert differences["ü".encode()].after is None and differences[b"a.txt"].before == listed[b"a.txt"]
    assert {entry.path for entry in index.entries(git)} == trees.files(git, "HEAD").keys()


def test_attributes_are_answered_for_all_paths_at_once(git: Git, work: Work) -> None:
    work.write(".gitattributes", "*.txt mine=yes\nü -mine\n")
    answers = attributes.check(git, ("mine", "other"), [b"a.txt", "ü".encode(), b"new\nline.txt"])
    assert answers == {
        b"a.txt": {"mine": b"yes", "other": b"unspecified"},
        "ü".encode(): {"mine": b"unset", "other": b"unspecified"},
        b"new\nline.txt": {"mine": b"yes", "other": b"unspecified"},
    }
    assert attributes.check(git, ("mine",), []) == {}


def test_an_ancestor_and_a_merge_base(git: Git, work: Work) -> None:
    first = refs.head(git)
    work.write("a.txt", b"two")
    second = work.commit("two")
    assert first is not None and refs.is_ancestor(git, first, second) and not refs.is_ancestor(git, second, first)
    assert refs.merge_base(git, first, second) == first
    assert not refs.is_ancestor(git, "0" * 40, second)

"""Commits as `git log` tells them, compared by their trees, and written: all as git itself would have it."""

from __future__ import annotations

import pytest
from kit.work import Work

from git_lds.errors import LdsError
from git_lds.git import log, objects, refs, tree_diff, trees
from git_lds.git.run import Git
from git_lds.git.trees import TreeEntry
from git_lds.git.write_commits import CommitWriter


@pytest.fixture
def git(work: Work) -> Git:
    for name in ("a.txt", "directory/b.txt", "directory/deep/c d.txt", "ü"):
        work.write(name, name.encode())
    work.commit("one")
    return Git(work.path)


def test_changes_of_a_commit_are_those_of_diff_tree(git: Git, work: Work) -> None:
    assert {each.path for each in tree_diff.changes_below(git, "HEAD", "")} == trees.files(git, "HEAD").keys()
    (work.path / "a.txt").unlink()
    work.write("a.txt/file in its place", b"1")
    work.write("directory/b.txt", b"changed")
    (work.path / "directory/deep/c d.txt").unlink()
    work.write("directory/deeper", b"2")
    work.commit("two")
    expected = {each.path: each for each in trees.diff_of_commit(git, "HEAD")}
    assert {each.path: each for each in tree_diff.changes_below(git, "HEAD", "")} == expected
    below = {b"directory/" + each.path for each in tree_diff.changes_below(git, "HEAD", "directory")}
    assert below == {path for path in expected if path.startswith(b"directory/")}
    assert [each.path for each in tree_diff.changes_below(git, "HEAD", "directory/b.txt")] == [b""]
    assert tree_diff.changes_below(git, "HEAD", "none") == []
    logged = list(log.changes(git, "HEAD", excluded="HEAD~1"))
    assert [(each.commit, {d.path: d for d in each.changes}) for each in logged] == [(refs.head(git), expected)]


def test_a_written_commit_has_the_tree_that_an_index_would_give(git: Git, work: Work) -> None:
    blob = TreeEntry(b"100755", objects.write_blob(git, b"new").encode())
    changes: dict[bytes, TreeEntry | None] = {
        b"a.txt": None,
        b"a.txt/now a directory": blob,
        b"directory": blob,
        b"directory/b.txt": None,
        b"directory/deep/c d.txt": None,
        b"x/y/z": blob,
        b"not/there": None,
    }
    kept = {path: trees.files(git, "HEAD")[path] for path in (b".gitattributes", "ü".encode())}
    with CommitWriter(git, work.path.with_name('the "text"\n')) as writer:
        tree = writer.tree("HEAD", changes)
        assert trees.files(git, tree) == kept | dict.fromkeys((b"a.txt/now a directory", b"directory", b"x/y/z"), blob)
        assert writer.tree(tree, dict.fromkeys(trees.files(git, tree))) == trees.empty(git)
        lines = (
            f"tree {tree}\nparent {refs.head(git)}\nauthor A <a@b> 1 +0100\ncommitter A <a@b> 1 +0100\n\nword \xfc\n"
        )
        commits = [writer.commit(lines.encode()), writer.commit(lines.encode() + b"more\n")]
        with pytest.raises(LdsError, match="could not write"):
            writer.commit(b"tree none\n")
    assert work.git("fsck", "--no-dangling") == ""
    said = log.authorship(git, commits)
    assert list(said) == commits and said[commits[1]] == ("A", "a@b", "1 +0100", "word \xfc\nmore\n")
    assert log.messages(git, commits[1], "HEAD", pattern="^mor") == [(commits[1], "word \xfc\nmore\n")]

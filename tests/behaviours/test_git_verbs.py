"""Everyday git: whatever verb moves files, their bytes are right, `git status` is clean and nothing is left lying about."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from blake3 import blake3
from kit.matrix import some_of
from kit.work import Work, pointer_of, random_bytes

LARGE = (4 << 20) + 5
"""A size that does not go through git."""

Contents = dict[str, bytes]

FIRST: Contents = {
    "small.bin": b"small 1",
    "mid.bin": random_bytes(1, 200_000),
    "large.bin": random_bytes(2, LARGE),
    "images/a.png": b"a picture",
    "plain.txt": b"text 1\n",
    "empty.bin": b"",
}
SECOND: Contents = FIRST | {
    "small.bin": b"small 2",
    "large.bin": random_bytes(3, LARGE + 1),
    "plain.txt": b"text 2\n",
    "new.bin": b"new",
}
SIDE: Contents = FIRST | {
    "mid.bin": random_bytes(4, 200_001),
    "side large.bin": random_bytes(5, LARGE + 2),
    "images/b.png": b"another",
}
MERGED: Contents = SECOND | {name: SIDE[name] for name in ("mid.bin", "side large.bin", "images/b.png")}


def tell(work: Work, contents: Contents, message: str) -> None:
    """Commit exactly these files."""
    for name in work.git("ls-files", "-z").split("\0")[:-1]:
        if name not in contents and name != ".gitattributes":
            (work.path / name).unlink()
    for name, data in contents.items():
        work.write(name, data)
    work.commit(message)


@pytest.fixture
def work(work: Work, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """A repository with the commits FIRST and SECOND on main, and SIDE on side, which starts at FIRST."""
    template = tmp_path_factory.getbasetemp() / "history"
    if not template.exists():
        tell(work, FIRST, "first")
        work.git("switch", "-qc", "side")
        tell(work, SIDE, "side")
        work.git("switch", "-q", "main")
        tell(work, SECOND, "second")
        shutil.copytree(work.path, template)
    else:
        shutil.rmtree(work.path)
        shutil.copytree(template, work.path, copy_function=copy)
    return work


def copy(source: str, target: str) -> str:
    """Copy a file of a repository; objects never change and are shared."""
    if "/lds/objects/" in source:
        os.link(source, target)
        return target
    return str(shutil.copy2(source, target))


def whole(work: Work, contents: Contents) -> None:
    """The working tree holds exactly these files, git has pointers for them and sees no change, and no scratch file is left."""
    listed = {
        name
        for name in work.git("ls-files", "-z").split("\0")
        if name and name not in (".gitattributes", ".gitmodules")
    }
    assert listed == set(contents)
    for name, data in contents.items():
        assert work.read(name) == data, f"{name}: {work.read(name)[:60]!r}"
        tracked = data and not name.endswith(".txt")
        assert work.committed(name, "") == (pointer_of(data) if tracked else data), name
    assert work.git("status", "--porcelain") == ""
    assert work.leftovers() == []
    assert work.unreadable("HEAD") == []


# add and commit


def test_add_and_commit(work: Work) -> None:
    whole(work, SECOND)
    assert work.local_objects() >= {blake3(data).hexdigest() for data in MERGED.values() if data} - {
        blake3(b"text 2\n").hexdigest()
    }


@pytest.mark.parametrize("how", ["-a", "--only", "--include", "--patch", "--amend"])
def test_commit_by_its_other_ways(work: Work, how: str) -> None:
    """git commit -o, -i and -p work with an index of their own."""
    changed = {"small.bin": b"small 3", "large.bin": random_bytes(7, LARGE + 3)}
    for name, data in changed.items():
        work.write(name, data)
    if how == "-a":
        work.git("commit", "-aqm", "change")
    elif how == "--amend":
        work.git("commit", "-aq", "--amend", "-m", "change")
    elif how == "--patch":
        work.git("commit", "--patch", "-qm", "change", input="y\ny\n")
    else:
        work.git("commit", how, "-qm", "change", "--", *changed)
    whole(work, SECOND | changed)


def test_commit_of_a_part_leaves_the_rest_changed(work: Work) -> None:
    work.write("small.bin", b"small 3")
    work.write("large.bin", random_bytes(7, LARGE + 3))
    work.git("commit", "-qm", "part", "--only", "small.bin")
    assert work.git("status", "--porcelain") == " M large.bin"
    assert work.committed("small.bin") == pointer_of(b"small 3")
    work.git("commit", "-qam", "rest")
    whole(work, SECOND | {"small.bin": b"small 3", "large.bin": random_bytes(7, LARGE + 3)})


@pytest.mark.parametrize(
    "where",
    [
        "-C",
        "subdirectory",
        "GIT_DIR",
        "GIT_DIR and GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "alias",
        "shell alias",
        "from .git",
    ],
)
def test_add_from_anywhere(work: Work, where: str) -> None:
    work.write("images/new.png", b"new picture")
    work.write("images/new large.png", random_bytes(8, LARGE))
    inside = Work(work.path / "images")
    if where == "-C":
        Work(work.path.parent).git("-C", str(inside.path), "add", "new.png", "new large.png")
    elif where == "subdirectory":
        inside.git("add", "new.png", ":(top)images/*large*")
    elif where == "GIT_DIR":
        work.git("add", "images", GIT_DIR=".git")
    elif where == "GIT_DIR and GIT_WORK_TREE":
        outside = Work(work.path.parent)
        outside.git("add", "images", GIT_DIR="work/.git", GIT_WORK_TREE="work")
        outside.git("--git-dir=work/.git", "--work-tree=work", "commit", "-qm", "more")
        outside.git("checkout", "-q", "-f", "HEAD~1", GIT_DIR="work/.git", GIT_WORK_TREE="work")
        outside.git("checkout", "-q", "-f", "main", GIT_DIR="work/.git", GIT_WORK_TREE="work")
    elif where == "GIT_INDEX_FILE":
        inside.git("read-tree", "HEAD", GIT_INDEX_FILE=".git/other index")
        inside.git("add", "-A", ":/", GIT_INDEX_FILE=".git/other index")
        tree = inside.git("write-tree", GIT_INDEX_FILE=".git/other index")
        work.git("read-tree", tree)
    elif where == "alias":
        work.git("-c", "alias.put=add -A", "put")
    elif where == "shell alias":
        inside.git("-c", "alias.put=!git add -A", "put")
    else:
        Work(work.path / ".git").git("--work-tree=..", "add", ":/images")
    if work.git("diff", "--cached", "--name-only"):
        work.git("commit", "-qm", "more")
    whole(work, SECOND | {"images/new.png": b"new picture", "images/new large.png": random_bytes(8, LARGE)})


def test_mv_rm_and_clean(work: Work) -> None:
    work.git("mv", "large.bin", "moved.bin")
    work.git("rm", "-q", "small.bin")
    work.write("untracked.bin", b"goes away")
    work.git("clean", "-qfd")
    work.git("commit", "-qm", "moved")
    assert "moved.bin" in work.git("log", "-1", "--name-status", "-M") and "R100" in work.git(
        "log", "-1", "--name-status", "-M"
    )
    expected = {name: data for name, data in SECOND.items() if name not in ("large.bin", "small.bin")}
    whole(work, expected | {"moved.bin": SECOND["large.bin"]})


def test_a_change_of_case_or_kind_is_followed(work: Work) -> None:
    """A large file becomes a directory, a directory a large file, a file a link, and back."""
    (work.path / "large.bin").unlink()
    work.write("large.bin/inner.bin", random_bytes(9, LARGE))
    shutil.rmtree(work.path / "images")
    work.write("images", b"a plain file now")
    (work.path / "mid.bin").unlink()
    (work.path / "mid.bin").symlink_to("small.bin")
    work.commit("kinds")
    work.git("checkout", "-q", "HEAD~1")
    whole(work, SECOND)
    work.git("checkout", "-q", "main")
    assert work.read("large.bin/inner.bin") == random_bytes(9, LARGE)
    assert (work.path / "mid.bin").is_symlink() and work.read("images") == b"a plain file now"
    assert work.is_clean() and work.leftovers() == []


# moving between commits


@pytest.mark.parametrize(
    "verb",
    some_of(
        [("checkout",), ("switch", "--detach"), ("reset", "--hard"), ("reset", "--keep")],
        ("checkout",),
        ("reset", "--hard"),
    ),
)
def test_checkout_switch_and_reset(work: Work, verb: tuple[str, ...]) -> None:
    work.git("update-index", "-q", "--refresh")
    first, side, main = (work.git("rev-parse", name) for name in ("main~1", "side", "main"))
    for commit, contents in ((first, FIRST), (side, SIDE), (main, SECOND)):
        work.git(*verb, "-q", commit)
        whole(work, contents)


def test_read_tree_and_checkout_index(work: Work) -> None:
    work.git("update-index", "-q", "--refresh")
    work.git("read-tree", "-m", "-u", "HEAD", "side")
    work.git("update-ref", "HEAD", "side")
    whole(work, SIDE)
    work.git("checkout-index", "-q", "-a", "-f", "--prefix=copy/")
    for name, data in SIDE.items():
        assert work.read(f"copy/{name}") == data
    shutil.rmtree(work.path / "copy")
    for name in SIDE:
        (work.path / name).unlink()
    work.git("checkout-index", "-q", "-a", "-u")
    whole(work, SIDE)


def test_restore(work: Work) -> None:
    for name in SECOND:
        (work.path / name).unlink()
    work.git("restore", ".")
    whole(work, SECOND)
    work.write("small.bin", b"unwanted")
    work.git("restore", "--source=side", "--staged", "--worktree", ":/")
    work.git("commit", "-qm", "as side")
    whole(work, SIDE)
    work.git("checkout", "main~1", "--", "large.bin", "small.bin", "new.bin")
    work.git("commit", "-qm", "some of main")
    whole(work, SIDE | {name: SECOND[name] for name in ("large.bin", "small.bin", "new.bin")})


@pytest.mark.parametrize(
    "options",
    some_of(
        [("--no-ff",), ("--squash",), ("-s", "resolve"), ("-s", "recursive"), ("-X", "theirs")],
        ("--no-ff",),
        ("--squash",),
    ),
)
def test_merge(work: Work, options: tuple[str, ...]) -> None:
    work.git("merge", "-q", *options, *(() if "--squash" in options else ("-m", "merged")), "side")
    if "--squash" in options:
        work.git("commit", "-qm", "merged")
    whole(work, MERGED)


def test_merge_fast_forward_and_octopus(work: Work) -> None:
    work.git("checkout", "-q", "main~1")
    work.git("merge", "-q", "--ff-only", "main")
    whole(work, SECOND)
    for name in ("one", "two"):
        work.git("switch", "-qc", name, "main~1")
        work.write(f"{name}.bin", random_bytes(len(name), LARGE))
        work.commit(name)
    work.git("switch", "-q", "main")
    work.git("merge", "-q", "-m", "octopus", "one", "two", "side")
    whole(work, MERGED | {f"{name}.bin": random_bytes(len(name), LARGE) for name in ("one", "two")})


@pytest.mark.parametrize("side", ["--ours", "--theirs"])
def test_a_conflict_of_binary_files_keeps_both_sides_whole(work: Work, side: str) -> None:
    work.git("switch", "-qc", "other", "main~1")
    theirs = {"small.bin": b"small other\0", "large.bin": random_bytes(11, LARGE)}
    for name, data in theirs.items():
        work.write(name, data)
    work.commit("other")
    work.git("switch", "-q", "main")
    assert work.try_git("merge", "other").returncode == 1
    for name in theirs:
        assert work.read(name) == SECOND[name], "our side's contents, without markers"
    work.git("checkout", side, "small.bin", "large.bin")
    work.git("add", "small.bin", "large.bin")
    work.git("commit", "-qm", "resolved")
    whole(work, SECOND | (theirs if side == "--theirs" else {}))
    work.git("reset", "-q", "--hard", "HEAD~1")
    assert work.try_git("merge", "other").returncode == 1
    work.git("merge", "--abort")
    whole(work, SECOND)


@pytest.mark.parametrize("verb", ["merge", "rebase"])
def test_a_conflict_of_ldsconfig_stops_no_other_file(work: Work, verb: str) -> None:
    """git writes the conflict before it asks for the files, and must find its way to the end of the merge all the same."""
    for branch, excluded in (("side", "x"), ("main", "y")):
        work.git("switch", "-q", branch)
        work.write(".ldsconfig", f'[fetch]\nexclude = ["{excluded}/"]\n')
        work.commit("config")
    before = work.git("rev-parse", "HEAD")
    assert work.try_git(verb, "side").returncode == 1
    assert work.git("diff", "--name-only", "--diff-filter=U") == ".ldsconfig"
    assert {name: work.read(name) for name in ("mid.bin", "images/b.png", "side large.bin")}.items() <= SIDE.items()
    work.git(verb, "--abort")
    assert work.git("rev-parse", "HEAD") == before and work.read(".ldsconfig") == b'[fetch]\nexclude = ["y/"]\n'
    assert work.is_clean() and {name: work.read(name) for name in SECOND} == SECOND


def test_stash(work: Work) -> None:
    changed = {"small.bin": b"stashed", "large.bin": random_bytes(12, LARGE), "untracked.bin": random_bytes(13, LARGE)}
    for name, data in changed.items():
        work.write(name, data)
    work.git("add", "small.bin")
    work.git("stash", "push", "-q", "--include-untracked")
    whole(work, SECOND)
    work.git("switch", "-q", "--detach", "main~0")
    work.git("stash", "pop", "-q", "--index")
    assert work.git("status", "--porcelain") == " M large.bin\nM  small.bin\n?? untracked.bin"
    assert {name: work.read(name) for name in changed} == changed
    work.git("stash", "push", "-q", "--keep-index")
    assert work.read("small.bin") == b"stashed" and work.read("large.bin") == SECOND["large.bin"]
    work.git("reset", "-q", "--hard")
    work.git("stash", "pop", "-q")
    work.git("add", "-A")
    work.git("commit", "-qm", "popped")
    whole(work, SECOND | changed)


def test_stash_of_some_paths_and_by_patch(work: Work) -> None:
    work.write("small.bin", b"stashed")
    work.write("large.bin", random_bytes(12, LARGE))
    work.git("stash", "push", "-q", "--", "large.bin")
    assert work.read("large.bin") == SECOND["large.bin"] and work.read("small.bin") == b"stashed"
    work.git("stash", "push", "-q", "--patch", input="y\n")
    whole(work, SECOND)
    work.git("stash", "pop", "-q")
    work.git("stash", "pop", "-q")
    assert work.read("large.bin") == random_bytes(12, LARGE) and work.read("small.bin") == b"stashed"
    assert work.leftovers() == []


@pytest.mark.parametrize("backend", ["--merge", "--apply"])
def test_rebase(work: Work, backend: str) -> None:
    work.git("rebase", "-q", backend, "side")
    whole(work, MERGED)
    work.git("rebase", "-q", backend, "--force-rebase", "main~2")
    whole(work, MERGED)


def test_rebase_exec_reads_contents_and_not_pointers(work: Work, tmp_path: Path) -> None:
    """The command runs while git and our filter still do."""
    for n in range(3):
        work.write("large.bin", random_bytes(20 + n, LARGE))
        work.write("small.bin", b"step %d" % n)
        work.commit(f"step {n}")
    log = tmp_path / "log"
    work.git(
        "rebase",
        "-q",
        "--force-rebase",
        "--exec",
        f"cat large.bin small.bin mid.bin | wc -c >> {log}; git status --porcelain >> {log}",
        "side",
    )
    expected = [len(SECOND["large.bin"]) + len(b"small 2") + 200_001] + [LARGE + len(b"step 0") + 200_001] * 3
    assert [int(line) for line in log.read_text().splitlines()] == expected
    whole(work, MERGED | {"large.bin": random_bytes(22, LARGE), "small.bin": b"step 2"})


@pytest.mark.parametrize("hook", ["post-checkout", "post-merge", "post-commit", "post-rewrite"])
def test_hooks_read_contents_and_not_pointers(work: Work, tmp_path: Path, hook: str) -> None:
    log = tmp_path / "log"
    path = work.write(f".git/hooks/{hook}", f"#!/bin/sh\nwc -c < large.bin >> {log}\n")
    path.chmod(0o755)
    if hook == "post-checkout":
        work.git("switch", "-q", "--detach", "main~1")
        sizes = [LARGE]
    elif hook == "post-merge":
        work.git("checkout", "-q", "main~1")
        work.git("merge", "-q", "main")
        sizes = [LARGE + 1]
    elif hook == "post-commit":
        work.git("switch", "-q", "side")
        work.git("cherry-pick", "main")
        sizes = [LARGE + 1]
    else:
        work.git("rebase", "-q", "side")
        sizes = [LARGE + 1]
    assert [int(line) for line in log.read_text().splitlines()][-1:] == sizes
    assert work.is_clean()


def test_a_rebase_that_stops_shows_contents_and_goes_on(work: Work) -> None:
    for n in range(2):
        work.write("large.bin", random_bytes(20 + n, LARGE))
        work.commit(f"step {n}")
    done = work.try_git("rebase", "-i", "main~2", GIT_SEQUENCE_EDITOR="sed -i -e '1s/^pick/edit/'")
    assert done.returncode == 0
    assert work.read("large.bin") == random_bytes(20, LARGE) and work.is_clean()
    work.write("added.bin", b"in between")
    work.git("add", "-A")
    work.git("commit", "-q", "--amend", "--no-edit")
    work.git("rebase", "--continue", GIT_EDITOR="true")
    whole(work, SECOND | {"large.bin": random_bytes(21, LARGE), "added.bin": b"in between"})


def test_cherry_pick_and_revert_of_several_commits(work: Work) -> None:
    for n in range(3):
        work.write("large.bin", random_bytes(20 + n, LARGE))
        work.write(f"step {n}.bin", b"step %d" % n)
        work.commit(f"step {n}")
    work.git("switch", "-q", "side")
    work.git("cherry-pick", "main~4..main")
    steps = {f"step {n}.bin": b"step %d" % n for n in range(3)}
    whole(work, MERGED | steps | {"large.bin": random_bytes(22, LARGE)})
    work.git("revert", "--no-edit", "HEAD~3..HEAD")
    whole(work, MERGED)


def test_format_patch_and_am(work: Work, tmp_path: Path) -> None:
    patches = work.git("format-patch", "-q", "--full-index", "-o", str(tmp_path / "patches"), "main~1..side")
    assert patches == ""
    work.git("am", "-q", *sorted(map(str, (tmp_path / "patches").iterdir())))
    whole(work, MERGED)
    work.git("reset", "-q", "--hard", "HEAD~1")
    work.git("am", "-q", "-3", *sorted(map(str, (tmp_path / "patches").iterdir())))
    whole(work, MERGED)


def test_worktree(work: Work) -> None:
    work.git("worktree", "add", "-q", "../beside", "side")
    beside = Work(work.path.parent / "beside")
    whole(beside, SIDE)
    beside.write("large.bin", random_bytes(30, LARGE))
    beside.write("beside.bin", b"beside")
    beside.commit("beside")
    whole(beside, SIDE | {"large.bin": random_bytes(30, LARGE), "beside.bin": b"beside"})
    work.git("switch", "-q", "--detach", "side")
    whole(work, SIDE | {"large.bin": random_bytes(30, LARGE), "beside.bin": b"beside"})
    work.git("worktree", "remove", "../beside")
    assert not beside.path.exists()
    work.git("switch", "-q", "main")
    whole(work, SECOND)


def test_bisect_run_tests_contents(work: Work) -> None:
    for n in range(5):
        work.write("large.bin", random_bytes(20 + n, LARGE + n))
        work.commit(f"step {n}")
    work.git("bisect", "start", "HEAD", "main~5")
    said = work.git(
        "bisect", "run", "sh", "-c", f"test $(wc -c < large.bin) -lt {LARGE + 3} -a $(wc -c < large.bin) -gt 200"
    )
    assert "step 3" in said
    work.git("bisect", "reset")
    whole(work, SECOND | {"large.bin": random_bytes(24, LARGE + 4)})


# looking


def test_archive_has_contents_also_from_a_bare_repository(work: Work) -> None:
    bare = work.publish()
    Work(bare).git("config", "lds.store", str(bare / "lds"))
    for where, prefix in ((work, ""), (Work(bare), "top/")):
        data = subprocess.run(
            ["git", "archive", f"--prefix={prefix}", "main"], cwd=where.path, capture_output=True, check=True
        ).stdout
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            found = {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}  # type: ignore[union-attr]
        del found[f"{prefix}.gitattributes"]
        assert found == {prefix + name: data for name, data in SECOND.items()}
    assert work.leftovers() == []


def test_diff_log_grep_blame_and_show_speak_of_objects(work: Work) -> None:
    work.write("large.bin", random_bytes(12, LARGE))
    shown = work.git("diff")
    old, new = (blake3(data).hexdigest() for data in (SECOND["large.bin"], random_bytes(12, LARGE)))
    assert f"-oid blake3:{old}" in shown and f"+oid blake3:{new}" in shown
    assert len(shown) < 2000
    assert f"binary, {LARGE + 1} bytes" in work.git("log", "-p", "--", "large.bin")
    assert "large.bin" in work.git("grep", "-l", f"size {LARGE + 1}", "HEAD")
    assert "oid blake3:" in work.git("blame", "HEAD", "--", "large.bin")
    assert "oid blake3:" in work.git("show", "HEAD:large.bin")
    assert work.git("diff", "--stat", "side", "main", "--", "mid.bin").endswith("2 deletions(-)")


def test_gc_and_fsck_lose_nothing(work: Work) -> None:
    work.git("gc", "-q", "--prune=now")
    work.git("fsck", "--strict")
    work.git("reflog", "expire", "--expire=now", "--all")
    work.git("gc", "-q", "--aggressive", "--prune=now")
    for commit, contents in (("side", SIDE), ("main", SECOND)):
        work.git("switch", "-q", commit)
        whole(work, contents)


@pytest.mark.parametrize("autocrlf", ["true", "input"])
def test_core_autocrlf_changes_no_byte(work: Work, autocrlf: str) -> None:
    work.git("config", "core.autocrlf", autocrlf)
    work.git("config", "core.safecrlf", "false")
    contents = SECOND | {
        "crlf.bin": b"a\r\nb\n" * 50,
        "lf.bin": b"a\nb\n" * 50,
        "large crlf.bin": b"a\r\n" * (LARGE // 3),
    }
    del contents["plain.txt"]
    for name, data in contents.items():
        work.write(name, data)
    work.git("rm", "-q", "plain.txt")
    work.commit("line ends")
    whole(work, contents)
    work.git("switch", "-q", "side")
    work.git("switch", "-q", "main")
    whole(work, contents)


# push and clone


def test_push_and_clone(work: Work) -> None:
    """`git push` alone uploads, by its hook."""
    bare = work.path.parent / "origin.git"
    work.git("init", "-q", "--bare", str(bare))
    work.git("remote", "add", "origin", str(bare))
    work.lds("init")
    work.git("push", "-q", "origin", "main", "side")
    shutil.move(work.path, work.path.with_name("gone"))
    clone = Work(bare).clone("clone")
    whole(clone, SECOND)
    clone.git("switch", "-q", "side")
    whole(clone, SIDE)
    clone.git("merge", "-q", "-m", "merged", "main")
    whole(clone, MERGED)


@pytest.mark.parametrize(
    "options",
    [
        ("--depth=1",),
        ("--filter=blob:none",),
        ("--no-checkout",),
    ],
    ids=lambda options: options[0],
)
def test_clones_of_every_kind(work: Work, options: tuple[str, ...]) -> None:
    work.git("push", "-q", str(work.publish()), "side")
    work.lds("push", "origin", "side")
    bare = work.path.parent / "origin.git"
    Work(bare).git("config", "uploadpack.allowFilter", "true")
    shutil.move(work.path, work.path.with_name("gone"))
    clone = Work(bare).clone("clone", *options, source=f"file://{bare}")
    if "--no-checkout" in options:
        clone.lds("fetch")
        clone.git("checkout", "-q", "main")
    whole(clone, SECOND)
    if "--depth=1" in options:
        clone.git("fetch", "-q", "--unshallow")
    clone.git("fetch", "-q", "origin", "side")
    clone.git("checkout", "-q", "FETCH_HEAD")
    whole(clone, SIDE)


def test_clone_with_a_reference_that_goes_away(work: Work) -> None:
    bare = work.publish()
    clone = work.clone("clone", "--reference", str(work.path), "--dissociate", source=bare)
    shutil.move(work.path, work.path.with_name("gone"))
    whole(clone, SECOND)


def test_pull_with_merge_and_with_rebase(work: Work) -> None:
    bare = work.publish()
    clone = work.clone("clone", source=bare)
    for how in ("--no-rebase", "--rebase"):
        work.write("large.bin", random_bytes(40 + len(how), LARGE))
        work.commit("upstream")
        work.publish_again()
        clone.write(f"mine {how}.bin", how)
        clone.commit("mine")
        clone.git("pull", "-q", how, "--no-edit")
        assert clone.read("large.bin") == random_bytes(40 + len(how), LARGE)
        assert clone.is_clean() and clone.leftovers() == []


def test_sparse_checkout(work: Work) -> None:
    work.git("update-index", "-q", "--refresh")
    work.git("sparse-checkout", "set", "images")
    assert sorted(p.name for p in work.path.iterdir() if p.is_file()) == sorted(
        [".gitattributes", *(name for name in SECOND if "/" not in name)]
    ), "the files at the top are in every cone"
    work.git("sparse-checkout", "set", "--no-cone", "/*", "!*large*", "!/images/")
    assert not (work.path / "large.bin").exists() and not (work.path / "images").exists()
    assert work.is_clean()
    work.git("switch", "-q", "side")
    assert not (work.path / "side large.bin").exists() and work.is_clean()
    work.git("sparse-checkout", "disable")
    whole(work, SIDE)


def test_a_submodule_with_objects_of_its_own(work: Work) -> None:
    inner_bare = work.publish("inner.git")
    outer = Work(work.path.parent / "outer")
    outer.path.mkdir()
    outer.git("init", "-q")
    outer.write(".gitattributes", "*.bin filter=lds diff=lds merge=lds -text\n")
    outer.write("outer.bin", random_bytes(50, LARGE))
    outer.git("submodule", "--quiet", "add", str(inner_bare), "data/inner")
    outer.commit("with a submodule")
    whole(Work(outer.path / "data" / "inner"), SECOND)
    outer_bare = outer.publish("outer.git")
    clone = outer.clone("clone", "--recurse-submodules", source=outer_bare)
    inner = Work(clone.path / "data" / "inner")
    whole(inner, SECOND)
    assert clone.read("outer.bin") == random_bytes(50, LARGE) and clone.is_clean()
    inner.write("inner new.bin", random_bytes(51, LARGE))
    inner.commit("inside")
    assert blake3(random_bytes(51, LARGE)).hexdigest() not in clone.local_objects()
    assert clone.git("status", "--porcelain") == " M data/inner"
    clone.git("submodule", "--quiet", "update", "--force")
    whole(inner, SECOND)


def test_two_gits_at_once_in_two_work_trees_of_one_repository(work: Work) -> None:
    trees = []
    for n in range(4):
        work.git("worktree", "add", "-q", "--detach", f"../tree{n}", "main")
        trees.append(Work(work.path.parent / f"tree{n}"))
    for n, tree in enumerate(trees):
        for m in range(30):
            tree.write(f"{n}-{m}.bin", b"%d/%d" % (n, m) * 100)
        tree.write(f"{n} large.bin", random_bytes(60 + n, LARGE))
    running = [subprocess.Popen(["git", "add", "-A"], cwd=tree.path) for tree in trees]
    assert [process.wait(120) for process in running] == [0] * 4
    for n, tree in enumerate(trees):
        tree.git("commit", "-qm", f"tree {n}")
        whole(
            tree,
            SECOND
            | {f"{n}-{m}.bin": b"%d/%d" % (n, m) * 100 for m in range(30)}
            | {f"{n} large.bin": random_bytes(60 + n, LARGE)},
        )


def test_a_repository_in_a_directory_with_a_hostile_name(work: Work) -> None:
    """Spaces, quotes and even newlines in the path of the repository itself."""
    for name in ("-with 'quotes \"and space", "new\nline", os.fsdecode(b"\xff bytes")):
        path = work.path.parent / name
        shutil.copytree(work.path, path)
        there = Work(path)
        there.git("reset", "-q", "--hard")
        there.git("checkout", "-q", "side")
        there.write("new.bin", b"new here")
        there.commit("new")
        whole(there, SIDE | {"new.bin": b"new here"})
        there.lds("checkout")


# more than one checkout in one process of git


def test_checkout_that_carries_local_changes_along(work: Work) -> None:
    """`git checkout --merge` fills the working tree three times over, with the stat data that it remembers."""
    mine = random_bytes(70, LARGE)
    work.write("small.bin", b"not committed")
    work.git("checkout", "-q", "--merge", "side~1")
    assert work.read("large.bin") == FIRST["large.bin"] and work.is_clean() is False
    work.git("checkout", "-q", "--force", "main")
    whole(work, SECOND)
    work.write("side large.bin", mine)
    work.git("add", "side large.bin")
    work.write("images/a.png", mine)
    work.git("checkout", "-q", "--merge", "main~1")
    assert work.read("images/a.png") == mine and work.read("side large.bin") == mine
    assert work.read("large.bin") == FIRST["large.bin"]
    assert work.unreadable("HEAD") == [] and work.leftovers() == []


def test_pull_with_rebase_and_autostash(work: Work) -> None:
    bare = work.publish()
    clone = work.clone("clone", source=bare)
    upstream = random_bytes(71, LARGE)
    work.write("large.bin", upstream)
    work.commit("upstream")
    work.publish_again()
    clone.write("mine.bin", random_bytes(72, LARGE))
    clone.commit("mine")
    clone.write("mid.bin", random_bytes(73, LARGE))
    clone.write("small.bin", b"not committed")
    clone.git("pull", "-q", "--rebase", "--autostash")
    assert clone.read("large.bin") == upstream and clone.read("mine.bin") == random_bytes(72, LARGE)
    assert clone.read("mid.bin") == random_bytes(73, LARGE) and clone.read("small.bin") == b"not committed"
    assert clone.git("status", "--porcelain") == " M mid.bin\n M small.bin" and clone.leftovers() == []


def test_restore_of_the_work_tree_alone_from_another_commit(work: Work) -> None:
    work.git("restore", "--source=main~1", "--worktree", ".")
    assert work.read("large.bin") == FIRST["large.bin"] and work.read("small.bin") == FIRST["small.bin"]
    assert set(work.git("diff", "--name-only").split("\n")) == {"large.bin", "new.bin", "plain.txt", "small.bin"}
    work.git("restore", ".")
    whole(work, SECOND)


def test_checkout_by_patch_takes_over_a_whole_file(work: Work) -> None:
    work.git("checkout", "--patch", "main~1", "--", "small.bin", "large.bin", input="y\ny\n")
    work.git("commit", "-qm", "by patch")
    assert work.read("large.bin") == FIRST["large.bin"] and work.read("small.bin") == FIRST["small.bin"]
    assert work.is_clean() and work.unreadable("HEAD") == []

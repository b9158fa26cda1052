"""A checkout that lacks contents: no file is missing, nothing is half done, one line says how to complete it, and git's exit
status is not 0 where git lets us say so. Each verb of git is compared with the same verb in a clone that lacks nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from kit.matrix import some_of
from kit.published import Published
from kit.templates import as_first_made, template_directory
from kit.work import Work, pointer_of, random_bytes

LARGE = 5 << 20
OLD = {"a.bin": b"old a", "images/b.bin": b"old b", "large.bin": random_bytes(1, LARGE), "gone.bin": b"gone later"}
NEW = {"a.bin": b"new a", "images/b.bin": b"new b", "large.bin": random_bytes(2, LARGE), "added.bin": b"added later"}
SIDE = {"side.bin": b"side", "side-large.bin": random_bytes(3, LARGE)}


class Twins(NamedTuple):
    """Two clones of one repository, on machines of their own: one that has its store, and one whose store is away."""

    whole: Work
    lacking: Work
    store: Path

    def come_back(self) -> None:
        self.store.with_name("away").rename(self.store)

    def run(self, *command: str, where: str = ".") -> subprocess.CompletedProcess[str]:
        """Run the command in both; return what happened where the store is away."""
        for twin in (self.whole, self.lacking):
            at = Work(twin.path / where, twin.cache)
            done = at.try_run(*command, PWD=str(at.path), GIT_EDITOR="true", **DATES)
            if twin is self.whole:
                assert done.returncode == 0 and "still" not in done.stderr, done
        assert "Traceback" not in done.stderr
        return done


DATES = {"GIT_COMMITTER_DATE": "2030-01-01T00:00:00", "GIT_AUTHOR_DATE": "2030-01-01T00:00:00"}


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty directory, at the same path for each test, so that clones can be copied with what they know of their store."""
    return template_directory(tmp_path_factory.getbasetemp(), "lacking")


@pytest.fixture
def bare(new_work: Callable[..., Work], tmp_path: Path) -> Path:
    """Tags v1 and v2 (main), and a branch `side` from v1; in a store with everything."""
    as_first_made("a store with everything", [tmp_path], lambda: _publish(new_work()))
    return tmp_path / "origin.git"


def _publish(work: Work) -> None:
    for tag, contents in (("v1", OLD), ("v2", NEW)):
        for name, data in contents.items():
            work.write(name, data)
        if tag == "v2":
            (work.path / "gone.bin").unlink()
        work.commit(tag)
        work.git("tag", tag)
    work.git("switch", "-qc", "side", "v1")
    for name, data in SIDE.items():
        work.write(name, data)
    work.commit("side")
    bare = work.publish()
    work.git("push", "-q", "origin", "main", "side", "v1", "v2")
    Work(bare).git("symbolic-ref", "HEAD", "refs/heads/main")
    shutil.rmtree(work.path)


@pytest.fixture
def twins(bare: Path, tmp_path: Path) -> Twins:
    return twins_at(bare, tmp_path, "v2")


def twins_at(bare: Path, tmp_path: Path, revision: str) -> Twins:
    """Clone twice, with `revision` checked out on main; then one has no store, and nothing but what is checked out."""
    whole, lacking = (Work(tmp_path / name / "tree", tmp_path / name / "cache") for name in ("whole", "lacking"))
    twins = Twins(whole, lacking, bare / "lds")
    as_first_made(f"twins at {revision}", [tmp_path], lambda: _make(twins, revision))
    return twins


def _make(twins: Twins, revision: str) -> None:
    for twin in (twins.whole, twins.lacking):
        twin.path.parent.mkdir()
        Work(twin.path.parent, twin.cache).git("clone", "-q", str(twins.store.parent), "tree")
        twin.git("reset", "-q", "--hard", revision)
        twin.git("branch", "-q", "side", "origin/side")
    assert twins.lacking.cache is not None
    shutil.rmtree(twins.lacking.cache)
    # the whole twin has all that it may need in its cache
    twins.whole.lds("fetch", "--all")
    twins.store.rename(twins.store.with_name("away"))


def files(work: Work) -> dict[str, bytes]:
    found = (path for path in work.path.rglob("*") if ".git" not in path.relative_to(work.path).parts)
    return {str(path.relative_to(work.path)): path.read_bytes() for path in found if path.is_file()}


def state(work: Work) -> tuple[str, ...]:
    """What git has: where HEAD is and which tree it has, the index, and what is changed."""
    named = ("rev-parse", "--symbolic-full-name", "HEAD"), ("rev-parse", "HEAD^{tree}"), ("ls-files", "-s")
    return *(work.git(*words) for words in named), work.git("status", "--porcelain")


def hint_of(done: subprocess.CompletedProcess[str]) -> str:
    """The command that the hint names, which goes with the one line that says what is lacking: one for each process of git."""
    told = [line for line in done.stderr.splitlines() if "could not be fetched, so" in line]
    hints = [line for line in done.stderr.splitlines() if line.startswith("hint: ")]
    assert len(told) == len(hints) == (2 if "--apply" in done.args else 1) and len(set(hints)) == 1, done.stderr
    return hints[0].removeprefix("hint: once they can be fetched: ")


def assert_lacks_and_is_completed(
    twins: Twins, done: subprocess.CompletedProcess[str], where: str = ".", lacks: set[str] | None = None
) -> None:
    """No file is missing, nothing is half done, and the hint completes all."""
    whole, lacking = (Work(twin.path / where, twin.cache) for twin in (twins.whole, twins.lacking))
    expected, here = files(whole), files(lacking)
    pointers = {name for name in expected if here.get(name) != expected[name]}
    assert here.keys() == expected.keys()
    assert {name: here[name] for name in pointers} == {name: pointer_of(expected[name]) for name in pointers}
    assert pointers if lacks is None else pointers >= lacks
    told = "".join(line for line in done.stderr.splitlines() if "could not be fetched, so" in line)
    assert all(name in told for name in (pointers if lacks is None else lacks)), done.stderr
    assert state(lacking) == state(whole)
    command = hint_of(done)
    twins.come_back()
    again = done.args if command == "run the same git command again" else ("sh", "-c", command)
    assert (again is done.args) == (done.args[:2] == ("git", "restore") and "--staged" not in done.args)
    lacking.try_run(*again, PWD=str(lacking.path)).check_returncode()
    assert files(lacking) == expected and state(lacking) == state(whole)
    assert list(twins.lacking.path.glob(".git/lds/lacking/*")) == [] and lacking.leftovers() == []


ENDING_WITH_1 = [
    ("checkout", "-q", "v1"),
    ("checkout", "-q", "--force", "v1"),
    ("checkout", "-q", "-m", "v1"),
    ("checkout", "-q", "-b", "new", "v1"),
    ("switch", "-q", "--detach", "v1"),
    ("switch", "-q", "side"),
    ("checkout", "v1", "--", "."),
    ("checkout", "-q", "v1", "--", "images"),
    ("restore", "--source=v1", "."),
    ("restore", "--source=v1", "--staged", "--worktree", "."),
]
ENDING_WITH_0 = [
    ("reset", "-q", "--hard", "v1"),
    ("reset", "-q", "--keep", "v1"),
    ("reset", "-q", "--merge", "v1"),
    ("read-tree", "-m", "-u", "HEAD", "v1"),
    ("read-tree", "--reset", "-u", "v1"),
    ("merge", "-q", "--no-edit", "side"),
    ("merge", "-q", "--no-edit", "-s", "recursive", "side"),
    ("merge", "-q", "--no-edit", "-s", "resolve", "side"),
    ("merge", "-q", "--squash", "side"),
    ("cherry-pick", "side"),
    ("cherry-pick", "-n", "side"),
    ("revert", "--no-edit", "v2"),
    ("rebase", "-q", "side"),
    ("rebase", "-q", "--apply", "side"),
    ("rebase", "-q", "--onto", "side", "v1"),
    ("pull", "-q", "--no-rebase", "--no-edit", "origin", "side"),
    ("pull", "-q", "--rebase", "origin", "side"),
]


@pytest.mark.parametrize(
    "verb",
    some_of(
        ENDING_WITH_1,
        ("checkout", "-q", "v1"),
        ("switch", "-q", "side"),
        ("checkout", "v1", "--", "."),
        ("restore", "--source=v1", "."),
    ),
    ids=" ".join,
)
def test_a_checkout_that_lacks_contents_is_consistent_and_ends_with_1(twins: Twins, verb: tuple[str, ...]) -> None:
    done = twins.run("git", *verb)
    assert done.returncode == 1, done.stderr
    assert_lacks_and_is_completed(twins, done)


@pytest.mark.parametrize(
    "verb",
    some_of(
        ENDING_WITH_0,
        ("reset", "-q", "--hard", "v1"),
        ("merge", "-q", "--no-edit", "side"),
        ("rebase", "-q", "side"),
        ("rebase", "-q", "--apply", "side"),
    ),
    ids=" ".join,
)
def test_what_git_lets_nobody_stop_is_consistent_and_told(twins: Twins, verb: tuple[str, ...]) -> None:
    done = twins.run("git", *verb)
    assert done.returncode == 0, done.stderr
    assert_lacks_and_is_completed(twins, done)


@pytest.mark.parametrize(
    "verb", some_of([("pull", "-q", "--ff-only", "origin", "main"), ("merge", "-q", "--ff-only", "v2")]), ids=" ".join
)
def test_a_fast_forward_that_lacks_contents_is_consistent(bare: Path, tmp_path: Path, verb: tuple[str, ...]) -> None:
    twins = twins_at(bare, tmp_path, "v1")
    assert_lacks_and_is_completed(twins, twins.run("git", *verb), lacks=set(NEW))


@pytest.mark.parametrize("verb", some_of([("am", "-q"), ("am", "-q", "-3"), ("apply", "--index")]), ids=" ".join)
def test_a_patch_whose_contents_are_lacking_is_applied(bare: Path, tmp_path: Path, verb: tuple[str, ...]) -> None:
    twins = twins_at(bare, tmp_path, "v1")
    patch = tmp_path / "patch"
    patch.write_text(twins.whole.git("format-patch", "--stdout", "--full-index", "--no-textconv", "v1..v2") + "\n")
    done = twins.run("git", *verb, str(patch))
    assert done.returncode == 0, done.stderr
    assert_lacks_and_is_completed(twins, done, lacks=set(NEW))


@pytest.mark.parametrize("verb", some_of(["pop", "apply"]))
def test_a_stash_whose_contents_are_lacking_is_applied(twins: Twins, verb: str) -> None:
    for twin in (twins.whole, twins.lacking):
        for name in ("a.bin", "large.bin"):
            twin.write(name, pointer_of(OLD[name]))
        twin.git("stash", "-q")
    done = twins.run("git", "stash", verb, "-q")
    assert done.returncode == 0
    assert_lacks_and_is_completed(twins, done, lacks={"a.bin", "large.bin"})


def test_stash_that_takes_edits_away_leaves_pointers_for_what_is_lacking(twins: Twins) -> None:
    for twin in (twins.whole, twins.lacking):
        twin.write("a.bin", "edited")
    done = twins.run("git", "stash", "-q")
    assert done.returncode == 0
    assert_lacks_and_is_completed(twins, done, lacks={"a.bin"})


def test_a_clone_that_lacks_contents_is_consistent_and_ends_with_1(twins: Twins) -> None:
    done = twins.run("git", "clone", "-q", str(twins.store.parent), "again")
    assert done.returncode == 1
    assert f"git -C {twins.lacking.path / 'again'} lds pull" == hint_of(done)
    for twin in (twins.whole, twins.lacking):
        (twin.path / "again").rename(twin.path.with_name("again"))
    moved = [Work(twin.path.with_name("again"), twin.cache) for twin in twins[:2]]
    done.stderr = done.stderr.replace(str(twins.lacking.path / "again"), str(moved[1].path))
    assert_lacks_and_is_completed(Twins(moved[0], moved[1], twins.store), done, lacks=set(NEW))


def test_a_worktree_that_lacks_contents_is_consistent_and_ends_with_1(twins: Twins) -> None:
    done = twins.run("git", "worktree", "add", "-q", "../beside", "v1")
    assert done.returncode == 1
    assert f"git -C {twins.lacking.path.parent / 'beside'} lds pull" == hint_of(done)
    assert_lacks_and_is_completed(twins, done, where="../beside", lacks=set(OLD))
    # nothing is left that makes a later checkout fail
    assert twins.lacking.try_git("checkout", "-q", "--detach", "v1").returncode == 0


def test_in_a_linked_worktree_the_hint_works_there(twins: Twins) -> None:
    for twin in (twins.whole, twins.lacking):
        twin.git("worktree", "add", "-q", "--no-checkout", "../beside", "-b", "beside", "v1")
    done = twins.run("git", "switch", "-q", "--force", "side", where="../beside")
    assert done.returncode == 1 and hint_of(done) == "git lds pull"
    assert_lacks_and_is_completed(twins, done, where="../beside", lacks={*OLD, *SIDE})


def test_in_the_middle_of_a_rebase_the_hint_works_and_the_rebase_goes_on(twins: Twins) -> None:
    done = twins.run("git", "-c", "sequence.editor=sed -i -e 1s/^pick/edit/", "rebase", "-q", "-i", "side")
    assert (twins.lacking.path / ".git/rebase-merge").is_dir()
    assert_lacks_and_is_completed(twins, done)
    twins.run("git", "rebase", "--continue")
    assert state(twins.lacking) == state(twins.whole) and files(twins.lacking) == {**NEW, **SIDE, **rest(twins)}


def rest(twins: Twins) -> dict[str, bytes]:
    return {".gitattributes": twins.whole.read(".gitattributes")}


def test_in_the_middle_of_a_merge_with_conflicts_the_hint_works(twins: Twins) -> None:
    for twin in (twins.whole, twins.lacking):
        twin.git("switch", "-q", "--orphan", "empty")
        twin.git("reset", "-q", "--hard", "main", GIT_LDS_SKIP_SMUDGE="1")
        twin.write("note", "ours")
        twin.commit("note")
        twin.git("switch", "-qc", "other", "side", GIT_LDS_SKIP_SMUDGE="1")
        twin.write("note", "theirs")
        twin.commit("note")
        twin.git("checkout", "-q", "empty", GIT_LDS_SKIP_SMUDGE="1")
    for twin in (twins.whole, twins.lacking):
        done = twin.try_git("merge", "-q", "other", PWD=str(twin.path))
        assert done.returncode == 1 and "note" in twin.git("ls-files", "-u")
    twins.whole.lds("pull")
    assert_lacks_and_is_completed(twins, done, lacks=set(SIDE))


def test_a_side_of_a_conflict_that_is_lacking_is_taken_when_the_file_is_deleted(twins: Twins) -> None:
    for twin in (twins.whole, twins.lacking):
        twin.git("switch", "-q", "--force", "side", GIT_LDS_SKIP_SMUDGE="1")
        twin.write("a.bin", pointer_of(b"no one merges this"))
        twin.git("commit", "-qam", "edit", **DATES)
        assert twin.try_git("merge", "-q", "main", GIT_LDS_SKIP_SMUDGE="1").returncode == 1
        assert "a.bin" in twin.git("ls-files", "-u")
    done = twins.run("git", "checkout", "-q", "--theirs", "--", "a.bin")
    assert done.returncode == 1 and hint_of(done) == "delete the files, then run the same git command again"
    assert twins.lacking.read("a.bin") == pointer_of(NEW["a.bin"]) and "a.bin" in twins.lacking.git("ls-files", "-u")
    twins.come_back()
    (twins.lacking.path / "a.bin").unlink()
    twins.run("git", "checkout", "-q", "--theirs", "--", "a.bin")
    assert twins.lacking.read("a.bin") == NEW["a.bin"]


def test_bisect_stops_and_goes_on(twins: Twins) -> None:
    for twin in (twins.whole, twins.lacking):
        for number in range(3):
            twin.git("commit", "-q", "--allow-empty", "-m", f"more {number}", **DATES)
        twin.git("reset", "-q", "--hard", "HEAD")
    done = twins.run("git", "bisect", "start", "main", "v1~0")
    assert done.returncode in (0, 1)
    assert state(twins.lacking) == state(twins.whole)


def test_a_submodule_that_lacks_contents_is_consistent_and_ends_with_1(twins: Twins, tmp_path: Path) -> None:
    twins.come_back()
    above = Work(tmp_path / "above")
    above.path.mkdir()
    above.git("init", "-q")
    above.git("submodule", "add", "-q", str(twins.store.parent), "sub")
    above.commit()
    twins.store.rename(twins.store.with_name("away"))
    fresh = Work(tmp_path / "fresh", tmp_path / "fresh-cache")
    Work(tmp_path, fresh.cache).git("clone", "-q", str(above.path), str(fresh.path))
    done = fresh.try_git("submodule", "update", "-q", "--init", PWD=str(fresh.path))
    sub = Work(fresh.path / "sub", fresh.cache)
    assert done.returncode != 0 and hint_of(done) == f"git -C {sub.path} lds pull"
    assert files(sub).keys() == {*NEW, ".gitattributes"} - {".git"} and sub.read("a.bin") == pointer_of(NEW["a.bin"])
    assert sub.is_clean() and fresh.is_clean()
    twins.come_back()
    fresh.try_run("sh", "-c", hint_of(done)).check_returncode()
    assert {name: sub.read(name) for name in NEW} == NEW and sub.is_clean() and fresh.is_clean()
    fresh.git("submodule", "update", "-q", "--init")


def test_a_sparse_checkout_that_grows_without_its_store_is_consistent(bare: Path, tmp_path: Path) -> None:
    twins = twins_at(bare, tmp_path, "v1")
    for twin in (twins.whole, twins.lacking):
        twin.git("sparse-checkout", "set", "--no-cone", "/a.bin")
        assert files(twin).keys() == {"a.bin"}
    done = twins.run("git", "sparse-checkout", "disable")
    assert_lacks_and_is_completed(twins, done, lacks=set(OLD) - {"a.bin"})


def test_new_files_of_a_patch_that_is_not_in_the_index_are_completed_when_added(bare: Path, tmp_path: Path) -> None:
    twins = twins_at(bare, tmp_path, "v1")
    patch = tmp_path / "patch"
    patch.write_text(twins.whole.git("format-patch", "--stdout", "--full-index", "--no-textconv", "v1..v2") + "\n")
    done = twins.run("git", "apply", str(patch))
    assert done.returncode == 0 and hint_of(done) == "git add the new ones among them, then: git lds pull"
    assert files(twins.lacking) == {name: pointer_of(data) for name, data in NEW.items()} | rest(twins)
    twins.run("git", "add", "-A")
    twins.come_back()
    twins.lacking.lds("pull")
    assert files(twins.lacking) == files(twins.whole) and state(twins.lacking) == state(twins.whole)


@pytest.mark.parametrize(
    "after",
    some_of(
        [("commit", "-qam", "x"), ("add", "-A"), ("stash", "-q"), ("add", "--renormalize", ".")],
        ("commit", "-qam", "x"),
        ("add", "--renormalize", "."),
    ),
)
def test_what_comes_next_commits_no_deletion_and_no_pointer_as_data(twins: Twins, after: tuple[str, ...]) -> None:
    twins.run("git", "checkout", "-q", "v1")
    before = state(twins.lacking)
    done = twins.lacking.try_git(*after)
    assert done.returncode == (1 if after[0] == "commit" else 0), done.stdout + done.stderr
    assert state(twins.lacking) == before
    twins.lacking.write("a.bin", "edited")
    twins.lacking.git("commit", "-qam", "edit")
    assert twins.lacking.git("diff", "--name-status", "v1") == "M\ta.bin"
    assert twins.lacking.committed("large.bin") == pointer_of(OLD["large.bin"])


def test_who_goes_back_has_the_contents_again(twins: Twins) -> None:
    twins.run("git", "checkout", "-q", "v1")
    twins.come_back()
    twins.run("git", "checkout", "-q", "main")
    assert files(twins.lacking) == NEW | rest(twins) and twins.lacking.is_clean()


@pytest.mark.parametrize("how", some_of(["environment", "configuration", "exclude"], "environment", "exclude"))
def test_offline_by_intent_is_quiet(twins: Twins, how: str) -> None:
    environment = {"GIT_LDS_SKIP_SMUDGE": "1"} if how == "environment" else {}
    if how == "configuration":
        twins.lacking.git("config", "lds.skipsmudge", "true")
    elif how == "exclude":
        twins.lacking.git("config", "lds.fetchexclude", "*")
    done = twins.lacking.try_git("checkout", "-q", "v1", **environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert files(twins.lacking) == {name: pointer_of(data) for name, data in OLD.items()} | rest(twins)
    assert twins.lacking.is_clean() and not (twins.lacking.path / ".git/hooks/post-checkout").exists()


@pytest.mark.parametrize("damage", some_of(["flipped", "emptied", "cut"]))
def test_a_large_object_that_is_damaged_here_leaves_its_pointer_and_git_ends_with_1(twins: Twins, damage: str) -> None:
    """It is found out before git ends, so that git's exit status says so; and the damaged copy never comes."""
    twins.come_back()
    twins.lacking.lds("fetch", "--all")
    assert twins.lacking.cache is not None
    for path in twins.lacking.cache.rglob("*"):
        if path.is_file() and path.stat().st_size == LARGE and path.read_bytes() == OLD["large.bin"]:
            path.chmod(0o644)
            data = OLD["large.bin"]
            path.write_bytes({"flipped": b"x" + data[1:], "emptied": b"", "cut": data[:-1]}[damage])
            break
    else:
        pytest.fail("it is kept as a file")
    twins.store.rename(twins.store.with_name("away"))
    done = twins.run("git", "checkout", "-q", "v1")
    assert done.returncode == 1, done.stderr
    assert_lacks_and_is_completed(twins, done, lacks={"large.bin"})


def test_a_large_object_that_is_damaged_in_the_cache_is_fetched_again(twins: Twins) -> None:
    twins.come_back()
    twins.lacking.lds("fetch", "--all")
    assert twins.lacking.cache is not None
    for path in twins.lacking.cache.rglob("*"):
        if path.is_file() and path.stat().st_size == LARGE:
            path.chmod(0o644)
            path.write_bytes(bytes(LARGE))
    done = twins.run("git", "checkout", "-q", "v1")
    assert done.returncode == 0 and done.stderr == ""
    assert files(twins.lacking) == OLD | rest(twins) and twins.lacking.is_clean()


def test_a_clone_fetches_again_what_is_damaged_in_the_cache(dataset: Published) -> None:
    """Small objects, and large ones, some of them through git; the first missing one starts the search for the others."""
    contents = {f"images/{number}.png": random_bytes(number, size) for number, size in enumerate([9, 300_000, 400_000])}
    contents["large.bin"] = random_bytes(9, 5 << 20)
    for name, data in contents.items():
        dataset.work.write(name, data)
    dataset.work.commit()
    dataset.work.git("push", "-q", "origin", "main")
    first = dataset.elsewhere("first")
    assert first.cache is not None
    for path in (first.cache / "objects").rglob("*"):
        if path.is_file():
            path.chmod(0o644)
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    second = dataset.elsewhere("second", cache=first.cache)
    assert {name: second.read(name) for name in contents} == contents and second.is_clean()


# the hook


def hook_of(work: Work) -> Path:
    return work.path / ".git/hooks/post-checkout"


def test_the_hook_comes_when_contents_are_lacking_and_goes_with_uninstall(twins: Twins) -> None:
    assert not hook_of(twins.lacking).exists()
    twins.run("git", "checkout", "-q", "v1")
    assert os.access(hook_of(twins.lacking), os.X_OK)
    twins.lacking.lds("uninstall", "--local")
    assert not hook_of(twins.lacking).exists()


def test_the_hook_fails_no_checkout_that_is_whole(twins: Twins) -> None:
    twins.run("git", "checkout", "-q", "v1")
    twins.run("git", "reset", "-q", "--hard", "side")
    twins.come_back()
    twins.lacking.lds("pull")
    for revision in ("main", "v1", "side", "main"):
        assert twins.lacking.try_git("checkout", "-q", revision).returncode == 0
    assert twins.lacking.try_git("checkout", "-q", "-b", "new").returncode == 0


def test_large_files_still_go_around_git_where_the_hook_is(twins: Twins) -> None:
    twins.run("git", "checkout", "-q", "v1")
    twins.come_back()
    twins.lacking.lds("pull")
    log = twins.lacking.path.with_name("log")
    twins.lacking.git("checkout", "-q", "main", GIT_TRACE_PACKET=str(log))
    assert twins.lacking.read("large.bin") == NEW["large.bin"] and twins.lacking.is_clean()
    assert log.stat().st_size < LARGE, "git got the pointer"


@pytest.mark.parametrize("where", ["foreign", "elsewhere", "linked"])
def test_where_the_hook_is_not_ours_it_stays_and_the_line_says_so(twins: Twins, tmp_path: Path, where: str) -> None:
    directory = tmp_path / "hooks"
    directory.mkdir()
    text = "#!/bin/sh\nexit 0\n"
    if where == "foreign":
        shutil.rmtree(directory)
        directory = twins.lacking.path / ".git/hooks"
        (directory / "post-checkout").write_text(text)
        (directory / "post-checkout").chmod(0o755)
    elif where == "elsewhere":
        twins.lacking.git("config", "core.hooksPath", str(directory))
    else:
        shutil.rmtree(twins.lacking.path / ".git/hooks")
        (twins.lacking.path / ".git/hooks").symlink_to(directory)
    done = twins.run("git", "checkout", "-q", "v1")
    assert done.returncode == 0 and "git may still exit with 0" in done.stderr
    assert [path.read_text() for path in directory.glob("post-checkout")] == ([text] if where == "foreign" else [])
    done = twins.run("git", "restore", "--source=side", "--staged", "--worktree", ".")
    assert done.returncode == 1, "git asks the filter itself"
    assert_lacks_and_is_completed(twins, done, lacks=set(SIDE))


def test_many_files_are_counted_and_some_are_named(work: Work, tmp_path: Path) -> None:
    for number in range(40):
        work.write(f"{number}.bin", f"contents {number}")
    work.commit()
    bare = work.publish()
    shutil.rmtree(bare / "lds")
    there = Work(tmp_path, tmp_path / "cache")
    done = there.try_git("clone", "-q", str(bare), "there")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) < 16 and "40 files" in done.stderr and "and 30 more" in done.stderr
    assert Work(tmp_path / "there").is_clean()


# who reads, and writes no working tree, gets an error


@pytest.mark.parametrize(
    "verb", [("cat-file", "--filters", "v1:a.bin"), ("archive", "-o", "x.tar", "v1"), ("checkout-index", "-f", "a.bin")]
)
def test_who_only_reads_never_gets_a_pointer_for_contents(twins: Twins, verb: tuple[str, ...]) -> None:
    twins.lacking.git("reset", "-q", "--hard", "v1", GIT_LDS_SKIP_SMUDGE="1")
    (twins.lacking.path / "a.bin").unlink()
    done = twins.lacking.try_git(*verb)
    assert done.returncode != 0 and "git-lds" not in done.stdout and "hint: " in done.stderr

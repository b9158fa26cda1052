"""Updating: what changed upstream comes, what did not is not touched, and what the user did is never lost."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.datasets import Dataset, files_of, lock, run, state_of, times_of
from kit.work import Work, random_bytes

from git_lds.deps.update.plan import DependencyUpdate
from git_lds.errors import LdsError, UsageError
from git_lds.worktree.state import LocalEdits

FILES: dict[str, bytes | str | None] = {
    "images/a.png": "a",
    "images/b.png": "b",
    "images/deep/c.png": random_bytes(1, 200_000),
    "images/deep/plain.txt": "upstream tracks this too",
    "notes/x.txt": "x",
    "notes/y.txt": "y",
}


def refused(here: Work, *targets: str, **options: object) -> LdsError:
    before = state_of(here)
    with pytest.raises(LdsError) as failed:
        run(here, *targets, **options)
    assert state_of(here) == before
    assert not (here.path / ".git/index.lock").exists()
    return failed.value


def test_what_changed_comes_and_the_rest_keeps_its_time_stamps(there: Dataset, here: Work) -> None:
    before, times = lock(here), times_of(here, "data")
    commit = there.publish({"images/a.png": "a, edited", "images/b.png": None, "images/new/d.png": "d"})
    found = run(here)
    assert found["data/images"] == DependencyUpdate(
        "data/images",
        before.commit,
        commit,
        added=(b"data/images/new/d.png",),
        changed=(b"data/images/a.png",),
        deleted=(b"data/images/b.png",),
        size=len("a, edited" + "d"),
        written=True,
    )
    assert not found["data/notes"].written and found["data/notes"].after == before.commit
    assert files_of(here, "data/images") == files_of(there.work, "images")
    kept = {name: stamp for name, stamp in times_of(here, "data").items() if times.get(name) == stamp}
    assert set(kept) == {"images/deep/c.png", "images/deep/plain.txt", "notes/x.txt", "notes/y.txt"}
    assert here.git("diff", "--name-only") == ""
    assert here.git("diff", "--cached", "--name-only").splitlines() == [
        ".ldsdeps",
        "data/images/a.png",
        "data/images/b.png",
        "data/images/new/d.png",
    ]
    assert lock(here).commit == commit and lock(here, "data/notes").commit == before.commit
    here.commit("update")
    assert run(here)["data/images"].written is False


@pytest.mark.parametrize("change", ["nothing", "elsewhere"])
def test_nothing_new_at_the_path(there: Dataset, here: Work, change: str) -> None:
    if change == "elsewhere":
        there.publish({"README.md": "new", "other/x": "new"})
    index = here.path / ".git/index"
    before, times, stamp = state_of(here), times_of(here, "."), index.stat().st_mtime_ns
    run(here)
    started = time.monotonic()
    found = run(here)
    assert time.monotonic() - started < 1
    assert not any(each.written or each.before != each.after for each in found.values())
    assert (state_of(here) == before and times_of(here, ".") == times | {}) or change == "elsewhere"
    assert index.stat().st_mtime_ns == stamp


def test_one_round_trip_for_all_dependencies_of_an_upstream(
    there: Dataset, here: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "trace"
    monkeypatch.setenv("GIT_TRACE", str(log))
    run(here)
    assert log.read_text().count("built-in: git upload-pack") == 1


def test_chosen_targets_only(there: Dataset, here: Work) -> None:
    there.publish({"images/a.png": "new", "notes/x.txt": "new"})
    assert set(run(here, "data/notes/")) == {"data/notes"}
    assert here.read("data/images/a.png") == b"a" and here.read("data/notes/x.txt") == b"new"
    assert "not a dependency; there are: data/images, data/notes" in refused(here, "data/imges").message


def test_a_dry_run_says_what_would_be(there: Dataset, here: Work) -> None:
    there.publish({"images/a.png": "new", "images/b.png": None})
    before = state_of(here)
    found = run(here, dry_run=True)["data/images"]
    assert (found.changed, found.deleted, found.written) == ((b"data/images/a.png",), (b"data/images/b.png",), False)
    assert state_of(here) == before


def edit_work_tree(here: Work) -> str:
    here.write("data/images/a.png", "mine")
    return "data/images/a.png"


def edit_committed(here: Work) -> str:
    here.write("data/images/deep/c.png", "mine")
    here.commit()
    return "data/images/deep/c.png"


def file_in_the_way(here: Work) -> str:
    here.write("data/images/new.png", "mine")
    return "data/images/new.png"


def file_in_place_of_a_directory(here: Work) -> str:
    here.write("data/images/fresh", "mine")
    return "data/images/fresh"


def directory_in_the_way(here: Work) -> str:
    here.write("data/images/new.png/x", "mine")
    return "data/images/new.png/x"


def ignored_in_the_way(here: Work) -> str:
    here.write(".git/info/exclude", "new.png\n")
    return file_in_the_way(here)


@pytest.mark.parametrize(
    "edit",
    [
        edit_work_tree,
        file_in_the_way,
        file_in_place_of_a_directory,
        directory_in_the_way,
        ignored_in_the_way,
    ],
)
def test_what_is_in_the_way_is_listed_and_left_alone(there: Dataset, here: Work, edit: Callable[[Work], str]) -> None:
    there.publish({"images/a.png": "theirs", "images/new.png": "new", "images/fresh/x.png": "x"})
    path = edit(here)
    error = refused(here)
    assert isinstance(error, LocalEdits) and error.paths == (path.encode(),)
    assert path in error.message


def test_edits_without_news_upstream_are_nobodys_business(there: Dataset, here: Work) -> None:
    edit_committed(here)
    edit_work_tree(here)
    there.publish({"notes/x.txt": "new"})
    found = run(here)
    assert found["data/notes"].written and not found["data/images"].written
    assert here.read("data/images/a.png") == b"mine"


def test_touched_files_and_untracked_files_are_no_edits(there: Dataset, here: Work) -> None:
    os.utime(here.path / "data/images/b.png", (1, 1))
    os.utime(here.path / "data/images/a.png", (1, 1))
    here.write("data/images/mine.txt", "mine")
    times = times_of(here, "data/images")
    there.publish({"images/a.png": "new"})
    assert run(here)["data/images"].written
    assert times_of(here, "data/images")["b.png"] == times["b.png"]
    assert here.read("data/images/mine.txt") == b"mine"


def test_pointers_in_the_work_tree_are_no_edits(there: Dataset, here: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(here.path / "data/images")
    with monkeypatch.context() as patched:
        patched.setenv("GIT_LDS_SKIP_SMUDGE", "1")
        here.git("checkout", "--", "data/images")
    there.publish({"images/a.png": "new"})
    assert run(here)["data/images"].written
    assert here.read("data/images/a.png") == b"new" and here.read("data/images/b.png").startswith(b"version")


@pytest.mark.parametrize("kinds", ["file to directory", "directory to file", "file to link", "link to directory"])
def test_paths_that_change_their_kind(there: Dataset, here: Work, kinds: str) -> None:
    top = there.work.path / "images"
    if kinds == "link to directory":
        (top / "thing").symlink_to("a.png")
        there.publish({})
        run(here)
        here.commit()
        (top / "thing").unlink()
        there.publish({"images/thing/x.png": "x"})
    elif kinds == "file to directory":
        (top / "a.png").unlink()
        there.publish({"images/a.png/inner/x.png": "x", "images/a.png/y.png": "y"})
    elif kinds == "directory to file":
        shutil.rmtree(top / "deep")
        there.publish({"images/deep": "file now"})
    else:
        (top / "a.png").unlink()
        (top / "a.png").symlink_to("b.png")
        there.publish({})
    assert run(here)["data/images"].written
    assert files_of(here, "data/images") == files_of(there.work, "images")
    here.git("commit", "-qm", "update")
    assert here.is_clean()


def test_the_path_itself_changes_its_kind(there: Dataset, here: Work) -> None:
    shutil.rmtree(there.work.path / "notes")
    there.publish({"notes": "one file now"})
    run(here)
    assert here.read("data/notes") == b"one file now"
    (there.work.path / "notes").unlink()
    there.publish({"notes/again.txt": "a directory again"})
    here.commit()
    run(here)
    assert files_of(here, "data/notes") == {"again.txt": b"a directory again"}


def test_directories_that_become_empty_go(there: Dataset, here: Work) -> None:
    there.publish({"images/deep/c.png": None, "images/deep/plain.txt": None})
    run(here)
    assert not (here.path / "data/images/deep").exists() and (here.path / "data/images").is_dir()


def test_a_path_that_vanished(there: Dataset, here: Work) -> None:
    there.work.git("mv", "images", "pictures")
    commit = there.publish({"pictures/a.png": "changed while moved"}, "Call them pictures")
    there.publish({"README.md": "later"})
    error = refused(here)
    assert (
        "images is no longer in" in error.message
        and commit[:10] in error.message
        and "Call them pictures" in error.message
    )


def test_a_path_that_was_moved_as_it_is(there: Dataset, here: Work) -> None:
    there.publish({".gitattributes": "*.png filter=lds diff=lds merge=lds -text\n*.txt filter=lds\n"})
    run(here)
    there.work.git("mv", "images", "pictures")
    there.publish({})
    assert "its contents are now at pictures" in refused(here).message


def test_a_tag_stays_and_a_moved_tag_is_reported(there: Dataset, here: Work) -> None:
    there.work.git("tag", "v1")
    there.work.git("push", "-q", "origin", "v1")
    run(here, "data/images", rev="v1")
    here.commit()
    assert lock(here).rev == "v1"
    commit = there.publish({"images/a.png": "new"})
    before = state_of(here)
    assert run(here, "data/images")["data/images"].moved_tag is None
    there.work.git("tag", "-f", "v1")
    there.work.git("push", "-qf", "origin", "v1")
    found = run(here, "data/images")["data/images"]
    assert found.moved_tag == commit and not found.written and found.after == found.before
    assert state_of(here) == before
    assert run(here, "data/images", rev="v1")["data/images"].after == commit
    assert here.read("data/images/a.png") == b"new"


def test_a_commit_stays_without_asking_anyone(there: Dataset, here: Work, tmp_path: Path) -> None:
    run(here, "data/images", rev=there.work.git("rev-parse", "HEAD"))
    there.publish({"images/a.png": "new"})
    shutil.move(there.bare, tmp_path / "away.git")
    assert not run(here, "data/images")["data/images"].written


def test_another_branch_and_back(there: Dataset, here: Work) -> None:
    there.work.git("switch", "-qc", "side")
    there.publish({"images/a.png": "on the side"})
    assert run(here, "data/images", rev="side")["data/images"].written
    assert lock(here).rev == "side" and here.read("data/images/a.png") == b"on the side"
    here.commit()
    run(here, "data/images", rev="main")
    assert here.read("data/images/a.png") == b"a"
    with pytest.raises(UsageError):
        run(here, rev="main")


def test_upstream_that_rewrote_its_history(there: Dataset, here: Work) -> None:
    tree = there.work.git("rev-parse", "HEAD^{tree}")
    there.work.git("reset", "-q", "--hard", there.work.git("commit-tree", "-m", "squashed", tree))
    there.work.write("images/a.png", "new")
    there.work.commit()
    there.work.git("push", "-qf", "origin", "HEAD:main")
    there.work.git(f"--git-dir={there.bare}", "gc", "-q", "--prune=now")
    shutil.rmtree(here.path / ".git/lds/mirrors")
    assert run(here)["data/images"].changed == (b"data/images/a.png",)
    assert files_of(here, "data/images") == files_of(there.work, "images")


def test_objects_that_upstream_did_not_push(there: Dataset, here: Work) -> None:
    there.work.write("images/a.png", "never pushed")
    there.work.commit()
    there.work.git("push", "-q", "--no-verify", "origin", "HEAD")
    message = refused(here).message
    assert "upstream never pushed its objects" in message and "data/images/a.png" in message


def test_upstream_that_is_gone(there: Dataset, here: Work, tmp_path: Path) -> None:
    shutil.move(there.bare, tmp_path / "away.git")
    assert "cannot read" in refused(here).message


def test_a_local_path_in_the_manifest_of_a_clone_is_not_used(there: Dataset, here: Work, tmp_path: Path) -> None:
    """The user of `here` named it. To a clone, it is a path of somebody else's choice."""
    there.publish({"images/a.png": "new"})
    here.git("clone", "-q", str(here.path), str(tmp_path / "clone"))
    clone = Work(tmp_path / "clone")
    error = refused(clone)
    assert "was not named by you" in error.message and error.hint is not None
    clone.git("config", "--add", "lds.allowlocal", there.url)
    assert run(clone)["data/images"].written
    assert clone.read("data/images/a.png") == b"new"


def test_a_hostile_manifest(there: Dataset, here: Work, tmp_path: Path) -> None:
    good = here.read(".ldsdeps").decode()
    for bad in (
        good.replace(there.url, f"ext::touch {tmp_path}/ran"),
        good.replace(there.url, "--upload-pack=touch ran"),
        good.replace('rev = "main"', 'rev = "--upload-pack=touch ran"'),
        good.replace('path = "images"', 'path = "../images"'),
        good.replace('"data/images"', '".git/hooks"'),
        good.replace('"data/images"', '"../../out"'),
        good.replace(f'tree = "{lock(here).tree}"', f'tree = "{"1" * 40}"'),
    ):
        assert bad != good
        here.write(".ldsdeps", bad)
        there.publish({"images/a.png": bad, "notes/x.txt": bad})
        error = refused(here)
        assert "\n" not in error.message
    assert not (tmp_path / "ran").exists() and not (here.path / "ran").exists()


def test_another_store_of_upstream_is_recorded(there: Dataset, here: Work) -> None:
    """Else a fresh clone of this repository would go on asking the old one."""
    edit_committed(here)
    there.work.lds("init", "--store", f"{there.bare.parent}/moved")
    there.work.git("add", "-A")
    there.work.git("commit", "-qm", "another store")
    there.work.git("push", "-q", "origin", "HEAD")
    times, before = times_of(here, "data"), lock(here)
    assert run(here)["data/images"].written
    assert lock(here).store == f"{there.bare.parent}/moved" and lock(here).tree == before.tree
    assert here.git("diff", "--cached", "--name-only") == ".ldsdeps" and times_of(here, "data") == times
    assert not run(here)["data/images"].written


def test_a_manifest_outside_of_a_sparse_checkout(there: Dataset, here: Work) -> None:
    here.git("sparse-checkout", "set", "--no-cone", "data/images")
    assert not (here.path / ".ldsdeps").exists()
    there.publish({"images/a.png": "new", "notes/x.txt": "new"})
    assert all(each.written for each in run(here).values())
    assert not (here.path / ".ldsdeps").exists() and not (here.path / "data/notes").exists()
    here.git("commit", "-qm", "update")
    here.git("sparse-checkout", "disable")
    assert files_of(here, "data/images") == files_of(there.work, "images")
    assert here.read("data/notes/x.txt") == b"new"


def test_new_rules_upstream_come_with_new_files(there: Dataset, here: Work) -> None:
    rules = "images/*.png filter=lds diff=lds merge=lds -text\nimages/deep/** filter=lds\n"
    there.publish({".gitattributes": rules, "images/raw.txt": "plain now"})
    run(here)
    here.git("commit", "-qm", "update")
    assert here.committed("data/images/raw.txt") == b"plain now"
    here.write("data/images/raw.txt", "edited")
    here.commit()
    assert here.committed("data/images/raw.txt") == b"edited"


def test_hidden_files_of_a_sparse_checkout_are_updated_in_the_index_alone(there: Dataset, here: Work) -> None:
    here.git("sparse-checkout", "set", "data/notes")
    assert not (here.path / "data/images").exists()
    there.publish({"images/a.png": "new", "images/b.png": None, "images/z.png": "z", "notes/x.txt": "new"})
    assert run(here)["data/images"].written
    assert not (here.path / "data/images").exists() and here.read("data/notes/x.txt") == b"new"
    assert here.git("diff", "--name-only") == ""
    here.git("commit", "-qm", "update")
    here.git("sparse-checkout", "disable")
    assert files_of(here, "data/images") == files_of(there.work, "images")


def test_a_dependency_that_was_moved_is_followed(there: Dataset, here: Work) -> None:
    earlier = (
        time.time() - 10
    )  # git looks again at a file as young as its index, and at its new place no rule is for it yet
    os.utime(here.write("data/images/a.png", "mine"), (earlier, earlier))
    here.commit("fix")
    (here.path / "assets").mkdir()
    here.git("mv", "data/images", "assets/pictures")
    here.git("mv", "data/notes", "notes.d")
    here.write("copy/x.txt", "x")
    here.commit("move them, and copy one")
    there.publish({"images/b.png": "b2", "images/new.png": "new"})
    found = run(here)
    assert {each.moved_from: output for output, each in found.items()} == {
        "data/images": "assets/pictures",
        "data/notes": "notes.d",
    }
    assert found["assets/pictures"].changed == (b"assets/pictures/b.png",)
    assert here.read("assets/pictures/a.png") == b"mine" and here.read("assets/pictures/new.png") == b"new"
    assert files_of(here, "data") == {} and lock(here, "notes.d").path == "notes"
    here.git("commit", "-qm", "update")
    assert here.is_clean() and here.committed("assets/pictures/new.png").startswith(b"version git-lds")
    assert all(each.moved_from is None for each in run(here).values())


def test_a_dependency_that_was_deleted_is_not_looked_for_elsewhere(there: Dataset, here: Work) -> None:
    here.write("copy/a.png", here.read("data/images/a.png"))
    here.git("rm", "-rq", "data/images")
    here.commit("delete")
    there.publish({"images/b.png": "b2"})
    assert run(here)["data/images"].conflicts


def test_a_rewritten_history_is_told_with_a_way_back(there: Dataset, here: Work) -> None:
    lost = lock(here).commit
    here.write("data/images/b.png", "mine")
    here.commit("fix")
    there.work.git("commit", "-q", "--amend", "-m", "another start")
    there.work.write("images/a.png", "rewritten")
    there.work.commit()
    there.work.git("push", "-qf", "origin", "HEAD:main")
    told = here.try_lds("outdated")
    assert "upstream rewrote its history" in told.stderr and f"--rev {lost}" in told.stderr
    done = here.try_lds("update")
    assert done.returncode == 0 and "upstream rewrote its history" in done.stderr
    assert here.read("data/images/a.png") == b"rewritten" and here.read("data/images/b.png") == b"mine"
    here.commit("update")
    assert "rewrote" not in here.try_lds("update").stderr and lock(here, "data/notes").commit == lock(here).commit
    run(here, "data/images", rev=lost)
    assert here.read("data/images/a.png") == b"a" and here.read("data/images/b.png") == b"mine"


def test_upstream_that_tracks_what_was_plain_and_back(there: Dataset, here: Work) -> None:
    """With a local edit of a file whose form upstream changed, alone or with its contents."""
    here.write("data/notes/x.txt", "x, mine")
    here.commit("fix")
    rules = there.work.read(".gitattributes").decode()
    there.work.write(".gitattributes", rules + "*.txt filter=lds diff=lds merge=lds -text\n")
    there.work.git("add", "--renormalize", ".")
    there.publish({"notes/new.txt": "new"})
    assert there.work.committed("notes/y.txt").startswith(b"version")
    found = run(here)["data/notes"]
    assert here.read("data/notes/y.txt") == b"y" and here.read("data/notes/new.txt") == b"new"
    assert [conflict.path for conflict in found.conflicts] == [b"data/notes/x.txt"]
    assert here.read("data/notes/x.txt") == b"x, mine"
    here.git("add", "data/notes/x.txt")
    here.lds("update", "--continue")
    here.commit("update")
    assert here.committed("data/notes/x.txt").startswith(b"version") and here.is_clean()
    there.work.write(".gitattributes", rules)
    there.work.git("add", "--renormalize", ".")
    there.publish({"notes/new.txt": None})
    found = run(here)["data/notes"]
    here.git("add", "data/notes/x.txt")
    here.commit("update again")
    assert here.committed("data/notes/y.txt") == b"y" and here.committed("data/notes/x.txt") == b"x, mine"
    assert here.is_clean() and not (here.path / "data/notes/new.txt").exists()

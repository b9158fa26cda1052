"""Updates that meet local edits: both are kept where they can be, and where not, both are there to choose from."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import pytest
from kit.coco import CATS, document
from kit.datasets import Dataset, files_of, lock, opened, run, state_of, times_of
from kit.matrix import some_rows
from kit.work import Work, pointer_of, random_bytes

from git_lds.deps.update import resolve
from git_lds.errors import LdsError
from git_lds.worktree.state import LocalEdits

LINES = "".join(f"line {number}\n" for number in range(12))
FILES: dict[str, bytes | str | None] = {
    "images/a.png": "a",
    "images/b.png": "b",
    "images/c.png": random_bytes(1, 20_000),
    "images/deep/d.png": "d",
    "images/deep/e.png": "e",
    "notes/x.txt": LINES,
    "notes/y.txt": "y\n",
}


def fix(here: Work, files: dict[str, bytes | str | None], message: str = "a fix of ours") -> None:
    for name, data in files.items():
        if data is None:
            (here.path / name).unlink()
        else:
            here.write(name, data)
    here.commit(message)


def take(here: Work, side: int, *paths: str) -> resolve.Resolved:
    with opened(here) as repo:
        return resolve.take(repo, paths, side)


def abort(here: Work) -> None:
    with opened(here) as repo:
        resolve.abort(repo)


def go_on(here: Work) -> None:
    with opened(here) as repo:
        resolve.continue_update(repo)


def everything(work: Work) -> object:
    """Working tree with its time stamps, index, and what git says is changed."""
    return state_of(work), times_of(work, "data"), work.git("status", "--porcelain"), work.git("diff")


def test_edits_of_other_files_on_both_sides_are_kept(there: Dataset, here: Work) -> None:
    """Behaviour 31. Only what upstream changed is written."""
    fix(here, {"data/images/a.png": "ours", "data/images/mine.png": "mine", "data/images/deep/d.png": None})
    there.publish({"images/b.png": "theirs", "images/new.png": "new", "images/deep/e.png": None})
    times = times_of(here, "data")
    found = run(here)["data/images"]
    assert (found.changed, found.added, found.deleted) == (
        (b"data/images/b.png",),
        (b"data/images/new.png",),
        (b"data/images/deep/e.png",),
    )
    assert found.conflicts == () and found.size == len("theirs" + "new")
    assert files_of(here, "data/images") == {
        "a.png": b"ours",
        "b.png": b"theirs",
        "c.png": FILES["images/c.png"],
        "mine.png": b"mine",
        "new.png": b"new",
    }
    kept = {name for name, stamp in times_of(here, "data").items() if times.get(name) == stamp}
    assert kept == {"images/a.png", "images/c.png", "images/mine.png", "notes/x.txt", "notes/y.txt"}
    here.git("commit", "-qm", "update")
    assert here.is_clean() and here.unreadable("HEAD") == []
    assert not run(here)["data/images"].written


def test_text_that_both_sides_changed_is_merged_by_git(there: Dataset, here: Work) -> None:
    """Behaviour 31."""
    fix(here, {"data/notes/x.txt": LINES.replace("line 1\n", "ours\n")})
    there.publish({"notes/x.txt": LINES.replace("line 10\n", "theirs\n")})
    found = run(here)["data/notes"]
    assert found.changed == (b"data/notes/x.txt",) and not found.conflicts
    merged = LINES.replace("line 1\n", "ours\n").replace("line 10\n", "theirs\n")
    assert here.read("data/notes/x.txt").decode() == merged
    assert here.git("show", ":data/notes/x.txt") == merged.rstrip("\n")
    here.git("commit", "-qm", "update")
    assert here.is_clean() and here.git("fsck", "--no-dangling") == ""


def test_a_merge_driver_of_the_user_merges(there: Dataset, here: Work) -> None:
    here.git("config", "merge.both.driver", "cat %B >> %A")
    fix(here, {"data/.gitattributes": "*.txt merge=both\n", "data/notes/y.txt": "ours\n"})
    there.publish({"notes/y.txt": "theirs\n"})
    assert not run(here)["data/notes"].conflicts
    assert here.read("data/notes/y.txt") == b"ours\ntheirs\n"


def test_a_merge_driver_of_the_work_tree_killed_with_its_git_leaves_nothing_there(there: Dataset, here: Work) -> None:
    """git makes the files for a driver in the directory that it runs in."""
    here.write("tools/both", "#!/bin/sh\nkill -9 $PPID\n").chmod(0o755)
    here.git("config", "merge.both.driver", "tools/both")
    fix(here, {"data/.gitattributes": "*.txt merge=both\n", "data/notes/y.txt": "ours\n"})
    there.publish({"notes/y.txt": "theirs\n"})
    before = state_of(here)
    with pytest.raises(LdsError, match="could not merge"):
        run(here)
    assert state_of(here) == before and here.is_clean()
    here.write("tools/both", "#!/bin/sh\necho both > $1\n")
    here.git("config", "merge.both.driver", "tools/both %A")
    run(here)
    assert here.read("data/notes/y.txt") == b"both\n"


def test_what_upstream_took_over_is_no_local_edit_any_more(there: Dataset, here: Work) -> None:
    """Also as part of another commit: only contents count."""
    fix(here, {"data/images/a.png": "fixed", "data/images/mine.png": "mine"})
    there.publish({"images/a.png": "fixed", "images/mine.png": "mine", "images/b.png": "more"}, "squashed")
    times = times_of(here, "data")
    found = run(here)["data/images"]
    assert found.changed == (b"data/images/b.png",) and found.added == () and found.conflicts == ()
    assert times_of(here, "data")["images/a.png"] == times["images/a.png"]
    here.git("commit", "-qm", "update")
    assert here.git("rev-parse", "HEAD:data/images") == lock(here).tree


def test_what_upstream_took_over_and_changed_again_is_no_conflict(there: Dataset, here: Work) -> None:
    fix(here, {"data/images/a.png": "fixed", "data/notes/y.txt": "fixed\n"})
    there.publish({"images/a.png": "fixed", "notes/y.txt": "fixed\n"})
    there.publish({"images/a.png": "fixed better", "notes/y.txt": "fixed better\n"})
    assert not any(each.conflicts for each in run(here).values())
    assert here.read("data/images/a.png") == b"fixed better" and here.read("data/notes/y.txt") == b"fixed better\n"


@pytest.mark.parametrize("side", ["here", "upstream"])
def test_a_rename_on_one_side_and_an_edit_on_the_other_meet(there: Dataset, here: Work, side: str) -> None:
    if side == "here":
        (here.path / "data/images/own").mkdir()
        here.git("mv", "data/images/a.png", "data/images/own/z.png")
        here.commit()
        there.publish({"images/a.png": "edited"})
        name = "own/z.png"
    else:
        fix(here, {"data/images/a.png": "edited"})
        there.work.git("mv", "images/a.png", "images/z.png")
        there.publish({})
        name = "z.png"
    found = run(here)["data/images"]
    assert not found.conflicts
    names = files_of(here, "data/images")
    assert names[name] == b"edited" and "a.png" not in names
    here.git("commit", "-qm", "update")
    assert here.is_clean()


def test_a_rename_upstream_is_told_as_one(there: Dataset, here: Work) -> None:
    there.work.git("mv", "images/c.png", "images/renamed.png")
    there.publish({"images/a.png": "new"})
    found = run(here, dry_run=True)["data/images"]
    assert found.renamed == ((b"data/images/c.png", b"data/images/renamed.png"),)
    assert found.changed == (b"data/images/a.png",) and not found.added and not found.deleted and found.size == 3


def test_pointers_are_never_taken_for_one_another(there: Dataset, here: Work) -> None:
    """By likeness, git would pair a deleted pointer with any new one, and merge an edit of the one into the other."""
    fix(here, {"data/images/a.png": "ours"})
    there.publish({"images/a.png": None, "images/quite-another.png": "new"})
    found = run(here)["data/images"]
    assert [(c.path, c.here, c.upstream) for c in found.conflicts] == [(b"data/images/a.png", "modified", "deleted")]
    assert here.read("data/images/quite-another.png") == b"new" and here.read("data/images/a.png") == b"ours"


CONFLICTS = {
    "modified": ({"a.png": "ours"}, {"a.png": "theirs"}, "a.png", "UU", b"ours", b"theirs", "modified/modified"),
    "deleted here": ({"a.png": None}, {"a.png": "theirs"}, "a.png", "DU", None, b"theirs", "deleted/modified"),
    "deleted upstream": ({"a.png": "ours"}, {"a.png": None}, "a.png", "UD", b"ours", None, "modified/deleted"),
    "added": ({"n.png": "ours"}, {"n.png": "theirs"}, "n.png", "AA", b"ours", b"theirs", "added/added"),
}


@pytest.mark.parametrize(
    ("kind", "side"),
    some_rows(
        itertools.product(CONFLICTS, ["ours", "theirs", "git ours", "git theirs", "abort"]),
        ("modified", "ours"),
        ("modified", "abort"),
        ("deleted here", "theirs"),
        ("deleted upstream", "git ours"),
        ("added", "git theirs"),
    ),
)
def test_conflicts_of_pointers(there: Dataset, here: Work, kind: str, side: str) -> None:
    """Behaviour 31: the rest is applied, git's own words resolve it as well as ours, and --abort restores everything."""
    mine, upstream, name, status, ours, theirs, told = CONFLICTS[kind]
    path = f"data/images/{name}"
    fix(here, {f"data/images/{n}": data for n, data in mine.items()})
    there.publish(
        {f"images/{n}": data for n, data in upstream.items()} | {"images/b.png": "b2", "images/new.png": "new"}
    )
    here.write("data/notes/y.txt", "not staged")
    before, locked = everything(here), lock(here).commit
    (conflict,) = run(here)["data/images"].conflicts
    assert f"{conflict.here}/{conflict.upstream}" == told and conflict.path == path.encode()
    assert f"{status} {path}" in here.git("status", "--porcelain")
    assert here.read("data/images/b.png") == b"b2" and here.read("data/images/new.png") == b"new"
    assert here.read(path) == (ours or theirs)
    assert lock(here).commit != locked
    assert here.try_git("commit", "-m", "half").returncode != 0
    with pytest.raises(LdsError, match="not resolved yet"):
        go_on(here)
    with pytest.raises(LdsError, match="under way"):
        run(here)
    if side == "abort":
        abort(here)
        assert everything(here) == before
        with pytest.raises(LdsError, match="no update is under way"):
            abort(here)
        return
    chosen = ours if side.endswith("ours") else theirs
    if side.startswith("git "):
        if chosen is None:
            here.git("rm", "-q", path)
        else:
            here.git("checkout", f"--{side[4:]}", path)
            here.git("add", path)
    else:
        done = take(here, resolve.OURS if side == "ours" else resolve.THEIRS, "data/images")
        assert done.paths == (path.encode(),) and done.remaining == ()
    go_on(here)
    assert not (here.path / ".git/lds/update").exists()
    assert (here.read(path) if (here.path / path).exists() else None) == chosen
    here.git("commit", "-qm", "update")
    assert here.git("status", "--porcelain") == " M data/notes/y.txt"
    if chosen is not None:
        assert here.committed(path) == pointer_of(chosen)
    assert here.unreadable("HEAD") == []


def test_a_conflict_in_text_has_markers(there: Dataset, here: Work) -> None:
    fix(here, {"data/notes/y.txt": "ours\n"})
    there.publish({"notes/y.txt": "theirs\n", "notes/x.txt": "more\n"})
    before = everything(here)
    assert [c.path for c in run(here)["data/notes"].conflicts] == [b"data/notes/y.txt"]
    assert here.read("data/notes/y.txt") == b"<<<<<<< here\nours\n=======\ntheirs\n>>>>>>> upstream\n"
    abort(here)
    assert everything(here) == before
    run(here)
    here.write("data/notes/y.txt", "both\n")
    here.git("add", "data/notes/y.txt")
    here.commit("resolved with git alone")
    assert here.is_clean() and lock(here, "data/notes").commit == there.work.git("rev-parse", "HEAD")
    with pytest.raises(LdsError, match="was committed"):
        abort(here)
    assert not run(here)["data/notes"].written


def test_annotations_that_both_sides_edited_are_merged_as_data(there: Dataset, here: Work) -> None:
    start = document(CATS)
    there.publish({"images/labels.json": json.dumps(start)})
    run(here)
    here.commit("update")
    mine, theirs = document([*CATS, ("c.jpg", "owl", [1, 1, 9, 9])]), document([*CATS, ("d.jpg", "fox", [2, 2, 9, 9])])
    mine["annotations"][0]["bbox"] = [11, 10, 50, 40]
    fix(here, {"data/images/labels.json": json.dumps(mine)})
    there.publish({"images/labels.json": json.dumps(theirs)})
    assert run(here)["data/images"].conflicts == ()
    merged = json.loads(here.read("data/images/labels.json"))
    assert merged["annotations"][0]["bbox"] == [11, 10, 50, 40]
    assert [(a["id"], a["image_id"]) for a in merged["annotations"][3:]] == [(4, 3), (5, 4)]
    here.commit("merged")
    assert here.is_clean() and here.unreadable("HEAD") == []
    assert here.committed("data/images/labels.json") == pointer_of(here.read("data/images/labels.json"))

    mine, theirs = json.loads(json.dumps(merged)), theirs | {"annotations": theirs["annotations"][1:]}
    mine["annotations"][0]["bbox"] = [30, 10, 50, 40]
    fix(here, {"data/images/labels.json": json.dumps(mine)})
    there.publish({"images/labels.json": json.dumps(theirs)})
    before = everything(here)
    assert [c.path for c in run(here)["data/images"].conflicts] == [b"data/images/labels.json"]
    text = here.read("data/images/labels.json").decode()
    assert "<<<<<<< here\n" in text and ">>>>>>> upstream\n" in text and "version git-lds" not in text
    abort(here)
    assert everything(here) == before


def test_a_directory_here_and_a_file_upstream(there: Dataset, here: Work) -> None:
    fix(here, {"data/images/deep/mine.png": "mine"})
    for name in ("d", "e"):
        (there.work.path / f"images/deep/{name}.png").unlink()
    (there.work.path / "images/deep").rmdir()
    there.publish({"images/deep": "a file now", "images/b.png": "b2"})
    before = everything(here)
    found = run(here)["data/images"]
    assert {(c.path, c.here, c.upstream, c.file_directory_conflict) for c in found.conflicts} == {
        (b"data/images/deep", "nothing", "added", True),
        (b"data/images/deep/mine.png", "added", "nothing", True),
    }
    assert here.read("data/images/deep/mine.png") == b"mine" and here.read("data/images/b.png") == b"b2"
    assert here.try_git("commit", "-m", "half").returncode != 0
    abort(here)
    assert everything(here) == before
    run(here)
    take(here, resolve.THEIRS, "data/images/deep")
    go_on(here)
    assert here.read("data/images/deep") == b"a file now"
    here.git("commit", "-qm", "update")
    assert here.is_clean() and files_of(here, "data/images") == files_of(there.work, "images")


def test_a_file_here_and_a_directory_upstream(there: Dataset, here: Work) -> None:
    fix(here, {"data/images/a.png": "ours"})
    (there.work.path / "images/a.png").unlink()
    there.publish({"images/a.png/inner.png": "inner"})
    before = everything(here)
    found = run(here)["data/images"]
    assert [(c.path, c.here, c.upstream) for c in found.conflicts] == [
        (b"data/images/a.png", "modified", "deleted"),
        (b"data/images/a.png/inner.png", "nothing", "added"),
    ]
    assert here.read("data/images/a.png") == b"ours"
    take(here, resolve.OURS, "data/images")
    go_on(here)
    here.git("commit", "-qm", "ours")
    assert here.is_clean() and here.read("data/images/a.png") == b"ours"
    here.git("reset", "-q", "--hard", "HEAD^")
    run(here)
    take(here, resolve.THEIRS, "data/images")
    assert here.read("data/images/a.png/inner.png") == b"inner"
    abort(here)
    assert state_of(here) == before[0]  # type: ignore[index]


def stage(here: Work) -> None:
    here.write("data/images/a.png", "mine")
    here.git("add", "-A")


def leave_unstaged(here: Work) -> None:
    here.write("data/images/a.png", "mine")


def stage_new(here: Work) -> None:
    here.write("data/images/new.png", "mine")
    here.git("add", "-A")


@pytest.mark.parametrize("edit", [stage, leave_unstaged, stage_new])
def test_edits_that_are_not_committed_are_listed_and_kept(there: Dataset, here: Work, edit: object) -> None:
    """Behaviour 30: only those of files that the update would change are in its way."""
    there.publish({"images/a.png": "theirs", "images/new.png": "theirs"})
    edit(here)  # type: ignore[operator]
    before = everything(here)
    with pytest.raises(LocalEdits) as failed:
        run(here)
    assert len(failed.value.paths) == 1 and everything(here) == before


def test_edits_of_other_files_stay_as_they_are(there: Dataset, here: Work) -> None:
    """Behaviour 30."""
    here.write("data/images/b.png", "staged")
    here.write("code.py", "staged\n")
    here.git("add", "-A")
    here.write("data/images/c.png", "not staged")
    (here.path / "data/images/deep/d.png").unlink()
    there.publish({"images/a.png": "theirs"})
    assert run(here)["data/images"].written
    assert here.read("data/images/c.png") == b"not staged" and not (here.path / "data/images/deep/d.png").exists()
    said = here.git("status", "--porcelain").splitlines()
    assert {"M  data/images/b.png", "M  code.py", " M data/images/c.png", " D data/images/deep/d.png"} <= set(said)


def test_edits_after_the_update_stop_an_abort(there: Dataset, here: Work) -> None:
    fix(here, {"data/images/a.png": "ours"})
    there.publish({"images/a.png": "theirs", "images/b.png": "theirs"})
    before = everything(here)
    run(here)
    here.write("data/images/b.png", "edited since")
    here.write("data/images/a.png", "an attempt to resolve it")
    with pytest.raises(LocalEdits) as failed:
        abort(here)
    assert failed.value.paths == (b"data/images/b.png",)
    here.write("data/images/b.png", "theirs")
    abort(here)
    assert files_of(here) == before[0][0]  # type: ignore[index]
    assert here.git("status", "--porcelain") == ""


def test_an_abort_restores_what_was_not_staged_in_our_own_files(there: Dataset, here: Work) -> None:
    fix(here, {"data/images/a.png": "ours"})
    there.publish({"images/a.png": "theirs", ".gitattributes": "images/** filter=lds -text\n"})
    here.write(".gitattributes", b"# mine, not staged\n" + here.read(".gitattributes"))
    before = everything(here)
    assert run(here)["data/images"].conflicts
    assert here.read(".gitattributes").startswith(b"# mine, not staged\n")
    abort(here)
    assert everything(here) == before


def test_a_user_who_reset_by_hand_starts_anew(there: Dataset, here: Work) -> None:
    fix(here, {"data/images/a.png": "ours"})
    there.publish({"images/a.png": "theirs", "images/b.png": "theirs"})
    run(here)
    here.git("reset", "-q", "--hard")
    assert len(run(here)["data/images"].conflicts) == 1
    here.git("reset", "-q", "--hard")
    abort(here)
    assert here.is_clean() and here.read("data/images/a.png") == b"ours"


def test_going_back_to_an_older_commit_keeps_local_edits(there: Dataset, here: Work) -> None:
    first = lock(here).commit
    there.publish({"images/b.png": "b2", "images/new.png": "new"})
    run(here, "data/images")
    here.commit()
    fix(here, {"data/images/a.png": "ours", "data/images/mine.png": "mine"})
    run(here, "data/images", rev=first)
    files = files_of(here, "data/images")
    assert files["a.png"] == b"ours" and files["mine.png"] == b"mine"
    assert files["b.png"] == b"b" and "new.png" not in files


def test_the_executable_bit_and_contents_meet(there: Dataset, here: Work) -> None:
    (here.path / "data/images/a.png").chmod(0o755)
    here.commit()
    there.publish({"images/a.png": "theirs"})
    assert not run(here)["data/images"].conflicts
    assert here.read("data/images/a.png") == b"theirs" and os.access(here.path / "data/images/a.png", os.X_OK)


def test_a_conflict_in_two_dependencies_is_one_update(there: Dataset, here: Work) -> None:
    fix(here, {"data/images/a.png": "ours", "data/notes/y.txt": "ours\n"})
    there.publish({"images/a.png": "theirs", "notes/y.txt": "theirs\n"})
    before = everything(here)
    run(here)
    done = take(here, resolve.THEIRS, "data/notes")
    assert done.remaining == (b"data/images/a.png",) and here.read("data/notes/y.txt") == b"theirs\n"
    abort(here)
    assert everything(here) == before


def test_theirs_is_here_when_upstream_is_gone(there: Dataset, here: Work, tmp_path: Path) -> None:
    """Both sides of a conflict are on this machine: resolving it needs no network."""
    fix(here, {"data/images/c.png": random_bytes(2, 9000)})
    wanted = random_bytes(3, 9000)
    there.publish({"images/c.png": wanted})
    run(here)
    there.bare.rename(tmp_path / "away.git")
    take(here, resolve.THEIRS, ".")
    assert here.read("data/images/c.png") == wanted


def test_a_dry_run_tells_of_conflicts(there: Dataset, here: Work) -> None:
    fix(here, {"data/images/a.png": "ours"})
    there.publish({"images/a.png": "theirs"})
    before = everything(here)
    found = run(here, dry_run=True)["data/images"]
    assert len(found.conflicts) == 1 and not found.written and everything(here) == before


def test_a_conflict_outside_of_a_sparse_checkout(there: Dataset, here: Work) -> None:
    fix(here, {"data/images/a.png": "ours"})
    there.publish({"images/a.png": "theirs", "images/b.png": "theirs", "notes/y.txt": "theirs\n"})
    here.git("sparse-checkout", "set", "data/notes")
    before = state_of(here), here.git("ls-files", "-t")
    assert run(here)["data/images"].conflicts
    assert not (here.path / "data/images").exists() and here.read("data/notes/y.txt") == b"theirs\n"
    abort(here)
    assert (state_of(here), here.git("ls-files", "-t")) == before
    run(here)
    take(here, resolve.THEIRS, "data/images/a.png")
    go_on(here)
    here.git("commit", "-qm", "update")
    assert here.is_clean()
    here.git("sparse-checkout", "disable")
    assert files_of(here, "data/images") == files_of(there.work, "images")


def test_a_linked_work_tree_has_its_own_update(there: Dataset, here: Work, tmp_path: Path) -> None:
    fix(here, {"data/images/a.png": "ours"})
    here.git("worktree", "add", "-q", "-b", "linked", str(tmp_path / "linked"))
    linked = Work(tmp_path / "linked")
    there.publish({"images/a.png": "theirs", "images/b.png": "theirs"})
    assert run(linked)["data/images"].conflicts
    assert here.is_clean()
    with pytest.raises(LdsError, match="no update is under way"):
        abort(here)
    before = state_of(here)
    assert run(here, dry_run=True)["data/images"].conflicts and state_of(here) == before
    abort(linked)
    assert linked.is_clean() and linked.read("data/images/a.png") == b"ours"


def test_the_command_line_resolves_from_a_directory(there: Dataset, here: Work) -> None:
    fix(here, {"data/images/a.png": "ours", "data/images/deep/d.png": "ours", "data/notes/y.txt": "ours\n"})
    there.publish({"images/a.png": "theirs", "images/deep/d.png": "theirs", "notes/y.txt": "theirs\n"})
    done = here.try_lds("update")
    assert done.returncode == 1 and "3 conflicts to resolve" in done.stderr and "hint: " in done.stderr
    assert "  conflict data/images/deep/d.png: modified here, modified upstream" in done.stdout.splitlines()
    assert here.try_lds("update").returncode == 1
    assert here.try_lds("update", "--theirs").returncode == 2
    assert here.try_lds("update", "--theirs", "code.py").returncode == 1
    assert here.try_lds("update", "--abort", "data").returncode == 2
    inside = Work(here.path / "data/images")
    assert inside.lds("update", "--theirs", "deep") == "resolved data/images/deep/d.png"
    assert inside.lds("update", "--ours", ".") == "resolved data/images/a.png"
    done = here.try_lds("update", "--continue")
    assert done.returncode == 1 and "data/notes/y.txt" in done.stderr and "data/images" not in done.stderr
    here.lds("update", "--theirs", ".", "-q")
    here.lds("update", "--continue")
    here.git("commit", "-qm", "update")
    assert here.is_clean()
    assert here.read("data/images/a.png") == b"ours" and here.read("data/images/deep/d.png") == b"theirs"

"""`git lds contribute`: committed fixes become commits on a branch of upstream, and nothing else is pushed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from kit.datasets import Dataset, files_of, lock, opened, run, state_of
from kit.work import Work, pointer_of, random_bytes

from git_lds.deps.contribute.contribute import Contribution, contribute, preview
from git_lds.deps.contribute.edits import Options
from git_lds.deps.history import records
from git_lds.errors import LdsError
from git_lds.worktree.state import LocalEdits

FILES: dict[str, bytes | str | None] = {
    "images/a.png": "a",
    "images/b.png": "b",
    "images/deep/c.png": random_bytes(1, 200_000),
    "notes/x.txt": "".join(f"line {n}\n" for n in range(20)),
    "notes/y.txt": "y\n",
    "README.md": "the dataset\n",
}
BRANCH = "lds/ada-test/data-images"


def send(work: Work, output: str = "data/images", *, dry_run: bool = False, **options: object) -> Contribution:
    with opened(work) as repo:
        return (preview if dry_run else contribute)(repo, output, Options(**options))  # type: ignore[arg-type]


def edit(work: Work, files: dict[str, str | bytes | None], message: str, **environment: object) -> str:
    """Commit edits, perhaps with another author."""
    for name, data in files.items():
        if data is None:
            (work.path / name).unlink()
        else:
            work.write(name, data)
    work.git("add", "-A")
    work.git("commit", "-qm", message, **environment)
    return work.git("rev-parse", "HEAD")


def said(there: Dataset, rev: str, form: str) -> str:
    return Work(there.bare).git("log", "-1", f"--format={form}", rev)


def log(there: Dataset, rev: str) -> list[str]:
    return Work(there.bare).git("log", "--reverse", "--format=%s", f"main..{rev}").splitlines()


def changed(there: Dataset, rev: str) -> list[str]:
    return Work(there.bare).git("diff", "--name-status", "--no-renames", f"main...{rev}").splitlines()


def checked_out(there: Dataset, rev: str, world: Path) -> dict[str, bytes]:
    """Return the files that a new clone of a branch gets, without our cache."""
    shutil.rmtree(world / "cache", ignore_errors=True)
    clone = there.work.path.with_name("reviewer")
    shutil.rmtree(clone, ignore_errors=True)
    there.work.git("clone", "-q", "--branch", rev, str(there.bare), str(clone))
    return files_of(Work(clone))


def refused(here: Work, there: Dataset, output: str = "data/images", **options: object) -> LdsError:
    """Return the error of a contribution that is refused; nothing changes here or upstream."""
    before, refs = state_of(here), Work(there.bare).git("for-each-ref")
    with pytest.raises(LdsError) as failed:
        send(here, output, **options)
    assert state_of(here) == before and Work(there.bare).git("for-each-ref") == refs
    return failed.value


GROGU = {
    "GIT_AUTHOR_NAME": "Grogu Ü",
    "GIT_AUTHOR_EMAIL": "grogu@example.org",
    "GIT_AUTHOR_DATE": "1700000000 +0330",
}


def test_each_commit_is_pushed_with_its_author_and_only_its_files(there: Dataset, here: Work, world: Path) -> None:
    here.write("secret.txt", "private")
    first = edit(
        here, {"data/images/a.png": "a, fixed", "code.py": "secret = 1\n"}, "Fix a\n\nIt was blurred.", **GROGU
    )
    edit(here, {"code.py": "secret = 2\n"}, "Only code")
    second = edit(here, {"data/images/new.png": random_bytes(5, 300_000), "data/images/b.png": None}, "Add new, drop b")
    before, tip = state_of(here), there.work.git("rev-parse", "HEAD")
    done = send(here)
    assert state_of(here) == before and not (here.path / ".git/lds/switch").exists()
    assert (done.plan.destination.branch, done.plan.destination.base, done.plan.destination.extends, done.written) == (
        BRANCH,
        tip,
        False,
        True,
    )
    assert log(there, BRANCH) == ["Fix a", "Add new, drop b"]
    assert said(there, f"{BRANCH}~", "%an|%ae|%ad|%cn|%P") == (
        f"Grogu Ü|grogu@example.org|{said(there, f'{BRANCH}~', '%ad')}|Ada Test|{tip}"
    )
    assert said(there, f"{BRANCH}~", "%at") == "1700000000"
    assert (
        said(there, f"{BRANCH}~", "%B").strip() == f"Fix a\n\nIt was blurred.\n\nLds-Contributed-From: {first} images"
    )
    assert f"Lds-Contributed-From: {second} images" in said(there, BRANCH, "%B")
    assert changed(there, BRANCH) == ["M\timages/a.png", "D\timages/b.png", "A\timages/new.png"]
    assert (done.plan.files.added, done.plan.files.changed, done.plan.files.deleted) == (
        (b"images/new.png",),
        (b"images/a.png",),
        (b"images/b.png",),
    )
    assert done.plan.files.size == 300_000 + len("a, fixed") and done.uploaded == 2
    assert Work(there.bare).committed("images/a.png", BRANCH) == pointer_of(b"a, fixed")
    assert Work(there.bare).git("fsck", "--no-dangling") == "" and here.git("fsck", "--no-dangling") == ""
    found = checked_out(there, BRANCH, world)
    assert found["images/a.png"] == b"a, fixed" and found["images/new.png"] == random_bytes(5, 300_000)
    assert not {"code.py", "secret.txt", ".ldsdeps"} & found.keys()
    assert found[".gitattributes"] == there.work.read(".gitattributes")


def test_a_second_run_has_nothing_new_and_a_later_one_extends_the_branch(there: Dataset, here: Work) -> None:
    edit(here, {"data/images/a.png": "a1"}, "First")
    first = send(here)
    refs = Work(there.bare).git("for-each-ref")
    again = send(here)
    assert (again.plan.commits, again.plan.destination.extends, again.written) == ((), True, False)
    assert Work(there.bare).git("for-each-ref") == refs
    there.publish({"README.md": "moved on\n", "images/other.png": "other"})
    edit(here, {"data/images/a.png": "a2"}, "Second")
    edit(here, {"data/images/b.png": "b1"}, "Third")
    done = send(here)
    assert (
        done.plan.destination.extends
        and done.plan.destination.base == first.tip
        and [each.subject for each in done.plan.commits] == ["Second", "Third"]
    )
    assert log(there, BRANCH) == ["First", "Second", "Third"]
    assert Work(there.bare).committed("images/a.png", BRANCH) == pointer_of(b"a2")
    edit(here, {"data/images/a.png": "a"}, "Take a back")
    assert [each.subject for each in send(here).plan.commits] == ["Take a back"]
    assert changed(there, BRANCH) == ["M\timages/b.png"]
    assert not send(here).plan.commits


def test_nothing_to_contribute(there: Dataset, here: Work) -> None:
    refs = Work(there.bare).git("for-each-ref")
    there.publish({"images/other.png": "other"})
    refs = Work(there.bare).git("for-each-ref")
    edit(here, {"code.py": "new\n"}, "Only code")
    done = send(here)
    assert (done.plan.commits, done.plan.destination.extends, done.written) == ((), False, False)
    assert Work(there.bare).git("for-each-ref") == refs


def test_edits_from_before_an_update_are_contributed_too(there: Dataset, here: Work) -> None:
    """Commits from before the last update have edits too."""
    edit(here, {"data/images/a.png": "mine", "data/notes/x.txt": "first\n" + str(FILES["notes/x.txt"])}, "Fix", **GROGU)
    there.publish({"images/b.png": "b2", "notes/x.txt": str(FILES["notes/x.txt"]) + "last\n"})
    run(here)
    here.commit("update")
    edit(here, {"data/images/b.png": "b2, mine"}, "Fix b")
    done = send(here)
    assert [(each.subject, each.author) for each in done.plan.commits] == [("Fix", "Grogu Ü"), ("Fix b", "Ada Test")]
    assert changed(there, BRANCH) == ["M\timages/a.png", "M\timages/b.png"]
    done = send(here, "data/notes")
    assert [each.subject for each in done.plan.commits] == ["Fix"]
    text = Work(there.bare).committed("notes/x.txt", "lds/ada-test/data-notes").decode()
    assert text == "first\n" + str(FILES["notes/x.txt"]) + "last\n"


def test_a_conflict_that_was_resolved_in_an_update_is_part_of_the_fix(there: Dataset, here: Work) -> None:
    edit(here, {"data/images/a.png": "mine"}, "Fix", **GROGU)
    there.publish({"images/a.png": "theirs"})
    message = refused(here, there)
    assert isinstance(message, LocalEdits) and message.paths == (b"data/images/a.png",)
    assert message.hint == "git lds update data/images, commit, and contribute again"
    run(here)
    here.write("data/images/a.png", "both")
    here.git("add", "-A")
    here.lds("update", "--continue")
    here.git("commit", "-qm", "Update")
    done = send(here)
    assert [(each.subject, each.author) for each in done.plan.commits] == [("Fix", "Grogu Ü")]
    assert Work(there.bare).committed("images/a.png", BRANCH) == pointer_of(b"both")


@pytest.mark.parametrize("kind", ["a file that was changed", "a file that was deleted here"])
def test_a_contributed_change_that_was_reverted_here_is_reverted_on_the_branch(
    there: Dataset, here: Work, kind: str
) -> None:
    edit(here, {"data/images/a.png": "mine" if kind.endswith("changed") else None, "data/images/b.png": "kept"}, "Fix")
    first = send(here)
    there.publish({"images/a.png": "theirs", "images/deep/c.png": "other"})
    run(here)
    here.lds("update", "--theirs", "data/images/a.png")
    here.git("commit", "-qm", "Update, and leave a to them")
    tried = send(here, dry_run=True)
    assert (
        tried.plan.not_contributed.reverted == (b"images/a.png",)
        and Work(there.bare).git("rev-parse", BRANCH) == first.tip
    )
    done = here.try_lds("contribute", "data/images")
    assert done.returncode == 0 and "reverted here: images/a.png" in done.stderr, done.stderr
    branch = Work(there.bare)
    assert log(there, BRANCH) == ["Fix", "Update, and leave a to them"]
    assert branch.committed("images/a.png", BRANCH) == pointer_of(b"theirs")
    assert branch.git("rev-parse", f"{BRANCH}~1") == first.tip
    assert "There is nothing new" in here.try_lds("contribute", "data/images").stderr
    # it can be merged, and brings the other fix alone
    tree = branch.git("merge-tree", "--write-tree", "main", BRANCH)
    assert branch.git("diff", "--name-only", "main", tree) == "images/b.png"


def test_a_change_that_upstream_merged_and_changed_further_is_not_reverted(there: Dataset, here: Work) -> None:
    edit(here, {"data/images/a.png": "mine", "data/images/b.png": "open"}, "Fix")
    first = send(here)
    there.publish({"images/a.png": "mine"})
    there.publish({"images/a.png": "further"})
    run(here)
    here.commit("Update")
    assert here.read("data/images/a.png") == b"further" and here.read("data/images/b.png") == b"open"
    again = send(here)
    assert not again.plan.commits and again.tip == first.tip


def test_fixes_on_branches_here_keep_their_authors(there: Dataset, here: Work) -> None:
    here.git("switch", "-qc", "topic")
    edit(here, {"data/images/a.png": "a1"}, "On a topic", **GROGU)
    here.git("switch", "-q", "main")
    edit(here, {"data/images/b.png": "b1"}, "On main")
    here.git("merge", "-q", "--no-ff", "-m", "Merge it", "topic")
    assert {(each.subject, each.author) for each in send(here).plan.commits} == {
        ("On a topic", "Grogu Ü"),
        ("On main", "Ada Test"),
    }
    here.git("switch", "-qc", "other")
    edit(here, {"data/images/a.png": "a2"}, "One way")
    here.git("switch", "-q", "main")
    edit(here, {"data/images/a.png": "a3"}, "Another way")
    here.try_git("merge", "-q", "other")
    edit(here, {"data/images/a.png": "a4"}, "Merge the ways")
    done = send(here)
    assert Work(there.bare).committed("images/a.png", BRANCH) == pointer_of(b"a4")
    assert done.plan.commits[-1].subject in ("One way", "Another way")


def test_squashed_or_with_a_message(there: Dataset, here: Work) -> None:
    edit(here, {"data/images/a.png": "a1"}, "First", **GROGU)
    edit(here, {"data/images/b.png": "b1"}, "Second")
    done = send(here, squash=True, branch="squashed")
    assert len(done.plan.commits) == 1 and len(done.plan.commits[0].sources) == 2
    words = said(there, "squashed", "%B")
    assert words.startswith(
        "Change images: 2 commits\n\n* First\n* Second\n\nCo-authored-by: Grogu Ü <grogu@example.org>\n"
    )
    assert words.count("Lds-Contributed-From: ") == 2
    send(here, message="In my words", branch="worded")
    assert said(there, "worded", "%s") == "In my words"
    assert not send(here, branch="worded").plan.commits


def test_a_dry_run_prints_the_plan_and_changes_nothing(there: Dataset, here: Work) -> None:
    edit(here, {"data/images/a.png": "a1"}, "First")
    store = {path for path in (there.bare / "lds").rglob("*") if path.is_file()}
    refs = Work(there.bare).git("for-each-ref")
    done = send(here, dry_run=True)
    assert (done.written, done.uploaded, done.sent, done.plan.destination.branch) == (False, 1, 0, BRANCH)
    assert done.plan.files.changed == (b"images/a.png",) and [each.subject for each in done.plan.commits] == ["First"]
    assert Work(there.bare).git("for-each-ref") == refs
    assert {path for path in (there.bare / "lds").rglob("*") if path.is_file()} == store
    with opened(here) as repo:
        assert records.of(repo, lock(here)) == []


def test_uncommitted_changes_are_reported_and_not_contributed(there: Dataset, here: Work) -> None:
    edit(here, {"data/images/a.png": "a1"}, "First")
    here.write("data/images/b.png", "not yet")
    here.write("data/images/untracked.png", "not yet")
    here.write("data/images/staged.png", "not yet")
    here.git("add", "data/images/staged.png")
    done = send(here)
    assert set(done.plan.not_contributed.uncommitted) == {
        b"data/images/b.png",
        b"data/images/untracked.png",
        b"data/images/staged.png",
    }
    assert changed(there, BRANCH) == ["M\timages/a.png"]


def test_files_that_govern_this_repository_are_left_out(there: Dataset, here: Work) -> None:
    edit(
        here,
        {
            "data/images/.gitattributes": "*.raw filter=lds -text\n",
            "data/images/.ldsconfig": "",
            "data/images/a.png": "1",
        },
        "Fix and track",
    )
    done = send(here)
    assert done.plan.not_contributed.left_out == (b"data/images/.gitattributes", b"data/images/.ldsconfig")
    assert changed(there, BRANCH) == ["M\timages/a.png"]


def test_a_single_file_and_the_whole_repository(there: Dataset, here: Work) -> None:
    from git_lds.deps.update.add import import_path

    with opened(here) as repo:
        import_path(repo, there.url, "notes/y.txt", output="y.txt")
        import_path(repo, there.url, ".", output="all")
    here.commit("import more")
    edit(here, {"y.txt": "y, fixed\n", "all/README.md": "fixed\n", "all/images/a.png": "fixed"}, "Fix them")
    assert send(here, "y.txt").plan.files.changed == (b"notes/y.txt",)
    assert changed(there, "lds/ada-test/y-txt") == ["M\tnotes/y.txt"]
    assert send(here, "all").plan.files.changed == (b"README.md", b"images/a.png")
    assert Work(there.bare).committed("README.md", "lds/ada-test/all") == b"fixed\n"


def test_a_branch_that_is_not_ours_is_left_alone(there: Dataset, here: Work, tmp_path: Path) -> None:
    edit(here, {"data/images/a.png": "a1"}, "First")
    there.work.git("push", "-q", "origin", f"HEAD:{BRANCH}")
    there.work.git("switch", "-qc", "side")
    there.publish({"images/side.png": "side"})
    there.work.git("switch", "-q", "main")
    for branch in (None, "side", "main"):
        error = refused(here, there, branch=branch)
        assert "already has a branch" in error.message and error.hint == "name another: --branch NAME"
    assert send(here, branch="mine").written


@pytest.mark.parametrize(
    "branch",
    ["-x", "a..b", "a b", "", "refs/heads/x", "HEAD", "x.lock", "a\nb", "@{-1}", "@", "+x", "+refs/heads/x", "0" * 40],
)
def test_an_invalid_branch_name_is_refused(there: Dataset, here: Work, branch: str) -> None:
    assert "cannot be the name of a branch" in refused(here, there, branch=branch).message


def test_another_clone_knows_the_branch_by_its_trailers(there: Dataset, here: Work, tmp_path: Path) -> None:
    edit(here, {"data/images/a.png": "a1"}, "First")
    send(here)
    here.git("clone", "-q", str(here.path), str(tmp_path / "clone"))
    clone = Work(tmp_path / "clone")
    clone.git("config", "--add", "lds.allowlocal", there.url)
    again = send(clone)
    assert again.plan.destination.extends and not again.plan.commits
    with opened(clone) as repo:
        (record,) = records.of(repo, lock(clone))
    with opened(here) as repo:
        assert records.of(repo, lock(here)) == [record]
    edit(clone, {"data/images/a.png": "a2"}, "Second")
    assert [each.subject for each in send(clone).plan.commits] == ["Second"]


@pytest.mark.parametrize("how", ["merge", "squash", "and changed", "rebase"])
def test_an_update_after_the_merge_leaves_no_local_difference(there: Dataset, here: Work, how: str) -> None:
    edit(here, {"data/images/a.png": "a1"}, "First")
    edit(here, {"data/images/b.png": "b1"}, "Second")
    send(here)
    up = there.work
    up.git("fetch", "-q", "origin")
    up.write("images/later.png", "later")
    up.commit("meanwhile")
    if how == "merge":
        up.git("merge", "-q", "--no-ff", f"origin/{BRANCH}")
    elif how == "rebase":
        up.git("cherry-pick", f"main..origin/{BRANCH}")
    else:
        up.git("merge", "-q", "--squash", f"origin/{BRANCH}")
        up.git("commit", "-qm", "taken")
    if how == "and changed":
        up.write("images/a.png", "a1, further")
    there.publish({"README.md": how})
    with opened(here) as repo:
        assert [each.state for each in records.standings(repo, lock(here))] == ["open"]
    edit(here, {"data/images/b.png": "b2"}, "Third, after it was sent")
    run(here)
    here.commit("update")
    assert here.read("data/images/a.png") == up.read("images/a.png") and here.read("data/images/b.png") == b"b2"
    with opened(here) as repo:
        assert [each.state for each in records.standings(repo, lock(here))] == ["merged"]
    done = send(here)
    assert done.plan.destination.branch == f"{BRANCH}-2" and done.plan.files.changed == (b"images/b.png",)
    assert [each.subject for each in done.plan.commits] == ["Third, after it was sent"]
    assert "already merged" in refused(here, there, branch=BRANCH).message


def test_upstream_merges_a_part_of_a_contribution(there: Dataset, here: Work) -> None:
    edit(here, {"data/images/a.png": "a1", "data/images/b.png": "b1"}, "Both")
    send(here)
    there.publish({"images/a.png": "a1"}, "take a alone")
    run(here)
    here.commit("update")
    assert here.read("data/images/b.png") == b"b1"
    with opened(here) as repo:
        assert [each.state for each in records.standings(repo, lock(here))] == ["open"]
    assert not send(here).plan.commits
    there.publish({"images/b.png": "another way"}, "not theirs")
    run(here)
    here.lds("update", "--theirs", ".")
    here.commit("update")
    with opened(here) as repo:
        assert [each.state for each in records.standings(repo, lock(here))] == ["superseded"]
    assert "superseded" in here.lds("deps")


def test_text_that_was_merged_with_upstreams_is_recognized_by_an_update(there: Dataset, here: Work) -> None:
    """The text upstream is not the one here: other lines of it changed there."""
    text = str(FILES["notes/x.txt"])
    there.publish({"notes/x.txt": text.replace("line 8\n", "line eight\n")})
    edit(here, {"data/notes/x.txt": text.replace("line 12\n", "line twelve\n")}, "Twelve")
    send(here, "data/notes")
    up = there.work
    up.git("fetch", "-q", "origin")
    up.git("merge", "-q", "--squash", "origin/lds/ada-test/data-notes")
    up.git("commit", "-qm", "taken")
    both = text.replace("line 8\n", "line eight\n").replace("line 12\n", "line 12, further\n")
    there.publish({"notes/x.txt": both})
    run(here)
    assert here.read("data/notes/x.txt").decode() == both


@pytest.mark.parametrize("tracked", [True, False])
def test_files_are_pushed_in_the_form_that_upstream_keeps(
    there: Dataset, here: Work, world: Path, tracked: bool
) -> None:
    """They may be committed here in another form, for example by a user without git-lds."""
    if tracked:
        here.write("data/images/a.png", "raw")
        here.write("data/images/big.png", random_bytes(7, 300_000))
        here.git("-c", "core.attributesFile=/dev/null", "rm", "-q", "--cached", ".gitattributes")
        blobs = {
            name: here.git("hash-object", "-w", "--no-filters", f"data/images/{name}") for name in ("a.png", "big.png")
        }
        here.git("reset", "-q")
        for name, blob in blobs.items():
            here.git("update-index", "--add", "--cacheinfo", f"100644,{blob},data/images/{name}")
        here.git("commit", "-qm", "Fix without git-lds")
        send(here)
        assert Work(there.bare).committed("images/a.png", BRANCH) == pointer_of(b"raw")
        found = checked_out(there, BRANCH, world)
        assert found["images/a.png"] == b"raw" and found["images/big.png"] == random_bytes(7, 300_000)
    else:
        here.write("data/notes/y.txt", "object")
        here.write(".gitattributes", here.read(".gitattributes") + b"data/notes/y.txt filter=lds -text\n")
        here.commit("Track it, and fix it")
        assert here.committed("data/notes/y.txt") == pointer_of(b"object")
        done = send(here, "data/notes")
        assert (
            Work(there.bare).committed("notes/y.txt", done.plan.destination.branch) == b"object" and done.uploaded == 0
        )


def test_objects_that_are_not_local_come_from_the_own_store(
    there: Dataset, here: Work, tmp_path: Path, world: Path
) -> None:
    """A new clone has only pointers of earlier commits; all objects are uploaded."""
    edit(here, {"data/images/a.png": "a1"}, "First")
    edit(here, {"data/images/a.png": "a2"}, "Second")
    bare = here.publish("B.git")
    shutil.rmtree(world / "cache", ignore_errors=True)
    clone = here.clone("clone", source=bare, GIT_LDS_SKIP_SMUDGE="1")
    clone.git("config", "--add", "lds.allowlocal", there.url)
    done = send(clone)
    assert [each.subject for each in done.plan.commits] == ["First", "Second"] and done.uploaded == 2
    for rev, data in ((BRANCH, b"a2"), (f"{BRANCH}~", b"a1")):
        there.work.git("fetch", "-q", "origin")
        shutil.rmtree(world / "cache", ignore_errors=True)
        there.work.git("clone", "-q", "-n", str(there.bare), str(tmp_path / rev.replace("/", "-")))
        reviewer = Work(tmp_path / rev.replace("/", "-"))
        reviewer.git("checkout", "-q", f"origin/{rev}")
        assert reviewer.read("images/a.png") == data


def test_missing_objects_stop_a_contribution(there: Dataset, here: Work, world: Path) -> None:
    here.write("data/images/a.png", pointer_of(b"missing everywhere"))
    here.write("data/images/b.png", "b1")
    here.commit("Fix")
    error = refused(here, there)
    assert "nothing was pushed" in error.message and "images/a.png" in error.message


@pytest.mark.parametrize("how", ["--depth=1", "--depth=2", "--filter=blob:none", "--filter=tree:0"])
def test_shallow_and_partial_clones(there: Dataset, here: Work, tmp_path: Path, world: Path, how: str) -> None:
    edit(here, {"data/images/a.png": "a1", "data/notes/y.txt": "y1\n"}, "First", **GROGU)
    edit(here, {"data/images/a.png": "a2", "data/notes/y.txt": "y1\ny2\n"}, "Second")
    there.publish({"images/b.png": "b2"})
    bare = here.publish("B.git")
    Work(bare).git("config", "uploadpack.allowFilter", "true")
    shutil.rmtree(world / "cache", ignore_errors=True)
    clone = here.clone("clone", how, source=f"file://{bare}")
    clone.git("config", "--add", "lds.allowlocal", there.url)
    assert run(clone, "data/images")["data/images"].written
    clone.git("commit", "-qm", "update")
    assert clone.read("data/images/b.png") == b"b2" and clone.read("data/images/a.png") == b"a2"
    if how == "--depth=1":
        error = refused(clone, there)
        assert "which is shallow" in error.message and "git fetch --unshallow" in str(error.hint)
        send(clone, message="All of it")
        assert log(there, BRANCH) == ["All of it"]
        return
    done = send(clone)
    assert [each.subject for each in done.plan.commits] == (["Second"] if how == "--depth=2" else ["First", "Second"])
    assert Work(there.bare).committed("images/a.png", BRANCH) == pointer_of(b"a2")
    notes = send(clone, "data/notes")
    assert Work(there.bare).committed("notes/y.txt", notes.plan.destination.branch) == b"y1\ny2\n"
    assert Work(there.bare).git("fsck", "--no-dangling") == ""


def test_in_a_linked_work_tree(there: Dataset, here: Work, tmp_path: Path) -> None:
    here.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "linked"))
    linked = Work(tmp_path / "linked")
    edit(linked, {"data/images/a.png": "a1"}, "On the side")
    assert send(linked).written
    assert not send(linked).plan.commits
    assert not send(here, branch="from-main").plan.commits


def test_a_dependency_that_was_moved_keeps_its_history(there: Dataset, here: Work) -> None:
    edit(here, {"data/images/a.png": "a1"}, "First", **GROGU)
    (here.path / "assets").mkdir()
    here.git("mv", "data/images", "assets/pictures")
    here.git("commit", "-qm", "Move it")
    assert "git lds update" in str(refused(here, there).hint)
    found = run(here, "data/images")["assets/pictures"]
    assert (found.moved_from, found.written, found.before == found.after) == ("data/images", True, True)
    assert here.git("diff", "--cached", "--name-only").splitlines() == [".gitattributes", ".ldsdeps"]
    assert b"data/images" not in here.read(".ldsdeps") + here.read(".gitattributes")
    here.commit("Follow it")
    edit(here, {"assets/pictures/b.png": "b1"}, "Second")
    done = send(here, "assets/pictures")
    assert [(each.subject, each.author) for each in done.plan.commits] == [("First", "Grogu Ü"), ("Second", "Ada Test")]
    assert changed(there, done.plan.destination.branch) == ["M\timages/a.png", "M\timages/b.png"]
    there.publish({"images/new.png": "new"})
    run(here, "assets/pictures")
    assert here.read("assets/pictures/new.png") == b"new" and here.read("assets/pictures/a.png") == b"a1"


def test_the_same_path_imported_twice_has_two_contributions(there: Dataset, here: Work) -> None:
    from git_lds.deps.update.add import import_path

    edit(here, {"data/images/a.png": "a1"}, "In the first")
    with opened(here) as repo:
        import_path(repo, there.url, "images", output="again")
    here.commit("import it again")
    edit(here, {"again/b.png": "b1"}, "In the second")
    assert [each.subject for each in send(here, "again").plan.commits] == ["In the second"]
    assert [each.subject for each in send(here).plan.commits] == ["In the first"]
    there.publish({"images/new.png": "new"})
    found = run(here)
    assert all(found[output].written for output in ("data/images", "again"))
    assert here.read("again/new.png") == here.read("data/images/new.png") == b"new"


def test_a_rename_upstream_and_a_rename_here(there: Dataset, here: Work) -> None:
    edit(here, {"data/images/a.png": "a1"}, "Fix a")
    here.git("mv", "data/images/b.png", "data/images/bee.png")
    here.git("commit", "-qm", "Rename b")
    there.work.git("mv", "images/a.png", "images/ay.png")
    there.publish({"images/b.png": "b2"})
    done = send(here)
    assert [each.subject for each in done.plan.commits] == ["Fix a", "Rename b"]
    assert changed(there, BRANCH) == ["M\timages/ay.png", "D\timages/b.png", "A\timages/bee.png"]
    assert Work(there.bare).committed("images/bee.png", BRANCH) == pointer_of(b"b2")


def test_a_file_becomes_a_directory_and_modes_and_links_stay(there: Dataset, here: Work) -> None:
    (here.path / "data/images/a.png").unlink()
    edit(here, {"data/images/a.png/inner.png": "inner"}, "A directory now")
    (here.path / "data/images/link").symlink_to("b.png")
    (here.path / "data/images/b.png").chmod(0o755)
    here.commit("A link and a mode")
    send(here)
    assert changed(there, BRANCH) == [
        "D\timages/a.png",
        "A\timages/a.png/inner.png",
        "M\timages/b.png",
        "A\timages/link",
    ]
    listed = Work(there.bare).git("ls-tree", "-r", BRANCH, "images/").splitlines()
    assert {line.split("\t")[1]: line[:6] for line in listed} == {
        "images/a.png/inner.png": "100644",
        "images/b.png": "100755",
        "images/deep/c.png": "100644",
        "images/link": "120000",
    }


def test_a_tag_is_followed_and_the_contribution_is_for_the_main_branch(there: Dataset, here: Work) -> None:
    there.work.git("tag", "v1")
    there.work.git("push", "-q", "origin", "v1")
    run(here, "data/images", rev="v1")
    here.commit("pin")
    edit(here, {"data/images/a.png": "a1"}, "Fix")
    tip = there.publish({"images/b.png": "b2"})
    done = send(here)
    assert (done.plan.destination.onto, done.plan.destination.base) == ("main", tip)
    there.work.git("push", "-q", "origin", "v1:refs/heads/stable")
    assert send(here, onto="stable", branch="for-stable").plan.destination.base == there.work.git("rev-parse", "v1")


def test_upstream_rewrote_its_history(there: Dataset, here: Work) -> None:
    edit(here, {"data/images/a.png": "a1"}, "Fix")
    tree = there.work.git("rev-parse", "HEAD^{tree}")
    there.work.git("reset", "-q", "--hard", there.work.git("commit-tree", "-m", "squashed", tree))
    there.work.git("push", "-qf", "origin", "HEAD:main")
    assert send(here).written and log(there, BRANCH) == ["Fix"]


def test_upstream_no_longer_has_the_path(there: Dataset, here: Work) -> None:
    edit(here, {"data/images/a.png": "a1"}, "Fix")
    there.work.git("mv", "images", "pictures")
    there.publish({"README.md": "moved"}, "Call them pictures")
    assert "Call them pictures" in refused(here, there).message


def test_only_the_users_own_programs_are_started(there: Dataset, here: Work, tmp_path: Path) -> None:
    hook = here.path / ".git/hooks/pre-push"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    edit(here, {"data/images/a.png": "a1"}, "Fix")
    here.git("tag", "-a", "-m", "mine", "v9")
    here.git("config", "--global", "push.followTags", "true")
    here.git("config", "--global", "push.default", "matching")
    send(here)
    assert not (tmp_path / "ran").exists()
    assert Work(there.bare).git("for-each-ref", "--format=%(refname)").splitlines() == [
        f"refs/heads/{BRANCH}",
        "refs/heads/main",
    ]


def test_a_message_keeps_its_trailers_and_odd_characters(there: Dataset, here: Work) -> None:
    message = "Fix — ünïcode `x`\n\n---\nnot a divider\n\nSigned-off-by: Ada <ada@example.org>\n"
    commit = edit(here, {"data/images/a.png": "a1"}, message)
    send(here)
    assert said(there, BRANCH, "%B").rstrip("\n") == message.rstrip("\n") + f"\nLds-Contributed-From: {commit} images"
    assert here.try_git("-c", "i18n.commitEncoding=ISO-8859-1", "commit", "--allow-empty", "-qm", "x").returncode == 0


def test_the_command_line(there: Dataset, here: Work, tmp_path: Path) -> None:
    import json

    edit(here, {"data/images/a`b\n.png": "a1", "data/images/a.png": None}, "Fix <b>`all`</b> @everyone")
    done = Work(here.path / "data").try_lds("contribute", "images", "--dry-run")
    assert done.returncode == 0 and "  deleted images/a.png" in done.stdout
    assert "Would push lds/ada-test/data-images" in done.stderr
    found = json.loads(here.lds("contribute", "data/images", "--json", "--body", str(tmp_path / "body.md")))
    assert found["written"] and found["deleted"] == ["images/a.png"] and found["branch"] == BRANCH
    text = (tmp_path / "body.md").read_text()
    assert "- ``Fix <b>`all`</b> @everyone`` by `Ada Test`" in text and "- added ``images/a`b\\n.png``" in text
    assert found["commits"][0]["sources"] == [here.git("rev-parse", "HEAD")]
    again = here.try_lds("contribute", "data/images")
    assert again.returncode == 0 and "There is nothing new" in again.stderr and again.stdout == ""
    edit(here, {"data/images/b.png": "b1"}, "Another")
    piped = here.try_lds("contribute", "data/images", "--body", "-")
    assert piped.stdout.startswith("1 commit for `main`") and f"Added to {BRANCH} of " in piped.stderr
    assert f"contributed as {BRANCH}: open" in here.lds("deps")
    assert json.loads(here.lds("deps", "--json"))[0]["contributions"][0]["state"] == "open"
    for words in (("nothing",), ("data/images", "--branch", "-x"), ("data/images", "-m", " "), ()):
        refused_one = here.try_lds("contribute", *words)
        assert refused_one.returncode in (1, 2) and "hint: " in refused_one.stderr
        assert "Traceback" not in refused_one.stderr


def test_a_hostile_manifest_sends_nothing_anywhere(there: Dataset, here: Work, tmp_path: Path) -> None:
    edit(here, {"data/images/a.png": "a1"}, "Fix")
    good = here.read(".ldsdeps").decode()
    for bad in (
        good.replace(there.url, f"ext::touch {tmp_path}/ran"),
        good.replace(there.url, "--receive-pack=touch ran"),
        good.replace('rev = "main"', 'rev = "--receive-pack=touch ran"'),
        good.replace('path = "images"', 'path = "../images"'),
        good.replace('"data/images"', '".git/hooks"'),
        good.replace(there.url, str(tmp_path / "B")),
        good.replace(f'tree = "{lock(here).tree}"', f'tree = "{"1" * 40}"'),
    ):
        assert bad != good
        here.write(".ldsdeps", bad)
        here.commit("hostile")
        assert "\n" not in refused(here, there).message
    assert not (tmp_path / "ran").exists() and not (here.path / "ran").exists()


def test_a_contribution_is_quick(there: Dataset, here: Work, tmp_path: Path) -> None:
    """2,000 untouched files cost only a look at upstream's tree; their blobs are not fetched."""
    import time

    from git_lds.deps.update.add import import_path

    there.publish({f"many/{number}.txt": f"{number}\n" for number in range(2000)})
    with opened(here) as repo:
        import_path(repo, there.url, "many/7.txt", output="seven.txt")
    here.commit("import one")
    edit(here, {"seven.txt": "7, fixed\n"}, "Fix seven")
    started = time.monotonic()
    done = send(here, "seven.txt")
    assert time.monotonic() - started < 5 and done.plan.files.changed == (b"many/7.txt",)
    listed = Work(there.bare).git("ls-tree", "-r", "--name-only", done.plan.destination.branch, "many/").splitlines()
    assert len(listed) == 2000

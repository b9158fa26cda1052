"""Importing: upstream's files arrive here, staged and in the same form; if they cannot, nothing changes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from kit.datasets import Dataset, files_of, new_consumer, new_dataset, opened, state_of
from kit.steps import FailsAt
from kit.templates import as_first_made
from kit.work import Work, random_bytes

from git_lds import pointer
from git_lds.deps.manifest import manifest
from git_lds.deps.manifest.manifest import Dependency
from git_lds.deps.update.add import import_path
from git_lds.errors import LdsError, ObjectsMissing
from git_lds.repo import Repo
from git_lds.worktree.steps import Step, observed_by

BIG = random_bytes(9, 9_000_000)
FILES: dict[str, bytes | str | None] = {
    "images/a.png": random_bytes(1, 20_000),
    "images/deep/b.png": random_bytes(2, 300_000),
    "images/big.bin": BIG,
    "images/empty.png": b"",
    "mixed/labels.json": '{"label": 1}',
    "mixed/notes.txt": "plain\n",
    "mixed/run.sh": "#!/bin/sh\n",
    "mixed/with space\tand tab.txt": "odd\n",
    "README.md": "read me\n",
}


@pytest.fixture
def there(request: pytest.FixtureRequest, tmp_path: Path, world: Path, installed: None) -> Dataset:
    with_consumer = "here" in request.fixturenames
    name = f"{__name__} {with_consumer}"
    as_first_made(name, [tmp_path, world / "cache"], lambda: _make(tmp_path, with_consumer))
    return Dataset(Work(tmp_path / "A"), tmp_path / "A.git")


def _make(directory: Path, with_consumer: bool) -> None:
    dataset = new_dataset(directory)
    dataset.work.write("mixed/run.sh", "#!/bin/sh\n").chmod(0o755)
    os.symlink("notes.txt", dataset.work.path / "mixed" / "link")
    for name in (b"new\nline", b"\xff\xfe not UTF-8", b"-dash", b'quo"te', b"x" * 200):
        dataset.work.write(b"mixed/odd/" + name, b"odd")
        dataset.work.write(b"mixed/odd/" + name + b".json", b"odd and tracked")
    dataset.publish(FILES)
    if with_consumer:
        new_consumer(directory)


@pytest.fixture
def here(request: pytest.FixtureRequest, tmp_path: Path, installed: None) -> Work:
    if "there" not in request.fixturenames:
        return new_consumer(tmp_path)
    request.getfixturevalue("there")
    return Work(tmp_path / "B")


def take(here: Work, there: Dataset | str, path: str, output: str | None = None, **options: object) -> Dependency:
    with opened(here) as repo:
        return import_path(
            repo,
            there if isinstance(there, str) else there.url,
            path,
            output=output,
            **options,  # type: ignore[arg-type]
        )


def refused(here: Work, there: Dataset | str, path: str, output: str | None = None, **options: object) -> LdsError:
    """Import, which must fail with nothing changed; return the error."""
    before, config = state_of(here), here.read(".git/config")
    with pytest.raises(LdsError) as failed:
        take(here, there, path, output, **options)
    assert state_of(here) == before and here.read(".git/config") == config
    assert not (here.path / ".git/index.lock").exists() and not (here.path / ".git/lds/switch").exists()
    return failed.value


def fetched(here: Work) -> None:
    """A clone of what is committed has just the same files: nothing in the working tree is only there."""
    here.git("commit", "-qm", "import")
    assert here.is_clean()
    clone = here.path.with_name(here.path.name + "-clone")
    here.git("clone", "-q", str(here.path), str(clone))
    assert files_of(Work(clone)) == files_of(here)


def test_a_directory(there: Dataset, here: Work) -> None:
    found = take(here, there, "images", "data/raw/images")
    assert files_of(here, "data/raw/images") == files_of(there.work, "images")
    staged = pointer.parse(here.committed("data/raw/images/big.bin", ""))
    assert staged is not None and staged.size == len(BIG)
    assert found == manifest.parse(here.read(".ldsdeps"))["data/raw/images"]
    assert found.tree == here.git("rev-parse", f"{here.git('write-tree')}:data/raw/images")
    assert (found.rev, found.commit, found.store) == ("main", there.work.git("rev-parse", "HEAD"), f"{there.url}/lds")
    assert {line[:3] for line in here.git("status", "--porcelain").splitlines()} == {"A  "}
    assert here.git("fsck", "--no-dangling") == ""
    fetched(here)


@pytest.mark.parametrize(
    "path", ["images/deep", "images/a.png", "mixed/labels.json", "README.md", "mixed", "mixed/link", "."]
)
def test_any_kind_of_path(there: Dataset, here: Work, path: str) -> None:
    take(here, there, path, "in/here")
    source = there.work.path / path
    if source.is_dir():
        expected = {k: v for k, v in files_of(there.work, path).items() if not k.startswith(".git/")}
        assert files_of(here, "in/here") == expected
    else:
        assert files_of(here)["in/here"] == files_of(there.work)[path]
        assert (here.path / "in/here").is_symlink() == source.is_symlink()
    assert here.git("ls-files", "-s", "in/here").split()[1] in there.work.git("ls-tree", "-r", "HEAD")
    fetched(here)


def test_modes_and_odd_names_stay(there: Dataset, here: Work) -> None:
    take(here, there, "mixed")
    assert os.access(here.path / "mixed/run.sh", os.X_OK) and not os.access(here.path / "mixed/notes.txt", os.X_OK)
    assert here.read("mixed/with space\tand tab.txt") == b"odd\n"
    assert (here.path / "mixed/link").is_symlink()


def test_what_is_plain_stays_plain_and_what_is_tracked_stays_tracked(there: Dataset, here: Work) -> None:
    here.write(".gitattributes", "*.txt filter=lds diff=lds merge=lds -text\n")
    here.commit()
    take(here, there, "mixed", "data/mixed")
    here.git("commit", "-qm", "import")
    here.write("data/mixed/notes.txt", "edited\n")
    here.write("data/mixed/labels.json", "{}")
    here.write("data/mixed/new.json", "[]")
    here.write("mine.txt", "tracked by my own rule\n")
    here.commit()
    assert here.committed("data/mixed/notes.txt") == b"edited\n"
    for name in ("data/mixed/labels.json", "data/mixed/new.json", "mine.txt"):
        assert pointer.parse(here.committed(name)) is not None


def test_the_first_status_cleans_nothing(there: Dataset, here: Work, tmp_path: Path) -> None:
    take(here, there, "images")
    log = tmp_path / "trace"
    assert here.git("status", "--porcelain", "-uno", GIT_TRACE=str(log))
    assert "filter-process" not in log.read_text()


def test_into_a_repository_without_any_commit(there: Dataset, tmp_path: Path) -> None:
    empty = Work(tmp_path / "empty")
    empty.path.mkdir()
    empty.git("init", "-q")
    take(empty, there, "images")
    fetched(empty)


def test_in_a_linked_worktree(there: Dataset, here: Work, tmp_path: Path) -> None:
    here.git("worktree", "add", "-q", str(tmp_path / "linked"))
    linked, before = Work(tmp_path / "linked"), state_of(here)
    take(linked, there, "images")
    assert files_of(linked, "images") == files_of(there.work, "images")
    assert state_of(here) == before
    assert not (tmp_path / "linked" / ".git").is_dir()


def test_default_outputs_and_spellings_of_paths(there: Dataset, here: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    assert take(here, there, "./images/deep/").output == "deep"
    assert take(here, there, ".").output == "A"
    assert take(here, "../A.git", "mixed", "./x/y/").url == there.url
    assert take(here, f"file://{there.url}", "README.md").output == "README.md"


def test_changes_of_the_user_that_are_not_staged_stay_so(there: Dataset, here: Work) -> None:
    here.write(".gitattributes", "*.md text\n")
    here.commit()
    here.write(".gitattributes", "*.md text\n*.csv text\n")
    here.write("code.py", "print('edited')\n")
    take(here, there, "images")
    assert here.git("diff", "--name-only").splitlines() == [".gitattributes", "code.py"]
    assert "*.csv" not in here.git("show", ":.gitattributes") and "*.csv" in here.read(".gitattributes").decode()
    assert "imported" in here.git("show", ":.gitattributes") and "imported" in here.read(".gitattributes").decode()
    take(here, there, "mixed")
    assert here.read(".gitattributes").decode().count("# imported") == 2


def test_untracked_attributes_are_not_staged(there: Dataset, here: Work) -> None:
    here.write(".gitattributes", "*.csv filter=lds diff=lds merge=lds -text\n")
    take(here, there, "images")
    assert "csv" not in here.git("show", ":.gitattributes")
    assert here.read(".gitattributes").startswith(b"*.csv filter=lds")


def test_a_branch_a_tag_and_a_commit(there: Dataset, here: Work) -> None:
    first = there.work.git("rev-parse", "HEAD")
    there.work.git("tag", "-am", "one", "v1")
    there.work.git("push", "-q", "origin", "v1", "HEAD:refs/heads/team/side")
    there.publish({"images/a.png": "later"})
    assert take(here, there, "images", "tag", rev="v1").commit == first
    assert take(here, there, "images", "branch", rev="team/side").rev == "team/side"
    assert take(here, there, "images", "commit", rev=first).rev == first
    assert take(here, there, "images", "tip").commit != first
    assert here.read("tag/a.png") == FILES["images/a.png"] and here.read("tip/a.png") == b"later"


def test_absent_path(there: Dataset, here: Work) -> None:
    for path in ("nothing", "images/nothing", "README.md/x", "image", "images/*", ":(glob)**"):
        error = refused(here, there, path, "out")
        assert "there is no" in error.message and "\n" not in error.message


def test_absent_rev_and_absent_upstream(there: Dataset, here: Work, tmp_path: Path) -> None:
    assert "no branch or tag 'nope'" in refused(here, there, "images", rev="nope").message
    assert "cannot read" in refused(here, str(tmp_path / "nowhere.git"), "images").message


def test_upstream_that_never_pushed_its_objects(there: Dataset, here: Work) -> None:
    shutil.rmtree(there.bare / "lds")
    error = refused(here, there, "images")
    assert (
        isinstance(error, ObjectsMissing)
        and "upstream never pushed its objects" in error.message
        and "images/a.png" in error.message
    )
    take(here, there, "mixed/notes.txt")  # what is plain needs no store


def test_one_object_that_was_not_pushed(there: Dataset, here: Work) -> None:
    there.work.write("images/late.png", "late")
    there.work.commit()
    there.work.git("push", "-q", "--no-verify", "origin", "HEAD")
    assert "images/late.png" in refused(here, there, "images").message
    take(here, there, "images/deep")


@pytest.mark.parametrize(
    "what", ["file", "directory", "empty directory", "untracked", "staged only", "ignored", "dangling link"]
)
def test_a_destination_that_exists(there: Dataset, here: Work, what: str) -> None:
    target = here.path / "data" / "images"
    if what in ("empty directory", "directory"):
        target.mkdir(parents=True)
    if what == "directory":
        here.write("data/images/mine", "mine")
        here.commit()
    elif what == "dangling link":
        target.parent.mkdir()
        target.symlink_to("nowhere")
    elif what != "empty directory":
        here.write("data/images", "mine")
    if what in ("file", "staged only"):
        here.git("add", "data/images")
    if what == "staged only":
        target.unlink()
    if what == "ignored":
        here.write(".gitignore", "data\n")
    assert "already exists" in refused(here, there, "images", "data/images").message


def test_force_replaces_what_is_there(there: Dataset, here: Work) -> None:
    here.write("images/a.png", "mine")
    here.write("images/old", "old")
    here.commit()
    here.write("images/a.png", "mine, edited")
    here.write("images/deep/b.png", "mine, untracked")
    here.write("images/untracked", "untracked")
    take(here, there, "images", force=True)
    expected = files_of(there.work, "images") | {"untracked": b"untracked"}
    assert files_of(here, "images") == expected
    assert here.git("status", "--porcelain", "images").splitlines()[-1] == "?? images/untracked"
    take(here, there, "mixed", "images", force=True)
    assert files_of(here, "images") == files_of(there.work, "mixed") | {"untracked": b"untracked"}
    assert manifest.parse(here.read(".ldsdeps"))["images"].path == "mixed"


def test_force_between_files_and_directories(there: Dataset, here: Work) -> None:
    here.write("x", "a file")
    here.commit()
    take(here, there, "images", "x", force=True)
    assert files_of(here, "x") == files_of(there.work, "images")
    here.write("x/mine", "untracked")
    error = refused(here, there, "README.md", "x", force=True)
    assert "x/mine" in error.message
    (here.path / "x/mine").unlink()
    take(here, there, "README.md", "x", force=True)
    assert here.read("x") == b"read me\n"
    fetched(here)


def test_a_directory_on_the_way_that_is_none(there: Dataset, here: Work, tmp_path: Path) -> None:
    here.write("file", "x")
    here.commit()
    (here.path / "link").symlink_to(tmp_path)
    for output in ("file/x", "link/x", "link/a/b"):
        assert "is not a directory" in refused(here, there, "images", output).message
        assert "is not a directory" in refused(here, there, "images", output, force=True).message
    (here.path / "file").unlink()
    assert "index has a file" in refused(here, there, "images", "file/x").message


def test_outputs_in_one_another(there: Dataset, here: Work) -> None:
    take(here, there, "images", "data/images")
    for output in ("data/images/x", "data"):
        assert "in one another" in refused(here, there, "mixed", output, force=True).message
    assert "is already a dependency" in refused(here, there, "images", "data/images").message
    take(here, there, "mixed", "data/images-too")


@pytest.mark.parametrize(
    ("path", "output", "rev"),
    [
        ("images", "-o", None),
        ("images", "../out", None),
        ("images", "/tmp/out", None),
        ("images", ".git/hooks", None),
        ("images", "a/.GIT /x", None),
        ("images", "git~1/x", None),
        ("images", ".gitattributes", None),
        ("images", ".ldsdeps", None),
        ("images", "a\nb", None),
        ("images", "", None),
        ("-images", "out", None),
        ("../images", "out", None),
        ("/images", "out", None),
        (".git", "out", None),
        ("", "out", None),
        ("images", "out", "--upload-pack=touch ran"),
        ("images", "out", "main:refs/heads/x"),
        ("images", "out", "a b"),
        ("images", "out", ""),
    ],
)
def test_hostile_words(there: Dataset, here: Work, path: str, output: str, rev: str | None) -> None:
    error = refused(here, there, path, output, rev=rev)
    assert "\n" not in error.message
    assert not (here.path / "ran").exists()


@pytest.mark.parametrize(
    "url", ["ext::sh -c touch% ran", "-oProxyCommand=touch ran", "http://example.org/a", "https://u:p@h/a", "fd::1"]
)
def test_hostile_addresses(here: Work, url: str) -> None:
    error = refused(here, url, "images")
    assert "\n" not in error.message and not (here.path / ".git/lds/mirrors").exists()


def test_a_submodule_upstream_is_named(there: Dataset, here: Work) -> None:
    there.work.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},images/sub")
    there.work.git("commit", "-qm", "sub")
    there.work.git("push", "-q", "origin", "HEAD")
    assert "images/sub is a submodule" in refused(here, there, "images").message
    take(here, there, "mixed")


@pytest.mark.parametrize("name", [".git/config", "..", ".GIT/x", "git~1/x", ".git /x", "a\\..\\.git"])
def test_a_hostile_tree_upstream(there: Dataset, here: Work, name: str) -> None:
    """Trees that no git would write: made by hand, as an attacker does."""
    work = there.work
    blob = work.git("rev-parse", "HEAD:README.md")
    entry = f"100644 blob {blob}\t{name.split('/')[-1]}\n"
    for part in reversed(name.split("/")[:-1]):
        entry = f"040000 tree {work.git('mktree', '--missing', input=entry)}\t{part}\n"
    tree = work.git("mktree", input=entry)
    top = work.git("mktree", input=f"040000 tree {tree}\tdata\n")
    commit = work.git("commit-tree", "-m", "evil", top)
    work.git("push", "-q", "--no-verify", "origin", f"{commit}:refs/heads/evil")
    error = refused(here, there, "data", rev="evil")
    assert "\n" not in error.message


def test_a_file_through_a_symlink_upstream(there: Dataset, here: Work, tmp_path: Path) -> None:
    """A symlink is carried, and nothing is written through it."""
    (there.work.path / "mixed/out").symlink_to(tmp_path)
    there.publish({})
    take(here, there, "mixed")
    assert os.readlink(here.path / "mixed/out") == str(tmp_path)


def test_filters_other_than_ours_are_not_carried(there: Dataset, here: Work, world: Path, tmp_path: Path) -> None:
    there.publish({".gitattributes": "*.txt filter=evil\nimages/** filter=lds -text\n"})
    here.git("config", "filter.evil.smudge", f"touch {tmp_path}/ran; cat")
    here.git("config", "filter.evil.clean", f"touch {tmp_path}/ran; cat")
    take(here, there, "mixed")
    assert here.git("status", "--porcelain") and not (tmp_path / "ran").exists()
    assert "evil" not in here.read(".gitattributes").decode()


def test_the_users_hooks_do_not_run(there: Dataset, here: Work, tmp_path: Path) -> None:
    for name in ("post-checkout", "post-index-change", "reference-transaction", "pre-commit"):
        hook = here.path / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n")
        hook.chmod(0o755)
    take(here, there, "images")
    assert not (tmp_path / "ran").exists()


def test_excluded_files_are_pointers_and_nothing_is_downloaded(there: Dataset, here: Work, world: Path) -> None:
    here.write(".ldsconfig", '[fetch]\nexclude = ["*.bin"]\n')
    shutil.rmtree(world / "cache")
    take(here, there, "images")
    assert pointer.parse(here.read("images/big.bin")) is not None
    assert here.read("images/a.png") == FILES["images/a.png"]
    assert here.git("diff", "--name-only") == ""
    with Repo.here(here.path) as repo:
        found = pointer.parse(here.read("images/big.bin"))
        assert found is not None and not repo.objects.has(found.oid)


def test_skip_smudge_imports_pointers(there: Dataset, here: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_LDS_SKIP_SMUDGE", "1")
    take(here, there, "images")
    assert pointer.parse(here.read("images/a.png")) is not None


def test_a_sparse_checkout_stays_sparse(there: Dataset, here: Work) -> None:
    here.git("sparse-checkout", "set", "data/images/deep")
    take(here, there, "images", "data/images")
    assert set(files_of(here, "data/images")) == {"a.png", "big.bin", "deep/b.png", "empty.png"}
    here.git("sparse-checkout", "set", "elsewhere")
    take(here, there, "images", "hidden/images")
    assert not (here.path / "hidden").exists()
    assert len(here.git("ls-files", "hidden/images").splitlines()) == 4
    assert here.git("diff", "--name-only") == ""


def test_an_index_of_any_kind(there: Dataset, here: Work) -> None:
    for setting in ("index.version=4", "core.splitIndex=true", "core.untrackedCache=true"):
        here.git("config", *setting.split("="))
    here.git("update-index", "--split-index", "--untracked-cache", "--force-write-index")
    take(here, there, "images")
    assert files_of(here, "images") == files_of(there.work, "images")
    fetched(here)


def test_a_git_that_does_not_know_our_filter(there: Dataset, here: Work, world: Path) -> None:
    here.lds("uninstall")
    error = refused(here, there, "images")
    assert error.hint == "git lds install"


def test_another_git_at_work_on_the_index(there: Dataset, here: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("git_lds.worktree.index_update.LOCK_TIMEOUT", 0.2)
    lock = here.path / ".git/index.lock"
    lock.write_bytes(b"")
    before = state_of(here)
    with pytest.raises(LdsError, match=r"another git seems to be running"):
        take(here, there, "images")
    assert state_of(here) == before and lock.exists()
    assert not (here.path / ".git/lds/switch").exists()
    lock.unlink()
    take(here, there, "images")


def test_a_disk_that_is_full(there: Dataset, here: Work, world: Path) -> None:
    """A file of 9 MB is more than the process may write, wherever it is written."""
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))\n"
        "from git_lds.repo import Repo; from git_lds.deps.update.add import import_path\n"
        "with Repo.here() as repo: import_path(repo, sys.argv[1], 'images')\n"
    )
    before = state_of(here)
    for warm in (False, True):  # the download fails, then the checkout
        if not warm:
            shutil.rmtree(world / "cache", ignore_errors=True)
        assert here.try_run(sys.executable, "-c", code, there.url).returncode != 0
        assert state_of(here) == before
        assert not (here.path / ".git/index.lock").exists() and not (here.path / ".git/lds/switch").exists()
        if not warm:
            take(here, there, "images", "elsewhere")
            here.git("reset", "-q", "--hard")
    take(here, there, "images")


def test_an_error_on_the_way_rolls_everything_back(there: Dataset, here: Work) -> None:
    here.write("images/a.png", "mine")
    here.write("images/zz/deep/old", "old")
    here.commit()
    before = state_of(here)
    for number in range(1, 12):
        failing = FailsAt(number, Step.MOVE_OUT, Step.MOVE_IN)
        try:
            with observed_by(failing):
                take(here, there, "images", force=True)
            break
        except OSError:
            assert state_of(here) == before and here.is_clean()
    assert number > 6
    assert files_of(here, "images") == files_of(there.work, "images")


def test_an_error_after_the_new_directory_came_rolls_everything_back(there: Dataset, here: Work) -> None:
    def failing(step: Step) -> None:
        if step is Step.WRITE_INDEX:
            assert files_of(here, "deep/images") == files_of(there.work, "images")
            raise OSError(28, "No space left on device")

    before = state_of(here)
    with observed_by(failing), pytest.raises(OSError, match="No space"):
        take(here, there, "images", "deep/images")
    assert state_of(here) == before and here.is_clean() and not (here.path / "deep").exists()
    take(here, there, "images", "deep/images")


def test_files_come_one_by_one_where_their_directory_cannot(there: Dataset, here: Work) -> None:
    with observed_by(FailsAt(1, Step.MOVE_DIRECTORY)):
        take(here, there, "images", "deep/images")
    assert files_of(here, "deep/images") == files_of(there.work, "images")
    fetched(here)


def test_new_directories_come_as_a_whole(there: Dataset, here: Work) -> None:
    taken: list[Step] = []
    with observed_by(taken.append):
        take(here, there, "images", "deep/images")
    assert taken.count(Step.MOVE_DIRECTORY) == 1
    assert taken.count(Step.MOVE_IN) == 2  # .ldsdeps and .gitattributes


def test_a_file_that_is_edited_during_the_import_stays(there: Dataset, here: Work) -> None:
    def edit(step: Step) -> None:
        if step is Step.LOCK_INDEX:
            here.write("images/a.png", "written during the import")

    with observed_by(edit), pytest.raises(LdsError, match="changed while the command was running"):
        take(here, there, "images")
    assert here.read("images/a.png") == b"written during the import"
    assert here.git("ls-files", "images") == "" and not (here.path / ".ldsdeps").exists()


def test_an_index_that_is_changed_during_the_import(there: Dataset, here: Work) -> None:
    def stage(step: Step) -> None:
        if step is Step.LOCK_INDEX:
            here.write("other", "staged during the import")
            here.git("add", "other")

    with observed_by(stage):
        take(here, there, "images")
    assert here.git("ls-files", "other") == "other"
    fetched(here)


def test_a_damaged_manifest_is_not_overwritten(there: Dataset, here: Work) -> None:
    for text in ("[deps", "[deps.a]\nurl = 3\n", "<<<<<<< a\n=======\n>>>>>>> b\n"):
        here.write(".ldsdeps", text)
        assert ".ldsdeps" in refused(here, there, "images").message
    (here.path / ".ldsdeps").unlink()
    (here.path / ".ldsdeps").symlink_to("/etc/passwd")
    assert ".ldsdeps cannot be read" in refused(here, there, "images").message


def test_conflicts_are_to_be_resolved_first(there: Dataset, here: Work) -> None:
    here.write(".gitattributes", "a\n")
    here.commit()
    here.git("switch", "-qc", "side", "HEAD~1")
    here.write(".gitattributes", "b\n")
    here.commit()
    assert here.try_git("merge", "main").returncode == 1
    assert "in conflict" in refused(here, there, "images").message


def test_between_file_systems(there: Dataset, tmp_path: Path) -> None:
    """git's directory on one, the working tree on another: no file can be renamed from one to the other."""
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    with tempfile.TemporaryDirectory(dir=other) as directory:
        work = Work(tmp_path / "split")
        work.path.mkdir()
        work.git("init", "-q", "--separate-git-dir", f"{directory}/git")
        work.write("mixed/notes.txt", "mine")
        work.commit()
        take(work, there, "mixed", force=True)
        take(work, there, "images")
        assert files_of(work, "mixed") == files_of(there.work, "mixed")
        assert files_of(work, "images") == files_of(there.work, "images")
        assert os.access(work.path / "mixed/run.sh", os.X_OK)
        work.git("commit", "-qm", "import")
        assert work.is_clean()


def test_two_imports_at_once(there: Dataset, here: Work) -> None:
    code = "import sys; from git_lds.repo import Repo; from git_lds.deps.update.add import import_path\n"
    code += "with Repo.here() as repo: import_path(repo, *sys.argv[1:])\n"
    paths = ("images", "mixed", "README.md")
    running = [
        subprocess.Popen([sys.executable, "-c", code, there.url, path], cwd=here.path, stderr=subprocess.PIPE)
        for path in paths
    ]
    assert [(process.communicate(timeout=60)[1], process.returncode) for process in running] == [(b"", 0)] * 3
    assert sorted(manifest.parse(here.read(".ldsdeps"))) == sorted(paths)
    fetched(here)


def test_many_files_in_one_go(tmp_path: Path, installed: None, here: Work) -> None:
    there = new_dataset(tmp_path, "many")
    there.publish({f"images/{n % 50}/{n}.png": random_bytes(n, 2000) for n in range(3000)})
    shutil.rmtree(os.environ["GIT_LDS_CACHE"])
    started = time.monotonic()
    take(here, there, "images")
    took = time.monotonic() - started
    assert len(files_of(here, "images")) == 3000
    assert here.git("diff", "--name-only") == ""
    assert took < 30, took


def test_the_dependency_of_a_repository_elsewhere_says_who_may_read_the_path(there: Dataset, here: Work) -> None:
    take(here, there, "images")
    assert here.git("config", "--get-all", "lds.allowlocal") == there.url
    take(here, there, "mixed")
    assert here.git("config", "--get-all", "lds.allowlocal") == there.url

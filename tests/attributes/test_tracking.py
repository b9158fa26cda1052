"""Patterns in .gitattributes, as real git reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from kit.work import Work, pointer_of

from git_lds.attributes import tracking

ATTRIBUTES = "filter=lds diff=lds merge=lds -text"


@pytest.fixture
def empty(new_work: Callable[..., Work]) -> Work:
    return new_work(track=())


def attributes(work: Work) -> bytes:
    return work.read(".gitattributes")


def is_tracked(work: Work, path: str) -> bool:
    return work.git("check-attr", "-z", "filter", "--", path).split("\0")[2] == "lds"


def test_track_writes_the_line_and_git_filters_by_it(empty: Work) -> None:
    empty.lds("track", "*.png", "images/**")
    assert attributes(empty).decode() == f"*.png {ATTRIBUTES}\nimages/** {ATTRIBUTES}\n"
    empty.write("images/raw/a.jpg", b"a")
    empty.write("plain.txt", b"b")
    empty.commit()
    assert empty.committed("images/raw/a.jpg").startswith(b"version git-lds/v1\n")
    assert empty.committed("plain.txt") == b"b"


def test_track_works_in_the_current_directory(empty: Work) -> None:
    empty.write("data/raw/a.bin", b"a")
    Work(empty.path / "data").lds("track", "raw/*.bin")
    assert is_tracked(empty, "data/raw/a.bin") and not is_tracked(empty, "raw/a.bin")
    assert empty.lds("track") == "raw/*.bin (data/.gitattributes)"


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_all_other_bytes_of_the_file_stay(empty: Work, ending: bytes) -> None:
    before = ending.join([b"# ours \xff", b"", b"*.txt   text", b'"a b"\teol=lf', b"[attr]bin -diff", b"*.bin bin"])
    empty.write(".gitattributes", before)
    empty.lds("track", "*.png")
    assert attributes(empty) == before + ending + b"*.png " + ATTRIBUTES.encode() + ending
    empty.lds("untrack", "*.png")
    assert attributes(empty) == before + ending


@pytest.mark.parametrize(
    "name",
    ["my photo.png", "a\tb.png", "new\nline.png", '"quoted".png', "#hash.png", "!bang.png", "[1]*?.png", "back\\slash.png",
     "-dash.png", "ünïcode.png", " lead", "trail ", "a'b.png", "[attr]x.png", "latin\udce9.png"],
)  # fmt: skip
def test_a_file_of_any_name_can_be_tracked_by_its_name_alone(empty: Work, name: str) -> None:
    empty.lds("track", "--filename", "--", name)
    empty.write(name.encode("utf-8", "surrogateescape"), b"contents")
    assert is_tracked(empty, name)
    assert not is_tracked(empty, "other.png") and not is_tracked(empty, f"below/{name}")
    before = attributes(empty)
    empty.lds("track", "--filename", "--", name)
    assert attributes(empty) == before
    empty.lds("untrack", "--", name)
    assert attributes(empty) == b""


def test_patterns_with_spaces_are_quoted_and_listed_as_they_were_typed(empty: Work) -> None:
    empty.lds("track", "my images/**")
    assert attributes(empty).startswith(b'"my images/**" ')
    assert is_tracked(empty, "my images/a b/c.png")
    assert empty.lds("track") == "my images/** (.gitattributes)"
    empty.lds("untrack", "my images/**")
    assert attributes(empty) == b""


def test_track_twice_adds_one_line(empty: Work) -> None:
    empty.lds("track", "*.png", "*.png")
    before = attributes(empty)
    done = empty.try_lds("track", "*.png")
    assert attributes(empty) == before and "Already tracked: *.png" in done.stderr


def test_the_name_of_a_directory_means_what_is_in_it(empty: Work) -> None:
    empty.write("images/a/b.png", b"x")
    empty.lds("track", "images", "later/", "./top.bin")
    assert is_tracked(empty, "images/a/b.png") and is_tracked(empty, "later/c.png")
    assert is_tracked(empty, "top.bin") and not is_tracked(empty, "deep/top.bin")
    empty.lds("untrack", "images", "later/", "./top.bin")
    assert attributes(empty) == b""


@pytest.mark.parametrize("pattern", ["*", "**/*", ".*", "*s"])
def test_files_that_git_reads_from_commits_stay_plain_under_any_pattern(empty: Work, pattern: str) -> None:
    names = [".gitattributes", "images/.gitattributes", ".gitignore", ".ldsconfig", ".ldsdeps"]
    empty.lds("install")
    empty.lds("track", pattern)
    for name in names[1:]:
        empty.write(name, "# plain\n")
    empty.commit()
    for name in names:
        assert empty.committed(name) == empty.read(name)
    assert empty.is_clean()


@pytest.mark.parametrize("pattern", ["!*.png", "../other/*", "a/../../b", "/", "", "[attr]x", "x" * 3000])
def test_patterns_that_mean_nothing_there_are_refused_with_a_hint(empty: Work, pattern: str) -> None:
    done = empty.try_lds("track", "--", pattern)
    assert done.returncode == 2 and done.stderr.startswith("git-lds: ") and "Traceback" not in done.stderr
    assert not (empty.path / ".gitattributes").exists()


def test_plain_files_that_are_committed_already_are_named_with_the_command_to_convert(empty: Work) -> None:
    empty.write("a.png", b"one")
    empty.write("deep/b.png", b"two")
    empty.write("c.txt", b"three")
    empty.write("empty.png", b"")
    empty.commit()
    done = empty.try_lds("track", "*.png")
    assert done.returncode == 0
    assert "2 matching files are stored in git as plain files: a.png, deep/b.png" in done.stderr
    command = "git add --renormalize . && git commit"
    assert f"hint: to convert them to pointers: {command}" in done.stderr

    empty.git("add", ".gitattributes")
    empty.git("add", "--renormalize", ".")
    empty.git("commit", "-qm", "convert")
    assert empty.committed("deep/b.png").startswith(b"version git-lds/v1\n")
    assert empty.committed("empty.png") == b""
    assert empty.read("a.png") == b"one" and empty.is_clean()
    assert "plain files" not in empty.try_lds("track", "deep/*.png").stderr


def test_dry_run_writes_nothing(empty: Work) -> None:
    done = empty.try_lds("track", "--dry-run", "*.png")
    assert "Would track *.png" in done.stderr
    assert not (empty.path / ".gitattributes").exists()
    empty.lds("track", "*.png")
    before = attributes(empty)
    empty.lds("untrack", "--dry-run", "*.png")
    assert attributes(empty) == before


def test_untrack_leaves_attributes_of_others_on_the_line(empty: Work) -> None:
    empty.write(".gitattributes", f"*.png {ATTRIBUTES} -delta linguist-vendored\n*.jpg {ATTRIBUTES}\n")
    empty.lds("untrack", "*.png")
    assert attributes(empty).decode() == f"*.png -delta linguist-vendored\n*.jpg {ATTRIBUTES}\n"


def test_untrack_of_what_is_not_tracked_changes_nothing(empty: Work) -> None:
    empty.lds("track", "*.png")
    before = attributes(empty)
    done = empty.try_lds("untrack", "*.png", "*.jpg")
    assert done.returncode == 1 and "*.jpg" in done.stderr and "hint: " in done.stderr
    assert attributes(empty) == before


def test_list_names_all_files_and_exceptions(empty: Work) -> None:
    empty.write(".gitattributes", f"*.png {ATTRIBUTES}\nthumbs/*.png -filter -diff\n*.txt text\n")
    empty.write("sub/.gitattributes", f"*.jpg {ATTRIBUTES}\n")
    lines = ["*.png (.gitattributes)", "thumbs/*.png (.gitattributes, not tracked)", "*.jpg (sub/.gitattributes)"]
    assert empty.lds("track").splitlines() == lines
    assert '"tracked": false' in empty.lds("track", "--json")


def test_a_symlinked_gitattributes_is_not_written_through(empty: Work) -> None:
    target = empty.path.parent / "outside"
    target.write_text("*.txt text\n")
    (empty.path / ".gitattributes").symlink_to(target)
    done = empty.try_lds("track", "*.png")
    assert done.returncode == 1 and "symbolic link" in done.stderr
    assert target.read_text() == "*.txt text\n"


def test_outside_a_work_tree_it_is_an_error_in_one_line(tmp_path_factory: pytest.TempPathFactory, empty: Work) -> None:
    for directory in (tmp_path_factory.mktemp("nowhere"), empty.path / ".git"):
        done = Work(directory).try_lds("track", "*.png")
        assert done.returncode == 1 and done.stderr.count("\n") == 2 and "hint: " in done.stderr


def test_plain_files_are_found_by_attributes(empty: Work) -> None:
    from git_lds.git.run import Git

    empty.write("a.png", b"one")
    empty.write("b.txt", b"two")
    empty.commit()
    empty.write(".gitattributes", f"*.png {ATTRIBUTES}\n")
    assert tracking.plain_files(Git(empty.path), empty.path) == [b"a.png"]
    empty.git("add", "--renormalize", ".")
    assert tracking.plain_files(Git(empty.path), empty.path) == []


def test_patterns_are_added_above_the_rules_of_imports(empty: Work) -> None:
    opening = b"# >>> git-lds: attributes of imported paths; written by git lds import and update >>>\n"
    block = opening + b"/data/* !filter\n# <<< git-lds <<<\n"
    empty.write(".gitattributes", b"*.txt text\n" + block)
    empty.lds("track", "*.json")
    assert attributes(empty) == b"*.txt text\n*.json filter=lds diff=lds merge=lds -text\n" + block


def test_from_outside_of_the_working_tree_patterns_go_to_its_top(tmp_path: Path, installed: None) -> None:
    outside = Work(tmp_path / "outside")
    outside.path.mkdir()
    variables = {"GIT_DIR": "../bare", "GIT_WORK_TREE": "tree"}
    (outside.path / "tree").mkdir()
    outside.git("init", "-q", **variables)
    tree = Work(outside.path / "tree")

    outside.lds("track", "*.xz", **variables)
    outside.lds("init", "--store", str(tmp_path / "store"), **variables)
    assert sorted(path.name for path in outside.path.iterdir()) == ["tree"]
    assert sorted(path.name for path in tree.path.iterdir()) == [".gitattributes", ".ldsconfig"]
    tree.write("a.xz", b"contents")
    outside.git("add", "-A", **variables)
    assert outside.git("cat-file", "blob", ":a.xz", **variables).startswith("version git-lds")
    (tree.path / "a.xz").write_bytes(pointer_of(b"contents"))
    outside.lds("checkout", "a.xz", **variables)
    assert tree.read("a.xz") == b"contents"
    outside.lds("untrack", "*.xz", **variables)
    assert tree.read(".gitattributes") == b""


def test_a_path_of_an_import_counts_from_the_top_when_typed_outside_of_the_working_tree(
    work: Work, tmp_path: Path
) -> None:
    work.write("images/a.png", b"a")
    work.commit()
    bare = work.publish()
    outside = Work(tmp_path / "outside")
    (outside.path / "tree").mkdir(parents=True)
    variables = {"GIT_DIR": str(outside.path / "bare"), "GIT_WORK_TREE": str(outside.path / "tree")}
    outside.git("init", "-q", **variables)
    outside.lds("import", str(bare), "images", "-o", "data", **variables)
    assert (outside.path / "tree/data/a.png").read_bytes() == b"a"
    outside.lds("update", "data", **variables)

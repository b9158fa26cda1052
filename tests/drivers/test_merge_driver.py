"""Merges of data by real git: merge, rebase, cherry-pick, stash; what a conflict leaves, and how it is resolved."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit.coco import CATS, document
from kit.matrix import some_of
from kit.templates import as_first_made
from kit.work import Work, pointer_of, random_bytes

PNG = b"\x89PNG\r\n\x1a\n\0"


def dumped(value: Any) -> str:
    return json.dumps(value, indent=1) + "\n"


@pytest.fixture
def work(new_work: Callable[..., Work], tmp_path: Path) -> Work:
    """main and side both changed a COCO file, in ways that fit; clash changed what main changed, and an image."""
    as_first_made(__name__, [tmp_path / "work"], lambda: _make(new_work))
    return Work(tmp_path / "work")


def _make(new_work: Callable[..., Work]) -> None:
    work = new_work(track=("*.json", "*.csv", "*.png", "*.txt", "*.jsonl", "*.bin"))
    base = document(CATS)
    work.write("a.json", dumped(base))
    work.write("x.png", PNG + b"base")
    work.write("t.csv", "id,v\n1,a\n2,b\n")
    work.write("n.txt", "one\n\ntwo\n\nthree\n")
    work.commit("base")

    def on(branch: str, change: Callable[[dict[str, Any]], None], **others: bytes | str) -> None:
        work.git("switch", "-qc", branch, "main")
        changed = copy.deepcopy(base)
        change(changed)
        work.write("a.json", dumped(changed))
        for name, data in others.items():
            work.write(name.replace("_", "."), data)
        work.commit(branch)

    on("side", lambda d: d["annotations"][1].update(score=1), t_csv="id,v\n1,a\n2,B\n3,c\n", n_txt="one\n\ntwo\n\n3\n")
    on("clash", lambda d: d["annotations"][0].update(bbox=[9, 9, 9, 9]), x_png=PNG + b"clash", t_csv="id,v\n1,z\n2,b\n")
    work.git("switch", "-q", "main")
    on("ours", lambda d: d["annotations"][0].update(bbox=[1, 1, 1, 1]), x_png=PNG + b"ours", t_csv="id,v\n1,A\n2,b\n",
       n_txt="1\n\ntwo\n\nthree\n")  # fmt: skip


def test_edits_of_both_sides_merge_and_the_result_is_a_pointer(work: Work) -> None:
    work.git("merge", "-q", "side", "-m", "merged")
    merged = json.loads(work.read("a.json"))
    assert merged["annotations"][0]["bbox"] == [1, 1, 1, 1] and merged["annotations"][1]["score"] == 1
    assert work.read("t.csv") == b"id,v\n1,A\n2,B\n3,c\n" and work.read("n.txt") == b"1\n\ntwo\n\n3\n"
    assert work.is_clean() and work.leftovers() == []
    for name in ("a.json", "t.csv", "n.txt"):
        assert work.committed(name) == pointer_of(work.read(name))
    assert work.unreadable("HEAD") == []


@pytest.mark.parametrize(
    "way", some_of(["merge", "rebase", "cherry-pick", "stash", "stash of a merge"], "merge", "rebase")
)
def test_a_conflict_leaves_contents_with_both_values_and_all_sides_in_the_index(
    work: Work, way: str, tmp_path: Path
) -> None:
    if way == "merge":
        done = work.try_git("merge", "clash")
    elif way == "rebase":
        work.git("switch", "-q", "clash")
        done = work.try_git("rebase", "ours")
    elif way == "cherry-pick":
        done = work.try_git("cherry-pick", "clash")
    else:
        work.git("switch", "-q", "main")
        work.git("checkout", "-q", "clash", "--", "a.json", "t.csv")
        work.git("reset", "-q")
        work.git("stash")
        work.git("switch", "-q", "ours")
        done = work.try_git("stash", "pop")
    assert done.returncode == 1 and "a.json: 1 conflict: a.jpg: cat: bbox" in done.stderr, done.stderr
    text = work.read("a.json").decode()
    assert text.count("<<<<<<< ") == text.count(">>>>>>> ") == 1 and "version git-lds" not in text
    assert "<<<<<<< ours\n1,A\n=======\n1,z\n>>>>>>> theirs\n" in work.read("t.csv").decode()
    for side, box in (("--base", CATS[0][2]), ("--ours", [1, 1, 1, 1]), ("--theirs", [9, 9, 9, 9])):
        work.lds("checkout", "--to", str(tmp_path / "side"), side, "a.json")
        assert json.loads((tmp_path / "side").read_bytes())["annotations"][0]["bbox"] == box
    work.lds("checkout", "--theirs", "a.json")
    assert json.loads(work.read("a.json"))["annotations"][0]["bbox"] == [9, 9, 9, 9]
    work.write("t.csv", "id,v\n1,both\n2,b\n")
    work.git("add", "t.csv")
    if way in ("merge", "rebase", "cherry-pick"):
        assert work.read("x.png") == PNG + b"ours" and "git lds checkout --theirs (or --ours) x.png" in done.stderr
        work.lds("checkout", "--theirs", "x.png")
        assert work.read("x.png") == PNG + b"clash"
        work.git("-c", "core.editor=true", *({"merge": ("commit",)}.get(way) or (way, "--continue")))
        assert work.committed("t.csv") == pointer_of(b"id,v\n1,both\n2,b\n") and work.is_clean()
    assert work.git("ls-files", "-u") == ""


def test_a_side_is_written_where_cp_would_write_it(work: Work, tmp_path: Path) -> None:
    assert work.try_git("merge", "clash").returncode == 1
    before = sorted(path for path in tmp_path.rglob("*") if ".git" not in path.parts)
    (tmp_path / "link").symlink_to("nowhere/x")
    for to, says in (
        (
            str(tmp_path / "none" / "deep" / "x"),
            f"{tmp_path}/none does not exist\nhint: create it first: mkdir -p {tmp_path}/none/deep",
        ),
        (str(work.path / "t.csv" / "x"), "/t.csv is not a directory\n"),
        (str(tmp_path), "is a directory\nhint: name a file"),
        (str(tmp_path / "link"), "/link is a symbolic link, which is not followed\nhint: name a file"),
        ("/dev/null", "/dev/null is not a plain file\n"),
        ("-", "--to needs the name of a file, not -\nhint: to write to stdout: git cat-file --filters :1:PATH"),
    ):
        done = work.try_lds("checkout", "--to", to, "--theirs", "a.json")
        assert done.returncode in (1, 2) and says in done.stderr and done.stdout == "", done.stderr
    (tmp_path / "link").unlink()
    assert sorted(path for path in tmp_path.rglob("*") if ".git" not in path.parts) == before
    work.lds("checkout", "--to", "./-", "--theirs", "a.json")
    assert work.git("cat-file", "--filters", ":3:a.json").encode() + b"\n" == work.read("-")
    work.write("old", "is replaced")
    work.lds("checkout", "--to", "old", "--theirs", "a.json")
    assert work.read("old") == work.read("-")


def test_a_side_is_never_written_through_a_link_nor_into_a_pipe(work: Work, tmp_path: Path) -> None:
    assert work.try_git("merge", "clash").returncode == 1
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "precious").write_text("precious")
    (work.path / "file").symlink_to(outside / "precious")
    (work.path / "directory").symlink_to(outside)
    (work.path / "sub").mkdir()
    (work.path / "sub" / "up").symlink_to("../directory")
    os.mkfifo(work.path / "pipe")
    for to, says in (
        ("file", "file is a symbolic link"),
        (str(work.path / "file"), "/file is a symbolic link"),
        ("directory/new", "directory is a symbolic link"),
        ("directory/deep/new", "directory is a symbolic link"),
        ("sub/../directory/new", "directory is a symbolic link"),
        ("sub/up/new", "sub/up is a symbolic link"),
        (str(work.path / "directory" / "precious"), "/directory is a symbolic link"),
        ("pipe", "pipe is not a plain file"),
        ("/dev/full", "/dev/full is not a plain file"),
    ):
        done = work.try_lds("checkout", "--to", to, "--theirs", "a.json")
        assert done.returncode == 1 and says in done.stderr and done.stderr.count("\n") == 2, done.stderr
    assert sorted(path.name for path in outside.iterdir()) == ["deep", "precious"]
    assert (outside / "precious").read_text() == "precious" and list((outside / "deep").iterdir()) == []
    assert (work.path / "file").is_symlink() and (work.path / "pipe").is_fifo()

    # a link outside of the working tree is the user's own
    (tmp_path / "own").symlink_to(outside)
    work.lds("checkout", "--to", str(tmp_path / "own" / "new"), "--theirs", "a.json")
    assert (outside / "new").is_file()


def test_abort_restores_everything(work: Work) -> None:
    before = {name: work.read(name) for name in ("a.json", "x.png", "t.csv")}
    assert work.try_git("merge", "clash").returncode == 1
    work.git("merge", "--abort")
    assert {name: work.read(name) for name in before} == before and work.is_clean()


@pytest.mark.parametrize("options", [("-X", "theirs"), ("-Xtheirs",), ("--strategy-option=theirs",)])
def test_a_strategy_option_has_no_effect_and_the_conflict_says_so(work: Work, options: tuple[str, ...]) -> None:
    done = work.try_git("merge", *options, "clash")
    assert done.returncode == 1 and b"<<<<<<< " in work.read("a.json") and work.read("x.png") == PNG + b"ours"
    for name in ("a.json", "x.png", "t.csv"):
        said = f"hint: git keeps -X theirs from merge drivers; to take that side: git lds checkout --theirs {name}"
        assert done.stderr.count(said) == 1, done.stderr


def test_mergetool_gets_contents(work: Work) -> None:
    assert work.try_git("merge", "clash").returncode == 1
    tool = 'for f in "$BASE" "$LOCAL" "$REMOTE"; do head -c 9 "$f" | tr "\\n" " " >> seen; done; cp "$REMOTE" "$MERGED"'
    settings = (
        "-c",
        f"mergetool.x.cmd={tool}",
        "-c",
        "mergetool.x.trustExitCode=true",
        "-c",
        "mergetool.keepBackup=false",
    )
    work.git(*settings, "mergetool", "-y", "-t", "x", "x.png")
    assert work.read("x.png") == PNG + b"clash" and work.git("ls-files", "-u", "x.png") == ""
    work.write("seen", b"")
    work.git(*settings, "mergetool", "-y", "-t", "x", "t.csv")
    assert work.read("seen") == b"id,v 1,a id,v 1,A id,v 1,z "
    assert work.read("t.csv") == b"id,v\n1,z\n2,b\n" and "t.csv" not in work.git("ls-files", "-u")


def test_gitattributes_declare_the_kind(work: Work) -> None:
    work.git("switch", "-q", "main")
    work.lds("track", "--merge", "text", "*.csv")
    work.lds("track", "--merge", "binary", "*.txt")
    work.write(".gitattributes", work.read(".gitattributes") + b"*.csv lds-key=v\n")
    work.commit("kinds")
    for name, says in (("t.csv", "merge: lds-text"), ("n.txt", "merge: lds-binary"), ("a.json", "merge: lds")):
        assert work.git("check-attr", "merge", name).endswith(says)
    work.git("merge", "-q", "ours", "-m", "m")
    done = work.try_git("merge", "side")
    assert "t.csv: 1 conflict: lines in 1 place" in done.stderr and "n.txt: changed on both sides" in done.stderr
    assert work.read("n.txt").startswith(b"1\n") and b"<<<<<<< ours\n1,A\n" in work.read("t.csv")


def test_malformed_data_is_merged_as_text_with_a_reason(work: Work) -> None:
    work.git("switch", "-qc", "broken", "main")
    work.write("a.json", '{"images": [\n\n\n\n1]')
    work.commit("x")
    done = work.try_git("merge", "side")
    assert done.returncode == 1 and "a.json: not JSON" in done.stderr and "merged line by line" in done.stderr
    assert b"<<<<<<< " in work.read("a.json") and "Traceback" not in done.stderr


def test_missing_sides_are_downloaded_or_the_conflict_says_so(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.publish()
    for branch in ("side", "clash", "main"):
        work.git("push", "-q", "origin", branch)
    monkeypatch.setenv("GIT_LDS_CACHE", str(tmp_path / "another cache"))
    clone = work.clone("clone", source=tmp_path / "origin.git")
    clone.git("switch", "-q", "ours")
    clone.git("merge", "-q", "origin/side", "-m", "m")
    assert json.loads(clone.read("a.json"))["annotations"][1]["score"] == 1 and clone.is_clean()

    lost = work.clone("lost", source=tmp_path / "origin.git")
    lost.git("switch", "-q", "ours")
    (tmp_path / "origin.git" / "lds").rename(tmp_path / "gone")
    monkeypatch.setenv("GIT_LDS_CACHE", str(tmp_path / "a third cache"))
    before = lost.read("a.json")
    done = lost.try_git("merge", "origin/side")
    assert (
        done.returncode != 0 and "a.json" in done.stderr and "hint: " in done.stderr and "Traceback" not in done.stderr
    )
    assert lost.read("a.json") == before and "a.json" in lost.git("ls-files", "-u")
    (tmp_path / "gone").rename(tmp_path / "origin.git" / "lds")
    lost.try_git("merge", "--abort")
    lost.git("reset", "-q", "--hard")
    assert lost.read("a.json") == before


def test_taking_a_side_whose_contents_are_missing_changes_nothing(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.publish()
    work.git("push", "-q", "origin", "clash")
    clone = work.clone("clone", source=tmp_path / "origin.git")
    clone.git("switch", "-q", "ours")
    (tmp_path / "origin.git" / "lds").rename(tmp_path / "gone")
    monkeypatch.setenv("GIT_LDS_CACHE", str(tmp_path / "another cache"))
    clone.try_git("merge", "origin/clash")
    before = clone.git("ls-files", "-s")
    clone.write("a.json", "mended by hand")
    done = clone.try_lds("checkout", "--theirs", "a.json", "x.png")
    assert done.returncode == 1 and "; no conflict was resolved" in done.stderr and "hint: " in done.stderr
    assert clone.read("a.json") == b"mended by hand" and clone.read("x.png") == PNG + b"ours"
    assert clone.git("ls-files", "-s") == before
    (tmp_path / "gone").rename(tmp_path / "origin.git" / "lds")
    clone.lds("checkout", "--theirs", "a.json", "x.png")
    assert clone.read("x.png") == PNG + b"clash" and clone.git("ls-files", "-u", "a.json", "x.png") == ""


def test_claims_that_are_too_large_and_large_results(work: Work) -> None:
    lines = [b"%d %s" % (at, random_bytes(at, 300).hex().encode()) for at in range(9000)]
    work.write("big.txt", b"\n".join(lines))
    work.write("claim.txt", b"x\n")
    work.commit("big")
    for branch, at in (("one", 10), ("two", 8000)):
        work.git("switch", "-qc", branch, "ours")
        work.write("big.txt", b"\n".join([*lines[:at], b"changed " + branch.encode(), *lines[at:]]))
        claim = pointer_of(branch.encode()).replace(b"size 3", b"size 10000000000")
        blob = work.git("hash-object", "-w", "--no-filters", "--stdin", input=claim.decode())
        work.git("add", "big.txt")
        work.git("update-index", "--cacheinfo", f"100644,{blob},claim.txt")
        work.git("commit", "-qm", branch)
        work.git("reset", "-q", "--hard", GIT_LDS_SKIP_SMUDGE="1")
        work.git("checkout", "-q", "HEAD", "--", "big.txt")
    done = work.try_git("merge", "one", GIT_LDS_SKIP_SMUDGE="1")
    assert "claim.txt: changed on both sides, and too large to be merged" in done.stderr
    work.lds("checkout", "big.txt")
    assert b"changed one" in work.read("big.txt") and b"changed two" in work.read("big.txt")


def test_wrong_arguments_are_refused(work: Work) -> None:
    for words in (
        ("merge-driver",),
        ("merge-driver", "x", "a", "b", "c", "7", "p"),
        ("merge-driver", "auto", "n", "n", "n", "7", "p"),
        ("merge-driver", "deps", "n", "n", "n", "7", "p"),
        ("merge-driver", "attributes", "n", "n", "n", "7", "p"),
    ):
        done = work.try_lds(*words)
        assert done.returncode in (1, 2) and done.stderr.startswith("git-lds: ") and "Traceback" not in done.stderr
    for words in (
        ("--to", "f"),
        ("--ours",),
        ("--base", "a.json"),
        ("--to", "f", "--ours", "a.json"),
        ("--ours", "nope"),
    ):
        done = work.try_lds("checkout", *words)
        assert done.returncode in (1, 2) and "hint: " in done.stderr and not (work.path / "f").exists()

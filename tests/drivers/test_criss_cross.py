"""Merges of histories with two common ancestors: no side's edit is lost because git first merges the ancestors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.coco import CATS, document
from kit.work import Work

Values = tuple[int, int]
Written = Callable[[int, int], bytes]
"""A file in which two things can be edited: its contents for a value of the one and a value of the other."""


def coco(one: int, other: int, indent: int | None = 1) -> bytes:
    made = document(CATS)
    made["annotations"][0]["score"] = one
    made["annotations"][2]["bbox"] = [other, 5, 20, 20]
    return json.dumps(made, indent=indent).encode() + b"\n"


DATA: dict[str, Written] = {
    "coco.json": coco,
    "line.json": lambda one, other: coco(one, other, None),
    "a.json": lambda one, other: json.dumps({"one": one, "x": [1, 2], "other": other}).encode(),
    "t.csv": lambda one, other: b"id,v\n1,%d\n2,x\n3,%d\n" % (one, other),
    "l.jsonl": lambda one, other: b'{"id": 1, "v": %d}\n{"id": 2}\n{"id": 3, "v": %d}\n' % (one, other),
    "n.txt": lambda one, other: b"%d\n\nmiddle\n\n%d\n" % (one, other),
}
ROWS: dict[str, Written] = {
    "column.csv": lambda one, other: b"v\na%d\nx\ny\nz\nb%d\n" % (one, other),
    "no-id.jsonl": lambda one, other: b'{"a": %d}\n[1]\n[2]\n[3]\n{"b": %d}\n' % (one, other),
}
"""What has nothing that tells its records apart but what they say."""

FILES = DATA | ROWS
PNG = b"\x89PNG\r\n\x1a\n\0"


@pytest.fixture
def work(new_work: Callable[..., Work]) -> Work:
    return new_work(track=("*.json", "*.csv", "*.png", "*.txt", "*.jsonl"))


def criss_cross(work: Work, one: Values, two: Values, left: Values, right: Values) -> str:
    """Merge right into left, after both merged the commits one and two on a base of (1, 1); return what git printed."""
    return merged(work, history(work, one, two, left, right))


def history(work: Work, one: Values, two: Values, left: Values, right: Values) -> dict[str, str]:
    """Make the five commits; return them by their names."""
    made: dict[str, str] = {}
    commits = {
        "base": ((1, 1), ()),
        "one": (one, ("base",)),
        "two": (two, ("base",)),
        "left": (left, ("one", "two")),
        "right": (right, ("two", "one")),
    }
    for name, (values, parents) in commits.items():
        for file, written in FILES.items():
            work.write(file, written(*values))
        work.write("x.png", PNG + b"%d %d" % values)
        work.git("add", "-A")
        after = [word for parent in parents for word in ("-p", made[parent])]
        made[name] = work.git("commit-tree", *after, "-m", name, work.git("write-tree"))
    work.git("reset", "-q", "--hard", made["left"])
    return made


def merged(work: Work, made: dict[str, str]) -> str:
    assert len(work.git("merge-base", "--all", "HEAD", made["right"]).split()) == 2
    done = work.try_git("merge", "-q", "-m", "merged", made["right"])
    assert "Traceback" not in done.stderr and "version git-lds" not in work.read("a.json").decode()
    return done.stderr


def in_conflict(work: Work) -> set[str]:
    return {line.partition("\t")[2] for line in work.git("ls-files", "-u").splitlines()}


def test_a_revert_after_a_criss_cross_is_kept(work: Work) -> None:
    said = criss_cross(work, (2, 1), (1, 2), left=(2, 2), right=(1, 2))
    assert {name: work.read(name) for name in FILES} == {name: written(1, 2) for name, written in FILES.items()}
    # the ancestors of an image cannot be merged, so an edit looks like a revert
    assert in_conflict(work) == {"x.png"} and said.count("x.png: changed on both sides") == 1


@pytest.mark.parametrize(
    ("left", "right"),
    [((2, 1), (1, 1)), ((4, 1), (2, 1))],
)
def test_ancestors_that_the_sides_resolved_differently_are_a_conflict(work: Work, left: Values, right: Values) -> None:
    said = criss_cross(work, (2, 1), (3, 1), left, right)
    assert in_conflict(work) == {*FILES, "x.png"}
    for name in FILES:
        text = work.read(name)
        assert b"<<<<<<< " in text and b"<<<<<<<< " not in text, name
        assert said.count(f"{name}: ") <= 2, said


def test_ancestors_that_the_sides_resolved_alike_merge_with_later_edits(work: Work) -> None:
    criss_cross(work, (2, 1), (3, 1), left=(4, 1), right=(4, 2))
    for name, written in DATA.items():
        assert work.read(name) == written(4, 2), name
    assert in_conflict(work) == {"x.png"}


def test_ancestors_whose_contents_are_missing_make_a_conflict(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = history(work, (2, 1), (1, 2), left=(2, 2), right=(1, 3))
    work.publish()
    for name in ("left", "right"):
        work.git("branch", "-f", name, made[name])
        work.git("push", "-q", "origin", name)
    monkeypatch.setenv("GIT_LDS_CACHE", str(tmp_path / "another cache"))
    clone = work.clone("clone", "-b", "left", source=tmp_path / "origin.git")
    clone.lds("fetch", "origin", "origin/right")
    (tmp_path / "origin.git" / "lds").rename(tmp_path / "gone")
    said = merged(clone, made)
    assert "its common ancestors are not merged: t.csv: cannot be merged without its contents" in said
    assert in_conflict(clone) == {*FILES, "x.png"} and b"<<<<<<< " in clone.read("a.json")
    clone.git("merge", "--abort")
    (tmp_path / "gone").rename(tmp_path / "origin.git" / "lds")
    merged(clone, made)
    assert {name: clone.read(name) for name in FILES} == {name: written(1, 3) for name, written in FILES.items()}

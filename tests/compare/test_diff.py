"""`git lds diff`: what changed in the data, in words and as JSON."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit.coco import CATS, document
from kit.git_count import counted_git
from kit.templates import as_first_made
from kit.work import Work, pointer_of, random_bytes


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height)


@pytest.fixture
def work(new_work: Callable[..., Work], tmp_path: Path) -> Work:
    """Two commits that change data of each kind."""
    as_first_made(__name__, [tmp_path / "work"], lambda: _make(new_work))
    return Work(tmp_path / "work")


def _make(new_work: Callable[..., Work]) -> None:
    work = new_work(track=("*.json", "*.csv", "*.png", "*.jsonl", "*.bin"))
    before = document(CATS, info={"year": 1})
    work.write("labels.json", json.dumps(before))
    work.write("config.json", '{"a": 1, "b": {"c": [1, 2]}}')
    work.write("t.csv", "id,x,y\n1,a,b\n2,c,d\n3,e,f\n")
    work.write("r.jsonl", '{"id": 1, "v": 1}\n{"id": 2}\n')
    work.write("x.png", png(640, 480))
    work.write("old.png", png(64, 48))
    work.write("notes.txt", "one\ntwo\n")
    work.commit("first")
    after = document([*CATS[:2], ("a.jpg", "owl", [3, 3, 3, 3])], info={"year": 2})
    after["annotations"][0]["bbox"] = [12, 10, 50, 40]
    work.write("labels.json", json.dumps(after))
    work.write("config.json", '{"a": 2, "b": {"c": [1, 3]}, "d": null}')
    work.write("t.csv", "id,x,z\n1,A,0\n2,c,0\n4,g,0\n5,h,0\n")
    work.write("r.jsonl", '{"id": 1, "v": 2}\n{"id": 3}\n')
    work.write("x.png", png(1280, 960))
    work.git("mv", "old.png", "new.png")
    work.write("notes.txt", "one\n2\nthree\n")
    work.commit("second")


def as_json(work: Work, *words: str) -> dict[str, Any]:
    return {each["path"]: each for each in json.loads(work.try_lds("diff", "--json", *words).stdout)["files"]}


def test_changes_are_printed_in_words(work: Work) -> None:
    said = work.lds("diff", "HEAD~", "HEAD").splitlines()
    text = "\n".join(line.strip() for line in said)
    for line in (
        "images      -1",
        "annotations +1 -1 1 changed (bbox 1)",
        "categories  +1",
        "boxes       1 moved; overlap 0.92 on average, 0.92 at least",
        "also        info",
        "columns     +z, -y",
        "rows        +2 -1 1 changed, 3 -> 4, by id",
        "cells       x 1",
        "PNG image, 640x480 -> PNG image, 1280x960",
        "values      +1 2 changed",
        "values      +1 -1 1 changed",
        "lines       +2 -1",
    ):
        assert line in text, line
    assert "R old.png -> new.png  24 B" in text and said[-1].startswith("7 files: 1 renamed, 6 changed; ")
    assert all(len(line) <= 80 for line in said) and "\x1b" not in text


def test_json_output_has_all_changes(work: Work) -> None:
    found = as_json(work, "HEAD~..HEAD")
    labels = found["labels.json"]["changes"]
    assert labels["kind"] == "coco" and labels["counts"]["owl"] == {"before": 0, "after": 1}
    (moved,) = labels["annotations"]["listed"]["changed"]
    assert (moved["fields"], moved["image"], moved["before"]["bbox"]) == (["bbox"], "a.jpg", CATS[0][2])
    assert found["new.png"]["status"] == "renamed" and found["new.png"]["old_path"] == "old.png"
    assert found["t.csv"]["changes"]["columns"] == {"added": ["z"], "removed": ["y"]}
    assert found["config.json"]["changes"]["places"] == ["a", "b.c", "d"]
    assert found["x.png"]["after"]["oid"].startswith("blake3:") and found["notes.txt"]["after"]["oid"] is None
    assert found["r.jsonl"]["changes"] == {"kind": "values", "added": 1, "removed": 1, "changed": 1, "places": ["1"]}


def test_declared_kinds_and_key_columns_count_as_in_a_merge(new_work: Callable[..., Work]) -> None:
    work = new_work("declared", track=("*.csv", "*.tab"))
    work.lds("track", "--merge", "table", "*.labels")
    with (work.path / ".gitattributes").open("a") as attributes:
        attributes.write("keyed.csv lds-key=image,label\n")
    for name in ("a.labels", "keyed.csv", "a.tab"):
        work.write(name, "id,image,label\n1,a,cat\n2,b,dog\n".replace(",", "\t" if name == "a.tab" else ","))
    work.write("a.json", '{"x": {"y": [1, 2]}}')
    work.commit("base")
    for name in ("a.labels", "keyed.csv", "a.tab"):
        work.write(name, work.read(name).replace(b"1", b"7").replace(b"dog", b"owl"))
    work.write("a.json", '{"x": {"y": [1.0, 2]}}')
    work.commit("renumbered")
    found = {path: each["changes"] for path, each in as_json(work, "HEAD~", "HEAD").items()}
    assert {path: each["kind"] for path, each in found.items()} == {
        "a.labels": "table", "keyed.csv": "table", "a.tab": "table", "a.json": "values",
    }  # fmt: skip
    assert found["a.labels"]["key"] == found["a.tab"]["key"] == ["id"]
    assert found["keyed.csv"]["key"] == ["image", "label"] and found["keyed.csv"]["cells"] == {"id": 1}
    assert found["a.json"]["changed"] == 1 and found["a.json"]["places"] == ["x.y"]


def test_a_symbolic_link_is_text_whatever_its_name(new_work: Callable[..., Work]) -> None:
    work = new_work("links")
    for target in ("one", "two"):
        (work.path / "link.json").unlink(missing_ok=True)
        (work.path / "link.json").symlink_to(target)
        work.commit(target)
    assert as_json(work, "HEAD~", "HEAD")["link.json"]["changes"] == {"kind": "lines", "added": 1, "removed": 1}


def test_revisions_paths_and_places_are_as_for_git_diff(work: Work) -> None:
    assert set(as_json(work, "HEAD~", "HEAD", "--", "*.png")) == {"new.png", "x.png"}
    assert set(as_json(work, "HEAD~", "notes.txt")) == {"notes.txt"}
    assert as_json(work, "HEAD") == as_json(work) == {}
    work.write("t.csv", "id,x,z\n1,B,0\n2,c,0\n4,g,0\n5,h,0\n")
    assert set(as_json(work)) == set(as_json(work, "HEAD")) == {"t.csv"} and as_json(work, "--cached") == {}
    work.git("add", "t.csv")
    assert set(as_json(work, "--cached")) == {"t.csv"} and as_json(work) == {}
    assert as_json(work, "--cached")["t.csv"]["changes"]["cells"] == {"x": 1}
    work.git("switch", "-qc", "side", "HEAD~", "--discard-changes")
    work.write("notes.txt", "x\n")
    work.commit()
    assert set(as_json(work, "main...side")) == {"notes.txt"} and len(as_json(work, "main..side")) == 7
    assert as_json(work, "--stat", "main", "side")["t.csv"]["changes"] is None
    (work.path / "below").mkdir()
    assert "t.csv" in Work(work.path / "below").lds("diff", "main", "--", "../t.csv")


def test_missing_contents_are_reported_and_fetched_on_request(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.publish()
    monkeypatch.setenv("GIT_LDS_CACHE", str(tmp_path / "another cache"))
    clone = work.clone("clone", source=tmp_path / "origin.git", GIT_LDS_SKIP_SMUDGE="1")
    done = clone.try_lds("diff", "HEAD~", "HEAD")
    assert done.returncode == 0 and "not on this machine" in done.stdout and "git lds diff --fetch" in done.stderr
    assert "R old.png -> new.png" in done.stdout
    done = clone.try_lds("diff", "--fetch", "HEAD~", "HEAD", GIT_LDS_STORE=str(tmp_path / "no store"))
    assert done.returncode == 1 and "not on this machine" in done.stdout and "no store" in done.stderr
    assert "annotations +1 -1 1 changed (bbox 1)" in clone.lds("diff", "--fetch", "HEAD~", "HEAD")


def test_hostile_and_malformed_data_is_one_line(work: Work) -> None:
    cases = {
        "deep.json": (b"[" * 100_000, "nested too deeply"),
        "nan.json": (b'{"a": NaN}', "NaN is not a number"),
        "types.json": (b'{"images": [1], "annotations": []}', "images[0] is not an object"),
        "twice.json": (b'{"a": 1, "a": 2}', 'has the key "a" twice'),
        "half.json": (b'{"a": ', "not JSON"),
        "wide.csv": (b"a,b\n1,2,3\n", "row 2 has 3 cells"),
        "half.jsonl": (b'{"id": 1}\n{"id"\n', "not JSON"),
        "latin.json": (b'{"a": "\xff"}', "not UTF-8"),
        "bomb.png": (png(1 << 31, 1 << 31), "PNG image, 2147483648x2147483648"),
        "\x1b[31m.json": (b"{}", "values"),
    }
    for name, (data, _) in cases.items():
        work.write(name, data)
    work.write("claim.bin", pointer_of(b"none").replace(b"size 4", b"size 10000000000"))
    work.commit("hostile")
    done = work.try_lds("diff", "HEAD~", "HEAD")
    assert done.returncode == 0 and "Traceback" not in done.stderr and "\x1b" not in done.stdout
    for name, (_, says) in cases.items():
        assert says in done.stdout, name
    assert "A claim.bin  10.0 GB\n    not on this machine\n" in done.stdout
    assert len(as_json(work, "HEAD~", "HEAD")) == 11


def test_a_comparison_takes_few_git_processes_however_many_files_differ(work: Work) -> None:
    with counted_git() as counted:
        assert len(as_json(work, "HEAD~", "HEAD")) == 7
    counted.assert_at_most(6)
    assert len(counted.of("check-attr")) == 1


def test_wrong_arguments_are_refused(work: Work) -> None:
    for words, says in (
        (("nope",), "neither a revision nor a file"),
        (("HEAD", "HEAD", "HEAD", "--"), "a third"),
        (("nope", "--"), "nope: no such revision"),
        (("nope..HEAD", "--"), "nope: no such revision"),
        (("--cached", "HEAD~", "HEAD"), "one revision"),
        (("-1",), "-1"),
    ):
        done = work.try_lds("diff", *words)
        assert done.returncode in (1, 2) and says in done.stderr and "Traceback" not in done.stderr, words


def test_new_files_of_a_first_commit_and_large_files(new_work: Callable[..., Work]) -> None:
    work = new_work("fresh")
    work.write("large.bin", random_bytes(1, 5 << 20))
    work.git("add", "-A")
    assert as_json(work, "--cached")["large.bin"]["changes"] == {"kind": "file", "before": None, "after": "binary"}

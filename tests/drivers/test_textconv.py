"""What `git diff`, `git log -p` and `git show` show of tracked files, with real git."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from kit.work import Work, random_bytes

from git_lds.data.image.identify import described

LARGE = (4 << 20) + 9


def png(width: int, height: int, more: bytes = b"") -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height) + more


@pytest.fixture
def history(new_work: object) -> Work:
    """Two commits that change a file of each kind."""
    work: Work = new_work(track=("*.json", "*.csv", "*.png", "*.bin"))  # type: ignore[operator]
    labels = [{"id": at, "name": f"label {at}"} for at in range(20)]
    for turn in (1, 2):
        labels[7]["name"] = f"renamed {turn}"
        work.write("one line.json", json.dumps(labels))
        work.write("small.json", f'{{\n  "a": {turn}\n}}\n')
        work.write("table.csv", f"id,x\n1,{turn}\n2,5\n")
        work.write("image.png", png(640, 480 + turn))
        work.write("large.bin", random_bytes(turn, LARGE))
        work.commit(f"turn {turn}")
    return work


def lines(diff: str) -> list[str]:
    return [line for line in diff.splitlines() if line.startswith(("+", "-")) and line[:3] not in ("+++", "---")]


def test_git_diff_shows_contents_of_both_commits(history: Work) -> None:
    assert lines(history.git("diff", "HEAD~", "HEAD", "--", "*.json", "*.csv")) == [
        '-  "name": "renamed 1"',
        '+  "name": "renamed 2"',
        '-  "a": 1',
        '+  "a": 2',
        "-1,1",
        "+1,2",
    ]
    shown = lines(history.git("diff", "HEAD~", "HEAD", "--", "*.png", "*.bin"))
    assert shown[0] == "-PNG image, 640x481, 24 bytes" and shown[2] == "+PNG image, 640x482, 24 bytes"
    assert shown[1].startswith("-oid blake3:") and shown[4].startswith("-oid blake3:") and len(shown) == 6


def test_records_on_lines_of_their_own_stay_on_them(new_work: object) -> None:
    """JSON Lines, by an ending in any case, or as `.gitattributes` declares it; declared JSON is shown by values."""
    work: Work = new_work(track=("*.JSONL",))  # type: ignore[operator]
    work.lds("track", "--merge", "jsonl", "*.records")
    work.lds("track", "--merge", "json", "*.layout")
    record = json.dumps({"id": 1, "name": "x" * 100})
    for turn in ("a", "b"):
        for name in ("A.JSONL", "deep/b.records", "c.layout"):
            work.write(name, record.replace("x", turn) + "\n")
        work.commit(turn)
    shown = {
        name: lines(work.git("diff", "HEAD~", "HEAD", "--", f"*{name}")) for name in ("JSONL", "records", "layout")
    }
    assert shown["JSONL"] == shown["records"] == [f"{sign}{record.replace('x', turn)}" for sign, turn in ("-a", "+b")]
    assert len(shown["layout"]) == 2 and shown["layout"][0].startswith('- "name": "aaa')


def test_log_show_the_working_tree_and_the_index(history: Work) -> None:
    assert '+  "a": 2' in lines(history.git("log", "-p", "-1", "--", "small.json"))
    assert lines(history.git("show", "HEAD", "--", "table.csv")) == ["-1,1", "+1,2"]
    history.write("table.csv", "id,x\n1,3\n2,5\n")
    history.write("large.bin", b"text now\n")
    assert lines(history.git("diff", "--", "table.csv")) == ["-1,2", "+1,3"]
    assert "+text now" in lines(history.git("diff"))
    history.git("add", "table.csv")
    assert lines(history.git("diff", "--cached")) == ["-1,2", "+1,3"]


def test_one_version_that_is_named_is_shown_as_it_is(history: Work) -> None:
    """So graphical diff tools show the old version."""
    before = json.loads(history.git("show", "--textconv", "HEAD~:one line.json"))
    assert before[7]["name"] == "renamed 1"
    assert "\n" not in history.git("cat-file", "--textconv", "HEAD~:one line.json")
    assert "IHDR" in history.git("show", "--textconv", "HEAD~:image.png")
    assert history.git("-c", "core.pager=cat", "show", "HEAD~:small.json").startswith("version git-lds/v1")


def test_missing_contents_are_reported_and_never_downloaded(
    history: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.publish()
    monkeypatch.setenv("GIT_LDS_CACHE", str(tmp_path / "another cache"))
    clone = history.clone("clone", source=tmp_path / "origin.git")
    assert (clone.path / "table.csv").read_text() == "id,x\n1,2\n2,5\n"
    clone.git("config", "alias.changes", "log -p --no-color")
    for words in (("log", "-p"), ("diff", "HEAD~", "HEAD"), ("show",), ("-c", "a.b=c", "diff", "HEAD~"), ("changes",)):
        shown = clone.git(*words, "--", "table.csv")
        assert "(not on this machine: git lds fetch)" in shown and "+1,2" in shown, words
    clone.lds("fetch", "origin", "HEAD~")
    assert lines(clone.git("diff", "HEAD~", "HEAD", "--", "table.csv")) == ["-1,1", "+1,2"]


def test_other_diff_programs_get_contents(history: Work) -> None:
    tool = history.write("../tool", '#!/bin/sh\nwc -c < "$2"; wc -c < "$5"\n')
    tool.chmod(0o755)
    sizes = history.git("diff", "HEAD~", "HEAD", "--", "large.bin", GIT_EXTERNAL_DIFF=str(tool)).split()
    assert sizes == [str(LARGE), str(LARGE)]
    assert len(history.git("cat-file", "--filters", "HEAD~:small.json")) == 12


def test_huge_texts_and_hostile_json_are_bounded(history: Work) -> None:
    for turn in (b"a", b"b"):
        history.write("deep.json", b"[" * 100_000 + turn)
        history.write("one line.json", b'["' + b"x" * (9 << 20) + turn + b'"]')
        history.write("nan.json", b'[NaN, "' + turn * 100 + b'"]')
        history.write("long.csv", b"id,x\n" + b"1,2\n" * (3 << 20) + turn)
        history.commit()
    assert len(history.git("diff", "HEAD~", "HEAD", "--", "deep.json")) < 300_000
    assert '-[NaN, "aaa' in history.git("diff", "HEAD~", "HEAD", "--", "nan.json")
    shown = lines(history.git("diff", "HEAD~", "HEAD", "--", "one line.json"))
    assert [line[:5] for line in shown] == ["-oid ", "+oid "]
    shown = lines(history.git("diff", "HEAD~", "HEAD", "--", "long.csv"))
    assert len(shown) == 2 and all("oid blake3:" in line for line in shown)


def test_wrong_arguments_are_refused(history: Work) -> None:
    assert history.lds("textconv", "table.csv").endswith("2,5")
    for words, says in (
        (("textconv",), "one file"),
        (("textconv", "nope"), "nope: No such file"),
        (("textconv", "."), ""),
    ):
        done = history.try_lds(*words)
        assert done.returncode in (1, 2) and says in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (png(1 << 31, 5), "PNG image, 2147483648x5"),
        (b"\x89PNG\r\n\x1a\n", "PNG image"),
        (b"GIF89a\x05\0\x06\0", "GIF image, 5x6"),
        (b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x11\x08\0\x07\0\x09", "JPEG image, 9x7"),
        (b"\xff\xd8\xff\xe0\0\0\0\0\0", "JPEG image"),
        (b"\xff\xd8" + b"\xff" * 50, "JPEG image"),
        (b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0\x01\0\0\x02\0\0", "WebP image, 2x3"),
        (
            b"II*\0\x08\0\0\0\x02\0\0\x01\x03\0\x01\0\0\0\x0a\0\0\0\x01\x01\x04\0\x01\0\0\0\x0b\0\0\0",
            "TIFF image, 10x11",
        ),
        (b"MM\0*\xff\xff\xff\xff", "TIFF image"),
        (b"PAR1....", "Parquet table"),
        (b"anything", None),
    ],
)
def test_formats_are_identified_by_their_first_bytes(head: bytes, says: str | None) -> None:
    assert described(head) == says

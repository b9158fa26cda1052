"""What differs between two documents, tables and texts, value by value, row by row, line by line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kit.work import Work

from git_lds.data.json import diff as json_diff
from git_lds.data.json.diff import ABSENT
from git_lds.data.table import diff as table_diff
from git_lds.data.table import read as table
from git_lds.git import diff_lines
from git_lds.git.run import Git


def different(before: Any, after: Any) -> list[tuple[str, Any, Any]]:
    return [tuple(each) for each in json_diff.differences(before, after)]


def test_values_that_differ_are_listed_with_their_paths() -> None:
    before = {"a": 1, "b": {"c d": [1, 2], "e": "x"}, "list": [{"id": 1, "v": 1}, {"id": 2, "v": 2}], "gone": {}}
    after = {"a": True, "b": {"c d": [1, 3], "e": "x"}, "list": [{"id": 2, "v": 5}, {"id": 1, "v": 1}], "new": [1]}
    assert different(before, after) == [
        ("$.a", 1, True),
        ('$.b["c d"]', [1, 2], [1, 3]),
        ("$.list[2].v", 2, 5),
        ("$.gone", {}, ABSENT),
        ("$.new", ABSENT, [1]),
    ]
    assert different([[1], "a", {}], [[1], "b"]) == [("$[1]", "a", "b"), ("$[2]", {}, ABSENT)]
    assert different(before, before) == []


def test_deeply_nested_values_are_compared() -> None:
    one: Any = 1
    other: Any = 2
    for _ in range(900):
        one, other = [one], [other]
    assert len(different(one, other)) == 1


def test_rows_that_differ() -> None:
    before = table.read(b"id,name,old\n1,Ada,x\n2,Joan,y\n3,Grace,z\n", "a.csv")
    after = table.read(b"name,id,new\nJoan,2,q\nAda L.,1,q\nMary,4,q\n", "a.csv")
    found = table_diff.compare(before, after)
    assert (found.columns, found.key) == (("name", "id", "new", "old"), ("id",))
    assert (found.columns_added, found.columns_removed) == (("new",), ("old",))
    assert [(row.before and row.before["name"], row.after and row.after["name"]) for row in found.listed] == [
        ("Joan", "Joan"), ("Ada", "Ada L."), (None, "Mary"), ("Grace", None),
    ]  # fmt: skip
    found = table_diff.compare(table.read(b"a\n1\n1\n", "a.csv"), None)
    assert (found.key, found.removed, found.listed) == ((), 2, ())


def test_lines_that_differ(work: Work, tmp_path: Path) -> None:
    git = Git(work.path)
    before, after = b"--- a\n1\n2\n3\n4\n5\n6\n7\n8\n", b"--- a\n1\n2\n3\n4\n5\n6\nseven\n8"
    found, is_whole = diff_lines.differences(git, tmp_path / "new", before, after, limit=1000)
    assert found == [b"@-5,5 +5,5", b" 4", b" 5", b" 6", b"-7", b"-8", b"+seven", b"+8"] and is_whole
    found, is_whole = diff_lines.differences(git, tmp_path, b"", b"line\n" * 100_000, limit=1000)
    assert not is_whole and len(found) < 20_000
    assert diff_lines.differences(git, tmp_path, b"a", b"a", limit=1000) == ([], True)
    assert list((tmp_path / "new").iterdir()) == []

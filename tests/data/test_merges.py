"""Merges of JSON, JSON Lines and tables: by structure, as each is written; clashes show both values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from git_lds.data.conflicts import Markers, merged_order
from git_lds.data.json import merge as json_merge
from git_lds.data.jsonl import merge as jsonl_merge
from git_lds.data.table import merge as table_merge
from git_lds.errors import LdsError

MARKERS = Markers(7, "HEAD", "base", "topic")


def of_json(base: str, ours: str, theirs: str) -> tuple[str, tuple[str, ...]]:
    done = json_merge.merge(base.encode(), ours.encode(), theirs.encode(), "a.json", MARKERS)
    return done.data.decode(), done.conflicts


def of_lines(base: str, ours: str, theirs: str) -> tuple[str, tuple[str, ...]]:
    done = jsonl_merge.merge(base.encode(), ours.encode(), theirs.encode(), "a.jsonl", MARKERS)
    return done.data.decode(), done.conflicts


def of_table(base: str, ours: str, theirs: str, *key: str, name: str = "a.csv") -> tuple[str, tuple[str, ...]]:
    done = table_merge.merge(base.encode(), ours.encode(), theirs.encode(), name, MARKERS, key)
    return done.data.decode(), done.conflicts


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected"),
    [
        ('{"a": 1, "b": 2}', '{"a": 5, "b": 2}', '{"a": 1, "b": 2, "c": 3}', '{"a": 5, "b": 2, "c": 3}'),
        ('{"a": 1, "b": 2}', '{"b": 2}', '{"a": 1, "b": 7}', '{"b": 7}'),
        ('{"a": 1}', '{"a": 2.50}', '{"a": 2.50, "b": [1,  2]}', '{"a": 2.50, "b": [1,  2]}'),
        ('{"a": {"x": 1, "y": 1}}\n', '{"a": {"x": 2, "y": 1}}\n', '{"a": {"x": 1, "y": 2}}\n', '{"a": {"x": 2, "y": 2}}\n'),
        ('[{"id": 1}, {"id": 2}]', '[{"id": 1, "a": 1}, {"id": 2}, {"id": 4}]', '[{"id": 2}, {"id": 3}, {"id": 1}]',
         '[{"id": 1, "a": 1}, {"id": 2}, {"id": 4}, {"id": 3}]'),
        ('["a", "c"]', '["a", "b", "c"]', '["a", "c", "d"]', '["a", "b", "c", "d"]'),
        ("{\n  \"a\": 1\n}\n", "{\n  \"a\": 1,\n  \"b\": 2\n}\n", "{\n  \"z\": 0,\n  \"a\": 1\n}\n",
         "{\n  \"z\": 0,\n  \"a\": 1,\n  \"b\": 2\n}\n"),
        ('{"a": 1}', '{"a": 1.0}', '{"a": 1, "b": 1}', '{"a": 1.0, "b": 1}'),
        ('{"t": true}', '{"t": 1}', '{"t": true, "x": 1}', '{"t": 1, "x": 1}'),
        ("", '{"a": 1}', '{"b": 2}', '{"a": 1, "b": 2}'),
    ],
)  # fmt: skip
def test_json_is_merged_by_its_structure(base: str, ours: str, theirs: str, expected: str) -> None:
    assert of_json(base, ours, theirs) == (expected, ())


def test_conflicts_in_json_have_lines_of_their_own() -> None:
    text, conflicts = of_json('{"a": 1, "b": 1}', '{"a": 2, "b": 1, "c": 3}', '{"a": 3, "b": 1}')
    assert conflicts == ("a",)
    assert text == '{\n<<<<<<< HEAD\n"a": 2,\n=======\n"a": 3,\n>>>>>>> topic\n"b": 1, "c": 3}'
    assert of_json("[1, 2]", "[1, 3]", "[1, 4]")[1] == ("the whole file",)
    assert of_json('["a"]', '["a", "b"]', '["a", "c"]')[1] == ("the whole file",)  # which of b and c is number 1?
    text, _ = of_json('[{"id": 1}]', "[]", '[{"id": 1, "x": 1}]')
    assert '<<<<<<< HEAD\n=======\n{"id": 1, "x": 1}\n>>>>>>> topic\n' in text
    with pytest.raises(LdsError, match=r"a\.json: not JSON"):
        of_json("{}", "{", "{}")
    with pytest.raises(LdsError, match="nested too deeply"):
        of_json("", '{"a":' * 900 + "1" + "}" * 900, '{"a":' * 900 + "2" + "}" * 900)


def test_json_lines_are_merged_by_key_or_by_their_text() -> None:
    base = '{"id": 1}\n{"id": 2}\n'
    assert of_lines(base, '{"id": 1, "a": 1}\n{"id": 2}\n{"id": 4}\n', '{"id": 1}\n{"id": 2, "b": 2}\n{"id": 5}\n') == (
        '{"id": 1, "a": 1}\n{"id": 2, "b": 2}\n{"id": 4}\n{"id": 5}\n',
        (),
    )
    assert of_lines("[1]\n[1]\n[2]\n", "[1]\n[1]\n[2]\n[3]\n", "[1]\n[2]\n") == ("[1]\n[2]\n[3]\n", ())
    text, conflicts = of_lines('{"id": 1}\r\n', '{"id": 1, "a": 1}\r\n', "")
    assert conflicts == ("1",) and text == '<<<<<<< HEAD\r\n{"id": 1, "a": 1}\r\n=======\r\n>>>>>>> topic\r\n'


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected"),
    [
        ("id,x\n1,a\n2,b\n", "id,x\n1,A\n2,b\n", "id,x\n1,a\n2,B\n", "id,x\n1,A\n2,B\n"),
        ("id,x\n1,a\n", "id,x\n1,a\n2,b\n", "id,x\n1,a\n3,c\n", "id,x\n1,a\n2,b\n3,c\n"),
        ("id,x\n1,a\n2,b\n", "id,x\n2,b\n", "id,x\n1,a\n2,c\n", "id,x\n2,c\n"),
        ("id,x\n1,a\n", "id,x,y\n1,a,5\n", "id,x\n1,b\n2,c\n", "id,x,y\n1,b,5\n2,c,\n"),
        ("id,x,y\n1,a,3\n", "id,y\n1,3\n", "id,x,y\n1,a,4\n", "id,y\n1,4\n"),
        ('id,x\n1,"a, b"\n2,"c"\n', 'id,x\n1,"a, b"\n2,"d ""q"""\n', 'id,x\n1,"a, c"\n2,"c"\n', 'id,x\n1,"a, c"\n2,"d ""q"""\n'),
        ('id,x\n1,"two\nlines"\n', 'id,x\n1,"two\nlines"\n2,b\n', 'id,x\n1,"two\nother"\n', 'id,x\n1,"two\nother"\n2,b\n'),
        ("id,x\r\n1,a\r\n", "id,x\r\n1,b\r\n", "id,x\r\n1,a\r\n2,c", "id,x\r\n1,b\r\n2,c\r\n"),
        ("image;n\na;1\nb;2", "image;n\na;3\nb;2", "image;n\na;1\nb;4", "image;n\na;3\nb;4"),
        ('"id","x"\n"1","a"\n', '"id","x"\n"1","b"\n', '"id","x"\n"1","a"\n"2","c"\n', '"id","x"\n"1","b"\n"2","c"\n'),
    ],
)  # fmt: skip
def test_tables_are_merged_by_rows_and_cells(base: str, ours: str, theirs: str, expected: str) -> None:
    assert of_table(base, ours, theirs) == (expected, ())


def test_conflicts_in_tables_show_both_rows() -> None:
    text, conflicts = of_table("id,x,y\n1,a,b\n", "id,x,y\n1,c,b\n", "id,x,y\n1,d,e\n")
    assert text == "id,x,y\n<<<<<<< HEAD\n1,c,e\n=======\n1,d,e\n>>>>>>> topic\n" and conflicts == ("1: x",)


def test_a_row_whose_key_both_sides_changed_is_not_kept_twice() -> None:
    base, ours, theirs = (f"image,label\na,{each}\na,dog\nb,cat\n" for each in ("cat", "bird", "fish"))
    with pytest.raises(LdsError, match=r"image, label of the same row were changed on both sides"):
        of_table(base, ours, theirs)
    added = "image,label\na,cat\na,dog\nb,cat\nc,dog\n"
    assert of_table(base, ours, added) == ("image,label\na,bird\na,dog\nb,cat\nc,dog\n", ())
    with pytest.raises(LdsError, match="both sides changed the same line"):
        of_lines('{"v": 1}\n{"v": 2}\n', '{"v": 3}\n{"v": 2}\n', '{"v": 4}\n{"v": 2}\n')


def test_key_columns_are_detected_or_named() -> None:
    base, ours, theirs = "k\ta\n1\tx\n1\ty\n", "k\ta\n1\tx\n1\ty\n2\tz\n", "k\ta\n1\tx\n1\ty\n0\tq\n"
    assert of_table(base, ours, theirs, name="a.tsv")[0] == "k\ta\n1\tx\n1\ty\n2\tz\n0\tq\n"
    assert of_table(base, ours, theirs, "a", name="a.tsv")[1] == ()
    with pytest.raises(LdsError, match="the columns k do not identify"):
        of_table(base, ours, theirs, "k", name="a.tsv")
    for broken, says in (
        ("", "no header"),
        ("a,a\n", "two columns"),
        ("a,b\n1\n", "row 2 has 1 cells"),
        ('a\n"x', "not a table"),
    ):
        with pytest.raises(LdsError, match=says):
            of_table("", broken or "\n", "a\n1\n")


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(values, values)
def test_a_side_without_changes_gives_the_other(base: Any, side: Any) -> None:
    one, other = json.dumps(base, indent=1), json.dumps(side, indent=1)
    assert of_json(one, one, other) == (other, ()) and of_json(one, other, one) == (other, ())
    assert of_json(one, other, other) == (other, ())


@settings(max_examples=60, deadline=None)
@given(*[st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 2), max_size=6)] * 3)
def test_the_order_of_the_sides_does_not_matter(base: Any, ours: Any, theirs: Any) -> None:
    one, another = (of_json(*map(json.dumps, sides)) for sides in ((base, ours, theirs), (base, theirs, ours)))
    assert sorted(one[1]) == sorted(another[1])
    if not one[1]:
        assert json.loads(one[0]) == json.loads(another[0])


@settings(max_examples=60, deadline=None)
@given(*[st.lists(st.integers(0, 9), unique=True)] * 2)
def test_the_merged_order_has_each_key_once_and_keeps_ours(ours: list[int], theirs: list[int]) -> None:
    found = merged_order(ours, theirs)
    assert sorted(found) == sorted({*ours, *theirs}) and [key for key in found if key in ours] == ours


def test_a_conflict_in_json_lines_shows_both_whole_lines() -> None:
    text, conflicts = of_lines('{"id": 1, "v": 1}\n', '{"id": 1, "v": 2, "a": 0}\n', '{"id": 1, "v": 3}\n')
    assert conflicts == ("1.v",)
    assert text == '<<<<<<< HEAD\n{"id": 1, "v": 2, "a": 0}\n=======\n{"id": 1, "v": 3, "a": 0}\n>>>>>>> topic\n'


def test_a_new_order_of_rows_is_kept_from_either_side() -> None:
    base, edited, reordered = "id,x\n1,a\n2,b\n3,c\n", "id,x\n1,a\n2,B\n3,c\n4,d\n", "id,x\n3,c\n2,b\n1,a\n"
    assert of_table(base, edited, reordered) == ("id,x\n3,c\n4,d\n2,B\n1,a\n", ())
    assert of_table(base, reordered, edited) == ("id,x\n3,c\n4,d\n2,B\n1,a\n", ())
    assert of_lines("[1]\n[2]\n[3]\n", "[1]\n[2]\n[3]\n[4]\n", "[3]\n[2]\n[1]\n") == ("[3]\n[4]\n[2]\n[1]\n", ())


rows = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), unique=True, max_size=9)


@settings(max_examples=80, deadline=None)
@given(rows, rows, rows, st.integers(0, 511), st.integers(0, 511))
def test_rows_with_a_guessed_key_keep_their_order(
    base: list[tuple[str, str]], ours: list[tuple[str, str]], theirs: list[tuple[str, str]], mine: int, yours: int
) -> None:
    # either side takes some rows out, and puts others in anywhere
    sides = []
    for added, mask in ((ours, mine), (theirs, yours)):
        kept = [row for at, row in enumerate(base) if mask >> at & 1]
        for row in added:
            if row not in base:
                kept.insert(mask % (len(kept) + 1), row)
        sides.append(kept)
    texts = ["u,v\n" + "".join(f"{u},{v}\n" for u, v in side) for side in (base, *sides)]
    try:
        text, conflicts = of_table(*texts)
    except LdsError:
        return
    if conflicts:
        return
    merged = [tuple(line.split(",")) for line in text.splitlines()[1:]]
    assert len(set(merged)) == len(merged)
    assert [row for row in merged if row in sides[0]] == [row for row in sides[0] if row in merged]
    assert [row for row in merged if row in base] == [row for row in base if row in sides[0] and row in sides[1]]

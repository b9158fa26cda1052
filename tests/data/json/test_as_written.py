"""Numbers stay as they are written: in what git shows of JSON, and in what a merge leaves alone or takes over."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from git_lds.data.coco import merge as coco_merge
from git_lds.data.conflicts import Markers, Merged
from git_lds.data.json import merge as json_merge
from git_lds.data.jsonl import merge as jsonl_merge
from git_lds.drivers import textconv

numbers = st.from_regex(
    r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,4})?", fullmatch=True
) | st.sampled_from(
    [
        "1e400",
        "-1E400",
        "1.0",
        "1.50",
        "1e5",
        "-0",
        "-0.0",
        "123456789012345678901234567890",
        "0.1000000000000000055511",
    ]
)


@settings(max_examples=40, deadline=None)
@given(st.lists(numbers, min_size=1, max_size=6), st.sampled_from(["", " ", "\t"]))
def test_git_diff_shows_each_number_as_it_is_written(
    tmp_path_factory: pytest.TempPathFactory, found: list[str], space: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "a.json"
    text = r"a, [b]: \"{c}\" 1e400 " + "x" * 80
    path.write_text(f'{{"e":[],"o":{{}},{space}"s":"{text}","of":[{{"n":[[]]}}],"list":[{f",{space}".join(found)}]}}')
    shown = b"".join(textconv.convert(str(path))).decode()
    beginning, _, rest = shown.partition(' "list": [\n')
    assert rest == ",\n".join(f"  {each}" for each in found) + "\n ]\n}\n"
    assert (
        beginning
        == json.dumps({"e": [], "o": {}, "s": json.loads(f'"{text}"'), "of": [{"n": [[]]}]}, indent=1)[:-2] + ",\n"
    )


def of_json(one: str, other: str, third: str) -> bytes:
    return f'{{"a": {one}, "b": [{{"id": 7, "v": {other}}}], "c": {{"d":  {third}}}}}'.encode()


def of_lines(one: str, other: str, third: str) -> bytes:
    return f'{{"id": 1, "v": {one}, "w": {other}}}\n{{"id": 2,  "v": {third}}}\n'.encode()


def of_coco(one: str, other: str, third: str) -> bytes:
    image = f'"images": [{{"id": 1, "file_name": "a.jpg", "x": {one}}}]'
    shape = f'"bbox": [1.50, 2, 1e1, 4.0], "x": {other}, "y": {third}'
    boxes = f'"annotations": [{{"id": 1, "image_id": 1, "category_id": 1, {shape}}}]'
    return f'{{{image}, {boxes}, "categories": [{{"id": 1, "name": "cat"}}]}}'.encode()


@pytest.mark.parametrize(
    ("written", "merge"),
    [(of_json, json_merge.merge), (of_lines, jsonl_merge.merge), (of_coco, coco_merge.merge)],
)
@settings(max_examples=40, deadline=None)
@given(base=st.tuples(numbers, numbers, numbers), mine=numbers, yours=numbers)
def test_a_merge_keeps_the_text_of_unchanged_and_of_changed_values(
    written: Callable[..., bytes],
    merge: Callable[..., Merged],
    base: tuple[str, str, str],
    mine: str,
    yours: str,
) -> None:
    one, other, third = base
    # a number that only looks different, as 1.0 and 1.00 do, is not an edit
    assume(float(mine) != float(one) and float(yours) != float(other))
    done = merge(written(*base), written(mine, other, third), written(one, yours, third), "a.json", Markers())
    assert done == Merged(written(mine, yours, third))


def test_numbers_too_large_to_be_read_differ() -> None:
    for merge, written in ((json_merge.merge, of_json), (jsonl_merge.merge, of_lines)):
        done = merge(written("1", "1e400", "2"), written("3", "1e400", "2"), written("1", "1e500", "2"), "a", Markers())
        assert done == Merged(written("3", "1e500", "2"))
        done = merge(written("1", "1e400", "2"), written("1", "1e600", "2"), written("1", "1e500", "2"), "a", Markers())
        assert len(done.conflicts) == 1

"""Which kind of data a file is, from its path, its first bytes and its attributes."""

from __future__ import annotations

import pytest

from git_lds.data import registry
from git_lds.data.diff import Changes, diff
from git_lds.data.json.diff import ValueChanges
from git_lds.data.kinds import KINDS
from git_lds.data.table.diff import TableChanges
from git_lds.data.text.diff import LineChanges

COCO = b'{"images": [], "annotations": []}'
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


@pytest.mark.parametrize(
    ("path", "head", "merge", "kind"),
    [
        (b"a.csv", b"id\n1\n", "", "table"),
        (b"deep/A.TAB", b"id\n1\n", "lds", "table"),
        (b"a.tsv", None, "unspecified", "table"),
        (b"a.geojson", b"{}", "", "json"),
        (b"a.NDJSON", b"{}", "", "jsonl"),
        (b"a.png", None, "", "image"),
        (b"a.npz", None, "", "binary"),
        (b"a.md", None, "", "text"),
        (b"a.labels", b"id\n1\n", "lds-table", "table"),
        (b"a.labels", None, "lds-coco", "coco"),
        (b"a.csv", b"id\n1\n", "lds-text", "text"),
        (b"a.json", b"{}", "lds-binary", "binary"),
        (b"a.labels", b"id\n1\n", "", "text"),
        (b"a.labels", b"", "union", "text"),
        (b"a.labels", None, "", "binary"),
        (b"a.labels", b"a\0", "lds-table", "binary"),
        (b"a.csv", PNG, "", "image"),
        (b"a.csv", b"\x89PNG\r\n\x1a\n", "", "image"),
        (b"a.csv", b"ID3,x\n1,2\n", "", "table"),
        (b"a.labels", b"\xe9,x\n1,2\n", "lds-table", "table"),
    ],
)
def test_bytes_then_the_declared_kind_then_the_name_decide(
    path: bytes, head: bytes | None, merge: str, kind: str
) -> None:
    assert registry.kind_of(path, head, {"merge": merge.encode()}).name == kind


def test_json_is_coco_if_each_version_looks_like_it_and_no_kind_is_declared() -> None:
    def kind(*versions: bytes | None, **attributes: bytes) -> str:
        return registry.kind_of_contents(b"a.json", versions, attributes).name

    assert kind(COCO, COCO) == kind(None, COCO) == kind(b"", COCO) == "coco"
    assert kind(COCO, b"{}") == kind(COCO, COCO, merge=b"lds-json") == "json"
    assert kind(None, None) == kind(b"") == "json" and kind(b"{}", PNG) == "image"


def test_key_columns_are_declared_by_an_attribute() -> None:
    assert registry.key_columns({"lds-key": b"image,label"}) == ("image", "label")
    assert registry.key_columns({"lds-key": b"unspecified"}) == registry.key_columns({}) == ()


def test_each_kind_that_can_be_declared_is_known_and_each_kind_has_its_functions() -> None:
    assert set(KINDS) == {kind.name for kind in registry.ALL} - {"image"}
    for kind in registry.ALL:
        assert callable(kind.diff) and (not kind.has_structure or callable(kind.merge))


def changes(path: bytes, before: bytes | None, after: bytes | None, **attributes: bytes) -> Changes:
    return diff(path, before, after, {name.replace("_", "-"): value for name, value in attributes.items()})


def test_a_number_that_is_written_as_another_kind_of_number_is_a_change() -> None:
    found = changes(b"a.json", b'{"x": {"y": [1, 2]}}', b'{"x": {"y": [1.0, 2]}}')
    assert isinstance(found, ValueChanges)
    assert (found.changed, found.places(9)) == (1, ("x.y",)) and found.listed[0].after == [1.0, 2]
    found = changes(b"a.jsonl", b'{"id": 1, "v": 1}\n{"id": 2}\n', b'{"id": 1, "v": true}\n{"id": 2}\n')
    assert isinstance(found, ValueChanges) and (found.changed, found.places(9)) == (1, ("1",))
    assert [value.path for value in found.listed] == ["$[1].v"]


def test_a_declared_kind_and_declared_key_columns_count_in_a_comparison() -> None:
    before, after = b"id,image,label\n1,a,cat\n2,b,dog\n", b"id,image,label\n7,a,cat\n8,b,dog\n"
    found = changes(b"a.labels", before, after, merge=b"lds-table", lds_key=b"image,label")
    assert isinstance(found, TableChanges)
    assert (found.key, found.added, found.removed, found.cells) == (("image", "label"), 0, 0, {"id": 2})
    found = changes(b"a.csv", before, after)
    assert isinstance(found, TableChanges) and (found.key, found.added, found.removed) == (("id",), 2, 2)
    assert isinstance(changes(b"a.labels", before, after), LineChanges)
    assert isinstance(changes(b"a.csv", before, after, merge=b"lds-text"), LineChanges)


def test_json_that_only_mentions_the_lists_of_coco_is_compared_as_json() -> None:
    before, after = b'{"about": ["images", "annotations"]}', b'{"about": ["images", "annotations", "more"]}'
    found = changes(b"a.json", before, after)
    assert isinstance(found, ValueChanges) and found.added == 1


def test_the_values_of_a_new_file_are_listed_one_by_one() -> None:
    found = changes(b"a.json", None, b'{"a": 1, "b": {"c": 2}}')
    assert isinstance(found, ValueChanges) and (found.added, found.places(9)) == (2, ("a", "b"))


def test_rows_without_a_key_are_compared_whole_and_not_listed() -> None:
    found = changes(b"a.csv", b"x\n1\n1\n", b"x\n1\n2\n")
    assert isinstance(found, TableChanges) and (found.key, found.added, found.removed, found.listed) == ((), 1, 1, ())

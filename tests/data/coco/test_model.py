"""COCO files: what is read, what is refused, and which annotation of two exports is which."""

from __future__ import annotations

import random
from typing import Any

import pytest
from kit.coco import CATS, document, read, text

from git_lds.data.coco import diff as coco_diff
from git_lds.data.coco import model as coco
from git_lds.errors import LdsError


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not JSON: Expecting value (line 1, column 1)"),
        (b"[1, 2]", "not COCO: it is not an object"),
        (b"{}", "not COCO: it has no images"),
        (b'{"images": []}', "it has no annotations"),
        (b'{"images": {}, "annotations": []}', "images is not a list"),
        (b'{"images": [3], "annotations": []}', "images[0] is not an object"),
        (b'{"images": [{"file_name": "a"}], "annotations": []}', "images[0] has no id"),
        (b'{"images": [{"id": 1, "file_name": 2}], "annotations": []}', "images[0] has file_name 2"),
        (b'{"images": [{"id": [], "file_name": ""}], "annotations": []}', "images[0] has id []"),
        (b'{"images": [], "annotations": [{"bbox": [1, 2, 3]}]}', "annotations[0] has bbox [1, 2, 3]"),
        (b'{"images": [], "annotations": [{"bbox": [1, 2, 3, "4"]}]}', "annotations[0] has bbox"),
        (b'{"images": [], "annotations": [{"bbox": [1, 2, 3, 1e999]}]}', "annotations[0] has bbox"),
        (b'{"images": [], "annotations": [{}, {"area": "big"}]}', 'annotations[1] has area "big"'),
        (b'{"images": [], "annotations": [{"segmentation": [1, 2]}]}', "annotations[0] has an invalid segmentation"),
        (
            b'{"images": [], "annotations": [{"segmentation": {"size": 3}}]}',
            "annotations[0] has an invalid segmentation",
        ),
        (b'{"images": [], "annotations": [{"image_id": true}]}', "annotations[0] has image_id true"),
        (b'{"images": [], "annotations": [{"area": NaN}]}', "NaN is not a number of JSON"),
        (b'{"images": [], "annotations": [{"id": 1, "id": 2}]}', 'an object has the key "id" twice'),
        (b'{"images": [], "annotations": [' + b"[" * 200_000, "nested too deeply"),
        (b'{"images": ' + b"9" * 10_000 + b"}", "a number with too many digits"),
        (b'{"images": "\xff"}', "not UTF-8 text, at byte 12"),
    ],
)
def test_malformed_coco_is_refused_with_the_place(data: bytes, says: str) -> None:
    with pytest.raises(LdsError) as refused:
        coco.read(data, "labels.json")
    assert says in refused.value.message and refused.value.message.startswith("labels.json: ")
    assert "\n" not in refused.value.message and len(refused.value.message) < 200 and refused.value.hint


def test_a_byte_order_mark_strings_as_ids_and_masks_are_read() -> None:
    mask = {"size": [480, 640], "counts": "abc"}
    found = coco.read(
        b"\xef\xbb\xbf" + text({"images": [{"id": "a"}], "annotations": [{"id": 1, "segmentation": mask}]}), "a"
    )
    assert found.image_names == {"a": "(id a)"} and found.annotations[0]["segmentation"] == mask
    assert coco.is_coco(found.document) and not coco.is_coco({"images": 3, "annotations": []})


def test_equal_and_renumbered_files_have_no_changes() -> None:
    before = document(CATS, info={"year": 2026})
    other = document(reversed(CATS), first=1000, info={"year": 2026})
    assert not any(_lists(coco_diff.compare(read(before), read(before))))
    found = coco_diff.compare(read(before), read(other))
    assert not any(_lists(found)) and found.renumbered == 3 + 2 + 2 and found.others == ()
    assert found.counts == {"cat": (2, 2), "dog": (1, 1)}


def test_added_removed_and_changed_records_are_named() -> None:
    before = document(CATS, info={"year": 2025})
    after = document(
        [CATS[0], ("a.jpg", "dog", [101, 10, 30, 30]), ("c.jpg", "owl", [1, 1, 9, 9])], info={"year": 2026}
    )
    after["annotations"][0]["score"] = 0.5
    found = coco_diff.compare(read(before), read(after))
    assert [(c.after or {})["file_name"] for c in found.images.added] == ["c.jpg"]
    assert [c.image for c in found.images.removed] == ["b.jpg"]
    assert [c.category for c in found.categories.added] == ["owl"] and not found.categories.removed
    scored, moved = found.annotations.changed
    assert (scored.fields, scored.image, scored.category) == (("score",), "a.jpg", "cat")
    assert moved.fields == ("bbox",) and moved.iou == pytest.approx(29 / 31)
    assert [(c.image, c.category) for c in found.annotations.added] == [("c.jpg", "owl")]
    assert [(c.image, c.old_category) for c in found.annotations.removed] == [("b.jpg", "cat")]
    assert found.counts == {"cat": (2, 1), "dog": (1, 1), "owl": (0, 1)} and found.others == ("info",)


def test_boxes_that_moved_are_matched_under_other_ids() -> None:
    before = document(CATS)
    moved = [(image, kind, [box[0] + 2, box[1] + 1, *box[2:]]) for image, kind, box in CATS]
    found = coco_diff.compare(read(before), read(document(random.Random(3).sample(moved, 3), first=50)))
    assert [change.fields for change in found.annotations.changed] == [("bbox",)] * 3
    assert all(
        change.category == change.old_category and (change.iou or 0) > 0.7 for change in found.annotations.changed
    )


def test_another_category_of_the_same_shape_is_a_change() -> None:
    found = coco_diff.compare(read(document(CATS)), read(document([("a.jpg", "lynx", CATS[0][2]), *CATS[1:]], first=9)))
    (change,) = found.annotations.changed
    assert (change.fields, change.old_category, change.category) == (("category_id",), "cat", "lynx")


def test_an_id_that_means_another_image_is_another_annotation() -> None:
    before = document([("a.jpg", "cat", [1, 1, 5, 5])])
    after = document([("b.jpg", "cat", [1, 1, 5, 5])])
    found = coco_diff.compare(read(before), read(after)).annotations
    assert len(found.added) == len(found.removed) == 1 and not found.changed


def test_all_records_of_a_new_or_deleted_file_are_added_or_removed() -> None:
    new, gone = coco_diff.compare(None, read(document(CATS))), coco_diff.compare(read(document(CATS)), None)
    assert len(new.annotations.added) == 3 == len(gone.annotations.removed)
    assert new.counts["cat"] == (0, 2) and gone.counts["cat"] == (2, 0)


def test_duplicate_ids_and_names_and_dangling_references_are_compared() -> None:
    broken: dict[str, Any] = document(CATS)
    broken["images"].append({"id": 9, "file_name": "a.jpg"})
    broken["annotations"] += [dict(broken["annotations"][0]), {"image_id": 77, "category_id": 78}, {"caption": "x"}]
    found = coco_diff.compare(read(broken), read(broken))
    assert not any(_lists(found)) and found.counts["(no category 78)"] == (1, 1)


def test_a_crowd_of_boxes_is_compared_quickly() -> None:
    crowd = [("a.jpg", "cat", [float(at), 0.0, 50.0, 50.0]) for at in range(3000)]
    moved = [(image, kind, [box[0] + 0.5, *box[1:]]) for image, kind, box in crowd]
    found = coco_diff.compare(read(document(crowd)), read(document(moved, first=9000)))
    assert len(found.annotations.added) == 3000


def _lists(found: coco_diff.CocoChanges) -> list[coco_diff.ListChanges]:
    return [found.images, found.annotations, found.categories]

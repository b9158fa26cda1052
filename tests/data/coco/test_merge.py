"""Merges of COCO files: what both sides did is there, ids are right, and everything else stays as it was written."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.coco import CATS, Box, document, text
from pycocotools.coco import COCO

from git_lds.data.coco import merge as coco_merge
from git_lds.data.conflicts import Markers, Merged
from git_lds.errors import LdsError

Document = dict[str, Any]


def merged(base: Document | None, ours: Document, theirs: Document, **options: Any) -> Merged:
    sides = [text(side, **options) if side is not None else b"" for side in (base, ours, theirs)]
    return coco_merge.merge(sides[0], sides[1], sides[2], "a.json", Markers())


def clean(base: Document | None, ours: Document, theirs: Document) -> Document:
    done = merged(base, ours, theirs)
    assert done.conflicts == ()
    found: Document = json.loads(done.data)
    return found


def meaning(document: Document) -> list[tuple[Any, ...]]:
    """What a file says, whatever the ids: each annotation by names, with its fields; and the images and categories."""
    images = {image["id"]: image["file_name"] for image in document["images"]}
    kinds = {kind["id"]: kind["name"] for kind in document["categories"]}
    ids = ("id", "image_id", "category_id")
    said = [
        (
            images[a["image_id"]],
            kinds[a["category_id"]],
            json.dumps({k: v for k, v in a.items() if k not in ids}, sort_keys=True),
        )
        for a in document["annotations"]
    ]
    return sorted([*said, *((name,) for name in images.values()), *((name,) for name in kinds.values())])


def is_sound(document: Document) -> bool:
    """No id twice, and pycocotools finds for every annotation its image and its category."""
    for part in ("images", "annotations", "categories"):
        ids = [record["id"] for record in document[part]]
        assert len(set(ids)) == len(ids), part
    with contextlib.redirect_stdout(io.StringIO()):
        read = COCO()
        read.dataset = document
        read.createIndex()
    assert len(read.anns) == len(document["annotations"])
    for annotation in read.loadAnns(read.getAnnIds()):
        read.loadImgs([annotation["image_id"]])
        read.loadCats([annotation["category_id"]])
    return True


def test_additions_and_edits_of_both_sides_are_merged() -> None:
    base, ours = (
        document(CATS, info={"year": 2025}),
        document([*CATS, ("c.jpg", "owl", [1, 2, 3, 4])], info={"year": 2025}),
    )
    theirs = document([*CATS, ("d.jpg", "fox", [5, 6, 7, 8])], info={"year": 2026})
    ours["annotations"][0]["bbox"] = [11, 10, 50, 40]
    theirs["annotations"][0]["score"] = 0.5
    del theirs["annotations"][1]
    found = clean(base, ours, theirs)
    assert is_sound(found) and found["info"] == {"year": 2026}
    assert [(a["id"], a["image_id"], a["category_id"]) for a in found["annotations"]] == [
        (1, 1, 1), (3, 2, 1), (4, 3, 3), (5, 4, 4)
    ]  # fmt: skip
    assert found["annotations"][0]["bbox"] == [11, 10, 50, 40] and found["annotations"][0]["score"] == 0.5


def test_two_exports_with_colliding_ids_merge_without_loss() -> None:
    ours = document(CATS)
    theirs = document([("a.jpg", "cat", CATS[0][2]), ("c.jpg", "owl", [1, 2, 3, 4]), ("a.jpg", "owl", [9, 9, 9, 9])])
    found = clean(None, ours, theirs)
    assert is_sound(found)
    assert set(meaning(found)) == {*meaning(ours), *meaning(theirs)} and len(found["annotations"]) == 5
    assert [a["id"] for a in found["annotations"][:3]] == [1, 2, 3]


def test_text_ids_and_panoptic_segments_are_renumbered() -> None:
    ours = {"images": [{"id": "x", "file_name": "a"}], "annotations": [{"id": "p", "image_id": "x"}], "categories": []}
    theirs = {
        "images": [{"id": "x", "file_name": "b"}],
        "annotations": [{"id": "p", "image_id": "x"}],
        "categories": [],
    }
    found = clean(None, ours, theirs)
    assert [(a["id"], a["image_id"]) for a in found["annotations"]] == [("p", "x"), ("p-1", "x-1")]
    assert found["images"][1] == {"id": "x-1", "file_name": "b"}

    segment = {"id": 9, "category_id": 1}
    ours = document([("a.jpg", "cat", [1, 1, 2, 2])])
    theirs = document([("b.jpg", "dog", [1, 1, 2, 2])])
    theirs["annotations"][0]["segments_info"] = [segment]
    found = clean(None, ours, theirs)
    assert found["annotations"][1]["segments_info"] == [{"id": 9, "category_id": 2}]


def test_a_file_that_one_side_renumbered_takes_the_edits_of_the_other() -> None:
    base = document(CATS)
    ours, theirs = copy.deepcopy(base), document(reversed(CATS), first=500)
    ours["annotations"][2]["iscrowd"] = 1
    theirs["annotations"].append({**theirs["annotations"][0], "id": 900, "bbox": [300, 300, 5, 5]})
    found = clean(base, ours, theirs)
    by_id = {annotation["id"]: annotation for annotation in found["annotations"]}
    assert is_sound(found) and set(by_id) == {1, 2, 3, 900} and by_id[3]["iscrowd"] == 1


def test_unchanged_records_keep_their_text() -> None:
    base = (
        b'{"images": [{"id":1,  "file_name":"a"}],\r\n "annotations": [\r\n  {"area": 1.50, "id": 1, "image_id": 1},\r\n'
        b'  {"id": 2, "image_id": 1, "bbox": [1e0, 2, 3, 4.00]} ], "categories": [] }\r\n'
    )
    ours = base.replace(b'"area": 1.50', b'"area": 2.50')
    theirs = base.replace(b"4.00", b"5.00")
    done = coco_merge.merge(base, ours, theirs, "a.json", Markers())
    assert done.data == ours.replace(b"4.00", b"5.00") and not done.conflicts


def test_a_conflict_is_marked_and_either_side_of_it_is_json() -> None:
    base = document(CATS)
    for at in range(3):
        for indent in (None, 2):
            ours, theirs = copy.deepcopy(base), copy.deepcopy(base)
            ours["annotations"][at]["bbox"] = [1, 1, 1, 1]
            ours["annotations"][at]["note"] = "ours"
            theirs["annotations"][at]["bbox"] = [2, 2, 2, 2]
            theirs["annotations"][at]["score"] = 1
            done = merged(base, ours, theirs, indent=indent)
            assert done.conflicts == (f"{CATS[at][0]}: {CATS[at][1]}: bbox",)
            for side, box in ((0, [1, 1, 1, 1]), (1, [2, 2, 2, 2])):
                chosen = json.loads(resolved(done.data, side))
                annotation = chosen["annotations"][at]
                assert (annotation["bbox"], annotation["note"], annotation["score"]) == (box, "ours", 1)
                assert is_sound(chosen)


def test_a_deletion_against_a_change_is_a_conflict() -> None:
    base = document(CATS)
    for at in range(3):
        ours, theirs = copy.deepcopy(base), copy.deepcopy(base)
        del ours["annotations"][at]
        theirs["annotations"][at]["score"] = 1
        done = merged(base, ours, theirs)
        assert len(done.conflicts) == 1 and "deleted on one side" in done.conflicts[0]
        assert len(json.loads(resolved(done.data, 0))["annotations"]) == 2
        assert len(json.loads(resolved(done.data, 1))["annotations"]) == 3


def test_an_image_that_one_side_deleted_and_the_other_annotated_is_a_conflict() -> None:
    base = document(CATS, images=["z.jpg"])
    ours, theirs = copy.deepcopy(base), copy.deepcopy(base)
    del ours["images"][0]
    theirs["annotations"].append(
        {"id": 4, "image_id": 1, "category_id": 1, "bbox": [1, 1, 1, 1], "area": 1, "iscrowd": 0}
    )
    for sides in ((ours, theirs), (theirs, ours)):
        done = merged(base, *sides)
        assert done.conflicts == ("z.jpg: deleted on one side, and annotated on the other",)
        without, having = (json.loads(resolved(done.data, side)) for side in (0, 1)[:: 1 if sides[0] is ours else -1])
        assert is_sound(without) and len(without["annotations"]) == 3 and len(without["images"]) == 2
        assert is_sound(having) and len(having["annotations"]) == 4 and len(having["images"]) == 3


def resolved(data: bytes, side: int) -> str:
    """A text with markers as it is when one side (0: ours) was taken everywhere."""
    out, taking = [], None
    for line in data.decode().splitlines(keepends=True):
        if line.startswith("<<<<<<< "):
            taking = 0
        elif line.startswith("=======") and taking == 0:
            taking = 1
        elif line.startswith(">>>>>>> ") and taking == 1:
            taking = None
        elif taking in (None, side):
            out.append(line)
    return "".join(out)


@pytest.mark.parametrize(
    "broken",
    [
        b"[]",
        b'{"images": [], "annotations": 3}',
        b'{"images": [{"id": 1}, {"id": 1}], "annotations": []}',
        b'{"images": [], "annotations": [{"id": 1, "id": 2}]}',
        b'{"images": [], "annotations": [{"id": NaN}]}',
        b'{"images": [], "annotations": [], "x": ' + b"[" * 100_000,
        b'{"images": [], "annotations": [{"id": 1]}',
        b'{"images": [], "annotations": []',
        b'{"images": [], "annotations": []} x',
        b'{"images": [], "images": [], "annotations": []}',
    ],
)
def test_malformed_coco_is_refused(broken: bytes) -> None:
    fine = text(document(CATS))
    for sides in ((fine, broken), (broken, fine)):
        with pytest.raises(LdsError, match=r"a\.json"):
            coco_merge.merge(b"", *sides, "a.json", Markers())


# properties

_IMAGES, _KINDS = ("a.jpg", "b.jpg", "c.jpg"), ("cat", "dog")
boxes = st.lists(
    st.tuples(
        st.sampled_from(_IMAGES),
        st.sampled_from(_KINDS),
        st.tuples(*[st.integers(0, 5).map(lambda n: n * 100)] * 2, st.just(50), st.just(40)).map(list),
    ),
    max_size=8,
    unique_by=lambda box: (box[0], str(box[2])),
)


@st.composite
def sides(draw: st.DrawFn) -> tuple[Document, Document, Document, list[Box]]:
    """A base, and two sides that each change annotations of their own, delete some, and add some, with ids of any kind."""
    start: list[Box] = draw(boxes)
    base = document(start, images=_IMAGES)
    base["categories"] = [{"id": at, "name": name} for at, name in enumerate(_KINDS)]
    for annotation, box in zip(base["annotations"], start, strict=True):
        annotation["category_id"] = _KINDS.index(box[1])
    who = draw(st.lists(st.sampled_from(["neither", "ours", "theirs"]), min_size=len(start), max_size=len(start)))
    kinds = draw(st.lists(st.sampled_from(["delete", "move", "field"]), min_size=len(start), max_size=len(start)))
    found = []
    for offset, side in ((7, "ours"), (13, "theirs")):
        changed = copy.deepcopy(base)
        kept = []
        for owner, kind, annotation in zip(who, kinds, changed["annotations"], strict=True):
            if owner == side and kind == "move":
                annotation["bbox"] = [annotation["bbox"][0] + 3, annotation["bbox"][1], 50, 40]
            elif owner == side and kind == "field":
                annotation["score"] = offset
            if not (owner == side and kind == "delete"):
                kept.append(annotation)
        for image, kind, box in draw(boxes):
            number = len(base["annotations"]) + len(kept)
            kept.append({"id": number, "image_id": 1 + _IMAGES.index(image), "category_id": _KINDS.index(kind),
                         "bbox": [box[0] + 20 * offset, 900, 5, 5], "area": 25, "iscrowd": 0})  # fmt: skip
        changed["annotations"] = kept
        found.append(changed)
    return base, found[0], found[1], start


@settings(max_examples=60, deadline=None)
@given(sides())
def test_merges_lose_nothing_whichever_side_is_ours(drawn: tuple[Document, Document, Document, list[Box]]) -> None:
    base, ours, theirs, _ = drawn
    one, other = clean(base, ours, theirs), clean(base, theirs, ours)
    assert meaning(one) == meaning(other)
    assert is_sound(one) and is_sound(other)
    before = meaning(base)
    for side in (ours, theirs):
        said = meaning(side)
        assert all(entry in meaning(one) for entry in said if entry not in before)  # all that it added or changed
        assert not any(entry in meaning(one) for entry in before if entry not in said)  # nothing that it took away
    assert clean(base, ours, base) == ours and clean(base, base, theirs) == theirs


@settings(max_examples=40, deadline=None)
@given(boxes, boxes)
def test_any_two_exports_merge_to_their_union(ours: list[Box], theirs: list[Box]) -> None:
    one, other = document(ours, images=["a.jpg"]), document(theirs, images=["c.jpg"])
    found = clean(None, one, other)
    assert is_sound(found) and set(meaning(found)) == {*meaning(one), *meaning(other)}

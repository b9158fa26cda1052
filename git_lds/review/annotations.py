"""What changed in an annotation file, arranged by image, as the page shows it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from git_lds.data.coco.diff import CocoChanges, RecordChange
from git_lds.data.coco.model import Coco, Record
from git_lds.data.coco.shapes import box_of

MAX_ITEMS = 400
"""Annotations of one image that the page draws."""

_MAX_NUMBERS = 20_000
"""Numbers or letters of the largest segmentation that is drawn; a COCO polygon has some dozens, a mask some hundred."""

_MAX_POINTS = 1000
"""Key points of one annotation that are drawn, and bones between them; a whole body with face and hands has 133."""

_LONGEST = 200
"""Letters of a category's name that the page has."""

_ABOUT = {
    "bbox": "box",
    "keypoints": "key points",
    "category_id": "category",
    "segmentation": "outline",
    "iscrowd": "crowd",
    "image_id": "image",
}


Skeletons = Mapping[str, list[tuple[int, int]]]
"""Which key points, numbered from 0, are joined by a bone, by the name of the category."""


@dataclass(slots=True)
class OnImage:
    """The annotations of one image that changed, and those that did not; the image's records before and after."""

    skeletons: Skeletons

    before: Record | None = None
    after: Record | None = None
    changed: list[tuple[str, RecordChange]] = field(default_factory=list)
    same: list[Record] = field(default_factory=list)

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many were added, changed and removed."""
        kinds = [kind for kind, _ in self.changed]
        return kinds.count("added"), kinds.count("changed"), kinds.count("removed")

    @property
    def size(self) -> tuple[int, int] | None:
        """The size of the image in pixels, as the file says: width, height."""
        for record in (self.after, self.before):
            if record is not None:
                width, height = record.get("width"), record.get("height")
                if isinstance(width, int) and isinstance(height, int) and 0 < width < 1 << 20 and 0 < height < 1 << 20:
                    return width, height
        return None


def by_image(
    before: Coco | None, after: Coco | None, changes: CocoChanges, also: Iterable[str] = ()
) -> dict[str, OnImage]:
    """Return, by file name, the images whose annotations changed, and those of `also` that have annotations."""
    skeletons = {name: bones for side in (before, after) if side is not None for name, bones in _skeletons(side)}
    found: dict[str, OnImage] = {name: OnImage(skeletons) for name in also}
    for kind in ("changed", "added", "removed"):
        change: RecordChange
        for change in getattr(changes.annotations, kind):
            found.setdefault(change.image or "", OnImage(skeletons)).changed.append((kind, change))
    for kind in ("changed", "added", "removed"):
        for change in getattr(changes.images, kind):
            found.setdefault(change.image or "", OnImage(skeletons))
    _add_records(found, before, after)
    changed = {
        id(record) for _, change in _all(found) for record in (change.before, change.after) if record is not None
    }
    for side in (after,) if after is not None else (before,):
        for record in side.annotations if side is not None else ():
            if id(record) not in changed and side is not None and (at := found.get(side.image_of(record))) is not None:
                at.same.append(record)
    return found


def _skeletons(side: Coco) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    for record in side.categories:
        bones = record.get("skeleton")
        if isinstance(bones, list) and bones:
            pairs = [(bone[0] - 1, bone[1] - 1) for bone in bones[:_MAX_POINTS] if _is_bone(bone)]
            yield side.category_names[record["id"]], pairs


def _is_bone(bone: object) -> bool:
    return (
        isinstance(bone, list) and len(bone) == 2 and all(type(end) is int and 0 < end <= _MAX_POINTS for end in bone)
    )


def _add_records(found: Mapping[str, OnImage], before: Coco | None, after: Coco | None) -> None:
    for side, name in ((before, "before"), (after, "after")):
        for record in side.images if side is not None else ():
            assert side is not None
            if (at := found.get(side.image_names[record["id"]])) is not None:
                setattr(at, name, record)


def _all(found: Mapping[str, OnImage]) -> Iterator[tuple[str, RecordChange]]:
    for at in found.values():
        yield from at.changed


class Categories:
    """The names of categories of all annotation files, numbered as the page has them."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}

    def number(self, name: str | None) -> int:
        return self.names.setdefault((name or "(no category)")[:_LONGEST], len(self.names))


def items_of(at: OnImage, categories: Categories, same_names: Mapping[object, str]) -> dict[str, object]:
    """Return the annotations of an image as the page reads them; `same_names` has the categories of those that are as before."""
    items: list[dict[str, object]] = []
    for kind, change in at.changed[:MAX_ITEMS]:
        item: dict[str, object] = {
            "id": len(items),
            "s": kind,
            "c": categories.number(change.category or change.old_category),
        }
        if kind == "changed" and change.old_category != change.category:
            item["was"] = categories.number(change.old_category)
        if change.before is not None:
            item["old"] = _geometry(change.before, at.skeletons.get(change.old_category or "", []))
        if change.after is not None:
            item["new"] = _geometry(change.after, at.skeletons.get(change.category or "", []))
        if change.fields:
            item["how"] = _how(change)
        items.append(item)
    for record in at.same[: max(0, MAX_ITEMS - len(items))]:
        number = record.get("category_id")
        name = same_names.get(number) or ("(no category)" if number is None else f"(no category {number})")
        shape = _geometry(record, at.skeletons.get(name, []))
        items.append({"id": len(items), "s": "same", "c": categories.number(name), "old": shape, "new": shape})
    return {"items": items, "more": len(at.changed) + len(at.same) - len(items)}


def _geometry(record: Record, bones: list[tuple[int, int]]) -> dict[str, object]:
    found: dict[str, object] = {}
    points = _points(record.get("keypoints"))
    if any(points):
        found["points"] = [point for point in points if point is not None]
        ends = ((points[one], points[other]) for one, other in bones if max(one, other) < len(points))
        found["bones"] = [[*one, *other] for one, other in ends if one is not None and other is not None]
    if coco_box := record.get("bbox"):
        found["bbox"] = [round(value, 2) for value in coco_box]
    shape = record.get("segmentation")
    if isinstance(shape, list) and sum(len(polygon) for polygon in shape) <= _MAX_NUMBERS:
        found["segmentation"] = [[round(value, 1) for value in polygon] for polygon in shape]
    elif isinstance(shape, dict) and shape and len(shape["counts"]) <= _MAX_NUMBERS:
        found["segmentation"] = {"size": shape["size"], "counts": shape["counts"]}
    if "bbox" not in found and (around := box_of(record)) is not None:
        found["bbox"] = [round(value, 2) for value in around]
    return found


def _points(numbers: object) -> list[tuple[float, float] | None]:
    """Return where the key points are, in their order; None for one that is not labelled, none for what is no key points."""
    if not isinstance(numbers, list) or len(numbers) % 3 or len(numbers) > 3 * _MAX_POINTS:
        return []
    if not all(type(each) in (int, float) and abs(each) < 1e9 and math.isfinite(each) for each in numbers):
        return []
    found = zip(numbers[0::3], numbers[1::3], numbers[2::3], strict=True)
    return [(round(x, 1), round(y, 1)) if seen > 0 else None for x, y, seen in found]


def _how(change: RecordChange) -> str:
    """Return what changed of an annotation, for people: the fields, and how far the box moved."""
    named = []
    for one in change.fields:
        if one == "bbox" and change.iou is not None:
            named.append(f"box (overlap {100 * change.iou:.0f} %)")
        elif one == "category_id":
            continue  # the names before and after are shown
        elif one != "area" or len(change.fields) == 1:
            named.append(_ABOUT.get(one, one))
    return ", ".join(named[:8])

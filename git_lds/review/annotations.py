"""The changes in an annotation file by image, as the page shows them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from git_lds.data.coco.diff import CocoChanges, RecordChange
from git_lds.data.coco.model import Coco, Record
from git_lds.data.coco.shapes import box_of

MAX_ITEMS = 400
"""Annotations of one image that the page draws; the others are counted."""

_MAX_NUMBERS = 20_000
"""Numbers or characters of the largest segmentation that is drawn; a COCO polygon has some dozens, a mask some hundreds."""

_MAX_POINTS = 1000
"""Key points of one annotation that are drawn, and bones between them; a body with face and hands has 133."""

_LONGEST = 200
"""Characters of a category's name that the page shows."""

_FIELD_NAMES = {
    "bbox": "box",
    "keypoints": "key points",
    "category_id": "category",
    "segmentation": "outline",
    "iscrowd": "crowd",
    "image_id": "image",
}


Skeletons = Mapping[str, list[tuple[int, int]]]
"""By category: pairs of key points, numbered from 0, that are joined by a bone."""


@dataclass(slots=True)
class ImageAnnotations:
    """The annotations of one image: those that changed, and those that did not (`same`).

    `before` and `after` are the records of the image. An item of `changed` is (added, changed or removed; the change).
    """

    skeletons: Skeletons

    before: Record | None = None
    after: Record | None = None
    changed: list[tuple[str, RecordChange]] = field(default_factory=list)
    same: list[Record] = field(default_factory=list)

    @property
    def counts(self) -> tuple[int, int, int]:
        """The numbers of annotations that were added, changed and removed."""
        kinds = [kind for kind, _ in self.changed]
        return kinds.count("added"), kinds.count("changed"), kinds.count("removed")

    @property
    def size(self) -> tuple[int, int] | None:
        """The width and height of the image in pixels, as recorded in the file, or None."""
        for record in (self.after, self.before):
            if record is not None:
                width, height = record.get("width"), record.get("height")
                if isinstance(width, int) and isinstance(height, int) and 0 < width < 1 << 20 and 0 < height < 1 << 20:
                    return width, height
        return None


def by_image(
    before: Coco | None, after: Coco | None, changes: CocoChanges, also: Iterable[str] = ()
) -> dict[str, ImageAnnotations]:
    """Return the annotations of each image by its file name: of images that changed, and of those in `also`."""
    skeletons = {name: bones for side in (before, after) if side is not None for name, bones in _skeletons(side)}
    images = {name: ImageAnnotations(skeletons) for name in also}
    for kind in ("changed", "added", "removed"):
        change: RecordChange
        for change in getattr(changes.annotations, kind):
            images.setdefault(change.image or "", ImageAnnotations(skeletons)).changed.append((kind, change))
    for kind in ("changed", "added", "removed"):
        for change in getattr(changes.images, kind):
            images.setdefault(change.image or "", ImageAnnotations(skeletons))
    _add_records(images, before, after)
    changed = {
        id(record) for _, change in _all(images) for record in (change.before, change.after) if record is not None
    }
    side = after if after is not None else before
    if side is not None:
        for record in side.annotations:
            if id(record) not in changed and (image := images.get(side.image_of(record))) is not None:
                image.same.append(record)
    return images


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


def _add_records(images: Mapping[str, ImageAnnotations], before: Coco | None, after: Coco | None) -> None:
    for side, name in ((before, "before"), (after, "after")):
        for record in side.images if side is not None else ():
            assert side is not None
            if (image := images.get(side.image_names[record["id"]])) is not None:
                setattr(image, name, record)


def _all(images: Mapping[str, ImageAnnotations]) -> Iterator[tuple[str, RecordChange]]:
    for image in images.values():
        yield from image.changed


class Categories:
    """The names of the categories of all annotation files. The page refers to them by number."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}

    def number(self, name: str | None) -> int:
        """Return the number of a category, which is added if it is new; None is an annotation without a category."""
        return self.names.setdefault((name or "(no category)")[:_LONGEST], len(self.names))


def drawn_items(
    image: ImageAnnotations, categories: Categories, category_names: Mapping[object, str]
) -> dict[str, object]:
    """Return the annotations of an image as the page reads them, and the number of others in `more`.

    An item has an `id` in this image, `s` (added, changed, removed or same), the number of its category `c` and of the
    category before `was`, the shapes before and after, `old` and `new`, and the text `how` about the change.
    `category_names` has the categories of the annotations that did not change.
    """
    items: list[dict[str, object]] = []
    for kind, change in image.changed[:MAX_ITEMS]:
        item: dict[str, object] = {
            "id": len(items),
            "s": kind,
            "c": categories.number(change.category or change.old_category),
        }
        if kind == "changed" and change.old_category != change.category:
            item["was"] = categories.number(change.old_category)
        if change.before is not None:
            item["old"] = _geometry(change.before, image.skeletons.get(change.old_category or "", []))
        if change.after is not None:
            item["new"] = _geometry(change.after, image.skeletons.get(change.category or "", []))
        if change.fields:
            item["how"] = _how(change)
        items.append(item)
    for record in image.same[: max(0, MAX_ITEMS - len(items))]:
        number = record.get("category_id")
        name = category_names.get(number) or ("(no category)" if number is None else f"(no category {number})")
        shape = _geometry(record, image.skeletons.get(name, []))
        items.append({"id": len(items), "s": "same", "c": categories.number(name), "old": shape, "new": shape})
    return {"items": items, "more": len(image.changed) + len(image.same) - len(items)}


def _geometry(record: Record, bones: list[tuple[int, int]]) -> dict[str, object]:
    """Return the shape of an annotation: bbox, segmentation, key points and bones, as far as it has them."""
    shapes: dict[str, object] = {}
    points = _points(record.get("keypoints"))
    if any(points):
        shapes["points"] = [point for point in points if point is not None]
        ends = ((points[one], points[other]) for one, other in bones if max(one, other) < len(points))
        shapes["bones"] = [[*one, *other] for one, other in ends if one is not None and other is not None]
    if coco_box := record.get("bbox"):
        shapes["bbox"] = [round(value, 2) for value in coco_box]
    shape = record.get("segmentation")
    if isinstance(shape, list) and sum(len(polygon) for polygon in shape) <= _MAX_NUMBERS:
        shapes["segmentation"] = [[round(value, 1) for value in polygon] for polygon in shape]
    elif isinstance(shape, dict) and shape and len(shape["counts"]) <= _MAX_NUMBERS:
        shapes["segmentation"] = {"size": shape["size"], "counts": shape["counts"]}
    if "bbox" not in shapes and (around := box_of(record)) is not None:
        shapes["bbox"] = [round(value, 2) for value in around]
    return shapes


def _points(numbers: object) -> list[tuple[float, float] | None]:
    """Return the positions of key points, None for one that is not labelled. Malformed key points are an empty list."""
    if not isinstance(numbers, list) or len(numbers) % 3 or len(numbers) > 3 * _MAX_POINTS:
        return []
    if not all(type(n) in (int, float) and abs(n) < 1e9 and math.isfinite(n) for n in numbers):
        return []
    triples = zip(numbers[0::3], numbers[1::3], numbers[2::3], strict=True)
    return [(round(x, 1), round(y, 1)) if visibility > 0 else None for x, y, visibility in triples]


def _how(change: RecordChange) -> str:
    """Return the names of the fields of an annotation that changed, and how much its boxes overlap."""
    named = []
    for name in change.fields:
        if name == "bbox" and change.iou is not None:
            named.append(f"box (overlap {100 * change.iou:.0f} %)")
        elif name == "category_id":
            continue  # the page shows the categories before and after
        elif name != "area" or len(change.fields) == 1:
            named.append(_FIELD_NAMES.get(name, name))
    return ", ".join(named[:8])

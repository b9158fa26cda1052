"""Mistakes within one annotation file: ids that occur twice or refer to nothing, boxes outside their image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from git_lds.data.coco.model import PARTS, Coco, Record
from git_lds.data.json import strict

_SLACK = 1.0
"""Pixels that a box may exceed the edge of its image by: tools round."""


class Finding(NamedTuple):
    """A mistake: the path of the file, the name of the check, and a message of one line."""

    path: str
    check: str
    message: str


def of_ids(coco: Coco) -> Iterator[Finding]:
    """Yield the ids and names that occur more than once."""
    for part in PARTS:
        records: list[Record] = getattr(coco, part)
        often = Counter(record["id"] for record in records if record.get("id") is not None)
        for number, count in often.items():
            if count > 1:
                yield Finding(coco.name, "ids", f"{count} {part} have the id {strict.shortened(number)}")
    for key, part in (("file_name", "images"), ("name", "categories")):
        names = Counter(record[key] for record in getattr(coco, part) if record.get(key))
        for name, count in names.items():
            if count > 1:
                yield Finding(coco.name, "ids", f"{count} {part} have the {key} {strict.shortened(name)}")


def of_references(coco: Coco) -> Iterator[Finding]:
    """Yield the annotations that refer to a missing image or category."""
    images, categories = coco.image_names, coco.category_names
    for place, record in enumerate(coco.annotations):
        image, category = record.get("image_id"), record.get("category_id")
        if image not in images:
            what = "no image_id" if image is None else f"image_id {strict.shortened(image)}, which no image has"
            yield Finding(coco.name, "references", f"{_named(record, place)} has {what}")
        if category is not None and category not in categories:
            what = f"category_id {strict.shortened(category)}, which no category has"
            yield Finding(coco.name, "references", f"{_named(record, place)} has {what}")


def of_boxes(coco: Coco) -> Iterator[Finding]:
    """Yield the boxes that are empty or exceed their image, by the size that the file has for it."""
    sizes = {record["id"]: (record.get("width"), record.get("height")) for record in coco.images}
    for place, record in enumerate(coco.annotations):
        box = record.get("bbox")
        if not box:
            continue
        x, y, width, height = box
        if width <= 0 or height <= 0:
            yield Finding(coco.name, "boxes", f"{_named(record, place)} has an empty box: {strict.shortened(box)}")
            continue
        across, down = sizes.get(record.get("image_id"), (None, None))
        if not across or not down:
            continue
        if x < -_SLACK or y < -_SLACK or x + width > across + _SLACK or y + height > down + _SLACK:
            where = f"{strict.shortened(coco.image_of(record))}, which is {across} by {down}"
            yield Finding(
                coco.name, "boxes", f"{_named(record, place)} has a box outside {where}: {strict.shortened(box)}"
            )


def _named(record: Record, place: int) -> str:
    number = record.get("id")
    return f"annotation {strict.shortened(number)}" if number is not None else f"annotations[{place}]"

"""The words that tests about data are written in: COCO files in a line or two."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from git_lds.data.coco import model as coco
from git_lds.data.coco.model import Coco

Document = dict[str, Any]
Box = tuple[str, str, list[float]]
"""An annotation: the image's file name, the category's name, the box."""


def document(boxes: Iterable[Box], *, first: int = 1, images: Iterable[str] = (), **others: Any) -> Document:
    """A COCO export of boxes, whose ids begin at `first`; images and categories are numbered as they come."""
    boxes = list(boxes)
    names = list(dict.fromkeys([*images, *(image for image, _, _ in boxes)]))
    kinds = list(dict.fromkeys(kind for _, kind, _ in boxes))
    return {
        **others,
        "images": [{"id": first + at, "file_name": name, "width": 640, "height": 480} for at, name in enumerate(names)],
        "annotations": [
            {
                "id": first + at,
                "image_id": first + names.index(image),
                "category_id": first + kinds.index(kind),
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
            }
            for at, (image, kind, box) in enumerate(boxes)
        ],
        "categories": [{"id": first + at, "name": name} for at, name in enumerate(kinds)],
    }


def text(value: object, **options: Any) -> bytes:
    return json.dumps(value, **options).encode()


def read(value: object) -> Coco:
    return coco.read(text(value), "a.json")


CATS: list[Box] = [
    ("a.jpg", "cat", [10, 10, 50, 40]),
    ("a.jpg", "dog", [100, 10, 30, 30]),
    ("b.jpg", "cat", [5, 5, 20, 20]),
]

"""Shapes of COCO annotations: which are equal, the box around one, and how much two boxes overlap."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from git_lds.data.coco.model import Record

Box = tuple[float, float, float, float]
"""x, y, width and height in pixels."""

_NUMBERS = frozenset((int, float))


def shape_of(record: Record) -> Hashable:
    """Return a value that is equal for equal shapes: of polygons or mask, box, key points and caption."""
    get = record.get
    box = get("bbox")
    if not (get("segmentation") or get("keypoints") or get("caption")):
        return tuple(box) if box else None
    return tuple(_frozen(get(key) or None) for key in ("segmentation", "bbox", "keypoints", "caption"))


def _frozen(value: Any) -> Hashable:
    if isinstance(value, list):
        return tuple(value) if _NUMBERS.issuperset(map(type, value)) else tuple(map(_frozen, value))
    if isinstance(value, dict):
        return tuple(sorted((key, _frozen(inner)) for key, inner in value.items()))
    return value  # type: ignore[no-any-return]


def box_of(record: Record) -> Box | None:
    """Return the box of an annotation, else the box around its polygons, else None."""
    box = record.get("bbox")
    if box:
        return box[0], box[1], box[2], box[3]
    shape = record.get("segmentation")
    if not isinstance(shape, list):
        return None
    xs = [x for polygon in shape for x in polygon[::2]]
    ys = [y for polygon in shape for y in polygon[1::2]]
    return (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)) if xs and ys else None


def iou(one: Box, other: Box) -> float:
    """Return how much two boxes overlap: intersection over union, 0 to 1."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    whole = one[2] * one[3] + other[2] * other[3] - shared
    return float(shared / whole) if whole > 0 else 0.0

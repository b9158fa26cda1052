"""The pictures of a review: each image before and after, with the annotations that are drawn over it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from git_lds import workers
from git_lds.data.image.render import Picture, Studio
from git_lds.review.annotations import Categories, drawn_items
from git_lds.review.model import ReviewEntry
from git_lds.workers import Stop

NumberedEntry = tuple[int, ReviewEntry]
"""An entry with its number on the page."""


def draw(studio: Studio, images: Sequence[NumberedEntry], categories: Categories) -> Iterator[NumberedEntry]:
    """Yield the images as they are drawn, with their details. Several are drawn at the same time."""

    def work(image: NumberedEntry, stop: Stop) -> NumberedEntry:
        stop.check()
        entry = image[1]
        entry.pair = studio.pair(entry.before, entry.after, entry.recorded_size)
        return image

    # Pillow releases Python's lock while it decodes, scales and encodes
    for number, entry in workers.run(images, work, count=min(8, os.cpu_count() or 1)):
        _describe(entry, categories)
        yield number, entry


def _describe(entry: ReviewEntry, categories: Categories) -> None:
    """Add to an entry what the page shows of its pair of pictures."""
    pair = entry.pair
    assert pair is not None
    for side in dict.fromkeys((pair.before, pair.after)):
        if isinstance(side, str):
            entry.notes.append(side)
    sizes = {side.size for side in (pair.before, pair.after) if isinstance(side, Picture)}
    notes = []
    if entry.recorded_size is not None and sizes and entry.recorded_size not in sizes:
        width, height = entry.recorded_size
        notes.append(f"its annotations are for {width} by {height} pixels")
    groups = []
    for group in entry.groups:
        size = group.image.size or next(iter(sizes), (1, 1))
        items = drawn_items(group.image, categories, group.category_names)
        groups.append({"source": group.source, "size": size, **items})
    entry.detail.update(
        {
            "pictures": [_picture(pair.before), _picture(pair.after)],
            "difference": pair.difference,
            "annotations": groups,
            "notes": notes,
        }
    )


def _picture(picture: Picture | str | None) -> dict[str, object] | None:
    """Return a picture as the page reads it: `absent` is the reason why there is none, `of` the size of the original."""
    if picture is None:
        return None
    if isinstance(picture, str):
        return {"absent": picture}
    values: dict[str, object] = {"src": picture.large, "width": picture.shown[0], "height": picture.shown[1]}
    if picture.size != picture.shown:
        values["of"] = picture.size
    return values

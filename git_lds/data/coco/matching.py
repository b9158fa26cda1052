"""Which annotation of one COCO file is which of another, whatever ids their exports gave them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import NamedTuple

from git_lds.data.coco.model import Coco, Record
from git_lds.data.coco.shapes import box_of, iou, shape_of

_SAME_BOX = 0.5
"""Boxes that overlap at least this much (intersection over union) count as one box that moved, as in COCO's own evaluation."""

_MAX_PAIRS = 250_000
"""Pairs of boxes that are compared in one image, at most. A real image has some hundred boxes."""


class Matches(NamedTuple):
    """The annotations that two files share, as indexes into their lists.

    `matches` maps an index in the file after to one in the file before. `equal` are the indexes after whose annotation did
    not change in any field or reference. `added` are the other indexes after, `removed` the other indexes before.
    """

    matches: dict[int, int]
    equal: set[int]
    added: list[int]
    removed: list[int]


def match_annotations(before: Coco, after: Coco) -> Matches:
    """Return which annotation of `after` is which of `before`.

    The rules, in this order: the same id and image, and the category or the shape as well; the same image, category and
    shape; the same image and shape; the boxes of an image that overlap most, by half at least, those of one category
    first; last, the same id in the same image.
    """
    matcher = _Matcher(before, after)
    matcher.match_by_equality()
    equal = set(matcher.matches)
    if matcher.is_open:
        matcher.match_by_identity(agrees=_agree)
        matcher.match_by_key(_images_categories_shapes)
        matcher.match_by_key(_images_shapes)
        matcher.match_by_overlap()
        matcher.match_by_identity()
    return Matches(matcher.matches, equal, matcher.new, matcher.old)


def _identities(coco: Coco, indexes: Sequence[int]) -> Iterator[Hashable]:
    records, images = coco.annotations, coco.annotated_images
    return ((number, images[at]) if (number := records[at].get("id")) is not None else None for at in indexes)


def _images_categories_shapes(coco: Coco, indexes: Sequence[int]) -> Iterator[Hashable]:
    records, images, categories = coco.annotations, coco.annotated_images, coco.annotated_categories
    return ((images[at], categories[at], shape_of(records[at])) for at in indexes)


def _images_shapes(coco: Coco, indexes: Sequence[int]) -> Iterator[Hashable]:
    records, images = coco.annotations, coco.annotated_images
    return ((images[at], shape_of(records[at])) for at in indexes)


def _agree(before: Coco, old: Record, after: Coco, new: Record) -> bool:
    """Return whether two annotations with one id on one image are one. An export that renumbers repeats ids by chance."""
    return before.category_of(old) == after.category_of(new) or shape_of(old) == shape_of(new)


Keys = Callable[[Coco, Sequence[int]], Iterator[Hashable]]
"""Yields the key of the annotation at each index; None for one without a key."""

Agrees = Callable[[Coco, Record, Coco, Record], bool]


class _Matcher:
    """The matches so far, and the indexes in both lists, `old` and `new`, that have none yet."""

    def __init__(self, before: Coco, after: Coco) -> None:
        self._before, self._after = before, after
        self.matches: dict[int, int] = {}
        self.old: list[int] = list(range(len(before.annotations)))
        self.new: list[int] = list(range(len(after.annotations)))
        self._index_of_id = {record.get("id"): at for at, record in enumerate(before.annotations)}
        self._has_unique_ids = len(self._index_of_id) == len(before.annotations)
        self._index_of_id.pop(None, None)

    @property
    def is_open(self) -> bool:
        return bool(self.old and self.new)

    def match_by_equality(self) -> None:
        """Match what has the same fields, and refers to the same image and category by the same ids.

        In most files that is nearly all. So it comes first, and is cheap.
        """
        before, after = self._before, self._after
        images = _same_names(before.image_names, after.image_names)
        categories = _same_names(before.category_names, after.category_names)
        index_of_id = self._index_of_id
        olds, free, matches = before.annotations, bytearray(b"\1") * len(before.annotations), self.matches
        for new, record in enumerate(after.annotations):
            at = index_of_id.get(record.get("id"))
            if at is None or not free[at] or olds[at] != record:
                continue
            if record.get("image_id") in images and record.get("category_id") in categories:
                matches[new] = at
                free[at] = 0
        self._close()

    def match_by_identity(self, agrees: Agrees | None = None) -> None:
        """Match what has the same id in the same image, as `match_by_key` would."""
        if not self.is_open:
            return
        if not self._has_unique_ids:
            self.match_by_key(_identities, agrees)
            return
        index_of_id, matches = self._index_of_id, self.matches
        olds, news = self._before.annotations, self._after.annotations
        old_images, new_images = self._before.annotated_images, self._after.annotated_images
        free = set(self.old)
        for new in self.new:
            old = index_of_id.get(news[new].get("id"))
            if old is None or old_images[old] != new_images[new] or old not in free:
                continue
            if agrees is None or agrees(self._before, olds[old], self._after, news[new]):
                matches[new] = old
                free.remove(old)
        self._close()

    def match_by_key(self, keys: Keys, agrees: Agrees | None = None) -> None:
        """Match what has the same key and no match yet; of several the first with the first."""
        if not self.is_open:
            return
        waiting = self._waiting_by_key(keys)
        olds, news = self._before.annotations, self._after.annotations
        for new, value in zip(self.new, keys(self._after, self.new), strict=True):
            candidates = waiting.get(value)
            if candidates is None:
                continue
            first = candidates if isinstance(candidates, int) else candidates[-1]
            if agrees is None or agrees(self._before, olds[first], self._after, news[new]):
                self.matches[new] = first
                if isinstance(candidates, int) or len(candidates) == 1:
                    del waiting[value]
                else:
                    candidates.pop()
        self._close()

    def _waiting_by_key(self, keys: Keys) -> dict[Hashable, int | list[int]]:
        """Return the indexes before by key: one index, or a list with the first one last.

        Nearly all keys occur once, and a million lists are not small.
        """
        waiting: dict[Hashable, int | list[int]] = {}
        backwards = self.old[::-1]
        for old, value in zip(backwards, keys(self._before, backwards), strict=True):
            if value is None:
                continue
            known = waiting.setdefault(value, old)
            if isinstance(known, list):
                known.append(old)
            elif known != old:
                waiting[value] = [known, old]
        return waiting

    def match_by_overlap(self) -> None:
        """Match the boxes of each image that overlap most, until none overlaps by `_SAME_BOX`."""
        old_by_image: dict[str, list[int]] = {}
        for old in self.old:
            old_by_image.setdefault(self._before.annotated_images[old], []).append(old)
        new_by_image: dict[str, list[int]] = {}
        for new in self.new:
            if (image := self._after.annotated_images[new]) in old_by_image:
                new_by_image.setdefault(image, []).append(new)
        for image, news in new_by_image.items():
            olds = old_by_image[image]
            if len(olds) * len(news) <= _MAX_PAIRS:
                self._match_by_overlap_in(olds, news)
        self._close()

    def _match_by_overlap_in(self, olds: Sequence[int], news: Sequence[int]) -> None:
        before, after = self._before, self._after
        old_boxes = [box_of(before.annotations[at]) for at in olds]
        close = []
        for new in news:
            record = after.annotations[new]
            if (box := box_of(record)) is None:
                continue
            category = after.category_of(record)
            for old, other in zip(olds, old_boxes, strict=True):
                if other is not None and (overlap := iou(other, box)) >= _SAME_BOX:
                    is_other = before.category_of(before.annotations[old]) != category
                    close.append((is_other, -overlap, new, old))
        taken: set[int] = set()
        for _, _, new, old in sorted(close):
            if new not in self.matches and old not in taken:
                self.matches[new] = old
                taken.add(old)

    def _close(self) -> None:
        """Remove what has a match from `old` and `new`."""
        taken = set(self.matches.values())
        self.old = [old for old in self.old if old not in taken]
        self.new = [new for new in self.new if new not in self.matches]


def _same_names(before: Mapping[Hashable, str], after: Mapping[Hashable, str]) -> set[Hashable]:
    """Return the ids that name the same on both sides; None, for an annotation without a reference, is one of them."""
    return {number for number, name in after.items() if before.get(number) == name} | {None}

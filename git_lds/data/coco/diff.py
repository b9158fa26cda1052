"""Which records differ between two COCO files: images, annotations and categories, whatever their ids are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from git_lds.data.coco import model
from git_lds.data.coco.matching import match_annotations
from git_lds.data.coco.model import PARTS, Coco, NotCoco, Record
from git_lds.data.coco.shapes import box_of, iou
from git_lds.data.json import strict


class RecordChange(NamedTuple):
    """A record that was added (no `before`), removed (no `after`) or changed in `fields`.

    `image` is the file name of the image, or of the image that the annotation is on. `category` is the name of the category
    now, `old_category` its name before. `iou` is how much the boxes before and after overlap, 0 to 1, if both have one.
    """

    before: Record | None
    after: Record | None
    fields: tuple[str, ...]
    image: str | None
    category: str | None
    old_category: str | None
    iou: float | None = None


@dataclass(frozen=True, slots=True)
class ListChanges:
    """The changes of one list of records, each in the order of the file."""

    added: tuple[RecordChange, ...] = ()
    removed: tuple[RecordChange, ...] = ()
    changed: tuple[RecordChange, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


@dataclass(frozen=True, slots=True)
class CocoChanges:
    """The changes between two COCO files. `counts` has the number of annotations before and after by category.

    `renumbered` counts the records that only have another id; `others` are the other keys of the file whose values changed.
    """

    images: ListChanges
    annotations: ListChanges
    categories: ListChanges
    counts: Mapping[str, tuple[int, int]]
    renumbered: int
    others: tuple[str, ...]


def diff(before: bytes | None, after: bytes | None, name: str, key: Sequence[str] = ()) -> CocoChanges:
    """Return the changes between two versions of a file; one that is None or empty has no records.

    Raises NotCoco if a version is JSON of another kind, LdsError if one is malformed.
    """
    documents = [strict.loads(data, name) if data else None for data in (before, after)]
    if not any(map(model.is_coco, documents)) or not all(d is None or model.is_coco(d) for d in documents):
        raise NotCoco(f"{name}: not COCO: it has no lists of images and annotations")
    old, new = (model.of_document(document, name) if document is not None else None for document in documents)
    return compare(old, new)


def compare(before: Coco | None, after: Coco | None) -> CocoChanges:
    """Return the changes from one COCO file to another; None is a file without records."""
    with strict.no_pauses():
        old, new = before or Coco("", {}), after or Coco("", {})
        images, moved_images = _compare_named(old.images, new.images, old.image_names, new.image_names, image=True)
        categories, moved_categories = _compare_named(
            old.categories, new.categories, old.category_names, new.category_names, image=False
        )
        annotations, moved = _compare_annotations(old, new)
        keys = dict.fromkeys([*old.document, *new.document])
        others = [key for key in keys if key not in PARTS and old.document.get(key) != new.document.get(key)]
    renumbered = moved + moved_images + moved_categories
    return CocoChanges(images, annotations, categories, _counts(old, new), renumbered, tuple(others))


def _compare_named(
    olds: Sequence[Record],
    news: Sequence[Record],
    old_names: Mapping[Hashable, str],
    new_names: Mapping[Hashable, str],
    *,
    image: bool,
) -> tuple[ListChanges, int]:
    """Return the changes of a list of images or categories, and how many records only have another id."""
    before = {old_names[record["id"]]: record for record in olds}
    added, changed, renumbered = [], [], 0
    for record in news:
        name = new_names[record["id"]]
        named = (name, None, None) if image else (None, name, name)
        if (old := before.pop(name, None)) is None:
            added.append(RecordChange(None, record, (), *named))
        elif fields := changed_fields(old, record, but=("id",)):
            changed.append(RecordChange(old, record, fields, *named))
        elif old["id"] != record["id"]:
            renumbered += 1
    removed = [
        RecordChange(record, None, (), *((name, None, None) if image else (None, name, name)))
        for name, record in before.items()
    ]
    return ListChanges(tuple(added), tuple(removed), tuple(changed)), renumbered


def changed_fields(old: Record, new: Record, *, but: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the fields whose values differ, in the order of the records."""
    keys = [key for key in dict.fromkeys([*old, *new]) if key not in but]
    return tuple(key for key in keys if (key in old) != (key in new) or old.get(key) != new.get(key))


def _compare_annotations(before: Coco, after: Coco) -> tuple[ListChanges, int]:
    matched = match_annotations(before, after)
    olds, news = before.annotations, after.annotations
    changed, renumbered = [], 0
    for at in sorted(matched.matches.keys() - matched.equal):
        old_at = matched.matches[at]
        old, new = olds[old_at], news[at]
        same_image = before.annotated_images[old_at] == after.annotated_images[at]
        same_category = before.annotated_categories[old_at] == after.annotated_categories[at]
        if same_image and same_category and are_same_but_ids(old, new):
            renumbered += 1
        elif fields := _fields_of(old, new, same_image=same_image, same_category=same_category):
            changed.append(_changed(before, old, after, new, fields))
        else:
            renumbered += 1
    fresh = (news[at] for at in matched.added)
    added = [RecordChange(None, new, (), after.image_of(new), after.category_of(new), None) for new in fresh]
    gone = (olds[at] for at in matched.removed)
    removed = [RecordChange(old, None, (), before.image_of(old), None, before.category_of(old)) for old in gone]
    return ListChanges(tuple(added), tuple(removed), tuple(changed)), renumbered


def are_same_but_ids(old: Record, new: Record) -> bool:
    """Return whether two annotations are equal apart from their ids (fast path)."""
    get = new.get
    return {**old, "id": get("id"), "image_id": get("image_id"), "category_id": get("category_id")} == new


def _fields_of(old: Record, new: Record, *, same_image: bool, same_category: bool) -> tuple[str, ...]:
    """Return the fields in which an annotation changed; references count by what they name."""
    fields = changed_fields(old, new, but=("id", "image_id", "category_id")) if old != new else ()
    if not same_image:
        fields = ("image_id", *fields)
    return fields if same_category else ("category_id", *fields)


def _changed(before: Coco, old: Record, after: Coco, new: Record, fields: tuple[str, ...]) -> RecordChange:
    boxes = box_of(old), box_of(new)
    overlap = iou(boxes[0], boxes[1]) if boxes[0] and boxes[1] else None
    return RecordChange(old, new, fields, after.image_of(new), after.category_of(new), before.category_of(old), overlap)


def _counts(before: Coco, after: Coco) -> dict[str, tuple[int, int]]:
    old, new = _count(before), _count(after)
    names = dict.fromkeys([*before.category_names.values(), *after.category_names.values(), *old, *new])
    return {name: (old.get(name, 0), new.get(name, 0)) for name in names}


def _count(coco: Coco) -> dict[str, int]:
    """Return the number of annotations by the name of their category."""
    counts: dict[str, int] = {}
    for number, often in Counter(annotation.get("category_id") for annotation in coco.annotations).items():
        name = coco.category_of({"category_id": number})
        counts[name] = counts.get(name, 0) + often
    return counts

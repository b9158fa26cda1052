"""COCO annotations: images, categories, and annotations that say what is where in which image.

Ids are numbers that an export gives and the next may give differently. So what a record is, is told by names and geometry:
an image by its file name, a category by its name, an annotation by both and by its shape.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from git_lds.data.json import strict
from git_lds.errors import LdsError

Record = dict[str, Any]
"""An image, annotation or category as the file has it."""

PARTS = ("images", "annotations", "categories")
GEOMETRY = ("bbox", "segmentation", "area", "iscrowd")
"""The fields that say together where something is: half of one shape and half of another is no shape."""

_SAME_BOX = 0.5
"""From this overlap on (intersection over union) two boxes are taken for one that was moved, as COCO's own evaluation does."""

_MAX_PAIRS = 250_000
"""How many pairs of boxes in one image are compared for their overlap. A real image has some hundred boxes."""


class Coco:
    """What a COCO file says: `document` is the whole of it, and its lists of records are here by name as well."""

    def __init__(self, name: str, document: dict[str, Any]) -> None:
        self.name = name
        self.document = document
        self.images: list[Record] = document.get("images", [])
        self.annotations: list[Record] = document.get("annotations", [])
        self.categories: list[Record] = document.get("categories", [])

    @cached_property
    def image_names(self) -> Names:
        """What names an image, by its id: its file name, and its id as well where several have that file name."""
        return _names(self.images, "file_name", "image")

    @cached_property
    def category_names(self) -> Names:
        """What names a category, by its id."""
        return _names(self.categories, "name", "category")

    @cached_property
    def annotated_images(self) -> list[str]:
        """The name of the image that each annotation is on."""
        names = self.image_names
        return [names[record.get("image_id")] for record in self.annotations]

    @cached_property
    def annotated_categories(self) -> list[str]:
        """The name of the category that each annotation has."""
        names = self.category_names
        return [names[record.get("category_id")] for record in self.annotations]

    def image_of(self, annotation: Record) -> str:
        """Return the name of the image that an annotation is on, whether there is such an image or not."""
        return self.image_names[annotation.get("image_id")]

    def category_of(self, annotation: Record) -> str:
        """Return the name of the category that an annotation has, whether there is such a category or not."""
        return self.category_names[annotation.get("category_id")]


class Names(dict[Hashable, str]):
    """Names by id; what nothing has for its id has a name as well, which says so."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what

    def __missing__(self, number: Hashable) -> str:
        return f"(no {self._what})" if number is None else f"(no {self._what} {number})"


class Change(NamedTuple):
    """A record that was added (no `before`), removed (no `after`) or changed in `fields`.

    `image` is the file name of the image, or of that which the annotation is on; `category` the name of the category, now
    and `old_category` before; `iou` how much the box before and the box after overlap, of 1, where both have one.
    """

    before: Record | None
    after: Record | None
    fields: tuple[str, ...]
    image: str | None
    category: str | None
    old_category: str | None
    iou: float | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes of one list of records, each in the order of the file."""

    added: tuple[Change, ...] = ()
    removed: tuple[Change, ...] = ()
    changed: tuple[Change, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


@dataclass(frozen=True, slots=True)
class CocoChanges:
    """What changed between two COCO files. `counts` has, for each category, its annotations before and after.

    `renumbered` records only have another id; `others` are the other keys of the file whose values changed.
    """

    images: Changes
    annotations: Changes
    categories: Changes
    counts: Mapping[str, tuple[int, int]]
    renumbered: int
    others: tuple[str, ...]


def is_coco(document: object) -> bool:
    """Tell whether the value of a JSON text looks like COCO: an object with lists of images and of annotations."""
    return isinstance(document, dict) and all(isinstance(document.get(key), list) for key in ("images", "annotations"))


def read(data: bytes, name: str) -> Coco:
    """Return what a COCO file says. Raises LdsError that names the file and the place where it is malformed.

    What can be read but refers to nothing, or has an id twice, is no error here.
    """
    return of_document(strict.loads(data, name), name)


def of_document(document: object, name: str) -> Coco:
    """Return what the value of a JSON text says as COCO. Raises LdsError as `read` does."""
    if not isinstance(document, dict):
        raise LdsError(f"{name}: not COCO: it is no object", _HINT)
    for part in ("images", "annotations"):
        if part not in document:
            raise LdsError(f"{name}: not COCO: it has no {part}", _HINT)
    for part, check in _CHECKS.items():
        records = document.get(part, [])
        if not isinstance(records, list):
            raise LdsError(f"{name}: not COCO: {part} is no list", _HINT)
        for number, record in enumerate(records):
            wrong = check(record) if type(record) is dict else "is no object"
            if wrong:
                raise LdsError(f"{name}: not COCO: {part}[{number}] {wrong}", _HINT)
    return Coco(name, document)


_HINT = "mend the file: see https://cocodataset.org/#format-data"
_NUMBERS = frozenset((int, float))
_FAR = 1e15


def _wrong_id(record: Record, key: str) -> str | None:
    value = record.get(key)
    # a float would be equal to an int and look otherwise; texts are ids in some exports
    return (
        None if value is None or type(value) in (int, str) else f"has {key} {strict.shortened(value)}, which is no id"
    )


def _wrong_image(record: Record) -> str | None:
    if type(record.get("file_name", "")) is not str:
        return f"has file_name {strict.shortened(record['file_name'])}, which is no text"
    for key in ("width", "height"):
        if record.get(key) is not None and type(record[key]) not in _NUMBERS:
            return f"has {key} {strict.shortened(record[key])}, which is no number"
    return "has no id" if record.get("id") is None else _wrong_id(record, "id")


def _wrong_category(record: Record) -> str | None:
    if type(record.get("name", "")) is not str:
        return f"has name {strict.shortened(record['name'])}, which is no text"
    return "has no id" if record.get("id") is None else _wrong_id(record, "id")


def _wrong_annotation(record: Record) -> str | None:
    get = record.get
    if not type(get("id")) is type(get("image_id")) is type(get("category_id")) is int:
        for key in ("id", "image_id", "category_id"):
            if wrong := _wrong_id(record, key):
                return wrong
    box = get("bbox")
    if box is not None and box != [] and not (type(box) is list and len(box) == 4 and _are_numbers(box)):
        return f"has bbox {strict.shortened(box)}, which is not four numbers"
    area = get("area")
    if area is not None and not _are_numbers([area]):
        return f"has area {strict.shortened(area)}, which is no number"
    shape = get("segmentation")
    return f"has a segmentation that is none: {strict.shortened(shape)}" if shape and not _is_shape(shape) else None


def _are_numbers(values: list[Any]) -> bool:
    """Tell whether all values are numbers that can be a place in an image; the largest of floats could not be reckoned with."""
    return not values or (_NUMBERS.issuperset(map(type, values)) and min(values) > -_FAR and max(values) < _FAR)


def _is_shape(shape: object) -> bool:
    """Tell whether a segmentation is a list of polygons, or a mask: run lengths and a size."""
    if isinstance(shape, list):
        return all(isinstance(polygon, list) and _are_numbers(polygon) for polygon in shape)
    if not isinstance(shape, dict):
        return False
    size, counts = shape.get("size"), shape.get("counts")
    is_size = isinstance(size, list) and len(size) == 2 and _are_numbers(size)
    return is_size and (isinstance(counts, str) or (isinstance(counts, list) and _are_numbers(counts)))


_CHECKS: dict[str, Callable[[Record], str | None]] = {
    "images": _wrong_image,
    "categories": _wrong_category,
    "annotations": _wrong_annotation,
}


def _names(records: Sequence[Record], key: str, what: str) -> Names:
    """Return what names each record, by id. A name that several have, or that is missing, gets the id to it."""
    often = Counter(record.get(key) for record in records)
    found = Names(what)
    for record in records:
        name = record.get(key)
        if name and often[name] == 1:
            found[record["id"]] = name
        else:
            found[record["id"]] = f"{name} (id {record['id']})" if name else f"(id {record['id']})"
    return found


# which record is which


class Pairs(NamedTuple):
    """Annotations of two files that are the same one: `found` has places in the list before by places in that after.

    `equal` are those places after whose annotation is as it was in every field and in what it refers to; `added` the
    places after and `removed` the places before that have no other.
    """

    found: dict[int, int]
    equal: set[int]
    added: list[int]
    removed: list[int]


def pairs(before: Coco, after: Coco) -> Pairs:
    """Return which annotation of `after` is which of `before`.

    In this order: the same id and the same image, and the category or the shape as well; the same image, category and
    shape; the same image and shape; boxes in the same image that overlap most, by half at least, those of one category
    first; at last what is left with the same id in the same image.
    """
    pairing = _Pairing(before, after)
    pairing.by_equality()
    equal = set(pairing.found)
    if pairing.is_open:
        pairing.by_identity(agrees=_agree)
        pairing.by(_images_categories_shapes)
        pairing.by(_images_shapes)
        pairing.by_overlap()
        pairing.by_identity()
    return Pairs(pairing.found, equal, pairing.new, pairing.old)


def _identities(coco: Coco, places: Sequence[int]) -> Iterator[Hashable]:
    records, images = coco.annotations, coco.annotated_images
    return ((number, images[at]) if (number := records[at].get("id")) is not None else None for at in places)


def _images_categories_shapes(coco: Coco, places: Sequence[int]) -> Iterator[Hashable]:
    records, images, categories = coco.annotations, coco.annotated_images, coco.annotated_categories
    return ((images[at], categories[at], shape_of(records[at])) for at in places)


def _images_shapes(coco: Coco, places: Sequence[int]) -> Iterator[Hashable]:
    records, images = coco.annotations, coco.annotated_images
    return ((images[at], shape_of(records[at])) for at in places)


def shape_of(record: Record) -> Hashable:
    """Return what is equal for annotations of one shape in one image: its polygons or mask, its box, its key points."""
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


def _agree(before: Coco, old: Record, after: Coco, new: Record) -> bool:
    """Tell whether two annotations with one id on one image are one: an export that numbers anew hits by chance as well."""
    return before.category_of(old) == after.category_of(new) or shape_of(old) == shape_of(new)


Keys = Callable[[Coco, Sequence[int]], Iterator[Hashable]]
"""What gives the keys of the annotations at places of the list; None for one that has none."""

Agrees = Callable[[Coco, Record, Coco, Record], bool]


class _Pairing:
    """The pairs that were found so far, and the places in both lists that have none yet."""

    def __init__(self, before: Coco, after: Coco) -> None:
        self._before, self._after = before, after
        self.found: dict[int, int] = {}
        self.old: list[int] = list(range(len(before.annotations)))
        self.new: list[int] = list(range(len(after.annotations)))
        self._places = {record.get("id"): at for at, record in enumerate(before.annotations)}
        self._are_unique = len(self._places) == len(before.annotations)
        self._places.pop(None, None)

    @property
    def is_open(self) -> bool:
        return bool(self.old and self.new)

    def by_equality(self) -> None:
        """Pair what is the same in every field, and refers to the same image and category by the same ids. In most files
        that is nearly all, so it comes first and is cheap."""
        before, after = self._before, self._after
        images = _same_names(before.image_names, after.image_names)
        categories = _same_names(before.category_names, after.category_names)
        places = self._places
        olds, free, found = before.annotations, bytearray(b"\1") * len(before.annotations), self.found
        for new, record in enumerate(after.annotations):
            at = places.get(record.get("id"))
            if at is None or not free[at] or olds[at] != record:
                continue
            if record.get("image_id") in images and record.get("category_id") in categories:
                found[new] = at
                free[at] = 0
        self._close()

    def by_identity(self, agrees: Agrees | None = None) -> None:
        """Pair what has the same id in the same image, as `by` would."""
        if not self.is_open:
            return
        if not self._are_unique:
            self.by(_identities, agrees)
            return
        places, found = self._places, self.found
        olds, news = self._before.annotations, self._after.annotations
        old_images, new_images = self._before.annotated_images, self._after.annotated_images
        free = set(self.old)
        for new in self.new:
            old = places.get(news[new].get("id"))
            if old is None or old_images[old] != new_images[new] or old not in free:
                continue
            if agrees is None or agrees(self._before, olds[old], self._after, news[new]):
                found[new] = old
                free.remove(old)
        self._close()

    def by(self, keys: Keys, agrees: Agrees | None = None) -> None:
        """Pair what has the same key and is not paired yet; of several the first with the first."""
        if not self.is_open:
            return
        # nearly all keys are there once, and a million lists are not small
        waiting: dict[Hashable, int | list[int]] = {}
        olds, news = self._before.annotations, self._after.annotations
        backwards = self.old[::-1]
        for old, value in zip(backwards, keys(self._before, backwards), strict=True):
            if value is None:
                continue
            there = waiting.setdefault(value, old)
            if isinstance(there, list):
                there.append(old)
            elif there != old:
                waiting[value] = [there, old]
        for new, value in zip(self.new, keys(self._after, self.new), strict=True):
            found = waiting.get(value)
            if found is None:
                continue
            first = found if isinstance(found, int) else found[-1]
            if agrees is None or agrees(self._before, olds[first], self._after, news[new]):
                self.found[new] = first
                if isinstance(found, int) or len(found) == 1:
                    del waiting[value]
                else:
                    found.pop()
        self._close()

    def by_overlap(self) -> None:
        """Pair the boxes of each image that overlap most, until none does by `_SAME_BOX`."""
        waiting: dict[str, list[int]] = {}
        for old in self.old:
            waiting.setdefault(self._before.annotated_images[old], []).append(old)
        asking: dict[str, list[int]] = {}
        for new in self.new:
            if (image := self._after.annotated_images[new]) in waiting:
                asking.setdefault(image, []).append(new)
        for image, news in asking.items():
            olds = waiting[image]
            if len(olds) * len(news) <= _MAX_PAIRS:
                self._by_overlap_in(olds, news)
        self._close()

    def _by_overlap_in(self, olds: Sequence[int], news: Sequence[int]) -> None:
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
            if new not in self.found and old not in taken:
                self.found[new] = old
                taken.add(old)

    def _close(self) -> None:
        taken = set(self.found.values())
        self.old = [old for old in self.old if old not in taken]
        self.new = [new for new in self.new if new not in self.found]


def _same_names(before: Mapping[Hashable, str], after: Mapping[Hashable, str]) -> set[Hashable]:
    """Return the ids that name the same on both sides; None, where an annotation refers to nothing, is one of them."""
    return {number for number, name in after.items() if before.get(number) == name} | {None}


Box = tuple[float, float, float, float]


def box_of(record: Record) -> Box | None:
    """Return (x, y, width, height) of an annotation: its box, else that around its polygons. None where it has neither."""
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
    """Return how much two boxes overlap: their intersection over their union, 0 to 1."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    whole = one[2] * one[3] + other[2] * other[3] - shared
    return float(shared / whole) if whole > 0 else 0.0


# what changed


def compare(before: Coco | None, after: Coco | None) -> CocoChanges:
    """Return what changed from one COCO file to another; None stands for a file that was not there."""
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
) -> tuple[Changes, int]:
    """Return what changed in a list of images or categories, and how many only have another id."""
    before = {old_names[record["id"]]: record for record in olds}
    added, changed, renumbered = [], [], 0
    for record in news:
        name = new_names[record["id"]]
        named = (name, None, None) if image else (None, name, name)
        if (old := before.pop(name, None)) is None:
            added.append(Change(None, record, (), *named))
        elif fields := changed_fields(old, record, but=("id",)):
            changed.append(Change(old, record, fields, *named))
        elif old["id"] != record["id"]:
            renumbered += 1
    removed = [
        Change(record, None, (), *((name, None, None) if image else (None, name, name)))
        for name, record in before.items()
    ]
    return Changes(tuple(added), tuple(removed), tuple(changed)), renumbered


def changed_fields(old: Record, new: Record, *, but: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the fields whose values differ, in the order of the records."""
    keys = [key for key in dict.fromkeys([*old, *new]) if key not in but]
    return tuple(key for key in keys if (key in old) != (key in new) or old.get(key) != new.get(key))


def _compare_annotations(before: Coco, after: Coco) -> tuple[Changes, int]:
    matched = pairs(before, after)
    olds, news = before.annotations, after.annotations
    changed, renumbered = [], 0
    for at in sorted(matched.found.keys() - matched.equal):
        place = matched.found[at]
        old, new = olds[place], news[at]
        same_image = before.annotated_images[place] == after.annotated_images[at]
        same_category = before.annotated_categories[place] == after.annotated_categories[at]
        if same_image and same_category and are_same_but_ids(old, new):
            renumbered += 1
        elif fields := _fields_of(old, new, same_image=same_image, same_category=same_category):
            changed.append(_changed(before, old, after, new, fields))
        else:
            renumbered += 1
    fresh = (news[at] for at in matched.added)
    added = [Change(None, new, (), after.image_of(new), after.category_of(new), None) for new in fresh]
    gone = (olds[at] for at in matched.removed)
    removed = [Change(old, None, (), before.image_of(old), None, before.category_of(old)) for old in gone]
    return Changes(tuple(added), tuple(removed), tuple(changed)), renumbered


def are_same_but_ids(old: Record, new: Record) -> bool:
    """Tell at once what holds for nearly all: that two annotations differ in no field but the ids in them."""
    get = new.get
    return {**old, "id": get("id"), "image_id": get("image_id"), "category_id": get("category_id")} == new


def _fields_of(old: Record, new: Record, *, same_image: bool, same_category: bool) -> tuple[str, ...]:
    """Return the fields in which an annotation changed; references count by what they name."""
    fields = changed_fields(old, new, but=("id", "image_id", "category_id")) if old != new else ()
    if not same_image:
        fields = ("image_id", *fields)
    return fields if same_category else ("category_id", *fields)


def _changed(before: Coco, old: Record, after: Coco, new: Record, fields: tuple[str, ...]) -> Change:
    boxes = box_of(old), box_of(new)
    overlap = iou(boxes[0], boxes[1]) if boxes[0] and boxes[1] else None
    return Change(old, new, fields, after.image_of(new), after.category_of(new), before.category_of(old), overlap)


def _counts(before: Coco, after: Coco) -> dict[str, tuple[int, int]]:
    old, new = _count(before), _count(after)
    names = dict.fromkeys([*before.category_names.values(), *after.category_names.values(), *old, *new])
    return {name: (old.get(name, 0), new.get(name, 0)) for name in names}


def _count(coco: Coco) -> dict[str, int]:
    found: dict[str, int] = {}
    for record, often in Counter(annotation.get("category_id") for annotation in coco.annotations).items():
        name = coco.category_of({"category_id": record})
        found[name] = found.get(name, 0) + often
    return found

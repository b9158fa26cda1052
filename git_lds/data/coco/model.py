"""COCO annotations: images, categories, and annotations that say what is where in which image.

Ids are numbers that each export may give differently. So names and geometry identify a record: the file name an image, the
name a category, and both together with the shape an annotation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from typing import Any

from git_lds.data.json import strict
from git_lds.errors import LdsError

Record = dict[str, Any]
"""An image, annotation or category as the file has it."""

PARTS = ("images", "annotations", "categories")
GEOMETRY = ("bbox", "segmentation", "area", "iscrowd")
"""The fields that together describe a shape, so that a merge takes all of them from one side."""


class NotCoco(LdsError):
    """The file is JSON, but not an object with lists of images and annotations."""


class Coco:
    """A COCO file: its JSON value as `document`, and its lists of records by name."""

    def __init__(self, name: str, document: dict[str, Any]) -> None:
        self.name = name
        self.document = document
        self.images: list[Record] = document.get("images", [])
        self.annotations: list[Record] = document.get("annotations", [])
        self.categories: list[Record] = document.get("categories", [])

    @cached_property
    def image_names(self) -> Names:
        """The name of each image by id: its file name, followed by its id if several have that file name."""
        return _names(self.images, "file_name", "image")

    @cached_property
    def category_names(self) -> Names:
        """The name of each category by id."""
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
        """Return the name of the image that an annotation refers to, even if that image is missing."""
        return self.image_names[annotation.get("image_id")]

    def category_of(self, annotation: Record) -> str:
        """Return the name of the category that an annotation refers to, even if that category is missing."""
        return self.category_names[annotation.get("category_id")]


class Names(dict[Hashable, str]):
    """Names by id. An id that no record has gets a name that says so."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what

    def __missing__(self, number: Hashable) -> str:
        return f"(no {self._what})" if number is None else f"(no {self._what} {number})"


def is_coco(document: object) -> bool:
    """Return whether a JSON value looks like COCO: an object with lists of images and annotations."""
    return isinstance(document, dict) and all(isinstance(document.get(key), list) for key in ("images", "annotations"))


def looks_like_coco(data: bytes) -> bool:
    """Return whether a JSON text may be COCO, from the names of its lists (quick; `is_coco` decides)."""
    starts_well = data[:4096].lstrip()[:1] in (b"{", strict.MARK[:1])
    return starts_well and all(b'"%s"' % part.encode() in data for part in PARTS[:2])


def read(data: bytes, name: str) -> Coco:
    """Return the COCO file with these bytes.

    A reference to a missing record and an id that occurs twice are accepted. Raises LdsError, which names the file and the
    place, for a malformed file.
    """
    return of_document(strict.loads(data, name), name)


def of_document(document: object, name: str) -> Coco:
    """Return a JSON value as COCO. Raises LdsError as `read` does."""
    if not isinstance(document, dict):
        raise NotCoco(f"{name}: not COCO: it is not an object", _HINT)
    for part in ("images", "annotations"):
        if part not in document:
            raise NotCoco(f"{name}: not COCO: it has no {part}", _HINT)
    for part, check in _CHECKS.items():
        records = document.get(part, [])
        if not isinstance(records, list):
            kind = NotCoco if part != "categories" else LdsError
            raise kind(f"{name}: not COCO: {part} is not a list", _HINT)
        for number, record in enumerate(records):
            wrong = check(record) if type(record) is dict else "is not an object"
            if wrong:
                raise LdsError(f"{name}: not COCO: {part}[{number}] {wrong}", _HINT)
    return Coco(name, document)


_HINT = "correct the file: see https://cocodataset.org/#format-data"
_NUMBERS = frozenset((int, float))
_FAR = 1e15


def _wrong_id(record: Record, key: str) -> str | None:
    value = record.get(key)
    # a float equals an int but is written differently; some exports use texts as ids
    return (
        None
        if value is None or type(value) in (int, str)
        else f"has {key} {strict.shortened(value)}, which is not an id"
    )


def _wrong_image(record: Record) -> str | None:
    if type(record.get("file_name", "")) is not str:
        return f"has file_name {strict.shortened(record['file_name'])}, which is not a text"
    for key in ("width", "height"):
        if record.get(key) is not None and type(record[key]) not in _NUMBERS:
            return f"has {key} {strict.shortened(record[key])}, which is not a number"
    return "has no id" if record.get("id") is None else _wrong_id(record, "id")


def _wrong_category(record: Record) -> str | None:
    if type(record.get("name", "")) is not str:
        return f"has name {strict.shortened(record['name'])}, which is not a text"
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
        return f"has area {strict.shortened(area)}, which is not a number"
    shape = get("segmentation")
    return f"has an invalid segmentation: {strict.shortened(shape)}" if shape and not _is_shape(shape) else None


def _are_numbers(values: list[Any]) -> bool:
    """Return whether all values are numbers that can be a place in an image. Arithmetic on the largest floats overflows."""
    return not values or (_NUMBERS.issuperset(map(type, values)) and min(values) > -_FAR and max(values) < _FAR)


def _is_shape(shape: object) -> bool:
    """Return whether a segmentation is a list of polygons, or a mask: run lengths and a size."""
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
    """Return the name of each record by id. A name that several have, or that is missing, is followed by the id."""
    often = Counter(record.get(key) for record in records)
    names = Names(what)
    for record in records:
        name = record.get(key)
        if name and often[name] == 1:
            names[record["id"]] = name
        else:
            names[record["id"]] = f"{name} (id {record['id']})" if name else f"(id {record['id']})"
    return names

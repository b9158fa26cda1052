"""Merges COCO files by identity of records: images by file name, categories by name, annotations by both and by shape.

Records of ours keep their ids. A record of theirs alone keeps its id if that is free, else it gets a new one, and the
references to it change with it.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from git_lds.data.coco import model as coco
from git_lds.data.coco.diff import are_same_but_ids
from git_lds.data.coco.matching import match_annotations
from git_lds.data.coco.model import GEOMETRY, PARTS, Coco, NotCoco, Record
from git_lds.data.coco.shapes import shape_of
from git_lds.data.conflicts import Markers, Merged, TextConflict, merged_order
from git_lds.data.json import layout, strict
from git_lds.data.json.layout import Container, Item, Piece
from git_lds.data.json.merge import JsonMerger, Result, same_value
from git_lds.errors import LdsError

_REFERENCES = ("id", "image_id", "category_id")


def merge(base: bytes, ours: bytes, theirs: bytes, name: str, markers: Markers, key: Sequence[str] = ()) -> Merged:
    """Return the merge of three versions of a COCO file; an empty base means that there is none.

    Raises NotCoco if a version is JSON of another kind, LdsError if one is malformed or has two images or two categories of
    one id.
    """
    if base in (ours, theirs):
        return Merged(theirs if base == ours else ours)
    with strict.no_pauses(), strict.json_errors(name):
        old = _Side(base, name, None)
        our = _Side(ours, name, old)
        their = _Side(theirs, name, old)
        del base, ours, theirs
        return _CocoMerger(old, our, their, markers).run()


class _Side:
    """One version of the file: its records, and their positions in its text."""

    def __init__(self, data: bytes, name: str, like: _Side | None) -> None:
        self.text = strict.text(data, name)
        lists = like.lists if like is not None else {}
        top = layout.root_object(self.text, {part: lists.get(part) for part in PARTS}) if data else None
        if top is None and data:
            raise NotCoco(f"{name}: not COCO: it is not an object")
        self.top = top
        self.lists: dict[str, Container] = {}
        document: dict[str, Any] = {"images": [], "annotations": []} if top is None else {}
        for key, value in zip(top.keys, top.values, strict=True) if top is not None else ():
            if isinstance(value, Container):
                self.lists[key] = value
            document[key] = value.values if isinstance(value, Container) else value
        self.coco = coco.of_document(document, name)
        for part in ("images", "categories"):
            seen: set[Hashable] = set()
            for record in self.records(part):
                if record["id"] in seen:
                    raise LdsError(f"{name}: two {part} have the id {record['id']}")
                seen.add(record["id"])

    def records(self, part: str) -> list[Record]:
        found: list[Record] = getattr(self.coco, part)
        return found

    def names(self, part: str) -> Mapping[Hashable, str]:
        return self.coco.image_names if part == "images" else self.coco.category_names

    def piece(self, part: str, at: int) -> Piece:
        return self.lists[part].piece(at)


class _Numbers:
    """Ids of one list of records: those of ours, and those given to records of theirs alone."""

    def __init__(self, ours: Sequence[Record], theirs: Sequence[Record], references: Iterator[Hashable]) -> None:
        self._taken: set[Hashable] = {record.get("id") for record in ours}
        numbers = [v for side in (ours, theirs) for r in side if type(v := r.get("id")) is int]
        self._next = max(max(numbers, default=0), max((v for v in references if type(v) is int), default=0)) + 1

    def give(self, wanted: Hashable) -> Hashable:
        """Return an id for a record of theirs: its own, if that is free."""
        if wanted is None or wanted not in self._taken:
            self._taken.add(wanted)
            return wanted
        while (found := self._next if type(wanted) is int else f"{wanted}-{self._next}") in self._taken:
            self._next += 1
        self._taken.add(found)
        self._next += 1
        return found


class _Indexes(NamedTuple):
    """The indexes of a record in the lists of the three versions; None for a version without it."""

    base: int | None
    ours: int | None
    theirs: int | None


class _CocoMerger:
    """One merge of three versions. `_ids` has the id in the result of each image and each category, by its name."""

    def __init__(self, base: _Side, ours: _Side, theirs: _Side, markers: Markers) -> None:
        self._base, self._ours, self._theirs = base, ours, theirs
        self._markers = markers
        self._conflicts: list[str] = []
        self._ids: dict[str, dict[str, Hashable]] = {}

    def run(self) -> Merged:
        indexes, results = {}, {}
        for part in ("images", "categories"):
            indexes[part] = self._named_indexes(part)
            self._ids[part] = self._numbered(part, indexes[part])
        for part in ("images", "categories"):
            results[part] = {name: self._merge_named(part, name, at) for name, at in indexes[part].items()}
        lost = {part: {name for name, result in found.items() if result is None} for part, found in results.items()}
        special: dict[str, Result] = {"annotations": self._annotations(lost)}
        for part in ("images", "categories"):
            for name in self._needed[part]:
                results[part][name] = self._kept(part, name, indexes[part][name])
            items = [
                Item(result, self._before(part, indexes[part][name]))
                for name, result in results[part].items()
                if result is not None
            ]
            special[part] = self._list(part, items)
        return Merged(self._whole(special).encode("utf-8", "surrogatepass"), tuple(self._conflicts))

    # images and categories

    def _named_indexes(self, part: str) -> dict[str, _Indexes]:
        """Return the indexes of each image or category by its name, in the order of the result."""
        names = []
        for side in (self._base, self._ours, self._theirs):
            known = side.names(part)
            names.append({known[record["id"]]: at for at, record in enumerate(side.records(part))})
        order = merged_order(list(names[1]), list(names[2]))
        return {name: _Indexes(*(side.get(name) for side in names)) for name in order}

    def _numbered(self, part: str, indexes: Mapping[str, _Indexes]) -> dict[str, Hashable]:
        key = "image_id" if part == "images" else "category_id"
        used = (r.get(key) for side in (self._ours, self._theirs) for r in side.coco.annotations)
        ours, theirs = self._ours.records(part), self._theirs.records(part)
        numbers = _Numbers(ours, theirs, used)
        ids = {}
        for name, at in indexes.items():
            if at.ours is not None:
                ids[name] = ours[at.ours]["id"]
            elif at.theirs is not None:
                ids[name] = numbers.give(theirs[at.theirs]["id"])
        return ids

    def _merge_named(self, part: str, name: str, at: _Indexes) -> Result:
        pieces = self._pieces(part, at)
        ids = {"id": self._ids[part][name]}
        kinds = {"images": "image", "categories": "category"}
        return self._merge_record(pieces, ids, ids, f"{kinds[part]} {name}", ("id",), {})

    def _kept(self, part: str, name: str, at: _Indexes) -> Result:
        """Return the conflict about a record that one side deleted and annotations of the other side need."""
        number = {"id": self._ids[part][name]}
        self._conflicts.append(f"{name}: deleted on one side, and annotated on the other")
        _, ours, theirs = self._pieces(part, at)
        return TextConflict(*(_with(piece, number) if piece is not None else None for piece in (ours, theirs)))

    def _pieces(self, part: str, at: _Indexes) -> list[Piece | None]:
        sides = zip((self._base, self._ours, self._theirs), at, strict=True)
        return [side.piece(part, number) if number is not None else None for side, number in sides]

    def _before(self, part: str, at: _Indexes) -> str | None:
        """Return the text between a record of ours and the one before it."""
        return self._ours.lists[part].separator(at.ours) if at.ours else None

    # annotations

    def _annotations(self, lost: Mapping[str, set[str]]) -> str:
        """Return the merged list; add to `_needed` the records in `lost` that it refers to."""
        self._needed: dict[str, dict[str, None]] = {"images": {}, "categories": {}}
        ours = self._ours.lists.get("annotations")
        numbers = _Numbers(self._ours.coco.annotations, self._theirs.coco.annotations, iter(()))
        items: list[Item] = []
        run: tuple[int, int] | None = None
        has_lost = any(lost.values())
        for at, is_plain in self._annotation_indexes():
            if is_plain and not (has_lost and self._lost_by(at, lost)):
                # unchanged annotations are copied in stretches as long as possible
                assert at.ours is not None and ours is not None
                if run is not None and run[1] + 1 == at.ours:
                    run = run[0], at.ours
                else:
                    items += self._copied(ours, run)
                    run = at.ours, at.ours
                continue
            result = self._merge_annotation(at, numbers)
            if result is not None and (gone := self._lost_by(at, lost)):
                result = self._conflicting(at, result, gone)
            if result is not None:
                items += self._copied(ours, run)
                run = None
                items.append(Item(result, self._before("annotations", at)))
        items += self._copied(ours, run)
        return self._list("annotations", items)

    @staticmethod
    def _copied(ours: Container | None, run: tuple[int, int] | None) -> list[Item]:
        if run is None or ours is None:
            return []
        text = ours.text[ours.starts[run[0]] : ours.ends[run[1]]]
        return [Item(text, ours.separator(run[0]) if run[0] else None)]

    def _annotation_indexes(self) -> Iterator[tuple[_Indexes, bool]]:
        """Yield the indexes of each annotation, in the order of the result, and whether to copy it from ours."""
        base, ours, theirs = self._base.coco, self._ours.coco, self._theirs.coco
        mine, other = match_annotations(base, ours), match_annotations(base, theirs)
        count = len(ours.annotations)
        ours_of_base, ours_of_theirs, theirs_of_ours = (
            array("q", [-1]) * len(side.annotations) for side in (base, theirs, ours)
        )
        for new, old in mine.matches.items():
            ours_of_base[old] = new
        for new, old in other.matches.items():
            ours_of_theirs[new] = ours_of_base[old]
        for new, our in self._both_added(mine.added, other.added).items():
            ours_of_theirs[new] = our
        for new, our in enumerate(ours_of_theirs):
            if our >= 0:
                theirs_of_ours[our] = new
        keys = [our if our >= 0 else count + at for at, our in enumerate(ours_of_theirs)]
        for key in merged_order(range(count), keys):
            if key >= count:
                yield _Indexes(other.matches.get(key - count), None, key - count), False
                continue
            old_at = mine.matches.get(key)
            new_at = theirs_of_ours[key] if theirs_of_ours[key] >= 0 else None
            is_plain = old_at is new_at is None or (
                old_at is not None and new_at is not None and self._is_as_in_base(old_at, new_at)
            )
            yield _Indexes(old_at, key, new_at), is_plain

    def _is_as_in_base(self, old: int, new: int) -> bool:
        """Return whether theirs did not change an annotation apart from its ids (fast path)."""
        base, theirs = self._base.coco, self._theirs.coco
        one, other = base.annotations[old], theirs.annotations[new]
        if base.annotated_images[old] != theirs.annotated_images[new]:
            return False
        if base.annotated_categories[old] != theirs.annotated_categories[new]:
            return False
        # by their text, since 1, 1.0 and true are equal in Python
        return one is other or (are_same_but_ids(one, other) and _written(one) == _written(other))

    def _both_added(self, ours: Sequence[int], theirs: Sequence[int]) -> dict[int, int]:
        """Return which annotation that theirs added is one that ours added: same image, category and shape."""
        waiting: dict[Hashable, list[int]] = {}
        one, other = self._ours.coco, self._theirs.coco
        for at in reversed(ours):
            waiting.setdefault(_identity(one, one.annotations[at]), []).append(at)
        matches = {}
        for at in theirs:
            if candidates := waiting.get(_identity(other, other.annotations[at])):
                matches[at] = candidates.pop()
        return matches

    def _merge_annotation(self, at: _Indexes, numbers: _Numbers) -> Result:
        sides = (self._base, self._ours, self._theirs)
        records = [
            side.coco.annotations[number] if number is not None else None
            for side, number in zip(sides, at, strict=True)
        ]
        references = [
            _references(side, record) if record is not None else None
            for side, record in zip(sides, records, strict=True)
        ]
        ids: list[dict[str, Any]] = []
        for side, record, named in zip(sides, records, references, strict=True):
            ids.append({} if record is None or named is None else self._resolved(side, record, named))
        _, our, their = records
        if our is not None:
            ids[1]["id"] = ids[2]["id"] = our.get("id")
        elif their is not None:
            ids[2]["id"] = numbers.give(their.get("id"))
        named = references[1] or references[2] or ("", "")
        about = f"{named[0]}: {named[1]}"
        by_name = {"image_id": [r and r[0] for r in references], "category_id": [r and r[1] for r in references]}
        return self._merge_record(self._pieces("annotations", at), ids[1], ids[2], about, _REFERENCES, by_name)

    def _resolved(self, side: _Side, record: Record, named: tuple[str, str]) -> dict[str, Any]:
        """Return the references of a record of one side as ids of the result; dangling ones stay as they are."""
        found: dict[str, Any] = {}
        for key, part, name in (("image_id", "images", named[0]), ("category_id", "categories", named[1])):
            if key in record:
                found[key] = self._ids[part].get(name, record[key])
        if isinstance(segments := record.get("segments_info"), list):
            found["segments_info"] = [self._resolved_segment(side, segment) for segment in segments]
        return found

    def _resolved_segment(self, side: _Side, segment: Any) -> Any:
        """Return a segment of a panoptic annotation with the id that its category has in the result."""
        if not isinstance(segment, dict) or type(segment.get("category_id")) not in (int, str):
            return segment
        number = self._ids["categories"].get(side.coco.category_of(segment), segment["category_id"])
        return {**segment, "category_id": number}

    def _lost_by(self, at: _Indexes, lost: Mapping[str, set[str]]) -> list[tuple[str, str]]:
        """Return (list, name) of each record that an annotation refers to and one side deleted."""
        side, number = (self._ours, at.ours) if at.ours is not None else (self._theirs, at.theirs)
        assert number is not None
        image, category = _references(side, side.coco.annotations[number])
        named = (("images", image), ("categories", category))
        return [(part, name) for part, name in named if name in lost[part]]

    def _conflicting(self, at: _Indexes, result: str | TextConflict, gone: Sequence[tuple[str, str]]) -> TextConflict:
        for part, name in gone:
            self._needed[part][name] = None
        if isinstance(result, TextConflict):
            return result
        return TextConflict(result if at.ours is not None else None, result if at.ours is None else None)

    # one record

    def _merge_record(
        self,
        pieces: Sequence[Piece | None],
        our_ids: Mapping[str, Any],
        their_ids: Mapping[str, Any],
        about: str,
        but: Sequence[str],
        by_name: Mapping[str, Sequence[str | None]],
    ) -> Result:
        """Return the merge of one record, with ids from `our_ids` and `their_ids`.

        The fields in `but` are ids: they count as changed only if the names differ that `by_name` has for the three sides.
        """
        _, ours, theirs = pieces

        def is_same(one: int, other: int) -> bool:
            first, second = pieces[one], pieces[other]
            if first is None or second is None:
                return first is second
            if any(names[one] != names[other] for names in by_name.values()):
                return False
            return first.value is second.value or same_value(_without(first.value, but), _without(second.value, but))

        if ours is not None and (is_same(1, 2) or is_same(0, 2)):
            return ours.text
        if is_same(0, 1) or (ours is None and is_same(0, 2)):
            return _with(theirs, their_ids) if theirs is not None and not is_same(0, 2) else None
        if ours is None or theirs is None:
            self._conflicts.append(f"{about}: deleted on one side, and changed on the other")
            return TextConflict(
                ours.text if ours is not None else None, _with(theirs, their_ids) if theirs is not None else None
            )
        taken = JsonMerger(self._markers, "ours"), JsonMerger(self._markers, "theirs")
        texts = [self._fields(state, pieces, our_ids, their_ids, by_name) for state in taken]
        if texts[0] == texts[1]:
            return texts[0]
        self._conflicts.append(f"{about}: {', '.join(dict.fromkeys(taken[0].conflicts))}")
        return TextConflict(texts[0], texts[1])

    def _fields(
        self,
        state: JsonMerger,
        pieces: Sequence[Piece | None],
        our_ids: Mapping[str, Any],
        their_ids: Mapping[str, Any],
        by_name: Mapping[str, Sequence[str | None]],
    ) -> str:
        """Return a record in which both sides changed fields."""
        base, ours, theirs = (layout.members(p.whole, p.start) if p is not None else None for p in pieces)
        assert ours is not None and theirs is not None
        special: dict[str, Result] = {"id": _dumped(our_ids.get("id"))} if "id" in ours.keys else {}
        for key, names in by_name.items():
            takes_theirs = state.takes_theirs(names[0] == names[1], names[0] == names[2] or names[1] == names[2], key)
            ids = their_ids if takes_theirs else our_ids
            special[key] = _dumped(ids[key]) if key in ids else None
        shapes = [_shape(piece) for piece in pieces]
        if any(shapes) and not same_value(shapes[1], shapes[2]):
            is_ours = same_value(shapes[0], shapes[2])
            takes_theirs = state.takes_theirs(same_value(shapes[0], shapes[1]), is_ours, "bbox")
            side = theirs if takes_theirs else ours
            for key in GEOMETRY:
                special[key] = side.piece(side.keys.index(key)).text if key in side.keys else None
        return state.objects(base, ours, theirs, "", special)

    # writing

    def _list(self, part: str, items: Sequence[Item]) -> str:
        return layout.written(
            items, [side.lists.get(part) for side in (self._ours, self._theirs, self._base)], self._markers
        )

    def _whole(self, special: Mapping[str, Result]) -> str:
        """Return the text of the file: `special` has its lists, and its other members are merged as JSON."""
        ours, theirs = self._ours.top, self._theirs.top
        assert ours is not None and theirs is not None
        state = JsonMerger(self._markers)
        text = state.objects(self._base.top, ours, theirs, "", special)
        self._conflicts += state.conflicts
        return ours.text[: ours.start] + text + ours.text[ours.end :]


def _identity(side: Coco, record: Record) -> Hashable:
    return side.image_of(record), side.category_of(record), shape_of(record)


def _references(side: _Side, record: Record) -> tuple[str, str]:
    return side.coco.image_of(record), side.coco.category_of(record)


def _without(record: Record, keys: Sequence[str]) -> Record:
    return {key: value for key, value in record.items() if key not in keys}


def _written(record: Record) -> str:
    return repr([value for key, value in record.items() if key not in _REFERENCES])


def _shape(piece: Piece | None) -> Record:
    return {} if piece is None else {key: piece.value[key] for key in GEOMETRY if key in piece.value}


def _with(piece: Piece, ids: Mapping[str, Any]) -> str:
    """Return the text of a record with other ids, and otherwise unchanged."""
    changed = {key: number for key, number in ids.items() if key in piece.value and piece.value[key] != number}
    if not changed:
        return piece.text
    record = layout.members(piece.whole, piece.start)
    out: list[str] = []
    at = piece.start
    for number, key in enumerate(record.keys):
        if key in changed:
            out += (piece.whole[at : record.values_at[number]], _dumped(changed[key]))
            at = record.ends[number]
    return "".join((*out, piece.whole[at : piece.end]))


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)

"""Indexes: where each object of a store is. They are sorted by oid, and searched by bisection of a mapped file.

    "LDSINDX1", count u32, packs u32
    40 bytes for each pack: id 32, size u32, zero u32
    48 bytes for each object: oid 32, pack number u32 (top bit: a recipe), offset u32, stored u32, length u32

Rows are sorted by oid, and each oid occurs once.
"""

from __future__ import annotations

import contextlib
import itertools
import mmap
import struct
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

from git_lds.errors import CorruptData, LdsError
from git_lds.fast_typing import NamedTuple
from git_lds.hashing import DIGEST_SIZE, FileId, Oid
from git_lds.store.format import frames, keys, packfile

MAGIC = b"LDSINDX1"
_HEADER = struct.Struct("<8sII")
_PACK = struct.Struct("<32sII")
_ENTRY = struct.Struct("<32sIIII")
_ENTRY_SIZE = _ENTRY.size
_ROW = struct.Struct("<IIII?")
_RECIPE = 1 << 31

_LAYERS = 4
"""Rows of one object that are kept when indexes are merged."""

_ROWS_A_LOOK_UP = 10
"""Rows that can be walked past in the time of one look-up: 0.2 against 2 to 3 microseconds."""


class IndexRow(NamedTuple):
    """The place of an object: a frame in a pack that holds the object itself or, if `recipe`, its recipe.

    `offset` is that of the frame's header, `stored` the size of the whole frame, `length` that of its contents.
    """

    oid: Oid
    pack: FileId
    offset: int
    stored: int
    length: int
    recipe: bool


def encode(entries: Iterable[IndexRow], pack_sizes: Mapping[FileId, int]) -> bytes:
    """Return the index file of `entries`. The first row of each oid counts; `pack_sizes` has all their packs.

    Raises LdsError if they are too many for one index, which no reader would accept.
    """
    # rows are encoded as they come, with the packs numbered in that order: 100,000 rows as objects take 30 MB
    numbers: dict[FileId, int] = {}
    rows: dict[bytes, bytes] = {}
    for entry in entries:
        if entry.oid not in rows:
            number = numbers.setdefault(entry.pack, len(numbers))
            rows[entry.oid] = _ROW.pack(number, entry.offset, entry.stored, entry.length, entry.recipe)
    packs = sorted(numbers)
    place = {numbers[pack]: number for number, pack in enumerate(packs)}
    table = (_PACK.pack(pack, pack_sizes[pack], 0) for pack in packs)
    data = bytearray(_HEADER.pack(MAGIC, len(rows), len(packs)))
    for row in itertools.chain(table, _sorted_rows(rows, place)):
        data += row
    if len(data) > keys.MAX_SIZES[keys.KeyKind.INDEX]:
        raise LdsError(
            "one push cannot have that many objects", hint="push in parts: git push <remote> <older commit>:<branch>"
        )
    return bytes(data)


def encode_layers(entries: Iterable[IndexRow], pack_sizes: Mapping[FileId, int]) -> list[bytes]:
    """Return the index files of `entries`, newest first in both. Usually it is one file.

    An object with several rows keeps the newest ones and the oldest: it is not known here which are right, and the newest
    may be forged. Raises LdsError as `encode` does.
    """
    layers: list[bytes] = []
    others: list[IndexRow] = []
    layers.append(encode(_first_rows(entries, others), pack_sizes))
    while others and len(layers) < _LAYERS - 1:
        rows, others = others, []
        layers.append(encode(_first_rows(rows, others), pack_sizes))
    if others:
        layers.append(encode({entry.oid: entry for entry in others}.values(), pack_sizes))
    return layers


def _first_rows(entries: Iterable[IndexRow], others: list[IndexRow]) -> Iterator[IndexRow]:
    """Yield the first row of each object, and append its different rows to `others`."""
    first: dict[Oid, int] = {}
    for entry in entries:
        place = hash(entry)  # the rows themselves would take four times the memory
        if entry.oid not in first:
            first[entry.oid] = place
            yield entry
        elif first[entry.oid] != place:
            others.append(entry)


def _sorted_rows(rows: Mapping[bytes, bytes], place: Mapping[int, int]) -> Iterator[bytes]:
    """Yield the rows of the index by oid, each with the number of its pack in the table."""
    for oid in sorted(rows):
        number, offset, stored, length, recipe = _ROW.unpack(rows[oid])
        yield _ENTRY.pack(oid, place[number] | (_RECIPE if recipe else 0), offset, stored, length)


class Index:
    """An index, open for look-ups from any number of threads. Rows are checked when they are read."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        self._data = data
        self._count, number_of_packs = _read_header(data)
        self._packs = _read_packs(data, number_of_packs)
        self._start = _HEADER.size + number_of_packs * _PACK.size
        self._fan_out = {256: self._count}
        self.packs: Mapping[FileId, int] = dict(self._packs)
        """The packs of the index and their sizes."""

    @classmethod
    def open(cls, path: Path) -> Index:
        """Return the index in the file `path`, mapped. Raises CorruptData, or OSError if the file cannot be read."""
        with open(path, "rb") as file:
            try:
                data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError as e:  # an empty file cannot be mapped
                raise CorruptData(f"{path.name} is empty, not an index") from e
        try:
            return cls(data)
        except BaseException:
            data.close()
            raise

    @classmethod
    def of(cls, data: bytes) -> Index:
        """Return the index in `data`. Raises CorruptData."""
        return cls(data)

    def get(self, oid: Oid) -> IndexRow | None:
        """Return the row of the object, or None if the index does not have it. Raises CorruptData for an invalid row."""
        number = self._find(oid)
        return None if number is None else self._entry(number)

    def rows_of(self, oids: AbstractSet[Oid]) -> Iterator[IndexRow]:
        """Yield the rows of those `oids` that the index has, by look-ups or one walk past all rows, whichever is cheaper.

        Invalid rows are skipped: they must not hide the others.
        """
        if len(oids) * _ROWS_A_LOOK_UP > self._count:
            numbers = self._walk(oids)
        else:
            numbers = (number for oid in oids if (number := self._find(oid)) is not None)
        for number in numbers:
            with contextlib.suppress(CorruptData):
                yield self._entry(number)

    def _walk(self, oids: AbstractSet[bytes]) -> Iterator[int]:
        """Yield the numbers of the rows whose oid is one of `oids`."""
        data, start = self._data, self._start
        for number, at in enumerate(range(start, start + self._count * _ENTRY_SIZE, _ENTRY_SIZE)):
            if data[at : at + DIGEST_SIZE] in oids:
                yield number

    def __contains__(self, oid: Oid) -> bool:
        return self._find(oid) is not None

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[IndexRow]:
        """Yield all rows, sorted by oid. Raises CorruptData."""
        last = b""
        for number in range(self._count):
            entry = self._entry(number)
            if entry.oid <= last:
                raise CorruptData(f"an index is not sorted at {entry.oid.hex()}")
            last = entry.oid
            yield entry

    def valid_rows(self) -> Iterator[IndexRow]:
        """Yield all rows except invalid ones, which no pack can hold."""
        for number in range(self._count):
            with contextlib.suppress(CorruptData):
                yield self._entry(number)

    @property
    def size(self) -> int:
        """The size of the file in bytes."""
        return len(self._data)

    def close(self) -> None:
        """Unmap the file. The index cannot be used afterwards."""
        if isinstance(self._data, mmap.mmap):
            self._data.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _find(self, oid: bytes) -> int | None:
        number = self._bisect(oid, self._first_with(oid[0]), self._first_with(oid[0] + 1))
        start = self._start + number * _ENTRY_SIZE
        return number if number < self._count and self._data[start : start + DIGEST_SIZE] == oid else None

    def _first_with(self, byte: int) -> int:
        """Return the number of the first row whose oid begins with `byte` or more.

        It is found on demand and cached, which halves the cost of a look-up.
        """
        if byte not in self._fan_out:
            self._fan_out[byte] = self._bisect(bytes([byte]), 0, self._count)
        return self._fan_out[byte]

    def _bisect(self, oid: bytes, low: int, high: int) -> int:
        data, start = self._data, self._start  # bisect.bisect_left with a key takes 1.5 times as long
        while low < high:
            middle = (low + high) // 2
            at = start + middle * _ENTRY_SIZE
            if data[at : at + DIGEST_SIZE] < oid:
                low = middle + 1
            else:
                high = middle
        return low

    def _entry(self, number: int) -> IndexRow:
        oid, pack_number, offset, stored, length = _ENTRY.unpack_from(self._data, self._start + number * _ENTRY_SIZE)
        recipe = pack_number >= _RECIPE
        pack_number &= _RECIPE - 1
        if pack_number >= len(self._packs):
            raise CorruptData(f"an index has {len(self._packs)} packs, and object {oid.hex()} in number {pack_number}")
        pack, size = self._packs[pack_number]
        if offset < packfile.HEADER_SIZE or offset + stored > size:
            raise CorruptData(f"an index has object {oid.hex()} outside its pack")
        limit = frames.MAX_RECIPE if recipe else frames.MAX_CHUNK
        if length > limit or not packfile.MIN_STORED <= stored <= frames.HEADER_SIZE + length:
            raise CorruptData(f"an index has object {oid.hex()} with {length} bytes stored as {stored}")
        return IndexRow(Oid(oid), pack, offset, stored, length, recipe)


def _read_header(data: bytes | mmap.mmap) -> tuple[int, int]:
    if len(data) < _HEADER.size:
        raise CorruptData("an index is shorter than its header")
    magic, count, packs = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise CorruptData("an index does not begin with an index's magic")
    if len(data) != _HEADER.size + packs * _PACK.size + count * _ENTRY_SIZE:
        raise CorruptData(f"an index of {len(data)} bytes claims {count} objects in {packs} packs")
    return count, packs


def _read_packs(data: bytes | mmap.mmap, count: int) -> list[tuple[FileId, int]]:
    rows = _PACK.iter_unpack(data[_HEADER.size : _HEADER.size + count * _PACK.size])
    packs = []
    for id, size, zero in rows:
        if zero or not packfile.HEADER_SIZE + packfile.TRAILER_SIZE <= size <= packfile.MAX_SIZE:
            raise CorruptData(f"an index has a pack of {size} bytes")
        packs.append((FileId(id), size))
    return packs

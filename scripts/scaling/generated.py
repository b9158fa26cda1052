"""Generates stores that have the log and the indexes of many pushes, and no packs: as large as looking up needs them.

Every push adds as many new objects as every other, of 20 KB each. Oids are spread evenly over all that there are, as those of
real objects are, and follow from the number of the push and of the object, so that answers can be checked.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from git_lds import hashing
from git_lds.hashing import FileId, Oid
from git_lds.store.client import store as store_module
from git_lds.store.client.log_reader import CHECKPOINT_EVERY, LogTip
from git_lds.store.format import index
from git_lds.store.format.keys import HEAD, PARAMETERS, Parameters, checkpoint_key, index_key, log_key
from git_lds.store.format.log import Hint, LogEntry, StoreState, encode_checkpoint

STORED = 20_000
"""Bytes that each object takes in a pack."""

PER_PACK = 1600
"""Objects in one pack at most: 32 MB."""

_BLOCK = 1 << 16
_ROW = struct.Struct("<24sIIII")


@dataclass(frozen=True, slots=True)
class Span:
    """An index that has the objects of the pushes from `first` to before `end`, each of `each` objects."""

    first: int
    end: int
    each: int

    def __len__(self) -> int:
        return (self.end - self.first) * self.each

    def oid(self, number: int) -> Oid:
        """Return the oid of the object in row `number`."""
        noise = self._noise(number, 1)
        return Oid(self._start(number, noise[:8]) + noise[8:])

    def _noise(self, number: int, count: int) -> bytes:
        hasher = hashing.new().update(b"objects of push %d" % self.first)
        return hasher.digest(length=32 * count, seek=32 * number)

    def _start(self, number: int, noise: bytes) -> bytes:
        width = (1 << 64) // len(self)
        return (number * width + int.from_bytes(noise) % width).to_bytes(8)

    def packs(self) -> list[FileId]:
        """Return the packs of the pushes, sorted."""
        return sorted(pack for push in range(self.first, self.end) for pack in packs_of(push, self.each))

    def write(self, root: Path) -> FileId:
        """Write the index into a store, and return its id. Not by `index.encode`, which would need 6 GB for 10 million."""
        packs = self.packs()
        path = root / "new"
        hasher = hashing.new()
        with open(path, "wb") as file:
            for block in self._blocks(packs):
                hasher.update(block)
                file.write(block)
        id = FileId(hasher.digest())
        _place(path, root / index_key(id))
        return id

    def _blocks(self, packs: list[FileId]) -> Iterator[bytes]:
        count = len(self)
        yield struct.pack("<8sII", index.MAGIC, count, len(packs))
        yield b"".join(struct.pack("<32sII", pack, pack_size(), 0) for pack in packs)
        for start in range(0, count, _BLOCK):
            size = min(_BLOCK, count - start)
            noise = self._noise(start, size)
            rows = []
            for number in range(start, start + size):
                at = 32 * (number - start)
                place = 24 + number // len(packs) * STORED
                row = _ROW.pack(noise[at + 8 : at + 32], number % len(packs), place, STORED, STORED)
                rows.append(self._start(number, noise[at : at + 8]) + row)
            yield b"".join(rows)


def pack_size() -> int:
    """Return the size of each pack: as large as a full one, so that a row may be anywhere in it."""
    return 24 + (PER_PACK + 1) * STORED


def packs_of(push: int, each: int) -> list[FileId]:
    """Return the packs that a push of `each` objects adds."""
    return [FileId(hashing.of_bytes(b"pack %d of push %d" % (n, push))) for n in range(-(-each // PER_PACK))]


def missing_oid(number: int) -> Oid:
    """Return an oid that no index has."""
    return Oid(hashing.of_bytes(b"missing object %d" % number))


@dataclass(slots=True)
class Past:
    """What `pushes` pushes of `each` objects do to the indexes of a store, by the rule by which a push merges them.

    `events` are the entries of the log in order: an index that is added, and how many of the newest it takes the place
    of. `rewritten` counts the rows that merges wrote.
    """

    pushes: int
    each: int
    events: list[tuple[Span, int]] = field(default_factory=list)
    indexes: list[Span] = field(default_factory=list)
    rewritten: int = 0
    most: int = 0

    def __post_init__(self) -> None:
        for push in range(self.pushes):
            self._add(Span(push, push + 1, self.each), 0)
            self.most = max(self.most, len(self.indexes))
            if count := store_module.how_many_to_merge([len(span) for span in self.indexes]):
                merged = Span(self.indexes[-count].first, self.indexes[-1].end, self.each)
                self.rewritten += len(merged)
                self._add(merged, count)

    def _add(self, span: Span, instead_of: int) -> None:
        if instead_of:
            del self.indexes[-instead_of:]
        self.indexes.append(span)
        self.events.append((span, instead_of))


def write_store(root: Path, past: Past, *, seen: Collection[int] = ()) -> dict[int, bytes]:
    """Write the store that `past` leaves, with a hint and a checkpoint as old as they get; return the tips at the entries
    `seen`, as they are kept by who read the log then."""
    root.mkdir(parents=True)
    (root / PARAMETERS).write_bytes(Parameters(hashing.of_bytes(bytes(root)).hex()[:32]).encode())
    names = {(span.first, span.end): span.write(root) for span in past.indexes}
    (root / "log").mkdir()
    last = len(past.events) - 1
    checkpoint_at = last - min(last, CHECKPOINT_EVERY - 1)
    packs: dict[FileId, int] = {}
    standing: list[FileId] = []
    hint, tips, previous = Hint(last, None), {}, b""
    for seq, (span, instead_of) in enumerate(past.events):
        is_push = not instead_of
        new = dict.fromkeys(packs_of(span.first, span.each), pack_size()) if is_push else {}
        id = names.get((span.first, span.end)) or FileId(hashing.of_bytes(b"%d-%d" % (span.first, span.end)))
        dropped = tuple(standing[len(standing) - instead_of :])
        push = hashing.of_bytes(b"%d" % seq).hex()[:32]
        entry = LogEntry(push, seq, new, (id,), dropped, previous=previous).encode()
        previous = hashing.of_bytes(entry)
        (root / log_key(seq)).write_bytes(entry)
        packs |= new
        standing[len(standing) - instead_of :] = [id]
        state = StoreState(seq, packs, frozenset(), tuple(standing))
        if seq in seen:
            tips[seq] = LogTip(state, (previous,)).encode()
        if seq == checkpoint_at:
            data = encode_checkpoint(state)
            key = checkpoint_key(seq, FileId(hashing.of_bytes(data)))
            (root / "checkpoint").mkdir()
            (root / key).write_bytes(data)
            hint = Hint(last, key)
    (root / HEAD).write_bytes(hint.encode())
    return tips


def _place(path: Path, name: Path) -> None:
    name.parent.mkdir(parents=True, exist_ok=True)
    path.rename(name)

"""The log of a store: one entry per push, and the state that results from the entries.

Entries, checkpoints and the hint are JSON: one object, sorted keys, ASCII, one newline at the end; ids in hex.

Each entry names the one before it by its BLAKE3, so that a reader notices a removed or replaced entry. Entries of version 1
do not: they are still read, and no longer written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from git_lds import hashing
from git_lds.errors import CorruptData, LdsError
from git_lds.fast_typing import NamedTuple
from git_lds.hashing import FileId
from git_lds.store.format import keys

VERSION = 1
ENTRY_VERSION = 2
MAX_PACKS = 2_000_000
"""Packs in a state at most: 60 TB of full ones. A log that claims more would only fill the memory of its reader."""

MAX_INDEXES = 50_000
"""Indexes in a state at most. With merges, 10 million objects have 160 of them."""

_PUSH = re.compile(r"[0-9a-f]{32}")
_MAX_TIME = 2**63 - 1

entry_key = keys.log_key


class LogEntry(NamedTuple):
    """One push, all or nothing: the packs (with their sizes) and indexes that it adds, and those that it retires.

    `push` is the id of the push, 32 random hex digits; `time` is Unix time in seconds, for people. `previous` is the BLAKE3
    of the entry before it, b"" for the first entry, and None for an entry of version 1, which has none.
    """

    push: str
    time: int
    add_packs: Mapping[FileId, int]
    add_indexes: tuple[FileId, ...]
    drop_indexes: tuple[FileId, ...] = ()
    condemn_packs: tuple[FileId, ...] = ()
    remove_packs: tuple[FileId, ...] = ()
    previous: bytes | None = None

    def follows_on(self, digest: bytes) -> bool:
        """Return whether the entry before this one may have the BLAKE3 `digest`; b"" stands for the start of the log."""
        return self.previous is None or self.previous == digest

    def encode(self) -> bytes:
        """Return the file of this entry. Raises LdsError if the push has too many packs for one entry."""
        fields: dict[str, object] = {
            "version": VERSION,
            "push": self.push,
            "time": self.time,
            "add_packs": _hex_sizes(self.add_packs),
            "add_indexes": _hex_list(self.add_indexes),
            "drop_indexes": _hex_list(self.drop_indexes),
            "condemn_packs": _hex_list(self.condemn_packs),
            "remove_packs": _hex_list(self.remove_packs),
        }
        if self.previous is not None:
            fields |= {"version": ENTRY_VERSION, "previous": self.previous.hex()}
        data = _json(fields)
        if len(data) > keys.MAX_SIZES[keys.KeyKind.LOG]:
            raise LdsError(
                "one push cannot have that many packs", hint="push in parts: git push <remote> <older commit>:<branch>"
            )
        return data

    @classmethod
    def decode(cls, data: bytes) -> LogEntry:
        """Return the entry in the file `data`. Raises CorruptData."""
        fields = _Fields("a log entry", data, keys.KeyKind.LOG, ENTRY_VERSION)
        entry = cls(
            push=fields.push("push"),
            time=fields.number("time", _MAX_TIME),
            add_packs=fields.sizes("add_packs"),
            add_indexes=fields.ids("add_indexes"),
            drop_indexes=fields.ids("drop_indexes"),
            condemn_packs=fields.ids("condemn_packs"),
            remove_packs=fields.ids("remove_packs"),
            previous=fields.digest("previous") if fields.version > VERSION else None,
        )
        fields.close()
        return entry


class StoreState(NamedTuple):
    """The contents of a store after entry `seq` of its log; -1 stands for the empty log.

    `packs` are those that can be read, with their sizes. Pushes must not reuse the `condemned` ones, which will be removed.
    `indexes` are sorted oldest first: the newest that names an oid, in a pack that still exists, is right.
    """

    seq: int
    packs: Mapping[FileId, int]
    condemned: frozenset[FileId]
    indexes: tuple[FileId, ...]


EMPTY = StoreState(-1, {}, frozenset(), ())
"""The state of a store without entries."""


def apply(state: StoreState, seq: int, entry: LogEntry) -> StoreState:
    """Return the state after `entry`, which is number `seq` and follows `state`.

    Raises CorruptData if `seq` is not the next number, and as `apply_all` does.
    """
    if seq != state.seq + 1:
        raise CorruptData(f"log entry {seq} does not follow entry {state.seq}")
    return apply_all(state, [entry])


def apply_all(state: StoreState, entries: Iterable[LogEntry]) -> StoreState:
    """Return the state after consecutive `entries`, starting with the one after `state`.

    Removing what is not there changes nothing, so that a log stays readable if a clean-up ran twice. Raises CorruptData for a
    pack that changes its size, and for more packs or indexes than a state may have.
    """
    # copied once, not per entry: a reader without a hint replays every push
    seq, packs, condemned = state.seq, dict(state.packs), set(state.condemned)
    indexes = dict.fromkeys(state.indexes)
    for entry in entries:
        seq += 1
        for pack, size in entry.add_packs.items():
            if packs.setdefault(pack, size) != size:
                raise CorruptData(f"log entry {seq} gives pack {pack.hex()} another size than it has")
        for pack in entry.remove_packs:
            packs.pop(pack, None)
        condemned.update(pack for pack in entry.condemn_packs if pack in packs)
        condemned.difference_update(entry.remove_packs)
        for index in (*entry.drop_indexes, *entry.add_indexes):
            indexes.pop(index, None)
        indexes |= dict.fromkeys(entry.add_indexes)
        if len(packs) > MAX_PACKS or len(indexes) > MAX_INDEXES:
            raise CorruptData(
                f"log entry {seq} gives the store more than {MAX_PACKS:,} packs or {MAX_INDEXES:,} indexes",
                hint="git-lds writes no such store: ask its administrator, or use another",
            )
    return StoreState(seq, packs, frozenset(condemned), tuple(indexes))


def encode_checkpoint(state: StoreState) -> bytes:
    """Return the checkpoint file of `state`. Raises LdsError if the store has too many packs for one."""
    data = _json(
        {
            "version": VERSION,
            "seq": state.seq,
            "packs": _hex_sizes(state.packs),
            "condemned": sorted(_hex_list(state.condemned)),
            "indexes": _hex_list(state.indexes),
        }
    )
    if len(data) > keys.MAX_SIZES[keys.KeyKind.CHECKPOINT]:
        raise LdsError("the store has too many packs for a checkpoint")
    return data


def decode_checkpoint(data: bytes) -> StoreState:
    """Return the state in the checkpoint file `data`. Raises CorruptData."""
    fields = _Fields("a checkpoint", data, keys.KeyKind.CHECKPOINT)
    state = StoreState(
        seq=fields.number("seq", keys.MAX_SEQ),
        packs=fields.sizes("packs"),
        condemned=frozenset(fields.ids("condemned")),
        indexes=fields.ids("indexes"),
    )
    fields.close()
    if not state.condemned <= state.packs.keys():
        raise CorruptData("a checkpoint condemns a pack that it does not have")
    return state


class Hint(NamedTuple):
    """Where a reader may start: the last known entry and the key of a checkpoint. It is neither trusted nor needed."""

    seq: int
    checkpoint: str | None

    def encode(self) -> bytes:
        """Return the file of this hint."""
        return _json({"version": VERSION, "seq": self.seq, "checkpoint": self.checkpoint})

    @classmethod
    def decode(cls, data: bytes) -> Hint | None:
        """Return the hint in `data`, or None if it is not valid."""
        try:
            fields = _Fields("a hint", data, keys.KeyKind.HEAD)
            seq = fields.number("seq", keys.MAX_SEQ)
            checkpoint = fields.take("checkpoint")
            fields.close()
        except CorruptData:
            return None
        if checkpoint is None:
            return cls(seq, None)
        key = keys.parse(checkpoint) if isinstance(checkpoint, str) else None
        if key is None or key.kind != keys.KeyKind.CHECKPOINT or key.seq is None or key.seq > seq:
            return None
        return cls(seq, str(checkpoint))


def _json(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"


def _hex_sizes(packs: Mapping[FileId, int]) -> dict[str, int]:
    return {pack.hex(): size for pack, size in packs.items()}


def _hex_list(ids: Iterable[FileId]) -> list[str]:
    return [id.hex() for id in ids]


class _Fields:
    """The fields of a file of the log, taken out one by one and checked.

    Fields that remain at the end are refused: a writer that adds a field raises the version.
    """

    def __init__(self, what: str, data: bytes, kind: keys.KeyKind, newest: int = VERSION) -> None:
        self._what = what
        if len(data) > keys.MAX_SIZES[kind]:
            raise CorruptData(f"{what} is larger than {keys.MAX_SIZES[kind]} bytes")
        self._remaining = self._parse(data)
        version = self._remaining.pop("version", None)
        if type(version) is not int:
            raise CorruptData(f"{what} does not say its version")
        if not VERSION <= version <= newest:
            raise CorruptData(f"{what} has version {version}, and this git-lds knows {newest}", hint="upgrade git-lds")
        self.version = version

    def _parse(self, data: bytes) -> dict[str, object]:
        # JSON like [[],[],... takes 20 times its size in memory. Our files have many ids of 64 digits, and little else.
        if data.count(b"[") + data.count(b"{") > 16 or data.count(b",") > 16 + len(data) // 64:
            raise CorruptData(f"{self._what} has more fields than it can have")
        try:
            fields = json.loads(data.decode("ascii"), object_pairs_hook=_no_duplicates)
        except (ValueError, RecursionError) as e:
            raise CorruptData(f"{self._what} is not JSON: {e}") from e
        if not isinstance(fields, dict):
            raise CorruptData(f"{self._what} is not a JSON object")
        return fields

    def take(self, name: str) -> object:
        if name not in self._remaining:
            raise CorruptData(f'{self._what} has no "{name}"')
        return self._remaining.pop(name)

    def number(self, name: str, maximum: int) -> int:
        value = self.take(name)
        if type(value) is not int or not 0 <= value <= maximum:
            raise CorruptData(f'"{name}" of {self._what} is not a number from 0 to {maximum}')
        return value

    def push(self, name: str) -> str:
        value = self.take(name)
        if not isinstance(value, str) or not _PUSH.fullmatch(value):
            raise CorruptData(f'"{name}" of {self._what} is not 32 hex digits')
        return value

    def digest(self, name: str) -> bytes:
        """Take 64 hex digits, or the empty text, which stands for b""."""
        value = self.take(name)
        return b"" if value == "" else self._id(name, value)

    def sizes(self, name: str) -> dict[FileId, int]:
        value = self.take(name)
        if not isinstance(value, dict):
            raise CorruptData(f'"{name}" of {self._what} is not an object')
        maximum = keys.MAX_SIZES[keys.KeyKind.PACK]
        for size in value.values():
            if type(size) is not int or not 0 < size <= maximum:
                raise CorruptData(f'"{name}" of {self._what} has a size that no pack has')
        return {self._id(name, text): size for text, size in value.items()}

    def ids(self, name: str) -> tuple[FileId, ...]:
        value = self.take(name)
        if not isinstance(value, list):
            raise CorruptData(f'"{name}" of {self._what} is not a list')
        ids = tuple(self._id(name, text) for text in value)
        if len(set(ids)) != len(ids):
            raise CorruptData(f'"{name}" of {self._what} has an element twice')
        return ids

    def close(self) -> None:
        if self._remaining:
            raise CorruptData(f"{self._what} has a field {min(self._remaining)!r} that this git-lds does not know")

    def _id(self, name: str, text: object) -> FileId:
        id = hashing.from_hex(text) if isinstance(text, str) else None
        if id is None:
            raise CorruptData(f'"{name}" of {self._what} has a name that is not 64 hex digits')
        return FileId(id)


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field occurs twice")
    return fields

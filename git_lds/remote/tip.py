"""Finds the end of a store's log: from what is known here, the hint and a checkpoint, then entry by entry.

The hint is never trusted, and neither is what is known here: the store may have been restored from an older copy since,
and its log may have gone on differently. So the entry that we stand on is read again before we go on from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

from git_lds import hashing
from git_lds.errors import CorruptData, LdsError, NotInStore
from git_lds.hashing import DIGEST_SIZE, FileId
from git_lds.pack.layout import HEAD, MAX_SIZES, Kind, log_key, parse
from git_lds.pack.log import Hint, LogEntry, State, apply, decode_checkpoint, encode_checkpoint
from git_lds.remote.backend import Backend

CHECKPOINT_EVERY = 32
"""Entries of the log from one checkpoint to the next, so that a new reader asks for some 40 files at most."""

_WORTH_A_CHECKPOINT = 8
"""Entries that are read one by one rather than by way of a checkpoint, which names every pack of the store."""

_READERS = 8


@dataclass(frozen=True, slots=True)
class Tip:
    """The state of a store after an entry of its log, and the BLAKE3 of that entry, by which it is known again."""

    EMPTY: ClassVar[Tip]

    state: State
    digest: bytes

    def after(self, data: bytes) -> Tip:
        """Return the tip once the entry `data` follows."""
        try:
            state = apply(self.state, self.state.seq + 1, LogEntry.decode(data))
        except CorruptData as error:
            raise CorruptData(f"{log_key(self.state.seq + 1)}: {error.message}", error.hint) from None
        return Tip(state, hashing.of_bytes(data))

    def encode(self) -> bytes:
        """Return the bytes by which a tip with at least one entry is kept here."""
        return self.digest + encode_checkpoint(self.state)

    @classmethod
    def decode(cls, data: bytes | None) -> Tip:
        """Return the tip that was kept as `data`; the empty one when that is nothing of use."""
        try:
            return cls.EMPTY if data is None else cls(decode_checkpoint(data[DIGEST_SIZE:]), data[:DIGEST_SIZE])
        except LdsError:
            return cls.EMPTY


Tip.EMPTY = Tip(State.EMPTY, b"")


def read_hint(backend: Backend) -> Hint | None:
    """Return the store's hint, or None when there is none that helps."""
    try:
        return Hint.decode(backend.read(HEAD, limit=MAX_SIZES[Kind.HEAD]))
    except (NotInStore, CorruptData):
        return None


def read_tip(backend: Backend, known: Tip, hint: Hint | None) -> Tip:
    """Return where the log ends now. `known` is where it once ended, or Tip.EMPTY."""
    if not is_still_there(backend, known):
        known = Tip.EMPTY
    seq = known.state.seq
    if hint is not None and hint.checkpoint is not None and hint.seq > seq + _WORTH_A_CHECKPOINT:
        known = _read_checkpoint(backend, hint.checkpoint, known)
    return read_on(backend, known, hint)


def is_still_there(backend: Backend, tip: Tip) -> bool:
    """Tell whether the store's log still has the entry that `tip` stands on."""
    if tip.state.seq < 0:
        return True
    data = read_entry(backend, tip.state.seq)
    return data is not None and hashing.of_bytes(data) == tip.digest


def read_on(backend: Backend, tip: Tip, hint: Hint | None = None) -> Tip:
    """Return the tip after the entries that follow `tip`. Those that the hint promises are asked for side by side."""
    start = tip.state.seq + 1
    promised = range(start, min(hint.seq + 1, start + 2 * CHECKPOINT_EVERY)) if hint is not None else range(0)
    for data in _read_entries(backend, promised):
        if data is None:
            return tip
        tip = tip.after(data)
    while (data := read_entry(backend, tip.state.seq + 1)) is not None:
        tip = tip.after(data)
    return tip


def read_entry(backend: Backend, seq: int) -> bytes | None:
    """Return entry `seq` of the log as it stands in the store, or None when there is none."""
    try:
        return backend.read(log_key(seq), limit=MAX_SIZES[Kind.LOG])
    except NotInStore:
        return None


def _read_entries(backend: Backend, seqs: range) -> Iterable[bytes | None]:
    if len(seqs) < 2:
        return [read_entry(backend, seq) for seq in seqs]
    with ThreadPoolExecutor(_READERS, "log") as pool:
        return list(pool.map(lambda seq: read_entry(backend, seq), seqs))


def _read_checkpoint(backend: Backend, key: str, known: Tip) -> Tip:
    """Return the tip that a checkpoint gives, or `known` when it gives none that goes further.

    A store restored from an older copy may still have a checkpoint of the log that was: the entry that it stands on
    must be there, and what that added must be in it. Packs have names of their own, so that is no chance hit.
    """
    named = parse(key)
    assert named is not None and named.seq is not None
    if named.seq <= known.state.seq:
        return known
    try:
        data = backend.read(key, limit=MAX_SIZES[Kind.CHECKPOINT])
        if FileId(hashing.of_bytes(data)) != named.id:
            return known
        state = decode_checkpoint(data)
        entry_data = read_entry(backend, named.seq)
        entry = None if entry_data is None else LogEntry.decode(entry_data)
    except (NotInStore, CorruptData):
        return known
    if entry is None or entry_data is None or state.seq != named.seq or not _fits(entry, state):
        return known
    return Tip(state, hashing.of_bytes(entry_data))


def _fits(entry: LogEntry, state: State) -> bool:
    """Tell whether `state` has what `entry` added."""
    packs = {pack: size for pack, size in entry.add_packs.items() if pack not in entry.remove_packs}
    return packs.items() <= state.packs.items() and set(entry.add_indexes) <= set(state.indexes)

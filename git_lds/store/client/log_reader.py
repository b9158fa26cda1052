"""Finds the end of a store's log: from what is known here, the hint and a checkpoint, then entry by entry.

The hint is never trusted, and neither is what is known here: the store may have been restored from an older copy since,
and its log may have gone on differently. So the entry that we stand on is read again before we go on from it, and
each entry that comes is held against the one before it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from git_lds import hashing, workers
from git_lds.errors import CorruptData, LdsError, NotInStore
from git_lds.fast_typing import NamedTuple
from git_lds.hashing import DIGEST_SIZE, FileId
from git_lds.store.backends.contract import Backend
from git_lds.store.format.keys import HEAD, MAX_SEQ, MAX_SIZES, PARAMETERS, Kind, log_key, parse
from git_lds.store.format.log import EMPTY as EMPTY_STATE
from git_lds.store.format.log import Hint, LogEntry, StoreState, apply_all, decode_checkpoint, encode_checkpoint

CHECKPOINT_EVERY = 32
"""Entries of the log from one checkpoint to the next, so that a new reader asks for some 40 files at most."""

_WORTH_A_CHECKPOINT = 8
"""Entries that are read one by one rather than by way of a checkpoint, which names every pack of the store."""

_AHEAD = 2
"""Entries after the known end that a first look asks for: who has to read one push more needs no second look."""

_MOST_AHEAD = 256
"""Entries that are asked for at a time at most, where nothing says how many there are: 100 KB, as a rule."""

_SMALL = 256 << 10
"""The largest entry in bytes that is read before its turn. A larger one, of 3,000 packs, comes alone, so that 256 at a time do
not fill the memory."""

MAX_ENTRIES = 1_000_000
MAX_BYTES = 1 << 30
MAX_SECONDS = 600.0
"""What is read of a log at a time, at most: what has no end by then has none, or is read on next time."""

_TRAIL = 128
"""Entries before the end whose BLAKE3 is kept, so that one of them is known again without a request. Fits in a byte."""

_READ_BACK = 64
"""Entries that are read again at most to see whether an older one is still part of the log: four round trips."""


class LogTip(NamedTuple):
    """The state of a store after an entry of its log, and the BLAKE3 of the last entries, by which they are known again.

    `trail` has them oldest first; as far as entries name the one before, each follows on the one before it. `broken` is
    the number of an entry that was read and does not.
    """

    state: StoreState
    trail: tuple[bytes, ...] = ()
    broken: int | None = None

    @property
    def digest(self) -> bytes:
        """The BLAKE3 of the last entry; b"" where there is none."""
        return self.trail[-1] if self.trail else b""

    def after(self, data: bytes) -> LogTip:
        """Return the tip once the entry `data` follows."""
        return self.after_all([data])

    def after_all(self, entries: Iterable[bytes]) -> LogTip:
        """Return the tip once `entries` follow. Each is taken when those before it were found to be good."""
        seq, broken = self.state.seq, self.broken
        trail = deque(self.trail, _TRAIL)

        def decoded() -> Iterator[LogEntry]:
            nonlocal seq, broken
            for data in entries:
                seq += 1
                entry = LogEntry.decode(data)
                if not entry.follows_on(trail[-1] if trail else b""):
                    broken = seq
                    trail.clear()
                trail.append(hashing.of_bytes(data))
                yield entry

        try:
            state = apply_all(self.state, decoded())
        except CorruptData as error:
            raise CorruptData(f"{log_key(seq)}: {error.message}", error.hint) from None
        return LogTip(state, tuple(trail), broken)

    def stands_on(self, data: bytes | None) -> bool:
        """Tell whether `data` is the entry that this tip stands on."""
        return data is not None and hashing.of_bytes(data) == self.digest

    def encode(self) -> bytes:
        """Return the bytes by which a tip with at least one entry is kept here."""
        return bytes([len(self.trail)]) + b"".join(self.trail) + encode_checkpoint(self.state)

    @classmethod
    def decode(cls, data: bytes | None) -> LogTip:
        """Return the tip that was kept as `data`; the empty one when that is nothing of use."""
        if not data:
            return EMPTY
        end = 1 + DIGEST_SIZE * data[0]
        trail = tuple(data[at : at + DIGEST_SIZE] for at in range(1, end, DIGEST_SIZE))
        try:
            return cls(decode_checkpoint(data[end:]), trail)
        except LdsError:
            return EMPTY


EMPTY = LogTip(EMPTY_STATE)
"""The tip of a store with no entry."""


class Budget:
    """What one reading of a log may take: entries, bytes and seconds."""

    def __init__(self) -> None:
        self._entries, self._bytes = MAX_ENTRIES, MAX_BYTES
        self._until = time.monotonic() + MAX_SECONDS

    def spend(self, size: int) -> None:
        """Count an entry of `size` bytes."""
        self._entries -= 1
        self._bytes -= size

    @property
    def is_spent(self) -> bool:
        """Whether it is time to stop."""
        return self._entries <= 0 or self._bytes <= 0 or time.monotonic() >= self._until


class FirstRound(NamedTuple):
    """What a first look at a store brought in one round trip: the parameters where they were asked for, the hint, and the
    entries of the log about where it was known to end. None stands for what is not there."""

    parameters: bytes | None
    hint: Hint | None
    entries: Mapping[int, bytes | None]


def look(backend: Backend, known: LogTip, *, parameters: bool) -> FirstRound:
    """Return a first look at the store: what it takes to see that nothing is new since `known`, or one push."""
    seqs = range(max(known.state.seq, 0), known.state.seq + 1 + _AHEAD)
    keys = [*([PARAMETERS] if parameters else []), HEAD, *map(log_key, seqs)]
    found = _read_all(backend, keys)
    return FirstRound(found.get(PARAMETERS), _hint(found[HEAD]), {seq: found[log_key(seq)] for seq in seqs})


def _hint(data: bytes | None) -> Hint | None:
    try:
        return None if data is None else Hint.decode(data)
    except CorruptData:
        return None


class LogReadResult(NamedTuple):
    """Where the log ends now, unless there was too much of it to read at a time: then not `is_whole`, and `tip` is how far it
    was read. `lost` says what became of the entry that we stood on, if it is not there any more."""

    tip: LogTip
    lost: str | None
    is_whole: bool


def read_tip(backend: Backend, known: LogTip, seen: FirstRound) -> LogReadResult:
    """Read the log to its end. `known` is where it once ended, or `EMPTY`."""
    log, lost = _Log(backend, seen.entries), None
    if known.state.seq >= 0:
        data = log.read(known.state.seq)
        if not known.stands_on(data):
            lost = f"entry {known.state.seq} is {'gone' if data is None else 'another one'}"
            known = EMPTY
    hint = seen.hint
    if hint is not None and hint.checkpoint is not None and hint.seq > known.state.seq + _WORTH_A_CHECKPOINT:
        known = _read_checkpoint(log, hint, known)
    if hint is not None:
        log.expect(known.state.seq + 1, hint)
    end = known.after_all(log.read_on(known.state.seq + 1))
    return LogReadResult(end, lost, log.is_whole)


def includes(backend: Backend, tip: LogTip, seq: int, digest: bytes) -> bool:
    """Return whether the log that ends with `tip` includes entry `seq` with the BLAKE3 `digest`, and is not broken after it.

    Asks the store only for an entry that is older than the trail, and not if it is much older: then the answer is no.
    """
    if (seq, digest) == (tip.state.seq, tip.digest):
        return True
    oldest = tip.state.seq - len(tip.trail) + 1
    if oldest <= seq <= tip.state.seq:
        return tip.trail[seq - oldest] == digest
    if not 0 <= seq < oldest <= seq + _READ_BACK:
        return False
    try:
        first, *others = _read_all(backend, [log_key(each) for each in range(seq, oldest + 1)]).values()
        there = LogTip(EMPTY_STATE._replace(seq=seq), (digest,))
        if not there.stands_on(first):
            return False
        after = there.after_all(data for data in others if data is not None)
    except LdsError:
        return False
    return after.broken is None and after.digest == tip.trail[0]


def is_still_there(backend: Backend, tip: LogTip) -> bool:
    """Tell whether the store's log still has the entry that `tip` stands on."""
    return tip.state.seq < 0 or tip.stands_on(read_entry(backend, tip.state.seq))


def read_entry(backend: Backend, seq: int) -> bytes | None:
    """Return entry `seq` of the log as it stands in the store, or None when there is none."""
    return _read(backend, log_key(seq))


def entries_from(backend: Backend, seq: int) -> Iterator[bytes]:
    """Yield the entries of the log from `seq` to the last, without the hint and checkpoints, which anybody may have put.

    Raises CorruptData where there are too many to read at a time.
    """
    log = _Log(backend, {})
    yield from log.read_on(seq)
    if not log.is_whole:
        raise CorruptData(f"the log of {backend.url} goes on and on")


class _Log:
    """The entries of a store's log: those that were seen, and those that are asked for, each once."""

    def __init__(self, backend: Backend, seen: Mapping[int, bytes | None]) -> None:
        self.backend = backend
        self.is_whole = False
        self._seen = dict(seen)
        self._later: set[int] = set()
        self._budget = Budget()

    def read(self, seq: int) -> bytes | None:
        if seq not in self._seen:
            self._seen[seq] = read_entry(self.backend, seq)
        return self._seen[seq]

    def read_on(self, seq: int) -> Iterator[bytes]:
        """Yield the entries from `seq` to the last, then set `is_whole`; fewer where that would be too much. Where nothing
        says how many there are, twice as many are asked for at a time as the time before: of a log of thousands without a
        hint one by one would take minutes."""
        ahead = 1
        while not self._budget.is_spent:
            if seq not in self._seen and seq not in self._later:
                self._ask(range(seq, min(seq + ahead, MAX_SEQ + 1)))
                ahead = min(2 * ahead, _MOST_AHEAD)
            if (data := self.read(seq)) is None:
                self.is_whole = True
                return
            del self._seen[seq]
            self._budget.spend(len(data))
            yield data
            seq += 1

    def expect(self, start: int, hint: Hint, *others: str) -> dict[str, bytes | None]:
        """Ask side by side for the entries from `start` that the hint promises, for the one after them, which tells that
        it is the last, and for `others`; return those."""
        promised = range(start, min(hint.seq + 2, start + 2 * CHECKPOINT_EVERY, MAX_SEQ))
        return self._ask(promised, *others)

    def _ask(self, seqs: Iterable[int], *others: str) -> dict[str, bytes | None]:
        unseen = [seq for seq in seqs if seq not in self._seen]
        calls = [partial(_read, self.backend, key) for key in others]
        calls += [partial(self._read_ahead, seq) for seq in unseen]
        return dict(zip(others, workers.side_by_side(calls, self.backend.close), strict=False))

    def _read_ahead(self, seq: int) -> bytes | None:
        """Read entry `seq` before its turn, unless it is large or there is no time left."""
        if self._budget.is_spent:
            return None
        try:
            self._seen[seq] = _read(self.backend, log_key(seq), _SMALL)
        except CorruptData:
            self._later.add(seq)
        return None


def _read_all(backend: Backend, keys: Sequence[str]) -> dict[str, bytes | None]:
    read = workers.side_by_side([partial(_read, backend, key) for key in keys], backend.close)
    return dict(zip(keys, read, strict=True))


def _read(backend: Backend, key: str, most: int | None = None) -> bytes | None:
    """Return what is at `key`; None when nothing is there. A hint or a checkpoint that cannot be had is not needed."""
    named = parse(key)
    assert named is not None
    try:
        return backend.read(key, limit=MAX_SIZES[named.kind] if most is None else most)
    except NotInStore:
        return None
    except LdsError:
        if named.kind in (Kind.HEAD, Kind.CHECKPOINT):
            return None
        raise


def _read_checkpoint(log: _Log, hint: Hint, known: LogTip) -> LogTip:
    """Return the tip that the hint's checkpoint gives, or `known` when it gives none that goes further.

    A store restored from an older copy may still have a checkpoint of the log that was: the entry that it stands on
    must be there, and what that added must be in it. Packs have names of their own, so that is no chance hit.
    """
    assert hint.checkpoint is not None
    named = parse(hint.checkpoint)
    assert named is not None and named.seq is not None
    if named.seq <= known.state.seq:
        return known
    data = log.expect(named.seq, hint, hint.checkpoint)[hint.checkpoint]
    entry_data = log.read(named.seq)
    if data is None or entry_data is None or FileId(hashing.of_bytes(data)) != named.id:
        return known
    try:
        state = decode_checkpoint(data)
        entry = LogEntry.decode(entry_data)
    except CorruptData:
        return known
    if state.seq != named.seq or not _fits(entry, state):
        return known
    return LogTip(state, (hashing.of_bytes(entry_data),), known.broken)


def _fits(entry: LogEntry, state: StoreState) -> bool:
    """Tell whether `state` has what `entry` added."""
    packs = {pack: size for pack, size in entry.add_packs.items() if pack not in entry.remove_packs}
    return packs.items() <= state.packs.items() and set(entry.add_indexes) <= set(state.indexes)

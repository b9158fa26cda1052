"""Finds the end of a store's log: from the cached end, the hint and a checkpoint, then entry by entry.

Neither the hint nor the cached end is trusted: the store may have been restored from an older copy, and its log continued
differently. So the last known entry is read again before reading on, and each new entry is checked against its predecessor.
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
from git_lds.store.format.keys import HEAD, MAX_SEQ, MAX_SIZES, PARAMETERS, KeyKind, log_key, parse
from git_lds.store.format.log import EMPTY as EMPTY_STATE
from git_lds.store.format.log import Hint, LogEntry, StoreState, apply_all, decode_checkpoint, encode_checkpoint

CHECKPOINT_EVERY = 32
"""Log entries from one checkpoint to the next, so that a new reader requests some 40 files at most."""

_WORTH_A_CHECKPOINT = 8
"""Entries that are read one by one instead of through a checkpoint, which names every pack of the store."""

_AHEAD = 2
"""Entries after the known end that the first round requests: a reader that lacks one push needs no second round."""

_MOST_AHEAD = 256
"""Entries requested at a time at most, if their number is unknown: usually 100 KB."""

_SMALL = 256 << 10
"""The largest entry in bytes that is read ahead. Larger ones, of 3,000 packs, are read alone, so that 256 at a time do not fill
the memory."""

MAX_ENTRIES = 1_000_000
MAX_BYTES = 1 << 30
MAX_SECONDS = 600.0
"""Limits of one reading of a log. A log that goes on after them is endless, or is read on next time."""

_TRAIL = 128
"""Entries before the end whose BLAKE3 is cached, so that they are recognised without a request. Fits in a byte."""

_READ_BACK = 64
"""Entries that are read again at most to check that an older one is still in the log: four round trips."""


class LogTip(NamedTuple):
    """The state of a store after an entry of its log, and the BLAKE3s of the last entries, which identify them.

    `trail` has the BLAKE3s oldest first. Each of these entries follows the one before it, unless it is of version 1, which
    does not tell. `broken` is the number of an entry that was read and does not follow its predecessor.
    """

    state: StoreState
    trail: tuple[bytes, ...] = ()
    broken: int | None = None

    @property
    def digest(self) -> bytes:
        """The BLAKE3 of the last entry, or b"" for an empty log."""
        return self.trail[-1] if self.trail else b""

    def after(self, data: bytes) -> LogTip:
        """Return the tip after the further entry `data`. Raises CorruptData."""
        return self.after_all([data])

    def after_all(self, entries: Iterable[bytes]) -> LogTip:
        """Return the tip after further `entries`. Each is read after those before it were checked. Raises CorruptData."""
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
        """Return whether `data` is the last entry of this tip."""
        return data is not None and hashing.of_bytes(data) == self.digest

    def encode(self) -> bytes:
        """Return the bytes for caching a tip with at least one entry. Raises LdsError if it has too many packs."""
        return bytes([len(self.trail)]) + b"".join(self.trail) + encode_checkpoint(self.state)

    @classmethod
    def decode(cls, data: bytes | None) -> LogTip:
        """Return the tip that was cached as `data`, or the empty tip if `data` is None or damaged."""
        if not data:
            return EMPTY
        end = 1 + DIGEST_SIZE * data[0]
        trail = tuple(data[at : at + DIGEST_SIZE] for at in range(1, end, DIGEST_SIZE))
        try:
            return cls(decode_checkpoint(data[end:]), trail)
        except LdsError:
            return EMPTY


EMPTY = LogTip(EMPTY_STATE)
"""The tip of an empty log."""


class Budget:
    """The limit of one reading of a log: entries, bytes and seconds."""

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
    """What the first round trip to a store read: the parameters if requested, the hint, and the entries around the known end.

    None stands for a missing file.
    """

    parameters: bytes | None
    hint: Hint | None
    entries: Mapping[int, bytes | None]


def read_first_round(backend: Backend, known: LogTip, *, parameters: bool) -> FirstRound:
    """Read from the store what shows that nothing is new since `known`, or one push is. Raises its errors."""
    seqs = range(max(known.state.seq, 0), known.state.seq + 1 + _AHEAD)
    keys = [*([PARAMETERS] if parameters else []), HEAD, *map(log_key, seqs)]
    files = _read_all(backend, keys)
    return FirstRound(files.get(PARAMETERS), _hint(files[HEAD]), {seq: files[log_key(seq)] for seq in seqs})


def _hint(data: bytes | None) -> Hint | None:
    try:
        return None if data is None else Hint.decode(data)
    except CorruptData:
        return None


class LogReadResult(NamedTuple):
    """The end of the log, or with `is_whole` False how far it was read within the limits.

    `lost` says what happened to the last known entry, if it is no longer there.
    """

    tip: LogTip
    lost: str | None
    is_whole: bool


def read_tip(backend: Backend, known: LogTip, first: FirstRound) -> LogReadResult:
    """Read the log to its end. `known` is its last known end, or `EMPTY`. Raises CorruptData and errors of the store."""
    log, lost = _Log(backend, first.entries), None
    if known.state.seq >= 0:
        data = log.read(known.state.seq)
        if not known.stands_on(data):
            lost = f"entry {known.state.seq} is {'gone' if data is None else 'another one'}"
            known = EMPTY
    hint = first.hint
    if hint is not None and hint.checkpoint is not None and hint.seq > known.state.seq + _WORTH_A_CHECKPOINT:
        known = _read_checkpoint(log, hint, known)
    if hint is not None:
        log.expect(known.state.seq + 1, hint)
    end = known.after_all(log.read_on(known.state.seq + 1))
    return LogReadResult(end, lost, log.is_whole)


def includes(backend: Backend, tip: LogTip, seq: int, digest: bytes) -> bool:
    """Return whether the log up to `tip` has entry `seq` with the BLAKE3 `digest`, and is unbroken from there.

    Reads from the store only if the entry is older than the trail. If it is much older, the answer is no.
    """
    if (seq, digest) == (tip.state.seq, tip.digest):
        return True
    oldest = tip.state.seq - len(tip.trail) + 1
    if oldest <= seq <= tip.state.seq:
        return tip.trail[seq - oldest] == digest
    if not 0 <= seq < oldest <= seq + _READ_BACK:
        return False
    try:
        first, *others = _read_all(backend, [log_key(number) for number in range(seq, oldest + 1)]).values()
        start = LogTip(EMPTY_STATE._replace(seq=seq), (digest,))
        if not start.stands_on(first):
            return False
        after = start.after_all(data for data in others if data is not None)
    except LdsError:
        return False
    return after.broken is None and after.digest == tip.trail[0]


def is_still_there(backend: Backend, tip: LogTip) -> bool:
    """Return whether the log in the store still has the last entry of `tip`. Raises the errors of the store."""
    return tip.state.seq < 0 or tip.stands_on(read_entry(backend, tip.state.seq))


def read_entry(backend: Backend, seq: int) -> bytes | None:
    """Return entry `seq` of the log in the store, or None if it does not exist. Raises the errors of the store."""
    return _read(backend, log_key(seq))


def entries_from(backend: Backend, seq: int) -> Iterator[bytes]:
    """Yield the entries of the log from `seq` to the last, without using the hint and checkpoints, which may be forged.

    Raises CorruptData if there are more than the limits allow.
    """
    log = _Log(backend, {})
    yield from log.read_on(seq)
    if not log.is_whole:
        raise CorruptData(f"the log of {backend.url} is endless")


class _Log:
    """The entries of a log: those that were read already, and others, each requested once."""

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
        """Yield the entries from `seq` to the last, then set `is_whole`; fewer if the limits are reached.

        If their number is unknown, each round requests twice as many as the one before: a log of thousands without a hint
        would take minutes one by one.
        """
        ahead = 1
        while not self._budget.is_spent:
            if seq not in self._seen and seq not in self._later:
                self._request(range(seq, min(seq + ahead, MAX_SEQ + 1)))
                ahead = min(2 * ahead, _MOST_AHEAD)
            if (data := self.read(seq)) is None:
                self.is_whole = True
                return
            del self._seen[seq]
            self._budget.spend(len(data))
            yield data
            seq += 1

    def expect(self, start: int, hint: Hint, *others: str) -> dict[str, bytes | None]:
        """Request the entries from `start` that the hint promises, the one after them, and `others`; return the last.

        All are requested in parallel. The entry after the promised ones shows whether they are the last.
        """
        promised = range(start, min(hint.seq + 2, start + 2 * CHECKPOINT_EVERY, MAX_SEQ))
        return self._request(promised, *others)

    def _request(self, seqs: Iterable[int], *others: str) -> dict[str, bytes | None]:
        unseen = [seq for seq in seqs if seq not in self._seen]
        calls = [partial(_read, self.backend, key) for key in others]
        calls += [partial(self._read_ahead, seq) for seq in unseen]
        return dict(zip(others, workers.side_by_side(calls, self.backend.close), strict=False))

    def _read_ahead(self, seq: int) -> bytes | None:
        """Read entry `seq` ahead, unless it is large or no time is left."""
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
    """Return the file `key`, or None if missing. A hint or checkpoint is not needed, so any error counts as missing."""
    named = parse(key)
    assert named is not None
    try:
        return backend.read(key, limit=MAX_SIZES[named.kind] if most is None else most)
    except NotInStore:
        return None
    except LdsError:
        if named.kind in (KeyKind.HEAD, KeyKind.CHECKPOINT):
            return None
        raise


def _read_checkpoint(log: _Log, hint: Hint, known: LogTip) -> LogTip:
    """Return the tip from the hint's checkpoint, or `known` if there is no valid one that goes further.

    A store restored from an older copy may still have a checkpoint of its former log: the last entry of the checkpoint must
    exist, and the checkpoint must have what it added. Packs have unique names, so that is not a coincidence.
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
    """Return whether `state` has what `entry` added."""
    packs = {pack: size for pack, size in entry.add_packs.items() if pack not in entry.remove_packs}
    return packs.items() <= state.packs.items() and set(entry.add_indexes) <= set(state.indexes)

"""The smart client of a store: reads it (`reader`), adds pushes to its log, and merges indexes."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from git_lds import hashing, workers
from git_lds.errors import LdsError, NotAllowed, NotInStore, StoreUnreachable
from git_lds.files import Scratch, write_all
from git_lds.hashing import FileId
from git_lds.store.backends.contract import NoPutIfAbsent, OutOfSequence
from git_lds.store.client import log_reader
from git_lds.store.client.log_reader import CHECKPOINT_EVERY
from git_lds.store.client.reader import StoreReader
from git_lds.store.format import index
from git_lds.store.format.keys import HEAD, PARAMETERS, Parameters, checkpoint_key, index_key, log_key, parse
from git_lds.store.format.log import Hint, LogEntry, encode_checkpoint

MERGE_FROM = 16
"""The number of indexes from which on a push merges the newest of them."""

MERGE_LIMIT = 100_000
"""Objects in one merge at most: 40 MB of memory while it runs, 5 MB in the store."""

_MERGE_LEAST = 8
"""Indexes in one merge at least."""

_MERGE_SHARE = 2
"""How many times larger the oldest index of a merge may be than all newer ones together. It is small, so that a row is written
some 10 times in the life of a store: without it, one million objects in pushes of 10 wrote 518 million rows (docs/scale.md)."""

_COMMIT_TRIES = 3
"""How often a log entry is put if the store neither accepts it nor shows another one in its place."""


class PacksCondemned(LdsError):
    """Packs that a push built on are being removed from the store: that part of the push must be repeated."""


class Store(StoreReader):
    """A store, read and written through `backend`, and cached below `cache_dir`.

    One thread refreshes, finds and commits; any number may use `backend` and `footer` meanwhile. All methods that use the
    backend raise its errors (see `contract`).
    """

    # the store itself

    def create(self, store_id: str | None = None) -> Parameters:
        """Create the store unless it exists, and return its parameters. It is marked if it has no put-if-absent.

        `store_id` is given for a copy of the store with this id. Raises the errors of the backend.
        """
        with contextlib.suppress(NotInStore):
            return self.parameters()
        store_id = store_id or os.urandom(16).hex()
        plain, marked = Parameters(store_id).encode(), Parameters(store_id, single_writer=True).encode()
        try:
            self.backend.create(PARAMETERS, plain)
            if self.backend.create(PARAMETERS, plain):  # a store that accepts it twice would accept another one too
                self.backend.create(PARAMETERS, marked)
        except NoPutIfAbsent:
            self.backend.emulate_put_if_absent()
            self.backend.create(PARAMETERS, marked)
        return self.parameters()

    # writing

    def commit(self, push: str, packs: Mapping[FileId, int], added: bytes | None, built_on: Collection[FileId]) -> int:
        """Add a log entry for `push`, which adds `packs` and the index `added`; return the number of the entry.

        `push` is 32 random hex digits. The packs are in the store already, the index is put there now. Of simultaneous
        pushes each gets its own number. Raises PacksCondemned if one of `built_on`, the packs that the push reuses, is gone or
        condemned; StoreUnreachable if the store does not show whether the entry exists.
        """
        calls: list[Callable[[], bool]] = [partial(log_reader.is_still_there, self.backend, self._tip)]
        if added is not None:
            calls.append(partial(self._put_index, added))
        is_still_there, *_ = workers.side_by_side(calls, self.backend.close)
        if not is_still_there:
            self.refresh()  # the store was restored from an older copy while the push was sent
        ids = [] if added is None else [FileId(hashing.of_bytes(added))]
        seq = self._put_entry(push, packs, ids, built_on)
        with contextlib.suppress(LdsError):  # the push is in the log: the rest only makes reading faster
            self._merge_indexes()
        with contextlib.suppress(LdsError):
            self._write_hint()
        self._cache_tip()
        return seq

    def _put_index(self, data: bytes) -> bool:
        """Put an index into the store, not yet into its log; return whether it was new."""
        id = FileId(hashing.of_bytes(data))
        with (
            contextlib.suppress(OSError),
            Scratch(self.tmp) as scratch,
        ):  # if this fails, the index is fetched when it is needed
            write_all(scratch.fd, data)
            scratch.move_to(self.directory / "index" / id.hex())
        return self.backend.create(index_key(id), data)

    def _put_entry(
        self, push: str, packs: Mapping[FileId, int], indexes: Sequence[FileId], built_on: Collection[FileId]
    ) -> int:
        entry = LogEntry(push, int(time.time()), packs, tuple(indexes))
        tries, budget = 0, log_reader.Budget()
        while not budget.is_spent:
            self._check_reusable(packs, built_on)
            before, data = self.state.seq, entry._replace(previous=self.digest).encode()
            failure: LdsError | None = None
            try:
                if self.backend.create(log_key(before + 1), data):
                    self._tip = self._tip.after(data)
                    return before + 1
            except OutOfSequence as error:
                failure = error
                self.refresh()  # the store has just been restored from an older copy
            except (StoreUnreachable, NotAllowed) as error:
                failure = error  # the entry may exist all the same: the log decides
            if (seq := self._read_until(push, budget)) is not None:
                return seq
            if self.state.seq <= before:
                tries += 1
                if tries == _COMMIT_TRIES or type(failure) is NotAllowed:
                    raise failure or StoreUnreachable(f"{self.url} neither accepts nor has log entry {before + 1}")
                time.sleep(0.1 * tries)
        raise self._endless()

    def _check_reusable(self, packs: Mapping[FileId, int], built_on: Collection[FileId]) -> None:
        gone = [pack for pack in built_on if not self.is_live(pack)] + [p for p in packs if p in self.state.condemned]
        if gone:
            raise PacksCondemned(f"{len(gone)} packs that this push reuses are being removed from {self.url}")

    def _read_until(self, push: str, budget: log_reader.Budget) -> int | None:
        """Read new entries of the log, within `budget`; return the number of the entry of `push`, or None."""
        while not budget.is_spent and (data := log_reader.read_entry(self.backend, self.state.seq + 1)) is not None:
            budget.spend(len(data))
            self._tip = self._tip.after(data)
            if LogEntry.decode(data).push == push:
                return self.state.seq
        return None

    # maintenance after a push

    def _merge_indexes(self) -> None:
        """Replace the newest indexes by one if there are many.

        It is tried once: if another push comes between, that push merges. So the merged indexes are always the newest, and
        their order of precedence stays.
        """
        if len(self.state.indexes) < MERGE_FROM:
            return
        self._open_indexes()
        names, damaged = self.state.indexes, self.damaged_indexes
        usable = itertools.takewhile(lambda id: id not in damaged, reversed(names))
        opened = [self._indexes[id] for id in usable]  # newest first
        count = how_many_to_merge([len(one) for one in reversed(opened)])
        if not count:
            return
        entries = (entry for one in opened[:count] for entry in one.valid_rows() if entry.pack in self.state.packs)
        layers = index.encode_layers(entries, self.state.packs)
        for merged in layers:
            self._put_index(merged)
        dropped = names[-count:]
        added = tuple(FileId(hashing.of_bytes(merged)) for merged in reversed(layers))
        entry = LogEntry(os.urandom(16).hex(), int(time.time()), {}, added, dropped, previous=self.digest)
        data = entry.encode()
        if self.backend.create(log_key(self.state.seq + 1), data):
            self._tip = self._tip.after(data)

    def _write_hint(self) -> None:
        """Write where the log ends and where a checkpoint is, and a new checkpoint if the last is far behind."""
        key = self._hint.checkpoint if self._hint is not None else None
        named = parse(key) if key is not None else None
        seq = self.state.seq
        if named is None or named.seq is None or named.seq > seq:
            key, last = None, -1
        else:
            last = named.seq
        if seq - last >= CHECKPOINT_EVERY:
            with contextlib.suppress(LdsError):  # too many packs for one: keep the last
                data = encode_checkpoint(self.state)
                new = checkpoint_key(seq, FileId(hashing.of_bytes(data)))
                self.backend.create(new, data)
                key = new
        self._hint = Hint(seq, key)
        self.backend.write(HEAD, self._hint.encode())


def how_many_to_merge(counts: Sequence[int]) -> int:
    """Return how many of the newest indexes a push merges, or 0. `counts` are the objects in each, oldest first."""
    if len(counts) < MERGE_FROM:
        return 0
    chosen = total = 0
    for count in reversed(counts):
        if total + count > MERGE_LIMIT or (chosen and count > _MERGE_SHARE * total):
            break
        chosen, total = chosen + 1, total + count
    return chosen if chosen >= _MERGE_LEAST else 0

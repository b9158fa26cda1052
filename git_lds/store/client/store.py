"""The smart client of a store: reads it (`reader`), adds pushes to its log, and keeps its indexes few."""

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
"""Indexes from which on a push merges the newest of them."""

MERGE_LIMIT = 100_000
"""Objects that one merge takes on: 40 MB of memory while it runs, 5 MB in the store."""

_MERGE_LEAST = 8
"""Indexes that one merge makes one of, at least."""

_MERGE_SHARE = 2
"""How often larger than all newer ones together the oldest index of a merge may be. Small, so that a row is written some 10
times in the life of a store: without it, one million objects in pushes of 10 wrote 518 million rows (docs/scale.md)."""

_COMMIT_TRIES = 3
"""Times that an entry of the log is put when the store neither says yes nor shows who was first."""


class PacksCondemned(LdsError):
    """Packs that a push built on are on their way out of the store: that part of the push is to be done again."""


class Store(StoreReader):
    """A store, read and written through `backend`, with what is known of it kept below `cache_dir`.

    One thread refreshes, finds and commits; any number may use `backend` and `footer` meanwhile.
    """

    # the store itself

    def create(self, store_id: str | None = None) -> Parameters:
        """Make the store unless it is there, marked if it has no put-if-absent; return its parameters. It gets the id
        `store_id` if it is to be a copy of the store that has this id."""
        with contextlib.suppress(NotInStore):
            return self.parameters()
        store_id = store_id or os.urandom(16).hex()
        plain, marked = Parameters(store_id).encode(), Parameters(store_id, single_writer=True).encode()
        try:
            self.backend.create(PARAMETERS, plain)
            if self.backend.create(PARAMETERS, plain):  # what takes the same thing twice would take another one too
                self.backend.create(PARAMETERS, marked)
        except NoPutIfAbsent:
            self.backend.emulate_put_if_absent()
            self.backend.create(PARAMETERS, marked)
        return self.parameters()

    # writing

    def commit(self, push: str, packs: Mapping[FileId, int], added: bytes | None, built_on: Collection[FileId]) -> int:
        """Add to the log that push `push` (32 hex digits of its own) adds `packs` and the index `added`; return its number.

        The packs are in the store already, the index goes there now. Of many pushes at once each gets a number of its
        own. Raises PacksCondemned when one of `built_on`, the packs of the store that the push relies on, is no longer to
        be relied on; StoreUnreachable when the store does not say whether the entry is there.
        """
        calls: list[Callable[[], bool]] = [partial(log_reader.is_still_there, self.backend, self._tip)]
        if added is not None:
            calls.append(partial(self._put_index, added))
        is_still_there, *_ = workers.side_by_side(calls, self.backend.close)
        if not is_still_there:
            self.refresh()  # the store was restored from an older copy while the push was packed
        ids = [] if added is None else [FileId(hashing.of_bytes(added))]
        seq = self._put_entry(push, packs, ids, built_on)
        with contextlib.suppress(LdsError):  # the push is in the log: what follows only makes reading quicker
            self._merge_indexes()
        with contextlib.suppress(LdsError):
            self._write_hint()
        self._keep_tip()
        return seq

    def _put_index(self, data: bytes) -> bool:
        """Put an index into the store, not yet into its log; tell whether it was not there yet."""
        id = FileId(hashing.of_bytes(data))
        with contextlib.suppress(OSError), Scratch(self.tmp) as scratch:  # else it is fetched when it is needed
            write_all(scratch.fd, data)
            scratch.move_to(self.directory / "index" / id.hex())
        return self.backend.create(index_key(id), data)

    def _put_entry(
        self, push: str, packs: Mapping[FileId, int], indexes: Sequence[FileId], built_on: Collection[FileId]
    ) -> int:
        entry = LogEntry(push, int(time.time()), packs, tuple(indexes))
        tries, budget = 0, log_reader.Budget()
        while not budget.is_spent:
            self._check_live(packs, built_on)
            before, data = self.state.seq, entry._replace(previous=self.digest).encode()
            failure: LdsError | None = None
            try:
                if self.backend.create(log_key(before + 1), data):
                    self._tip = self._tip.after(data)
                    return before + 1
            except OutOfSequence as error:
                failure = error
                self.refresh()  # the store was restored from an older copy just now
            except (StoreUnreachable, NotAllowed) as error:
                failure = error  # it may be there all the same: what counts is what the log says
            if (seq := self._read_on_to(push, budget)) is not None:
                return seq
            if self.state.seq <= before:
                tries += 1
                if tries == _COMMIT_TRIES or type(failure) is NotAllowed:
                    raise failure or StoreUnreachable(f"{self.url} neither takes nor has log entry {before + 1}")
                time.sleep(0.1 * tries)
        raise self._endless()

    def _check_live(self, packs: Mapping[FileId, int], built_on: Collection[FileId]) -> None:
        gone = [pack for pack in built_on if not self.is_live(pack)] + [p for p in packs if p in self.state.condemned]
        if gone:
            raise PacksCondemned(f"{len(gone)} packs that this push builds on are about to leave {self.url}")

    def _read_on_to(self, push: str, budget: log_reader.Budget) -> int | None:
        """Read the entries that the log got meanwhile, as far as `budget` goes; return the number of that of `push`, or None."""
        while not budget.is_spent and (data := log_reader.read_entry(self.backend, self.state.seq + 1)) is not None:
            budget.spend(len(data))
            self._tip = self._tip.after(data)
            if LogEntry.decode(data).push == push:
                return self.state.seq
        return None

    # upkeep after a push

    def _merge_indexes(self) -> None:
        """Replace the newest indexes by one where there are many. Tried once: should another push come between, it is
        that one's turn, so what is merged is always the newest and the order in which indexes count stays."""
        if len(self.state.indexes) < MERGE_FROM:
            return
        self._open_indexes()
        names, damaged = self.state.indexes, self.damaged_indexes
        behind = itertools.takewhile(lambda id: id not in damaged, reversed(names))
        opened = [self._indexes[id] for id in behind]  # the newest first
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
        """Say where the log ends, and where a checkpoint is; write a new one when the last is far behind."""
        key = self._hint.checkpoint if self._hint is not None else None
        named = parse(key) if key is not None else None
        seq = self.state.seq
        if named is None or named.seq is None or named.seq > seq:
            key, last = None, -1
        else:
            last = named.seq
        if seq - last >= CHECKPOINT_EVERY:
            with contextlib.suppress(LdsError):  # too many packs for one: the last is better than none
                data = encode_checkpoint(self.state)
                new = checkpoint_key(seq, FileId(hashing.of_bytes(data)))
                self.backend.create(new, data)
                key = new
        self._hint = Hint(seq, key)
        self.backend.write(HEAD, self._hint.encode())


def how_many_to_merge(counts: Sequence[int]) -> int:
    """Return how many of the newest indexes a push makes one of, or 0. `counts` are the objects in each, oldest first."""
    if len(counts) < MERGE_FROM:
        return 0
    chosen = total = 0
    for count in reversed(counts):
        if total + count > MERGE_LIMIT or (chosen and count > _MERGE_SHARE * total):
            break
        chosen, total = chosen + 1, total + count
    return chosen if chosen >= _MERGE_LEAST else 0

"""Checks log entries, indexes and checkpoints against the log of their store before readers can see them.

Several servers may serve one store, so the log is read from the store, from the entry where it last ended. The hint and the
checkpoints are not used, because any writer may have written them.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from git_lds import hashing, workers
from git_lds.errors import CorruptData, LdsError, NotAllowed, NotInStore
from git_lds.files import Scratch, write_all
from git_lds.hashing import FileId
from git_lds.server.check_indexes import IndexCheck
from git_lds.server.check_packs import FooterCache, PackFooter
from git_lds.server.store_root import ServedStore
from git_lds.store.backends.contract import OutOfSequence
from git_lds.store.client import log_reader
from git_lds.store.client.log_reader import LogTip
from git_lds.store.format.index import Index
from git_lds.store.format.keys import MAX_SIZES, Key, KeyKind, index_key, pack_key
from git_lds.store.format.log import LogEntry, StoreState, apply

_CHECKED = 64
"""Indexes that are remembered as checked; other indexes are checked again when an entry adds them."""

_ROWS = 50_000
"""Rows of a dropped index that are looked up in one batch."""


class RemovalRefused(NotAllowed):
    """A log entry or a request would remove something from a store, and the server does not allow that."""


class StoreDamaged(LdsError):
    """The log of the store cannot be read, so nothing can be checked against it."""


class StoreHistory:
    """The log of one store, and checks against it. All methods may be called from any thread."""

    def __init__(self, store: ServedStore, footers: FooterCache, *, allow_removal: bool) -> None:
        """`allow_removal` is whether entries may condemn and remove packs."""
        self._store = store
        self._backend = store.backend
        self._footers = footers
        self._allow_removal = allow_removal
        self._tip = log_reader.EMPTY
        self._retired: set[FileId] = set()
        self._checked: OrderedDict[FileId, frozenset[FileId]] = OrderedDict()
        self._lock = threading.Lock()

    def remember_footer(self, pack: FileId, footer: PackFooter) -> None:
        """Cache the footer of a pack that was checked."""
        self._footers.put(self._backend, pack, footer)

    def check_index(self, id: FileId, index: Index) -> frozenset[FileId]:
        """Return all packs that hold objects of the index. Raises CorruptData if the index is wrong."""
        packs = IndexCheck(self._backend, self._footers).run(index)
        with self._lock:
            self._checked[id] = packs
            while len(self._checked) > _CHECKED:
                self._checked.popitem(last=False)
        return packs

    def check_entry(self, seq: int, entry: LogEntry) -> bool:
        """Check a new entry `seq` of the log; return whether that number is still free.

        Raises OutOfSequence if the entry before it is missing or another one, RemovalRefused, and CorruptData for an entry
        that names files the store lacks, or drops the only index of an object.
        """
        before, retired = self._read()
        if before.state.seq >= seq:
            return False
        if before.state.seq < seq - 1:
            raise OutOfSequence(f"the log ends with entry {before.state.seq}")
        if (entry.condemn_packs or entry.remove_packs) and not self._allow_removal:
            raise RemovalRefused("this server does not allow packs to be condemned or removed")
        _check_follows(entry, before)
        after = apply(before.state, seq, entry)
        if again := retired.intersection((*entry.add_packs, *entry.add_indexes)):
            raise CorruptData(f"{min(again).hex()} was removed by an earlier entry and cannot be added again")
        self._check_packs(entry)
        used = [self._packs_of(index) for index in entry.add_indexes]
        if missing := {pack for packs in used for pack in packs if pack not in after.packs}:
            raise CorruptData(f"an index of the entry needs pack {min(missing).hex()}, which no entry adds")
        dropped = [
            index for index in entry.drop_indexes if index in before.state.indexes and index not in after.indexes
        ]
        if dropped:
            self._check_dropped(dropped, entry.add_indexes, after)
        return True

    def check_checkpoint(self, seq: int, checkpoint: StoreState) -> None:
        """Raise CorruptData unless `checkpoint` is the state after entry `seq`, OutOfSequence if that entry is missing."""
        state = self._read()[0].state
        if state.seq < seq:
            raise OutOfSequence(f"the log ends with entry {state.seq}")
        if state.seq > seq:
            entries = itertools.islice(log_reader.entries_from(self._backend, 0), seq + 1)
            state = log_reader.EMPTY.after_all(entries).state
        if checkpoint != state:
            raise CorruptData("the checkpoint is not the state of the log after that entry")

    def check_removable(self, key: Key) -> None:
        """Raise RemovalRefused for a pack or an index that is still in use, or that no log entry has removed."""
        before, retired = self._read()
        if key.kind is KeyKind.PACK and (key.id not in retired or key.id in before.state.packs):
            raise RemovalRefused("no entry of the log removes this pack")
        if key.kind is KeyKind.INDEX and (key.id not in retired or key.id in before.state.indexes):
            raise RemovalRefused("no entry of the log drops this index")

    def _read(self) -> tuple[LogTip, set[FileId]]:
        """Return the current end of the log, and the packs and indexes that its entries removed so far."""
        with self._lock:
            known, retired = self._tip, self._retired
            try:
                if not log_reader.is_still_there(self._backend, known):
                    known, retired = log_reader.EMPTY, set()  # the store was restored from an older copy
                entries = log_reader.entries_from(self._backend, known.state.seq + 1)
                self._tip = known.after_all(_collecting_retired(entries, retired))
            except CorruptData as error:
                raise StoreDamaged(f"the log of this store is damaged: {error.message}") from None
            self._retired = retired
            return self._tip, retired

    def _check_packs(self, entry: LogEntry) -> None:
        """Raise CorruptData unless the store has the packs that the entry adds, with the same sizes."""
        sizes = _side_by_side([partial(self._backend.size, pack_key(pack)) for pack in entry.add_packs])
        for (pack, size), stored in zip(entry.add_packs.items(), sizes, strict=True):
            if stored != size:
                problem = "is not in the store" if stored is None else f"has {stored} bytes and not {size}"
                raise CorruptData(f"the entry adds pack {pack.hex()}, which {problem}")

    def _packs_of(self, index: FileId) -> frozenset[FileId]:
        """Return the packs that hold objects of an index. Raises CorruptData if it is missing or wrong."""
        with self._lock:
            packs = self._checked.get(index)
        if packs is None:
            with self._opened(index) as opened:
                return self.check_index(index, opened)
        if self._backend.size(index_key(index)) is None:
            raise CorruptData(f"index {index.hex()} is not in the store")
        return packs

    def _check_dropped(self, dropped: Iterable[FileId], added: Iterable[FileId], after: StoreState) -> None:
        """Raise CorruptData unless each object of the indexes `dropped` is in one of those `added`.

        Exempt are objects in packs that are removed after the entry and, if this server allows removal, in condemned packs.
        """
        needed = after.packs.keys() - after.condemned if self._allow_removal else after.packs.keys()
        with contextlib.ExitStack() as closing:
            new = [closing.enter_context(self._opened(index)) for index in added]
            for index in dropped:
                with self._opened(index) as old:
                    oids = (row.oid for row in old.valid_rows() if row.pack in needed)
                    while missing := set(itertools.islice(oids, _ROWS)):
                        for index_added in new:
                            missing -= {row.oid for row in index_added.rows_of(missing) if row.pack in after.packs}
                        if missing:
                            raise CorruptData(f"the entry drops the only index of object {min(missing).hex()}")

    @contextlib.contextmanager
    def _opened(self, id: FileId) -> Iterator[Index]:
        """Open an index of the store. Raises CorruptData if it is missing or its checksum does not match its name."""
        with self._store.scratch() as scratch:
            _copy_index(self._store, id, scratch)
            with Index.open(scratch.path) as index:
                yield index


def _check_follows(entry: LogEntry, before: LogTip) -> None:
    """Raise OutOfSequence if the entry names another predecessor than the last entry of `before`.

    Entries of version 1 name no predecessor.
    """
    if not entry.follows_on(before.digest):
        raise OutOfSequence(f"entry {before.state.seq} is not the predecessor that the entry names")


def _collecting_retired(entries: Iterable[bytes], retired: set[FileId]) -> Iterator[bytes]:
    """Yield `entries`, and add the packs and indexes that they remove to `retired`."""
    for data in entries:
        yield data  # before it is decoded here, because the caller's error names an entry that cannot be read
        entry = LogEntry.decode(data)
        retired.update(entry.remove_packs, set(entry.drop_indexes).difference(entry.add_indexes))


def _side_by_side(calls: Sequence[partial[int | None]]) -> list[int | None]:
    return workers.side_by_side(calls) if calls else []


def _copy_index(store: ServedStore, id: FileId, scratch: Scratch) -> None:
    """Copy an index into a scratch file. Raises CorruptData if it is missing or damaged."""
    key = index_key(id)
    size = store.backend.size(key)
    if size is None:
        raise CorruptData(f"index {id.hex()} is not in the store")
    if size > MAX_SIZES[KeyKind.INDEX]:
        raise CorruptData(f"index {id.hex()} of the store is damaged")
    hasher = hashing.new()
    try:
        with store.backend.stream(key, 0, size) as blocks:
            for block in blocks:
                hasher.update(block)
                write_all(scratch.fd, block)
    except NotInStore:
        raise CorruptData(f"index {id.hex()} is not in the store") from None
    if hasher.digest() != id:
        raise CorruptData(f"index {id.hex()} of the store is damaged")

"""What a server knows of one store, to check what is to become part of its history: its log, and what is in its packs.

Several servers may serve one store, so all of it is read from the store itself: the log from where it was last known to end.
The hint and the checkpoints are not used for that, as any writer may have put them.
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
from git_lds.server.check_packs import Footer, Footers
from git_lds.server.store_root import Place
from git_lds.store.backends.contract import OutOfSequence
from git_lds.store.client import log_reader
from git_lds.store.client.log_reader import LogTip
from git_lds.store.format.index import Index
from git_lds.store.format.keys import MAX_SIZES, Key, Kind, index_key, pack_key
from git_lds.store.format.log import LogEntry, StoreState, apply

_CHECKED = 64
"""Indexes that are remembered to be right; one that is not is checked again when an entry adds it."""

_ROWS = 50_000
"""Rows of an index that is dropped that are looked up at a time."""


class MayNotRemove(NotAllowed):
    """An entry or a request that takes something out of a store, at a server that does not allow it."""


class StoreDamaged(LdsError):
    """What the store itself holds cannot be read, so nothing can be checked against it."""


class History:
    """The history of the store in one place. To be used from any thread."""

    def __init__(self, place: Place, footers: Footers, *, allow_removal: bool) -> None:
        """`allow_removal` says that entries may condemn and remove packs."""
        self._place = place
        self._backend = place.backend
        self._footers = footers
        self._allow_removal = allow_removal
        self._tip = log_reader.EMPTY
        self._gone: set[FileId] = set()
        self._checked: OrderedDict[FileId, frozenset[FileId]] = OrderedDict()
        self._lock = threading.Lock()

    def keep_footer(self, pack: FileId, footer: Footer) -> None:
        """A pack was checked, and has this footer."""
        self._footers.keep(self._backend, pack, footer)

    def check_index(self, id: FileId, index: Index) -> frozenset[FileId]:
        """Return all packs that the objects of the index lie in. Raises CorruptData for one that is not right."""
        packs = IndexCheck(self._backend, self._footers).run(index)
        with self._lock:
            self._checked[id] = packs
            while len(self._checked) > _CHECKED:
                self._checked.popitem(last=False)
        return packs

    def check_entry(self, seq: int, entry: LogEntry) -> bool:
        """Check what is to become entry `seq` of the log; return whether that number is still free.

        Raises OutOfSequence where the entry before it is not there or another one, MayNotRemove, and CorruptData for an entry
        that names what is not there, or that takes away where objects are.
        """
        before, gone = self._read()
        if before.state.seq >= seq:
            return False
        if before.state.seq < seq - 1:
            raise OutOfSequence(f"the log ends with entry {before.state.seq}")
        if (entry.condemn_packs or entry.remove_packs) and not self._allow_removal:
            raise MayNotRemove("this server lets nobody condemn or remove packs")
        _check_follows(entry, before)
        after = apply(before.state, seq, entry)
        if again := gone.intersection((*entry.add_packs, *entry.add_indexes)):
            raise CorruptData(f"{min(again).hex()} was put out of use by an earlier entry, and is never added again")
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

    def check_checkpoint(self, seq: int, said: StoreState) -> None:
        """Raise CorruptData unless `said` is the state after entry `seq`, OutOfSequence where there is no such entry."""
        state = self._read()[0].state
        if state.seq < seq:
            raise OutOfSequence(f"the log ends with entry {state.seq}")
        if state.seq > seq:
            entries = itertools.islice(log_reader.entries_from(self._backend, 0), seq + 1)
            state = log_reader.EMPTY.after_all(entries).state
        if said != state:
            raise CorruptData("a checkpoint that is not what the log comes to")

    def check_removable(self, key: Key) -> None:
        """Raise MayNotRemove for a pack or an index that no entry of the log put out of use."""
        before, gone = self._read()
        if key.kind is Kind.PACK and (key.id not in gone or key.id in before.state.packs):
            raise MayNotRemove("no entry of the log removes this pack")
        if key.kind is Kind.INDEX and (key.id not in gone or key.id in before.state.indexes):
            raise MayNotRemove("no entry of the log drops this index")

    def _read(self) -> tuple[LogTip, set[FileId]]:
        """Return where the log ends now, and which packs and indexes were put out of use on the way there."""
        with self._lock:
            known, gone = self._tip, self._gone
            try:
                if not log_reader.is_still_there(self._backend, known):
                    known, gone = log_reader.EMPTY, set()  # the store was restored from an older copy
                self._tip = known.after_all(_noting(log_reader.entries_from(self._backend, known.state.seq + 1), gone))
            except CorruptData as error:
                raise StoreDamaged(f"the log of this store is damaged: {error.message}") from None
            self._gone = gone
            return self._tip, gone

    def _check_packs(self, entry: LogEntry) -> None:
        """Raise CorruptData unless the packs that the entry adds are in the store, with their sizes."""
        sizes = _side_by_side([partial(self._backend.size, pack_key(pack)) for pack in entry.add_packs])
        for (pack, size), there in zip(entry.add_packs.items(), sizes, strict=True):
            if there != size:
                has = "is not in the store" if there is None else f"has {there} bytes and not {size}"
                raise CorruptData(f"the entry adds pack {pack.hex()}, which {has}")

    def _packs_of(self, index: FileId) -> frozenset[FileId]:
        """Return the packs that the objects of an index lie in. Raises CorruptData where it is not there, or not right."""
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

        But for objects in packs that are gone after the entry; and for those in packs that are on their way out, where
        this server allows that."""
        needed = after.packs.keys() - after.condemned if self._allow_removal else after.packs.keys()
        with contextlib.ExitStack() as closing:
            new = [closing.enter_context(self._opened(index)) for index in added]
            for index in dropped:
                with self._opened(index) as old:
                    oids = (row.oid for row in old.sound() if row.pack in needed)
                    while left := set(itertools.islice(oids, _ROWS)):
                        for one in new:
                            left -= {row.oid for row in one.entries_of(left) if row.pack in after.packs}
                        if left:
                            raise CorruptData(f"the entry drops the only index of object {min(left).hex()}")

    @contextlib.contextmanager
    def _opened(self, id: FileId) -> Iterator[Index]:
        """Open an index of the store. Raises CorruptData where it is not there, or not what its name says."""
        with self._place.scratch() as scratch:
            _copy_index(self._place, id, scratch)
            with Index.open(scratch.path) as index:
                yield index


def _check_follows(entry: LogEntry, before: LogTip) -> None:
    """Raise OutOfSequence for an entry that names another predecessor than the one that `before` stands on.

    Entries of version 1 name none.
    """
    if not entry.follows_on(before.digest):
        raise OutOfSequence(f"entry {before.state.seq} is another one than the entry names")


def _noting(entries: Iterable[bytes], gone: set[FileId]) -> Iterator[bytes]:
    """Yield `entries`, and note in `gone` which packs and indexes they put out of use."""
    for data in entries:
        yield data  # first: who takes it says which entry it was that cannot be read
        entry = LogEntry.decode(data)
        gone.update(entry.remove_packs, set(entry.drop_indexes).difference(entry.add_indexes))


def _side_by_side(calls: Sequence[partial[int | None]]) -> list[int | None]:
    return workers.side_by_side(calls) if calls else []


def _copy_index(place: Place, id: FileId, scratch: Scratch) -> None:
    key = index_key(id)
    size = place.backend.size(key)
    if size is None:
        raise CorruptData(f"index {id.hex()} is not in the store")
    if size > MAX_SIZES[Kind.INDEX]:
        raise CorruptData(f"index {id.hex()} of the store is damaged")
    hasher = hashing.new()
    try:
        with place.backend.stream(key, 0, size) as blocks:
            for block in blocks:
                hasher.update(block)
                write_all(scratch.fd, block)
    except NotInStore:
        raise CorruptData(f"index {id.hex()} is not in the store") from None
    if hasher.digest() != id:
        raise CorruptData(f"index {id.hex()} of the store is damaged")

"""What reads a store: it knows where the store's log ends, and finds objects in its indexes.

A store is dumb and everything in it but the log is named by its contents, so all that is asked twice is kept here:

    <cache>/stores/at/<BLAKE3 of the address> the id of the store that was found there last
    <cache>/stores/given/<the same>           the objects that came from there (given.py)
    <cache>/stores/<store>/state              the tip of the log when it was last read
    <cache>/stores/<store>/index/<id>         indexes, mapped for look-ups
    <cache>/stores/<store>/made/<id>          the footers of packs that were pushed from here
    <cache>/stores/<store>/recipes            recipes of large objects, and what of the store was proven (SQLite)
    <cache>/stores/<store>/journal/<id>       packs of pushes under way (transfer/journal.py)
    <cache>/stores/<store>/tmp                what is being written of all these

<store> is the BLAKE3 of the address, a zero byte and the id that the store gives itself: a store can claim the id of another,
and what was learnt at one address is not believed at another. Directories named by the id alone are from versions that did
so, and are used no longer. All of it may be deleted at any time, and many processes may use it at once.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property, partial
from pathlib import Path

from git_lds import hashing, workers
from git_lds.errors import CorruptData, LdsError, NotInStore
from git_lds.files import Scratch, sweep
from git_lds.hashing import FileId, Oid
from git_lds.store.backends.contract import Backend
from git_lds.store.client import log_reader, received
from git_lds.store.client.cache_files import address_note, read_cache, store_directory, write_cache
from git_lds.store.client.log_reader import LogTip
from git_lds.store.client.recipe_cache import RecipeCache
from git_lds.store.client.verified_files import fetch_named
from git_lds.store.format.index import Index, IndexRow
from git_lds.store.format.keys import MAX_SIZES, PARAMETERS, Kind, Parameters, index_key
from git_lds.store.format.log import Hint, StoreState

_FETCHERS = 4

MAX_INDEX_BYTES = 8 << 30
"""Bytes of the indexes of a store together, at most, so that none fills this machine's disk: 170 million objects."""

_STALE = 24 * 3600
"""Seconds after which an index that the log no longer names is deleted here: no running process still needs it."""


class StoreReader:
    """A store, read through `backend`, with what is known of it kept below `cache_dir`.

    One thread refreshes and finds; any number may use `backend` and `footer` meanwhile.
    """

    given_up: LdsError | None = None
    """Why the store is not asked any more, where it was given up."""

    def __init__(self, backend: Backend, cache_dir: Path) -> None:
        self.backend = backend
        self._cache_dir = cache_dir
        self._tip = log_reader.EMPTY
        self._hint: Hint | None = None
        self._indexes: dict[FileId, Index] = {}
        self._fetched = 0
        self._damaged: dict[FileId, LdsError] = {}
        self._parameters: Parameters | None = None
        self._is_read = False
        self._absent: NotInStore | None = None
        self._other_history: str | None = None
        self.given_up: LdsError | None = None
        """Why the store is not asked any more, where it was given up."""

    @property
    def url(self) -> str:
        """The store's address, for messages."""
        return self.backend.url

    @property
    def state(self) -> StoreState:
        """What the store held when it was last refreshed."""
        return self._tip.state

    @property
    def digest(self) -> bytes:
        """The BLAKE3 of the last entry of the log as it was last read; b"" where there was none."""
        return self._tip.digest

    @property
    def other_history(self) -> str | None:
        """What this object saw to be another store, or another log, than was here before: one line, or None.

        It is seen once: what was found instead is known from then on, so whoever reads a store must pass this on.
        """
        if self._other_history is None and self._tip.broken is not None:
            return (
                f"the log of {self.url} is broken: entry {self._tip.broken} does not follow on the one before it, "
                "so entries were lost or replaced"
            )
        return self._other_history

    def stands_on(self, seq: int, digest: bytes) -> bool:
        """Return whether the log, as it was last read, includes entry `seq` with the BLAKE3 `digest`, unbroken from there on.

        False also where that would take many requests to find out, or the store does not answer.
        """
        self.ensure_loaded()
        return log_reader.includes(self.backend, self._tip, seq, digest)

    @cached_property
    def directory(self) -> Path:
        """The directory with what is kept here of this store."""
        return self._directory_of(self.parameters().store_id)

    def _directory_of(self, store_id: str) -> Path:
        return store_directory(self._cache_dir, self.url, store_id)

    @cached_property
    def recipes(self) -> RecipeCache:
        """The recipes of objects that were pushed to or fetched from this store here."""
        return RecipeCache(self.directory / "recipes")

    def note_received(self, oids: Collection[Oid]) -> None:
        """Remember that these objects came from the store, verified."""
        received.note(self._cache_dir, self.url, oids)

    def received(self) -> set[Oid]:
        """Return the objects that came from the store at this address some time. The store is not asked."""
        return received.read(self._cache_dir, self.url)

    # the store itself

    def parameters(self) -> Parameters:
        """Return the store's parameters. Raises NotInStore when there is no store."""
        if self._parameters is None:
            data: bytes | None = None
            with contextlib.suppress(NotInStore):
                data = self.backend.read(PARAMETERS, limit=MAX_SIZES[Kind.PARAMETERS])
            return self._set_parameters(data)
        return self._parameters

    def _set_parameters(self, data: bytes | None) -> Parameters:
        """Take `data` for the store's parameters, and note down which store is at this address."""
        if data is None:
            hint = f"check the address, or make a store there: git lds init --store {shlex.quote(self.url)}"
            raise NotInStore(f"there is no store at {self.url}", hint)
        self._parameters, self._absent = Parameters.decode(data), None
        if self._parameters.single_writer:
            self.backend.emulate_put_if_absent()
        if self._parameters.store_id != (remembered := self._remembered_id()):
            if remembered is not None:
                self._other_history = f"another store than before is at {self.url}"
            write_cache(self._address_note, self._parameters.store_id.encode(), self.tmp)
        return self._parameters

    def close(self) -> None:
        for opened in self._indexes.values():
            opened.close()
        self._indexes.clear()
        if "recipes" in self.__dict__:
            self.recipes.close()
        self.backend.close()

    # reading

    def refresh(self) -> StoreState:
        """Read the log from where it was last known to end; return what the store holds now.

        One round trip where nothing is new: who the store is, and where its log ends, are asked side by side, on the
        remembered that at this address is the store that was there last.
        """
        remembered = self._remembered_id() if self._parameters is None else self._parameters.store_id
        known = self._known_tip(remembered)
        seen = log_reader.look(self.backend, known, parameters=self._parameters is None)
        if self._parameters is None and self._set_parameters(seen.parameters).store_id != remembered:
            known = self._known_tip(self.parameters().store_id)
        self._hint = seen.hint
        reading = log_reader.read_tip(self.backend, known, seen)
        self._tip = reading.tip
        if reading.lost is not None:
            self._other_history = (
                f"the log of {self.url} does not continue the one that was read before ({reading.lost}): "
                "the store was restored or replaced"
            )
        self._is_read = True
        if self._tip.digest != known.digest:
            self._keep_tip()
            _delete_stale(self.directory / "index", {id.hex() for id in self.state.indexes})
        if not reading.is_whole:
            raise self._endless()
        return self.state

    @property
    def is_read(self) -> bool:
        """Whether the log was read since the store was opened."""
        return self._is_read

    def give_up(self, error: LdsError) -> None:
        """Break off what is under way. The store is not asked any more, because of `error`."""
        self.given_up = error
        self.backend.close()

    def _endless(self) -> LdsError:
        return CorruptData(
            f"the log of {self.url} goes on and on: it was read up to entry {self.state.seq}, and there is more",
            hint="if that can be right, do the same again, and it is read on from there; else ask whoever runs the store",
        )

    def ensure_loaded(self) -> StoreState:
        """Return what the store held when it was last refreshed; read it where that was never done. That there is no store is
        not asked twice either: a first push would wait for one more answer.

        A push needs no more: what is new in the log by then it learns when its entry is put there.
        """
        if self._absent is not None:
            raise self._absent
        try:
            return self.state if self._is_read else self.refresh()
        except NotInStore as error:
            self._absent = error
            raise

    def _known_tip(self, store_id: str | None) -> LogTip:
        """Return where the log of that store was last known to end."""
        if self._is_read or store_id is None:
            return self._tip
        return LogTip.decode(read_cache(self._directory_of(store_id) / "state"))

    def _remembered_id(self) -> str | None:
        """Return the id of the store that was at this address when it was last read from here."""
        noted = read_cache(self._address_note)
        return None if noted is None else noted.decode("ascii", "replace")

    @property
    def _address_note(self) -> Path:
        return address_note(self._cache_dir, self.url)

    def find(self, oids: Iterable[Oid], *, reusable_only: bool = False) -> dict[Oid, IndexRow]:
        """Return where those of `oids` are that the store has, as of the last refresh. Asks the store for new indexes only.

        `reusable_only`: leave out what lies in condemned packs, which a push must not rely on.
        """
        condemned = self.state.condemned if reusable_only else frozenset[FileId]()
        left = set(oids)
        found: dict[Oid, IndexRow] = {}
        for opened in reversed(self._open_indexes()):
            if not left:
                break
            here = {entry.oid: entry for entry in self._rows(opened, left) if entry.pack not in condemned}
            left -= here.keys()
            found |= here
        return found

    def find_all(self, oids: Iterable[Oid]) -> dict[Oid, list[IndexRow]]:
        """Return for those of `oids` that the store has all places where indexes say that they are, the newest first."""
        wanted = set(oids)
        found: dict[Oid, list[IndexRow]] = {}
        for opened in reversed(self._open_indexes()):
            for entry in self._rows(opened, wanted):
                rows = found.setdefault(entry.oid, [])
                if entry not in rows:
                    rows.append(entry)
        return found

    def _rows(self, opened: Index, oids: set[Oid]) -> Iterator[IndexRow]:
        """Yield the rows of an index that lie in packs of the store."""
        packs = self.state.packs
        return (entry for entry in opened.rows_of(oids) if entry.offset + entry.stored <= packs.get(entry.pack, 0))

    def look_up(self, oids: Collection[Oid]) -> dict[Oid, IndexRow]:
        """Return where those of `oids` are that the store has. The log is read again only where not all of them are found
        in what was read of it before."""
        was_read = self._is_read
        self.ensure_loaded()
        found = self.find(oids)
        if was_read and len(found) < len(oids):
            self.refresh()
            found = self.find(oids)
        return found

    def footer(self, pack: FileId) -> bytes | None:
        """Return the footer of a pack that was pushed from here, for `packfile.decode_footer`; None for any other.

        The store is not asked: a footer says what its writer likes.
        """
        return read_cache(self.directory / "made" / pack.hex())

    def cache_footer(self, pack: FileId, tail: bytes) -> None:
        """Keep the footer of a pack that was pushed from here, as `packfile.encode_footer` wrote it."""
        write_cache(self.directory / "made" / pack.hex(), tail, self.tmp)

    def cached_footers(self) -> list[FileId]:
        """Return the live packs whose footers are kept here, those kept last first."""
        live = {pack.hex(): pack for pack in self._live_packs()}
        with contextlib.suppress(OSError), os.scandir(self.directory / "made") as entries:
            times = {live[entry.name]: entry.stat().st_mtime for entry in entries if entry.name in live}
            return sorted(times, key=lambda pack: -times[pack])
        return []

    def is_live(self, pack: FileId) -> bool:
        """Return whether the store has `pack`, and will go on having it."""
        return pack in self.state.packs and pack not in self.state.condemned

    def _live_packs(self) -> Collection[FileId]:
        return self.state.packs.keys() - self.state.condemned

    def _keep_tip(self) -> None:
        if self.state.seq >= 0:
            with contextlib.suppress(LdsError):  # too many packs for a checkpoint
                write_cache(self.directory / "state", self._tip.encode(), self.tmp)

    # indexes

    def _open_indexes(self) -> list[Index]:
        """Return the store's indexes, oldest first; those not kept here are fetched side by side.

        One that is gone or damaged is left out, and noted in `damaged_indexes`: it must not hide what the others have.
        """
        failed = self._open_missing()
        if any(isinstance(error, NotInStore) for error in failed.values()):
            self.refresh()  # merged with others, and cleared away, since the log was read
            failed = self._open_missing()
        self._damaged |= failed
        return [self._indexes[id] for id in self.state.indexes if id in self._indexes]

    def _open_missing(self) -> dict[FileId, LdsError]:
        """Open those indexes that are not open; return why some cannot be."""
        missing = [id for id in self.state.indexes if id not in self._indexes and id not in self._damaged]
        if not missing:
            return {}
        calls = [partial(self._try_index, id) for id in missing]
        opened = dict(zip(missing, workers.side_by_side(calls, self.backend.close, count=_FETCHERS), strict=True))
        self._indexes |= {id: one for id, one in opened.items() if isinstance(one, Index)}
        return {id: one for id, one in opened.items() if isinstance(one, LdsError)}

    def check_indexes(self, *, read: bool) -> None:
        """Look at the indexes as they are in the store, not as they are kept here: what one names that is not there any more,
        has another size, or with `read` other bytes, is found no longer, so that a push sends it again."""
        self._open_indexes()
        ids = [id for id in self.state.indexes if id in self._indexes]
        checked = workers.side_by_side([partial(self._check_index, id, read) for id in ids], self.backend.close)
        for id, error in zip(ids, checked, strict=True):
            if error is not None:
                self._damaged[id] = error
                self._indexes.pop(id).close()

    def _check_index(self, id: FileId, read: bool) -> LdsError | None:
        try:
            if read:
                with Scratch(self.tmp) as scratch:
                    fetch_named(self.backend, index_key(id), scratch)
            elif self.backend.size(index_key(id)) != self._indexes[id].size:
                raise CorruptData(f"{index_key(id)} is not in {self.url}, or not all of it")
        except (NotInStore, CorruptData) as error:
            return error
        return None

    def _try_index(self, id: FileId) -> Index | LdsError:
        try:
            return self._open_index(id)
        except (NotInStore, CorruptData) as error:
            return error

    @property
    def damaged_indexes(self) -> dict[FileId, LdsError]:
        """The indexes that the log names and that are gone or damaged, as far as they were looked for, with what is wrong.

        What only they name is found nowhere: whoever does not find something says so of them.
        """
        return {id: error for id, error in self._damaged.items() if id in self.state.indexes}

    def _open_index(self, id: FileId) -> Index:
        path = self.directory / "index" / id.hex()
        # verified each time, 30 ms for a million objects: a bit that fell over here would hide what the store has
        with contextlib.suppress(OSError, CorruptData), open(path, "rb") as file:
            if FileId(hashing.of_stream(file)[0]) == id:
                return Index.open(path)
        try:
            with Scratch(self.tmp) as scratch:
                self._fetch_index(id, scratch)
                scratch.move_to(path)
            return Index.open(path)
        except OSError as error:
            hint = "make room there, or set the permissions; GIT_LDS_CACHE names another directory"
            raise LdsError(f"{error.filename or path}: {error.strerror or error}", hint) from error

    def _fetch_index(self, id: FileId, scratch: Scratch) -> None:
        """Write an index of the store into `scratch`, unless as much was fetched before as no store has."""
        if self._fetched > MAX_INDEX_BYTES:
            raise LdsError(
                f"the indexes of {self.url} have more than {MAX_INDEX_BYTES:,} bytes",
                hint="git-lds writes no such store: ask whoever runs it, or use another",
            )
        fetch_named(self.backend, index_key(id), scratch)
        size = os.fstat(scratch.fd).st_size
        self._fetched += size

    @cached_property
    def tmp(self) -> Path:
        """The directory for files being written; what killed processes left there is gone."""
        directory = self.directory / "tmp"
        sweep(directory)
        return directory


def _delete_stale(directory: Path, names: Collection[str]) -> None:
    """Delete the files in `directory` that are not in `names` and are old."""
    before = time.time() - _STALE
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name not in names and entry.stat().st_mtime < before:
                os.unlink(entry)

"""Reads a store: finds the end of its log, and objects in its indexes.

All files of a store except those of the log are named by their contents, so what was read once is cached:

    <cache>/stores/at/<BLAKE3 of the URL>     the id of the store that was there last
    <cache>/stores/given/<the same>           the objects that came from there (received.py)
    <cache>/stores/<store>/state              the tip of the log when it was last read
    <cache>/stores/<store>/index/<id>         indexes, mapped for look-ups
    <cache>/stores/<store>/made/<id>          the footers of packs that were pushed from here
    <cache>/stores/<store>/recipes            recipes of large objects, and what was proven of the store (SQLite)
    <cache>/stores/<store>/journal/<id>       packs of pushes under way (transfer/upload_journal.py)
    <cache>/stores/<store>/tmp                files that are being written

<store> is the BLAKE3 of the URL, a zero byte and the id that the store claims: a store can claim the id of another one, so
what is known of one URL is not used for another. Directories named by the id alone come from older versions, and are no
longer used. All of it may be deleted at any time, and many processes may use it at once.
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
from git_lds.store.format.keys import MAX_SIZES, PARAMETERS, KeyKind, Parameters, index_key
from git_lds.store.format.log import Hint, StoreState

_FETCHERS = 4

MAX_INDEX_BYTES = 8 << 30
"""Bytes of all indexes of a store at most, so that no store fills the disk: 170 million objects."""

_STALE = 24 * 3600
"""Seconds after which a cached index that the log no longer names is deleted: no running process needs it."""


class StoreReader:
    """A store, read through `backend`, and cached below `cache_dir`.

    One thread refreshes and finds; any number may use `backend` and `footer` meanwhile. All methods that use the backend
    raise its errors (see `contract`), and CorruptData for files that are not valid.
    """

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
        """Why the store is no longer asked, if it was given up."""

    @property
    def url(self) -> str:
        """The URL of the store, for messages."""
        return self.backend.url

    @property
    def state(self) -> StoreState:
        """The state of the store as of the last refresh."""
        return self._tip.state

    @property
    def digest(self) -> bytes:
        """The BLAKE3 of the last log entry as of the last refresh, or b"" for an empty log."""
        return self._tip.digest

    @property
    def other_history(self) -> str | None:
        """One line if another store, or another log, was found than was known before; else None.

        It is noticed once, because what was found replaces what was known. So every reader must report it.
        """
        if self._other_history is None and self._tip.broken is not None:
            return (
                f"the log of {self.url} is broken: entry {self._tip.broken} does not follow the one before it, "
                "so entries were lost or replaced"
            )
        return self._other_history

    def stands_on(self, seq: int, digest: bytes) -> bool:
        """Return whether the log as of the last refresh has entry `seq` with the BLAKE3 `digest`, unbroken from there.

        Also returns False if many requests would be needed to find out, or the store does not answer them.
        """
        self.ensure_loaded()
        return log_reader.includes(self.backend, self._tip, seq, digest)

    @cached_property
    def directory(self) -> Path:
        """The cache directory of this store."""
        return self._directory_of(self.parameters().store_id)

    def _directory_of(self, store_id: str) -> Path:
        return store_directory(self._cache_dir, self.url, store_id)

    @cached_property
    def recipes(self) -> RecipeCache:
        """The cached recipes of objects that were pushed to or fetched from this store."""
        return RecipeCache(self.directory / "recipes")

    def note_received(self, oids: Collection[Oid]) -> None:
        """Remember that these verified objects came from the store."""
        received.note(self._cache_dir, self.url, oids)

    def received(self) -> set[Oid]:
        """Return the objects that ever came from the store at this URL. The store is not asked."""
        return received.read(self._cache_dir, self.url)

    # the store itself

    def parameters(self) -> Parameters:
        """Return the parameters of the store. Raises NotInStore if there is no store."""
        if self._parameters is None:
            data: bytes | None = None
            with contextlib.suppress(NotInStore):
                data = self.backend.read(PARAMETERS, limit=MAX_SIZES[KeyKind.PARAMETERS])
            return self._set_parameters(data)
        return self._parameters

    def _set_parameters(self, data: bytes | None) -> Parameters:
        """Use `data` as the parameters of the store, and remember which store is at this URL."""
        if data is None:
            hint = f"check the URL, or create a store there: git lds init --store {shlex.quote(self.url)}"
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
        """Read the log from its last known end; return the state of the store.

        If nothing is new this takes one round trip: the parameters and the end of the log are requested in parallel,
        assuming that the store at this URL is still the one that was there last. Raises LdsError if the log is endless,
        and what the backend raises.
        """
        remembered = self._remembered_id() if self._parameters is None else self._parameters.store_id
        known = self._known_tip(remembered)
        first = log_reader.read_first_round(self.backend, known, parameters=self._parameters is None)
        if self._parameters is None and self._set_parameters(first.parameters).store_id != remembered:
            known = self._known_tip(self.parameters().store_id)
        self._hint = first.hint
        result = log_reader.read_tip(self.backend, known, first)
        self._tip = result.tip
        if result.lost is not None:
            self._other_history = (
                f"the log of {self.url} does not continue the one that was read before ({result.lost}): "
                "the store was restored or replaced"
            )
        self._is_read = True
        if self._tip.digest != known.digest:
            self._cache_tip()
            _delete_stale(self.directory / "index", {id.hex() for id in self.state.indexes})
        if not result.is_whole:
            raise self._endless()
        return self.state

    @property
    def is_read(self) -> bool:
        """Whether the log was read since this object was made."""
        return self._is_read

    def give_up(self, error: LdsError) -> None:
        """Abort all requests. The store is no longer asked, because of `error`."""
        self.given_up = error
        self.backend.close()

    def _endless(self) -> LdsError:
        return CorruptData(
            f"the log of {self.url} is endless: it was read up to entry {self.state.seq}, and there is more",
            hint="if that can be right, run the same command again, which reads on from there; else ask its administrator",
        )

    def ensure_loaded(self) -> StoreState:
        """Return the state of the last refresh, and refresh if there was none. Raises NotInStore if there is no store.

        A missing store is not looked for twice: a first push would wait for one more response. A push needs no newer state:
        it learns what is new in the log when it adds its entry.
        """
        if self._absent is not None:
            raise self._absent
        try:
            return self.state if self._is_read else self.refresh()
        except NotInStore as error:
            self._absent = error
            raise

    def _known_tip(self, store_id: str | None) -> LogTip:
        """Return the last known end of the log of that store."""
        if self._is_read or store_id is None:
            return self._tip
        return LogTip.decode(read_cache(self._directory_of(store_id) / "state"))

    def _remembered_id(self) -> str | None:
        """Return the id of the store that was at this URL when it was last read from this machine, or None."""
        noted = read_cache(self._address_note)
        return None if noted is None else noted.decode("ascii", "replace")

    @property
    def _address_note(self) -> Path:
        return address_note(self._cache_dir, self.url)

    def find(self, oids: Iterable[Oid], *, reusable_only: bool = False) -> dict[Oid, IndexRow]:
        """Return the rows of those `oids` that the store has, as of the last refresh. Requests only new indexes.

        With `reusable_only`, rows in condemned packs are left out, because a push must not rely on them.
        """
        condemned = self.state.condemned if reusable_only else frozenset[FileId]()
        missing = set(oids)
        rows: dict[Oid, IndexRow] = {}
        for opened in reversed(self._open_indexes()):
            if not missing:
                break
            new = {row.oid: row for row in self._rows(opened, missing) if row.pack not in condemned}
            missing -= new.keys()
            rows |= new
        return rows

    def find_all(self, oids: Iterable[Oid]) -> dict[Oid, list[IndexRow]]:
        """Return all rows of those `oids` that the store has, newest first."""
        wanted = set(oids)
        rows_by_oid: dict[Oid, list[IndexRow]] = {}
        for opened in reversed(self._open_indexes()):
            for row in self._rows(opened, wanted):
                rows = rows_by_oid.setdefault(row.oid, [])
                if row not in rows:
                    rows.append(row)
        return rows_by_oid

    def _rows(self, opened: Index, oids: set[Oid]) -> Iterator[IndexRow]:
        """Yield the rows of an index that are in packs of the store."""
        packs = self.state.packs
        return (entry for entry in opened.rows_of(oids) if entry.offset + entry.stored <= packs.get(entry.pack, 0))

    def look_up(self, oids: Collection[Oid]) -> dict[Oid, IndexRow]:
        """Return the rows of those `oids` that the store has.

        The log is read again only if not all of them are found in the state of the last refresh.
        """
        was_read = self._is_read
        self.ensure_loaded()
        rows = self.find(oids)
        if was_read and len(rows) < len(oids):
            self.refresh()
            rows = self.find(oids)
        return rows

    def footer(self, pack: FileId) -> bytes | None:
        """Return the cached footer of a pack that was pushed from here, for `packfile.decode_footer`, or None.

        The store is not asked: the writer of a footer can claim anything.
        """
        return read_cache(self.directory / "made" / pack.hex())

    def cache_footer(self, pack: FileId, tail: bytes) -> None:
        """Cache the footer of a pack that was pushed from here, as `packfile.encode_footer` wrote it."""
        write_cache(self.directory / "made" / pack.hex(), tail, self.tmp)

    def cached_footers(self) -> list[FileId]:
        """Return the live packs whose footers are cached, the latest first."""
        live = {pack.hex(): pack for pack in self._live_packs()}
        with contextlib.suppress(OSError), os.scandir(self.directory / "made") as entries:
            times = {live[entry.name]: entry.stat().st_mtime for entry in entries if entry.name in live}
            return sorted(times, key=lambda pack: -times[pack])
        return []

    def is_live(self, pack: FileId) -> bool:
        """Return whether the store has `pack` and has not condemned it."""
        return pack in self.state.packs and pack not in self.state.condemned

    def _live_packs(self) -> Collection[FileId]:
        return self.state.packs.keys() - self.state.condemned

    def _cache_tip(self) -> None:
        if self.state.seq >= 0:
            with contextlib.suppress(LdsError):  # too many packs for a checkpoint
                write_cache(self.directory / "state", self._tip.encode(), self.tmp)

    # indexes

    def _open_indexes(self) -> list[Index]:
        """Return the indexes of the store, oldest first. Those that are not cached are fetched in parallel.

        Missing and damaged ones are left out and noted in `damaged_indexes`: they must not hide what the others have.
        """
        failed = self._open_missing()
        if any(isinstance(error, NotInStore) for error in failed.values()):
            self.refresh()  # merged with others and deleted since the log was read
            failed = self._open_missing()
        self._damaged |= failed
        return [self._indexes[id] for id in self.state.indexes if id in self._indexes]

    def _open_missing(self) -> dict[FileId, LdsError]:
        """Open the indexes that are not open; return the errors of those that cannot be opened."""
        missing = [id for id in self.state.indexes if id not in self._indexes and id not in self._damaged]
        if not missing:
            return {}
        calls = [partial(self._try_index, id) for id in missing]
        opened = dict(zip(missing, workers.side_by_side(calls, self.backend.close, count=_FETCHERS), strict=True))
        self._indexes |= {id: one for id, one in opened.items() if isinstance(one, Index)}
        return {id: one for id, one in opened.items() if isinstance(one, LdsError)}

    def check_indexes(self, *, read: bool) -> None:
        """Check that the cached indexes are still in the store with the right size; with `read`, with the right bytes.

        The rows of one that is not are no longer found, so that a push sends their objects again.
        """
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
                raise CorruptData(f"{index_key(id)} is missing in {self.url}, or truncated")
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
        """The errors of the indexes that are missing or damaged in the store, as far as they were read.

        Objects that only these indexes name are not found: messages about missing objects must mention them.
        """
        return {id: error for id, error in self._damaged.items() if id in self.state.indexes}

    def _open_index(self, id: FileId) -> Index:
        path = self.directory / "index" / id.hex()
        # verified each time, 30 ms for a million objects: a flipped bit in the cache would hide objects of the store
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
        """Write an index of the store into `scratch`. Raises LdsError if its indexes are larger than any real ones."""
        if self._fetched > MAX_INDEX_BYTES:
            raise LdsError(
                f"the indexes of {self.url} have more than {MAX_INDEX_BYTES:,} bytes",
                hint="git-lds writes no such store: ask its administrator, or use another",
            )
        fetch_named(self.backend, index_key(id), scratch)
        size = os.fstat(scratch.fd).st_size
        self._fetched += size

    @cached_property
    def tmp(self) -> Path:
        """The directory for files that are being written, without those of killed processes."""
        directory = self.directory / "tmp"
        sweep(directory)
        return directory


def _delete_stale(directory: Path, names: Collection[str]) -> None:
    """Delete old files in `directory` that are not in `names`."""
    before = time.time() - _STALE
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name not in names and entry.stat().st_mtime < before:
                os.unlink(entry)

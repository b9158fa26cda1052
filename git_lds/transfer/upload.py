"""Uploads objects: packs those that a store lacks (`upload_plan`), sends the packs, and names them in its log.

Nothing of a push is visible in the store before its entry in the log, which comes last: packs, then the recipes of large
objects in a pack of their own, then an index, then the entry. The next push continues an interrupted one: it reuses the
packs that arrived (see `upload_journal`) and sends the rest.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from git_lds import files, workers
from git_lds.fast_typing import NamedTuple
from git_lds.files import Scratch
from git_lds.hashing import FileId, Oid
from git_lds.local.lookup import LocalObjects
from git_lds.progress import SILENT, Progress
from git_lds.store.client.store import PacksCondemned, Store
from git_lds.store.format import chunker, index
from git_lds.store.format.index import IndexRow
from git_lds.store.format.keys import pack_key
from git_lds.store.format.packfile import PackWriter
from git_lds.transfer.chunk_sources import ChunkSources
from git_lds.transfer.disk_errors import disk_errors
from git_lds.transfer.objects_to_send import LocalChunk, ObjectsToSend
from git_lds.transfer.pack_contents import KnownPack, packs_to_build_on
from git_lds.transfer.proof import proven_rows
from git_lds.transfer.upload_journal import UploadJournal
from git_lds.transfer.upload_plan import PlannedPack, plan_upload
from git_lds.workers import Stop

_TRIES = 3


class Uploaded(NamedTuple):
    """What an upload did: how many objects the store got, in how many packs, and the bytes sent for them."""

    objects: int
    packs: int
    bytes: int


def upload(
    store: Store,
    objects: LocalObjects,
    wanted: Mapping[Oid, Sequence[bytes]],
    rows: Mapping[Oid, IndexRow],
    *,
    tmp: Path,
    avoid: Collection[FileId] = (),
    progress: Progress = SILENT,
) -> Uploaded:
    """Send the objects of `wanted` that have no row in `rows`, and add them to the log; return what was sent.

    `wanted` maps each oid to the paths by which people know it. `rows` are what the caller looked up: the rows of the
    objects that the store has, as `proof.proven_rows` returns them. The upload does not look them up again, unless their
    packs are condemned meanwhile. Packs in `avoid` are damaged in the store and are not reused. Packs are written to the
    directory `tmp` before they are sent.

    Raises ObjectsMissing, before anything is sent, if an object is neither in `rows` nor on this machine; CorruptData,
    with nothing committed, if a local copy does not match its oid; PacksCondemned if packs vanish from the store again and
    again; and the errors of the store.
    """
    files.sweep(tmp)
    store.ensure_loaded()
    condemned: PacksCondemned | None = None
    for _ in range(_TRIES):
        if condemned is not None:
            rows = _rows_still_live(store, objects, rows)
        missing = {oid: paths for oid, paths in wanted.items() if oid not in rows} if rows else wanted
        if not missing:
            return Uploaded(0, 0, 0)
        to_send = ObjectsToSend(objects, missing, tmp, store.url)
        progress.start("upload", len(missing), sum(to_send.sizes.values()))
        try:
            return _Sender(store, objects, to_send, tmp, avoid, progress).run({row.pack for row in rows.values()})
        except PacksCondemned as error:
            condemned = error  # the journal has what was sent: the next round sends only what was in those packs
        finally:
            progress.finish()
    assert condemned is not None
    raise condemned


def _rows_still_live(store: Store, objects: LocalObjects, rows: Mapping[Oid, IndexRow]) -> dict[Oid, IndexRow]:
    """Return `rows` without those in condemned packs, which are looked up again: another pack may have the object."""
    live = {oid: row for oid, row in rows.items() if store.is_live(row.pack)}
    return live | proven_rows(store, objects, [oid for oid in rows if oid not in live])


class _Sender:
    """Sends the objects that one store lacks: from the plan of its packs to the entry in its log."""

    def __init__(
        self,
        store: Store,
        objects: LocalObjects,
        to_send: ObjectsToSend,
        tmp: Path,
        avoid: Collection[FileId],
        progress: Progress,
    ) -> None:
        self._store = store
        self._objects = to_send
        self._tmp = tmp
        self._progress = progress
        self._journal = UploadJournal(store)
        large = [size for size in to_send.sizes.values() if size > chunker.SMALL]
        sources = ChunkSources([*self._journal.arrived(), *packs_to_build_on(store, objects, large, avoid)])
        self._plan = plan_upload(to_send, sources, self._report)
        self._sent: list[KnownPack] = []
        self._files = _PackFiles(tmp)
        self._making = threading.Lock()
        """Held by the one thread that makes a pack. One thread instead of several, which hand Python's lock to and fro for each
        small file: 10,000 take 0.57 s and 0.63 s of CPU, were 0.9 and 1.2. Large files take as long either way."""

    def run(self, packs_of_rows: set[FileId]) -> Uploaded:
        """Pack, send and commit. `packs_of_rows` have the objects of the push that the store has already."""
        with self._files:
            for planned, pack in workers.run(self._plan.packs(), self._send_pack, self._store.backend.close):
                self._sent.append(pack)
                self._plan.record(planned.number, pack)
                for chunk in planned.chunks:
                    self._report(chunk)
            self._send_recipes()
        index_size = self._commit(packs_of_rows)
        for oid in self._plan.large:
            self._progress.done(self._objects.name(oid))
        sent = sum(pack.size for pack in self._sent)
        return Uploaded(len(self._objects.sizes), len(self._sent), sent + index_size)

    def _send_pack(self, planned: PlannedPack, stop: Stop) -> tuple[PlannedPack, KnownPack]:
        return planned, self._send(self._objects.contents(planned.chunks, stop))

    def _send_recipes(self) -> None:
        # with a reused recipe an index could have the same rows as a damaged one, and so its name, which is taken
        for planned in self._plan.recipes(reuse=not self._store.damaged_indexes):
            if planned.new:
                pack = self._send(planned.new)
                self._sent.append(pack)
                self._plan.record(planned.number, pack)
            self._store.recipes.add(planned.recipes)

    def _send(self, contents: Iterable[tuple[Oid, bytes]]) -> KnownPack:
        """Make a pack of `contents` and put it into the store."""
        with disk_errors(self._tmp), self._files.one() as scratch:
            with self._making:
                writer = PackWriter(scratch.fd)
                for id, data in contents:
                    writer.add(id, data)
                made = writer.finish()
                os.ftruncate(scratch.fd, made.size)
            pack = self._journal.note(made)
            self._store.backend.create(pack_key(pack.id), scratch.path)
            return pack

    def _commit(self, packs_of_rows: set[FileId]) -> int:
        """Put the index and the entry in the log; return the size of the index."""
        used = self._plan.used_packs()
        named = self._store.state.packs
        data = index.encode(self._plan.rows(), {pack.id: pack.size for pack in used})
        new = [pack for pack in used if pack.id not in named]
        built_on = {pack.id for pack in used if pack.id in named} | packs_of_rows
        self._store.commit(os.urandom(16).hex(), {pack.id: pack.size for pack in new}, data, built_on)
        self._journal.settle(new)
        if self._plan.large:
            self._store.recipes.add_proven(self._plan.recipe_rows())
        return len(data)

    def _report(self, chunk: LocalChunk) -> None:
        """Report to the progress that the store has a chunk."""
        self._progress.moved(chunk.length)
        if not self._objects.is_large(chunk.oid):
            self._progress.done(self._objects.name(chunk.oid))


class _PackFiles:
    """Files to write packs to, each for one thread at a time. They are reused: the system would need as much memory for 1 GiB
    of new ones."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._spare: list[Scratch] = []
        self._is_over = False
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def one(self) -> Iterator[Scratch]:
        """Lend a file, positioned at its start, for the time of the block."""
        with self._lock:
            scratch = self._spare.pop() if self._spare else Scratch(self._directory)
        os.lseek(scratch.fd, 0, os.SEEK_SET)
        try:
            yield scratch
        finally:
            with self._lock:
                self._spare.append(scratch)
                if self._is_over:
                    self._close()

    def _close(self) -> None:
        while self._spare:
            self._spare.pop().close()

    def __enter__(self) -> _PackFiles:
        return self

    def __exit__(self, *_: object) -> None:
        """Delete the files. A file that a stopped worker still writes to is deleted when the worker returns it."""
        with self._lock:
            self._is_over = True
            self._close()

"""Checks an index before readers can see it: each row must agree with the footer of a pack in the store."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from git_lds import hashing, workers
from git_lds.errors import CorruptData, NotInStore
from git_lds.hashing import FileId
from git_lds.server.check_packs import FooterCache, PackFooter
from git_lds.store.backends.contract import Backend
from git_lds.store.format import frames
from git_lds.store.format.index import Index, IndexRow
from git_lds.store.format.keys import pack_key
from git_lds.store.format.recipe import Recipe

_ROWS = 50_000
"""Rows in one batch, which is sorted by pack: 15 MB of memory."""

_SPAN = 2 << 20
"""Bytes of neighbouring recipes in one read; a single recipe may be larger."""


class IndexCheck:
    """The check of one index against the packs of the store at `backend`."""

    def __init__(self, backend: Backend, footers: FooterCache) -> None:
        self._backend = backend
        self._footers = footers
        self._sizes: dict[FileId, int | None] = {}
        self._last: tuple[FileId, PackFooter] | None = None

    def run(self, index: Index) -> frozenset[FileId]:
        """Return the packs that hold the objects of the index: their recipes and the runs of these.

        Raises CorruptData for a pack that is not in the store with its size, and for a row that does not match the store.
        """
        checks = [partial(self._check_pack, pack, size) for pack, size in index.packs.items()]
        if checks:
            workers.side_by_side(checks)
        rows = iter(index)
        while batch := sorted(itertools.islice(rows, _ROWS), key=lambda row: (row.pack, row.offset)):
            for pack, of_pack in itertools.groupby(batch, lambda row: row.pack):
                self._check_rows(pack, list(of_pack))
        return frozenset(self._sizes)

    def _check_pack(self, pack: FileId, size: int) -> None:
        self._footer(pack)
        if self._size(pack) != size:
            raise CorruptData(f"an index has another size of pack {pack.hex()} than the store")

    def _check_rows(self, pack: FileId, rows: Sequence[IndexRow]) -> None:
        footer = self._footer(pack)
        for row in rows:
            id = footer.id_of(row)
            if id is None or (not row.recipe and id != row.oid):
                raise CorruptData(
                    f"an index has object {row.oid.hex()} in a frame that does not exist or is another object"
                )
        for row, frame in self._frames(pack, [row for row in rows if row.recipe]):
            try:
                self._check_recipe(row, footer, frame)
            except CorruptData as error:
                raise CorruptData(f"an index has a wrong recipe for object {row.oid.hex()}: {error.message}") from None

    def _check_recipe(self, row: IndexRow, footer: PackFooter, frame: memoryview) -> None:
        data = frames.decode(frame, limit=frames.MAX_RECIPE)
        if hashing.of_bytes(data) != footer.id_of(row):
            raise CorruptData("the frame in the store is damaged")
        recipe = Recipe.decode(data)
        if recipe.oid != row.oid:
            raise CorruptData(f"it is the recipe of object {recipe.oid.hex()}")
        for run in recipe.runs:
            if not self._footer(run.pack).has(run):
                raise CorruptData(f"pack {run.pack.hex()} does not have its run at offset {run.offset}")

    def _frames(self, pack: FileId, rows: Iterable[IndexRow]) -> Iterator[tuple[IndexRow, memoryview]]:
        """Yield each row with its frame. The rows are sorted by offset and all of one pack."""
        for span in _spans(rows):
            start, end = span[0].offset, span[-1].offset + span[-1].stored
            try:
                data = memoryview(self._backend.read(pack_key(pack), start, end - start))
            except NotInStore as error:
                raise CorruptData(error.message) from None
            for row in span:
                yield row, data[row.offset - start : row.offset - start + row.stored]

    def _size(self, pack: FileId) -> int | None:
        if pack not in self._sizes:
            self._sizes[pack] = self._backend.size(pack_key(pack))
        return self._sizes[pack]

    def _footer(self, pack: FileId) -> PackFooter:
        """Return the footer of a pack. Raises CorruptData if the pack is not in the store, or damaged."""
        last = self._last
        if last is not None and last[0] == pack:
            return last[1]
        size = self._size(pack)
        if size is None:
            raise CorruptData(f"pack {pack.hex()} is not in the store")
        footer = self._footers.get(self._backend, pack, size)
        self._last = pack, footer
        return footer


def _spans(rows: Iterable[IndexRow]) -> Iterator[list[IndexRow]]:
    """Yield `rows`, which are sorted by offset, in groups for one read each."""
    span: list[IndexRow] = []
    for row in rows:
        if span and row.offset + row.stored - span[0].offset > _SPAN:
            yield span
            span = []
        span.append(row)
    if span:
        yield span

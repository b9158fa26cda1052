"""Remembers the packs that pushes from here put into a store before its log names them.

A push that was cut off leaves its packs in the store with nothing that says so but this. The next push finds here what
they hold, asks the store which of them arrived whole, and builds on those instead of sending them again.

    journal/<pack id>    the pack's size (u64, little-endian) and its footer; written before the pack is sent
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from git_lds import hashing, workers
from git_lds.hashing import FileId
from git_lds.store.client.cache_files import delete_cache, read_cache, write_cache
from git_lds.store.client.store import Store
from git_lds.store.format import packfile
from git_lds.store.format.keys import pack_key
from git_lds.store.format.packfile import PackInfo
from git_lds.transfer.pack_contents import KnownPack
from git_lds.workers import Stop

KEPT_SECONDS = 3 * 24 * 3600
"""How long a pack that no log names is built on: well within the time for which a clean-up of the store spares it."""


class UploadJournal:
    """The journal of the pushes from here to one store. Many processes may use it at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._directory = store.directory / "journal"

    def note(self, pack: PackInfo) -> KnownPack:
        """Write down a pack that is about to be sent."""
        sent = KnownPack(pack.id, pack.size, packfile.encode_footer(pack.chunks))
        write_cache(self._directory / sent.id.hex(), sent.size.to_bytes(8, "little") + sent.tail, self._store.tmp)
        return sent

    def arrived(self) -> list[KnownPack]:
        """Return the packs that are in the store and that its log does not name. Asks the store once for each."""
        open_ones = [sent for sent in self._read() if not self._is_settled(sent)]
        asked = workers.run(open_ones, self._ask, self._store.backend.close)
        return [sent for sent in asked if sent is not None]

    def settle(self, packs: Iterable[KnownPack]) -> None:
        """The log names `packs` now: keep what they hold as the footers of the store's packs."""
        for sent in packs:
            self._store.cache_footer(sent.id, sent.tail)
            delete_cache(self._directory / sent.id.hex())

    def _is_settled(self, sent: KnownPack) -> bool:
        """Tell whether the log names the pack already; then the push was cut off before it could say so here."""
        if sent.id in self._store.state.packs:
            self.settle([sent])
            return True
        return False

    def _ask(self, sent: KnownPack, _: Stop) -> KnownPack | None:
        # one that is not there yet may be on its way, from another process: it is not forgotten until it is old
        return sent if self._store.backend.size(pack_key(sent.id)) == sent.size else None

    def _read(self) -> Iterator[KnownPack]:
        oldest = time.time() - KEPT_SECONDS
        for path in _files(self._directory):
            id = hashing.from_hex(path.name)
            with contextlib.suppress(OSError):
                if id is None or path.stat().st_mtime < oldest:
                    delete_cache(path)
                elif (data := read_cache(path)) is not None:
                    yield KnownPack(FileId(id), int.from_bytes(data[:8], "little"), data[8:])


def _files(directory: Path) -> list[Path]:
    try:
        return [directory / name for name in sorted(os.listdir(directory))]
    except OSError:
        return []

"""The journal of uploads: packs that this machine sends to a store before its log names them.

Only the journal knows the packs that an interrupted push leaves in the store. The next push reads their contents from the
journal, checks which of them arrived whole, and reuses those instead of sending them again.

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
"""Seconds for which a pack that no log names is reused: far less than a clean-up of the store spares it."""


class UploadJournal:
    """The journal of the uploads from this machine to one store. Many processes may use it at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._directory = store.directory / "journal"

    def note(self, pack: PackInfo) -> KnownPack:
        """Record a pack that is about to be sent."""
        sent = KnownPack(pack.id, pack.size, packfile.encode_footer(pack.chunks))
        write_cache(self._directory / sent.id.hex(), sent.size.to_bytes(8, "little") + sent.tail, self._store.tmp)
        return sent

    def arrived(self) -> list[KnownPack]:
        """Return recorded packs that are in the store and not named by its log. One request each. Raises its errors."""
        unsettled = [sent for sent in self._read() if not self._is_settled(sent)]
        arrived = workers.run(unsettled, self._if_arrived, self._store.backend.close)
        return [sent for sent in arrived if sent is not None]

    def settle(self, packs: Iterable[KnownPack]) -> None:
        """Record that the log names `packs` now: cache their contents as footers of packs of the store."""
        for sent in packs:
            self._store.cache_footer(sent.id, sent.tail)
            delete_cache(self._directory / sent.id.hex())

    def _is_settled(self, sent: KnownPack) -> bool:
        """Return whether the log names the pack already: then the push was killed before it could record that."""
        if sent.id in self._store.state.packs:
            self.settle([sent])
            return True
        return False

    def _if_arrived(self, sent: KnownPack, _: Stop) -> KnownPack | None:
        # another process may be sending a pack that has not arrived: it is forgotten only when it is old
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

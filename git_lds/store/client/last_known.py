"""What this machine knew of a store when it last read or wrote it. No store is asked."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from git_lds.errors import LdsError
from git_lds.hashing import FileId, Oid
from git_lds.store.client.cache_files import address_note, read_cache, store_directory
from git_lds.store.client.log_reader import LogTip
from git_lds.store.format.index import Index


def not_known_in(urls: Iterable[str], cache_dir: Path, oids: Iterable[Oid]) -> set[Oid]:
    """Return those of `oids` that no store at `urls` had when it was last read from this machine.

    A store that was never read had nothing.
    """
    unknown = set(oids)
    for url in urls:
        for address in _addresses(url):
            for opened, packs in _indexes(cache_dir, address):
                unknown -= {entry.oid for entry in opened.rows_of(unknown) if entry.pack in packs}
    return unknown


def _indexes(cache_dir: Path, address: str) -> Iterator[tuple[Index, Collection[FileId]]]:
    """Yield the cached indexes of the store at `address`, each with the packs of the store."""
    noted = read_cache(address_note(cache_dir, address))
    if noted is None:
        return
    directory = store_directory(cache_dir, address, noted.decode("ascii", "replace"))
    state = LogTip.decode(read_cache(directory / "state")).state
    for id in state.indexes:
        with contextlib.suppress(OSError, LdsError), Index.open(directory / "index" / id.hex()) as opened:
            yield opened, state.packs.keys()


def _addresses(url: str) -> list[str]:
    """Return the names in the cache of the store that `url` leads to."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return [url, str(Path(url))]
    if scheme == "file":
        from urllib.parse import unquote  # late: few stores have such URLs

        return [str(Path(unquote(rest.removeprefix("localhost"))))]
    host, slash, path = rest.rstrip("/").partition("/")
    return [f"{scheme}://{host.lower()}{slash}{path}", url.rstrip("/")]

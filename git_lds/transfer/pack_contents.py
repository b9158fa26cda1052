"""Knows what is in packs of a store without reading them, and without believing the store.

Pushes build on frames of which this machine knows what they hold: those of packs that it made, by their footers, and those
that came in a download, as parts of an object that hashed to its oid. The chunks of the latter get their ids from the copy
of that object here, when a push of something alike first asks for them.

That the packs are live is in the store's log; asking the store for chunk after chunk would take longer than sending them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO

from git_lds import hashing, workers
from git_lds.errors import CorruptData
from git_lds.fast_typing import NamedTuple
from git_lds.hashing import FileId, Oid
from git_lds.local.lookup import LocalObjects
from git_lds.store.client.store import Store
from git_lds.store.client.stretches import Stretch
from git_lds.store.format import packfile
from git_lds.store.format.packfile import ChunkAt
from git_lds.workers import Stop

NEAR = 4
"""Objects remembered next in size, above and below, that a large object is compared with: an edit seldom changes much."""

_SIZES = 1000
"""Large objects of a push that are compared so."""

_READ_AGAIN = 2
"""Bytes of objects here that are read to learn their chunks, for each byte of large objects to be sent."""

_LIKELY_LIMIT = 128 << 20
_OTHERS_LIMIT = 12 << 20
"""Bytes of footers that are looked at, of packs that are likely to help and of others: 80 and 8 GiB of data."""


class KnownPack(NamedTuple):
    """A pack that is in a store, or is to be: its id, its size, and what is known to be in it, in the form of a footer.

    Of a pack that another machine made not all frames need be known.
    """

    id: FileId
    size: int
    tail: bytes


def packs_to_build_on(
    store: Store, objects: LocalObjects, sizes: Sequence[int], avoid: Collection[FileId] = ()
) -> list[KnownPack]:
    """Return live packs of the store that may hold chunks of large objects of `sizes`, the likely ones first.

    None of `avoid` is among them. Reads copies of objects here, but no more of them than the objects are worth.
    """
    if not sizes:
        return []
    here = [pack for pack in store.cached_footers() if pack not in avoid]
    made = set(here)
    likely = [pack for pack in _likely_packs(store, sizes) if pack not in avoid]
    fetched = _fetched(store, objects, [pack for pack in likely if pack not in made], _READ_AGAIN * sum(sizes))
    found = _within((fetched.get(pack) or made_here(store, pack) for pack in likely), _LIKELY_LIMIT)
    taken = set(likely)
    return [*found, *_within((made_here(store, pack) for pack in here if pack not in taken), _OTHERS_LIMIT)]


def _likely_packs(store: Store, sizes: Sequence[int]) -> list[FileId]:
    """Return the packs of those objects remembered that are nearest in size, and so perhaps earlier versions."""
    packs: dict[FileId, None] = {}
    for size in sorted(set(sizes), reverse=True)[:_SIZES]:
        for recipe in store.recipes.near(size, NEAR):
            packs |= dict.fromkeys(run.pack for run in recipe.runs if store.is_live(run.pack))
    return list(packs)


def _within(packs: Iterable[KnownPack | None], limit: int) -> Iterator[KnownPack]:
    """Yield those of `packs` that are known, as long as what is known of them fits into `limit` bytes."""
    for pack in packs:
        if pack is not None:
            limit -= len(pack.tail)
            if limit < 0:
                return
            yield pack


def made_here(store: Store, pack: FileId) -> KnownPack | None:
    """Return what is known of a pack that was pushed from here; None of any other, or where the log has another size."""
    footer, size = store.footer(pack), store.state.packs[pack]
    with contextlib.suppress(CorruptData):
        if footer is not None and packfile.size_with(footer) == size:
            return KnownPack(pack, size, footer)
    return None


# packs that others made


def _fetched(store: Store, objects: LocalObjects, packs: Iterable[FileId], budget: int) -> dict[FileId, KnownPack]:
    """Return what is known of packs by downloads. Reads at most `budget` bytes of objects here."""
    by_pack = {pack: stretches for pack in packs if (stretches := store.recipes.stretches_of(pack))}
    unnamed: dict[Oid, list[Stretch]] = {}
    for stretches in by_pack.values():
        for stretch in stretches:
            if not stretch.ids:
                unnamed.setdefault(stretch.oid, []).append(stretch)
    named = _named(store, objects, unnamed, budget)
    return {pack: _known(store, pack, (named.get(one[:5], one) for one in by_pack[pack])) for pack in by_pack}


def _named(
    store: Store, objects: LocalObjects, unnamed: Mapping[Oid, list[Stretch]], budget: int
) -> dict[tuple[object, ...], Stretch]:
    """Return stretches with the ids of their chunks, got from the objects that they are of, and remember them."""
    jobs = []
    for oid, stretches in unnamed.items():
        size = objects.size(oid)
        if size is not None and (budget := budget - size) >= 0:
            jobs.append((oid, sorted(stretches, key=lambda stretch: stretch.at)))
    found: dict[tuple[object, ...], Stretch] = {}
    for named in workers.run(jobs, lambda job, stop: _with_ids(objects, *job, stop)):
        store.recipes.add_stretches(named)
        found |= {stretch[:5]: stretch for stretch in named}
    return found


def _with_ids(objects: LocalObjects, oid: Oid, stretches: Sequence[Stretch], stop: Stop) -> list[Stretch]:
    """Return the stretches of an object with the ids of their chunks; none where what is here of it is damaged."""
    with contextlib.suppress(OSError), contextlib.ExitStack() as opened:
        if (stream := objects.open(oid)) is None:
            return []
        reading = _HashingReader(opened.enter_context(contextlib.closing(stream)))
        named = []
        for stretch in stretches:
            if stretch.at < reading.at:
                continue
            reading.skip(stretch.at - reading.at, stop)
            ids = tuple(hashing.of_bytes(reading.take(length)) for _, length in stretch.frames)
            named.append(stretch._replace(ids=ids))
        reading.skip(None, stop)
        return named if reading.hasher.digest() == oid else []
    return []


class _HashingReader:
    """Reads an object once, from its first byte to its last, and hashes all of it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.hasher = hashing.new()
        self.at = 0

    def take(self, length: int) -> bytes:
        data = self._stream.read(length)
        self.hasher.update(data)
        self.at += len(data)
        return data

    def skip(self, length: int | None, stop: Stop) -> None:
        """Read on for `length` bytes, or to the end."""
        end = None if length is None else self.at + length
        while end is None or self.at < end:
            stop.check()
            most = hashing.READ_SIZE if end is None else min(hashing.READ_SIZE, end - self.at)
            if not self.take(most):
                return


def _known(store: Store, pack: FileId, stretches: Iterable[Stretch]) -> KnownPack:
    size = store.state.packs[pack]
    chunks = (chunk for stretch in stretches for chunk in stretch.chunks())
    return KnownPack(pack, size, packfile.encode_footer(_in_order(chunks, size)))


def _in_order(chunks: Iterable[ChunkAt], size: int) -> Iterator[ChunkAt]:
    """Yield those of `chunks` that can be in one pack of `size` bytes together.

    Where a frame stands was seen, but `logical` is what the recipe said: a run over frames that contradict each other in it
    would be one that no reader takes.
    """
    offset = logical = 0
    for chunk in sorted(chunks, key=lambda chunk: chunk.offset):
        end = chunk.logical + chunk.length
        fits = chunk.offset + chunk.stored <= size and end <= packfile.MAX_LOGICAL
        if chunk.offset < offset or chunk.logical < logical or not fits:
            continue
        if chunk.offset == offset and chunk.logical != logical and offset:
            continue
        yield chunk
        offset, logical = chunk.offset + chunk.stored, end

"""Knows the contents of packs in a store without reading them, and without trusting the store.

Pushes reuse frames whose contents this machine knows: those of packs that it made, by their footers, and those of verified
downloads. The ids of the latter's chunks are computed from the local copy of the object, when a push of a similar object
first needs them.

The log of the store says that the packs are live. Asking the store for each chunk would take longer than sending the chunks.
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
"""How many cached objects next in size, above and below, a large object is compared with: most edits are small."""

_SIZES = 1000
"""Large objects of a push that are compared so at most."""

_READ_AGAIN = 2
"""Bytes of local objects that are read for chunk ids, per byte of large objects to send."""

_LIKELY_LIMIT = 128 << 20
_OTHERS_LIMIT = 12 << 20
"""Bytes of footers that are used, of packs that are likely to help and of others: for 80 and 8 GiB of data."""


class KnownPack(NamedTuple):
    """A pack that is or will be in a store: its id, its size, and its known contents, in the form of a footer.

    Not all frames of a pack that another machine made need be known.
    """

    id: FileId
    size: int
    tail: bytes


def packs_to_build_on(
    store: Store, objects: LocalObjects, sizes: Sequence[int], avoid: Collection[FileId] = ()
) -> list[KnownPack]:
    """Return live packs of the store that may have chunks of large objects of `sizes`, the likely ones first.

    Packs in `avoid` are left out. Reads local copies of objects, up to a limit that depends on `sizes`.
    """
    if not sizes:
        return []
    made = [pack for pack in store.cached_footers() if pack not in avoid]
    made_ids = set(made)
    likely = [pack for pack in _likely_packs(store, sizes) if pack not in avoid]
    fetched = _fetched(store, objects, [pack for pack in likely if pack not in made_ids], _READ_AGAIN * sum(sizes))
    helpful = _within((fetched.get(pack) or pack_made_here(store, pack) for pack in likely), _LIKELY_LIMIT)
    likely_ids = set(likely)
    others = (pack_made_here(store, pack) for pack in made if pack not in likely_ids)
    return [*helpful, *_within(others, _OTHERS_LIMIT)]


def _likely_packs(store: Store, sizes: Sequence[int]) -> list[FileId]:
    """Return the packs of the cached objects nearest in size, which may be earlier versions."""
    packs: dict[FileId, None] = {}
    for size in sorted(set(sizes), reverse=True)[:_SIZES]:
        for recipe in store.recipes.near(size, NEAR):
            packs |= dict.fromkeys(run.pack for run in recipe.runs if store.is_live(run.pack))
    return list(packs)


def _within(packs: Iterable[KnownPack | None], limit: int) -> Iterator[KnownPack]:
    """Yield the known ones of `packs`, as long as their footers fit into `limit` bytes."""
    for pack in packs:
        if pack is not None:
            limit -= len(pack.tail)
            if limit < 0:
                return
            yield pack


def pack_made_here(store: Store, pack: FileId) -> KnownPack | None:
    """Return the contents of a pack that this machine made, or None for others and if the log has another size."""
    footer, size = store.footer(pack), store.state.packs[pack]
    with contextlib.suppress(CorruptData):
        if footer is not None and packfile.size_with(footer) == size:
            return KnownPack(pack, size, footer)
    return None


# packs that others made


def _fetched(store: Store, objects: LocalObjects, packs: Iterable[FileId], budget: int) -> dict[FileId, KnownPack]:
    """Return the contents of packs that downloads have shown. Reads at most `budget` bytes of local objects."""
    by_pack = {pack: stretches for pack in packs if (stretches := store.recipes.stretches_of(pack))}
    unnamed: dict[Oid, list[Stretch]] = {}
    for stretches in by_pack.values():
        for stretch in stretches:
            if not stretch.ids:
                unnamed.setdefault(stretch.oid, []).append(stretch)
    named = _with_computed_ids(store, objects, unnamed, budget)
    return {pack: _known(store, pack, (named.get(one[:5], one) for one in by_pack[pack])) for pack in by_pack}


def _with_computed_ids(
    store: Store, objects: LocalObjects, unnamed: Mapping[Oid, list[Stretch]], budget: int
) -> dict[tuple[object, ...], Stretch]:
    """Compute the chunk ids of stretches from the local objects; return and cache the stretches with ids."""
    jobs = []
    for oid, stretches in unnamed.items():
        size = objects.size(oid)
        if size is not None and (budget := budget - size) >= 0:
            jobs.append((oid, sorted(stretches, key=lambda stretch: stretch.at)))
    stretches_with_ids: dict[tuple[object, ...], Stretch] = {}
    for named in workers.run(jobs, lambda job, stop: _with_ids(objects, *job, stop)):
        store.recipes.add_stretches(named)
        stretches_with_ids |= {stretch[:5]: stretch for stretch in named}
    return stretches_with_ids


def _with_ids(objects: LocalObjects, oid: Oid, stretches: Sequence[Stretch], stop: Stop) -> list[Stretch]:
    """Return the stretches of an object with the ids of their chunks; none if the local copy is damaged."""
    with contextlib.suppress(OSError), contextlib.ExitStack() as opened:
        if (stream := objects.open(oid)) is None:
            return []
        reader = _HashingReader(opened.enter_context(contextlib.closing(stream)))
        named = []
        for stretch in stretches:
            if stretch.at < reader.at:
                continue
            reader.skip(stretch.at - reader.at, stop)
            ids = tuple(hashing.of_bytes(reader.take(length)) for _, length in stretch.frames)
            named.append(stretch._replace(ids=ids))
        reader.skip(None, stop)
        return named if reader.hasher.digest() == oid else []
    return []


class _HashingReader:
    """Reads an object once from start to end, and hashes all of it."""

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
        """Read `length` more bytes, or up to the end."""
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

    The offset of a frame was observed, but `logical` comes from a recipe: readers would refuse a run over frames whose
    values of it contradict each other.
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

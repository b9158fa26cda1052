"""Knows what is in packs of a store without reading them: from the footers of those pushed or fetched here.

Only such packs are built on. That they are live is in the store's log; asking the store for chunk after chunk would take
longer than sending them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence

from git_lds import workers
from git_lds.errors import CorruptData, NotInStore
from git_lds.hashing import FileId
from git_lds.remote.store import Store
from git_lds.typed import NamedTuple

NEAR = 4
"""Objects remembered next in size, above and below, that a large object is compared with: an edit seldom changes much."""

_SIZES = 1000
"""Large objects of a push that are compared so."""

_PER_FOOTER = 1 << 20
"""Bytes to be sent for which one footer, of some 64 KiB, may be fetched in the hope of not sending them."""

_LIKELY_LIMIT = 128 << 20
_OTHERS_LIMIT = 12 << 20
"""Bytes of footers that are looked at, of packs that are likely to help and of others: 80 and 8 GiB of data."""


class KnownPack(NamedTuple):
    """A pack that is in a store, or is to be: its id, its size, and its end, from the footer on."""

    id: FileId
    size: int
    tail: bytes


def packs_to_build_on(store: Store, sizes: Sequence[int]) -> list[KnownPack]:
    """Return live packs of the store that may hold chunks of large objects of `sizes`, the likely ones first.

    Footers that are not here yet are fetched, but no more of them than the objects are worth.
    """
    if not sizes:
        return []
    here = dict.fromkeys(store.kept_footers())
    likely = _likely_packs(store, sizes)
    there = set([pack for pack in likely if pack not in here][: sum(sizes) // _PER_FOOTER])
    first = dict.fromkeys(pack for pack in likely if pack in here or pack in there)
    others = [pack for pack in here if pack not in first]
    return [*_load(store, first, _LIKELY_LIMIT), *_load(store, others, _OTHERS_LIMIT)]


def _likely_packs(store: Store, sizes: Sequence[int]) -> list[FileId]:
    """Return the packs of those objects remembered that are nearest in size, and so perhaps earlier versions."""
    packs: dict[FileId, None] = {}
    for size in sorted(set(sizes), reverse=True)[:_SIZES]:
        for recipe in store.recipes.near(size, NEAR):
            packs |= dict.fromkeys(run.pack for run in recipe.runs if store.is_live(run.pack))
    return list(packs)


def _load(store: Store, packs: Iterable[FileId], limit: int) -> list[KnownPack]:
    """Return the packs with their footers, in their order, as many of them as fit into `limit` bytes."""
    found: dict[FileId, KnownPack | None] = dict.fromkeys(packs)
    loaded = workers.run(list(found), lambda pack, _: _known_pack(store, pack), store.backend.close)
    with contextlib.closing(loaded):
        for pack in loaded:
            if pack is not None and (limit := limit - len(pack.tail)) >= 0:
                found[pack.id] = pack
            if limit < 0:
                break
    return [pack for pack in found.values() if pack is not None]


def _known_pack(store: Store, pack: FileId) -> KnownPack | None:
    try:
        return KnownPack(pack, store.state.packs[pack], store.footer(pack))
    except (NotInStore, CorruptData):
        return None  # it cannot be built on, and whoever needs what is in it will be told

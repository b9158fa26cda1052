"""Looks objects up in many stores at a time, so that one that is dead or slow costs its time once, and not after another's."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from git_lds import workers
from git_lds.config import credentials
from git_lds.errors import LdsError, StoreUnreachable
from git_lds.fast_typing import NamedTuple
from git_lds.hashing import Oid
from git_lds.store.backends.retry import AGAIN, SILENCE_SECONDS
from git_lds.store.client.store import Store
from git_lds.store.format.index import IndexRow

FIND_SECONDS = 600.0
"""Seconds for a store that did answer to give its indexes, which may be large, and the line slow."""

Result = TypeVar("Result")


class LookupResult(NamedTuple):
    """What one store said: where those objects are that it has; or why it could not be asked."""

    store: Store
    found: Mapping[Oid, IndexRow]
    error: LdsError | None = None


def look_up_in(
    stores: Sequence[Store], oids: Collection[Oid], *, seconds: float = SILENCE_SECONDS
) -> list[LookupResult]:
    """Return what each of `stores` says of `oids`, in their order.

    They are asked at the same time. One that has not said within `seconds` where its log ends is given up, and so not asked
    again by this process. What a user takes to enter a password does not count.
    """
    were_read = {store for store in stores if store.is_read}
    errors = {store: store.given_up for store in stores if store.given_up is not None}

    def find(store: Store) -> Mapping[Oid, IndexRow]:
        return store.look_up(oids) if store in were_read else store.find(oids)

    _ask(stores, Store.ensure_loaded, seconds, errors)
    found = _ask(stores, find, FIND_SECONDS, errors)
    return [LookupResult(store, found.get(store, {}), errors.get(store)) for store in stores]


def look_up_in_order(stores: Iterable[Store], oids: Collection[Oid]) -> Iterator[LookupResult]:
    """Yield what each of `stores` has of `oids` that none before it has. The first is asked alone, and the others, all at a
    time, only where it does not have everything."""
    left = set(oids)
    remaining = iter(stores)
    for some in (islice(remaining, 1), remaining):
        for answer in look_up_in(list(some), list(left)) if left else ():
            found = {oid: entry for oid, entry in answer.found.items() if oid in left}
            left -= found.keys()
            yield answer._replace(found=found)


def _ask(
    stores: Sequence[Store], question: Callable[[Store], Result], seconds: float, errors: dict[Store, LdsError]
) -> dict[Store, Result]:
    """Ask all that are not in `errors`; return what they said, and add to `errors` who could not be asked."""
    asked = [store for store in dict.fromkeys(stores) if store not in errors]
    calls = [lambda store=store: _tried(question, store) for store in asked]
    results: dict[Store, Result] = {}
    try:
        futures = workers.in_time(calls, seconds, _clock)
    except (KeyboardInterrupt, SystemExit):
        for store in asked:
            store.backend.close()
        raise
    for store, future in zip(asked, futures, strict=True):
        if future is None:
            failure = StoreUnreachable(f"{store.url} did not answer in {seconds:g} seconds", AGAIN)
            store.give_up(failure)
            errors[store] = failure
        elif isinstance(said := future.result(), LdsError):
            errors[store] = said
        else:
            results[store] = said
    return results


def _tried(question: Callable[[Store], Result], store: Store) -> Result | LdsError:
    try:
        return question(store)
    except LdsError as error:
        return error


def _clock() -> float:
    return time.monotonic() - credentials.seconds_asked()

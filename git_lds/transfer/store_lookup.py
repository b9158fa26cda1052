"""Looks up objects in many stores at the same time, so that slow stores do not delay one after the other."""

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
"""Seconds for a store that answered to send its indexes, which may be large on a slow connection."""

Result = TypeVar("Result")


class LookupResult(NamedTuple):
    """The answer of one store: the rows of the objects that it has, or why it could not be asked."""

    store: Store
    rows: Mapping[Oid, IndexRow]
    error: LdsError | None = None


def look_up_in(
    stores: Sequence[Store], oids: Collection[Oid], *, seconds: float = SILENCE_SECONDS
) -> list[LookupResult]:
    """Look up `oids` in all `stores` at the same time; return the results in the order of the stores.

    A store that has not sent the end of its log within `seconds` is given up, and not asked again by this process. The time
    that the user needs to enter a password does not count. Errors of stores are in the results.
    """
    were_read = {store for store in stores if store.is_read}
    errors = {store: store.given_up for store in stores if store.given_up is not None}

    def find(store: Store) -> Mapping[Oid, IndexRow]:
        return store.look_up(oids) if store in were_read else store.find(oids)

    _ask(stores, Store.ensure_loaded, seconds, errors)
    rows = _ask(stores, find, FIND_SECONDS, errors)
    return [LookupResult(store, rows.get(store, {}), errors.get(store)) for store in stores]


def look_up_in_order(stores: Iterable[Store], oids: Collection[Oid]) -> Iterator[LookupResult]:
    """Yield for each of `stores` the rows of those `oids` that no earlier one has.

    The first store is asked alone, and the others, at the same time, only if it does not have everything.
    """
    missing = set(oids)
    remaining = iter(stores)
    for some in (islice(remaining, 1), remaining):
        for answer in look_up_in(list(some), list(missing)) if missing else ():
            rows = {oid: row for oid, row in answer.rows.items() if oid in missing}
            missing -= rows.keys()
            yield answer._replace(rows=rows)


def _ask(
    stores: Sequence[Store], question: Callable[[Store], Result], seconds: float, errors: dict[Store, LdsError]
) -> dict[Store, Result]:
    """Ask all stores that are not in `errors`; return their answers, and add the errors of the others to `errors`."""
    asked = [store for store in dict.fromkeys(stores) if store not in errors]
    calls = [lambda store=store: _answer_or_error(question, store) for store in asked]
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
        elif isinstance(answer := future.result(), LdsError):
            errors[store] = answer
        else:
            results[store] = answer
    return results


def _answer_or_error(question: Callable[[Store], Result], store: Store) -> Result | LdsError:
    try:
        return question(store)
    except LdsError as error:
        return error


def _clock() -> float:
    return time.monotonic() - credentials.seconds_asked()

"""The contents of imported pointers: a store must have them before anything is imported, and they are fetched to the cache."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from git_lds import patterns, pointer
from git_lds.config.settings import StoreSetting
from git_lds.consent import not_asked
from git_lds.deps.manifest import transports
from git_lds.deps.manifest.manifest import Dependency
from git_lds.errors import LdsError, NotInStore, ObjectsMissing
from git_lds.files import printable
from git_lds.git.objects import small_blobs
from git_lds.git.run import Git
from git_lds.hashing import Oid
from git_lds.pointer import Pointer
from git_lds.progress import Progress
from git_lds.repo import Repo
from git_lds.store.client.store import Store
from git_lds.transfer import download
from git_lds.transfer.store_lookup import look_up_in_order

WantedObjects = dict[Oid, tuple[int, bytes]]
"""Objects to look for in stores: the size of each, and a path that needs it."""


def pointers(git: Git, blobs: Iterable[bytes]) -> dict[bytes, Pointer]:
    """Return the pointers among the blobs (ids in hex), by blob."""
    read = small_blobs(git, dict.fromkeys(blobs), limit=pointer.MAX_LENGTH)
    return {blob: found for blob, text in read if (found := pointer.parse(text)) is not None}


def check_stored(repo: Repo, dependency: Dependency, wanted: WantedObjects) -> list[Store]:
    """Return the stores that together have all objects `wanted`.

    Upstream's first store is asked first, then its others and this repository's own. Raises ObjectsMissing if no store has
    one of them, or the error of a store that could not be asked.
    """
    left = set(wanted)
    having: list[Store] = []
    failures: list[LdsError] = []
    for store, found, error in look_up_in_order(_stores(repo, dependency, failures), left):
        if found:
            having.append(store)
            left -= found.keys()
        elif error is not None and not isinstance(error, NotInStore):
            failures.append(error)
    if not left:
        return having
    if failures:
        raise failures[0]
    first = min((wanted[oid][1], oid) for oid in left)
    more = f" and {len(left) - 1} more" if len(left) > 1 else ""
    raise ObjectsMissing(
        f"upstream never pushed its objects: no store of {transports.without_credentials(dependency.url)} "
        f"has {printable(first[0])} ({first[1].hex()}){more}",
        "ask who has them to push: git lds push --all",
    )


def _stores(repo: Repo, dependency: Dependency, failures: list[LdsError]) -> Iterator[Store]:
    """Yield the stores to ask, once each. Add the errors of those that cannot be opened to `failures`."""
    seen = set()
    trusted = transports.parse(dependency.url).directory is not None
    for url in dependency.stores:
        setting = StoreSetting(url, transports.without_credentials(dependency.url), trusted=trusted)
        if not repo.consent.may_ask(setting):
            failures.append(not_asked(setting))
            continue
        try:
            store = repo.store(setting)
        except LdsError as error:
            failures.append(error)
            continue
        seen.add(store.url)
        yield store
    try:
        own = repo.reading_stores()
    except LdsError as error:
        failures.append(error)
        return
    yield from (store for store in own if store.url not in seen)


def fetch(repo: Repo, stores: Sequence[Store], wanted: WantedObjects, progress: Progress) -> None:
    """Fetch the objects that are not on this machine to the cache. Raises ObjectsMissing if some cannot be fetched."""
    absent = {oid: about for oid, about in wanted.items() if not repo.objects.has(oid)}
    if not absent:
        return
    result = download.download(stores, repo.objects, absent, progress)
    if result.missing:
        others = "; the others are in the cache" if len(result.missing) < len(absent) else ""
        raise ObjectsMissing(
            f"{len(result.missing)} of {len(absent)} objects could not be fetched{others}"
            + "".join(f"\n  {missing.message}" for missing in result.missing),
            "run the same command again",
        )


def wanted_in_work_tree(repo: Repo, found: Mapping[bytes, Pointer]) -> dict[bytes, Pointer]:
    """Return the pointers, by path, whose contents the working tree should have."""
    settings = repo.settings
    if settings.skip_smudge:
        return {}
    return {path: at for path, at in found.items() if patterns.wants(path, settings.include, settings.exclude)}

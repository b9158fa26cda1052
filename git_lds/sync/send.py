"""Sends objects to a store: what it lacks comes from this repository, or from a store that the user lets it copy from.

The cache that all repositories of a user share is a shortcut for bytes, and never the reason to send any: a pointer may be
committed by anyone, and the object be here only because another repository of the user's fetched it.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum

from git_lds import files
from git_lds.config.settings import StoreSetting
from git_lds.consent import is_directory, not_asked
from git_lds.errors import ConsentNeeded, LdsError, NotInStore, ObjectsMissing, counted
from git_lds.fast_typing import NamedTuple
from git_lds.hashing import FileId, Oid
from git_lds.progress import Progress
from git_lds.repo import Repo
from git_lds.snapshots import pointers
from git_lds.snapshots.pointers import Found
from git_lds.store.client.store import Store
from git_lds.sync import confirmations, destination
from git_lds.transfer import download, nearby, proof, upload
from git_lds.transfer.store_lookup import look_up_in

_SHOWN = 10
"""How many paths a message names before it counts the rest."""

Wanted = dict[Oid, Found]


class PushResult(NamedTuple):
    """What a push did: the store, how many objects it was asked about, what went there, and the paths of that.

    `size` is the bytes of the objects, `sent` the bytes that went over the wire. In a dry run nothing was sent. `lost` are
    objects that are nowhere and were so before; `unchecked` those of dependencies whose stores could not be asked.
    `warnings` are lines for people.
    """

    store: str
    objects: int
    size: int
    sent: int
    paths: tuple[str, ...]
    lost: tuple[Found, ...] = ()
    unchecked: tuple[Found, ...] = ()
    warnings: tuple[str, ...] = ()


NOTHING = PushResult("", 0, 0, 0, ())


class _Search(NamedTuple):
    """Where objects that were not added here were found: the stores that they are copied from, and what is in none of them.

    `refused` are stores, with who names them, that may not be copied from and have some of the rest, or may not even be asked.
    """

    having: list[Store]
    left: Wanted
    refused: dict[str, str]


def open_store(repo: Repo, setting: StoreSetting, *, create: bool) -> Store | None:
    """Return the store, its log read, made if there is none yet; None where it is not to be made now.

    A directory that only a committed file names is not made: anyone could name any directory there. Raises ConsentNeeded
    for a store that may not be used at all.
    """
    if not repo.consent.may_ask(setting):
        raise not_asked(setting)
    store = repo.store(setting)
    try:
        store.ensure_loaded()
    except NotInStore:
        _check_not_gone(repo, setting)
        if not setting.trusted and not setting.url.startswith(("http://", "https://")):
            raise LdsError(
                f"{setting.url} (from {setting.origin}) is not a store",
                hint=f"if you mean it: git lds init --store {shlex.quote(setting.url)}",
            ) from None
        if not create:
            return None
        destination.check(repo, setting)
        store.create()
        store.refresh()
    return store


class Trust(Enum):
    """How far a push trusts what the store's indexes say: that of what was pushed before; that its packs are there, with the
    size that they should have; or nothing, so that all of it is read."""

    ROWS = "rows"
    PACKS = "packs"
    NOTHING = "nothing"


def _check_not_gone(repo: Repo, setting: StoreSetting) -> None:
    """Raise LdsError where a directory that the user named was a store before: it may just not be mounted."""
    is_named = setting.trusted and not setting.origin.startswith("the directory of remote")
    if is_named and is_directory(setting.url) and confirmations.at_address(repo, setting.url) is not None:
        raise LdsError(
            f"{setting.url} was a store before, and there is none now; nothing was pushed",
            hint=f"mount it, or make it anew: git lds init --store {shlex.quote(setting.url)}",
        )


def send(
    repo: Repo,
    setting: StoreSetting,
    found: Sequence[Found],
    *,
    imported_stay: bool = False,
    is_new: Callable[[Oid], bool] = lambda oid: True,
    trust: Trust = Trust.ROWS,
    dry_run: bool,
    progress: Progress,
) -> PushResult:
    """Upload what a store lacks of the objects in `found`; with `imported_stay` not those in the stores of dependencies.

    What was not added here is copied from the stores that this repository may copy from. Raises, before anything is sent,
    ObjectsMissing when some are nowhere, and ConsentNeeded when they are in a store that the user has not trusted, for
    those that `is_new`: of the others the result says which they are.
    """
    store = open_store(repo, setting, create=not dry_run)
    standing = _look_up(repo, store, found, is_new, trust, progress) if store else _Standing(set(), set())
    wanted, unchecked = _wanted(repo, store, found, standing.good, imported_stay=imported_stay)
    if wanted:
        destination.check(repo, setting)
    elsewhere = {oid: item for oid, item in wanted.items() if not repo.objects.was_added(oid)}
    search = _search(repo, setting, store, elsewhere)
    brought = [item for oid, item in search.left.items() if is_new(oid)]
    if brought:
        raise _absent(repo, setting, brought, search.refused)
    if search.left and (asked := _former(repo, setting)) is not None:
        raise _of_former(list(search.left.values()), setting.url, asked)
    lost = tuple(search.left.values())
    wanted = {oid: item for oid, item in wanted.items() if oid not in search.left}
    size = sum(item.pointer.size for item in wanted.values())
    sent = 0
    if wanted and store is not None and not dry_run:
        _bring(repo, setting, search.having, [item for oid, item in elsewhere.items() if oid in wanted], progress)
        paths_of = {oid: (item.path,) for oid, item in wanted.items()}
        sent = upload.upload(
            store, repo.objects, paths_of, {}, tmp=repo.tmp, avoid=standing.damaged, progress=progress
        ).bytes
    paths = tuple(files.printable(item.path) for item in wanted.values())
    warnings = _warned(lost, f"missing from {setting.url} since before this push, and nowhere that it may copy from")
    if lost and search.refused:
        url, origin = next(iter(search.refused.items()))
        warnings.append(
            f"{url}, which {origin} names, may have them; if you trust it: git lds trust {shlex.quote(url)}"
        )
    warnings += _warned(unchecked, "imported, and the stores that it came from could not be asked")
    return PushResult(setting.url, len(found), size, sent, paths, lost, tuple(unchecked), tuple(warnings))


class _Standing(NamedTuple):
    """Which objects need not be sent, and which packs of the store nothing may be built on, as they are damaged."""

    good: set[Oid]
    damaged: set[FileId]


def _look_up(
    repo: Repo,
    store: Store,
    found: Sequence[Found],
    is_new: Callable[[Oid], bool],
    trust: Trust,
    progress: Progress,
) -> _Standing:
    """Return what the store has of the objects, as far as that is proven as `trust` asks.

    With `ROWS` what was added here and is new is proven: to believe a wrong row of it would lose it.
    """
    if trust is not Trust.ROWS:
        store.check_indexes(read=trust is Trust.NOTHING)
    rows = store.find([item.pointer.oid for item in found], reusable_only=True)
    if trust is Trust.PACKS:
        return _Standing(*proof.present(store, rows))
    if trust is Trust.NOTHING:
        return _Standing(*proof.whole(store, rows, progress))
    own = {oid: row for oid, row in rows.items() if repo.objects.own.has(oid)}
    doubtful = {oid: row for oid, row in own.items() if is_new(oid)}
    return _Standing(rows.keys() - (doubtful.keys() - proof.proven(store, repo.objects, doubtful)), set())


def _wanted(
    repo: Repo, store: Store | None, found: Sequence[Found], there: set[Oid], *, imported_stay: bool
) -> tuple[Wanted, list[Found]]:
    """Return what the store lacks and must get, and what a dependency's store could not be asked about."""
    lacking = {item.pointer.oid: item for item in found if item.pointer.oid not in there}
    unchecked: list[Found] = []
    if lacking and imported_stay:
        # what is imported unchanged stays in the store of its dependency
        vendored = _below(repo, lacking, repo.outputs(vendored=True))
        staying = {
            oid: item for oid, item in lacking.items() if oid not in vendored and not repo.objects.was_added(oid)
        }
        others = [other for other in repo.dependency_stores() if other is not store]
        answers = look_up_in(others, list(staying)) if staying else []
        for oid in {oid for answer in answers for oid in answer.found}:
            del staying[oid], lacking[oid]
        if any(answer.error is not None and not isinstance(answer.error, NotInStore) for answer in answers):
            imported = _below(repo, staying, repo.outputs())
            unchecked = [lacking.pop(oid) for oid in imported if not repo.objects.was_added(oid)]
    return lacking, unchecked


def _below(repo: Repo, found: Mapping[Oid, Found], outputs: Sequence[str]) -> set[Oid]:
    """Return which of the objects are at a path that is one of the dependencies' `outputs`, or below one."""
    if not outputs or not found:
        return set()
    places = [os.fsencode(output) for output in outputs]
    below = {oid for oid, item in found.items() if any(_is_at(item.path, place) for place in places)}
    # the same contents may be at another path too, by which they were found
    literal = [b":(top,literal)" + place for place in places]
    if repo.index.exists():
        in_index = {item.pointer.oid for item in pointers.in_index(repo.git, literal, here=repo.objects)}
        below |= in_index & found.keys()
    return below


def _is_at(path: bytes, place: bytes) -> bool:
    return path == place or path.startswith(place + b"/")


def _search(repo: Repo, setting: StoreSetting, store: Store | None, wanted: Mapping[Oid, Found]) -> _Search:
    """Look for objects that were not added here: in the stores that may be copied from, and in git remotes on this machine.

    What is here, and came from one of this repository's own stores or from the one to send to, need not be asked for.
    """
    left = dict(wanted)
    if not left:
        return _Search([], left, {})
    copied = repo.copying_stores(setting.url)
    came = set().union(*(each.received() for each in (*repo.own_stores(), *([store] if store else ()))))
    near = repo.objects.remotes
    left = {
        oid: item
        for oid, item in left.items()
        if not (oid in came and repo.objects.has(oid)) and not nearby.has(near, oid)
    }
    having: list[Store] = []
    for answer in look_up_in(copied, list(left)) if left else ():
        if found := left.keys() & answer.found.keys():
            having.append(answer.store)
            left = {oid: item for oid, item in left.items() if oid not in found}
    return _Search(having, left, _refused(repo, left) if left else {})


def _refused(repo: Repo, left: Mapping[Oid, Found]) -> dict[str, str]:
    """Return the stores, with who names them, that may not be copied from and have some of the objects, or may not be asked."""
    rest = [setting for setting in repo.reading_settings() if not repo.consent.may_copy(setting)]
    refused = {setting.url: setting.origin for setting in rest if not repo.consent.may_ask(setting)}
    asked = [setting for setting in rest if setting.url not in refused]
    for setting, answer in zip(asked, look_up_in([repo.store(each) for each in asked], list(left)), strict=True):
        if answer.found:
            refused[setting.url] = setting.origin
    return refused


def _former(repo: Repo, setting: StoreSetting) -> str | None:
    """Return the store that this repository had before, where it was moved to this one, which nothing was confirmed in yet,
    and the user has not said yet whether to copy from there."""
    if confirmations.at_address(repo, setting.url) is not None:
        return None
    url = destination.former(repo, setting.url)
    return None if url is None or url == setting.url or repo.consent.trusts(url) else url


def _of_former(items: Sequence[Found], store: str, former: str) -> ConsentNeeded:
    return ConsentNeeded(
        f"{_these(items)} not in {store}, and not copied without your consent from {former}, which was the store of this "
        f"repository before; nothing was pushed{_listed(items)}",
        former,
    )


def _bring(
    repo: Repo, setting: StoreSetting, having: Sequence[Store], items: Iterable[Found], progress: Progress
) -> None:
    """Bring objects to this machine from the stores that have them. Raises ObjectsMissing when some do not come."""
    coming = {item.pointer.oid: (item.pointer.size, item.path) for item in items}
    if all(repo.objects.has(oid) for oid in coming):
        return
    result = download.download(having, repo.objects, coming, progress)
    if result.missing:
        raise ObjectsMissing(
            f"{counted(len(result.missing), 'object', 'objects')} could not be copied to {setting.url}; nothing was pushed"
            + "".join(f"\n  {missing.message}" for missing in result.missing[:_SHOWN]),
            hint=result.hint or "run the same command again",
        )


def _absent(repo: Repo, setting: StoreSetting, absent: Sequence[Found], refused: Mapping[str, str]) -> LdsError:
    """Return the error for objects that the store must get, and that may come from nowhere."""
    listed, store = _listed(absent), setting.url
    if refused:
        url, origin = next(iter(refused.items()))
        return ConsentNeeded(
            f"{_these(absent)} not in {store}, and not copied there without your consent from {url}, "
            f"which {origin} names; nothing was pushed{listed}",
            url,
        )
    if (former := _former(repo, setting)) is not None:
        return _of_former(absent, store, former)
    if any(repo.objects.has(item.pointer.oid) for item in absent):
        count = counted(len(absent), "object was", "objects were")
        return ObjectsMissing(
            f"{count} not added in this repository, and in no store that it may copy from to {store}; nothing was pushed{listed}",
            hint="if they are yours to send, name the store that has them: git lds trust ADDRESS",
        )
    return ObjectsMissing(
        f"{_these(absent)} neither here nor in {store}; nothing was pushed{listed}",
        hint="fetch them from where they are (git lds fetch REMOTE), or store them again: git add --renormalize PATH",
    )


def _warned(items: Sequence[Found], what: str) -> list[str]:
    return [f"{_these(items)} {what}:{_listed(items)}"] if items else []


def _these(items: Sequence[Found]) -> str:
    return counted(len(items), "object is", "objects are")


def _listed(items: Sequence[Found]) -> str:
    named = [f"{files.printable(item.path)} ({item.pointer.oid.hex()})" for item in items[:_SHOWN]]
    more = [f"and {len(items) - _SHOWN} more"] if len(items) > _SHOWN else []
    return "".join(f"\n  {line}" for line in named + more)

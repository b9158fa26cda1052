"""Sends objects to a store: a plan says which it lacks and where they come from, and is then carried out."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from enum import Enum

from git_lds import files
from git_lds.config.settings import StoreSetting
from git_lds.consent import is_directory, not_asked
from git_lds.errors import LdsError, NotInStore
from git_lds.fast_typing import NamedTuple
from git_lds.hashing import FileId, Oid
from git_lds.progress import Progress
from git_lds.repo import Repo
from git_lds.snapshots import pointers
from git_lds.snapshots.pointers import PointerFile
from git_lds.store.client.store import Store
from git_lds.sync import confirmations, destination, upload_sources
from git_lds.transfer import proof, upload
from git_lds.transfer.store_lookup import look_up_in


class Verification(Enum):
    """How thoroughly a push verifies what the store's indexes list of objects that were pushed before."""

    ROWS = "the rows are taken as right"
    PACKS = "the packs must exist and have the right sizes"
    CONTENTS = "the packs are read"


class SendPlan(NamedTuple):
    """What a store lacks and will be sent. Nothing is sent, and no store is created, before `send`.

    `objects` is the number of objects that were considered, `wanted` are those to send by oid, `copied` those of them that
    come from the stores in `sources`. `lost` are objects that are nowhere and were so before; `unchecked` those of
    dependencies whose stores could not be read. Packs in `damaged` are not built on. `warnings` are lines for people.
    """

    setting: StoreSetting
    creates_store: bool
    objects: int
    wanted: Mapping[Oid, PointerFile]
    copied: tuple[PointerFile, ...]
    sources: tuple[Store, ...]
    damaged: frozenset[FileId]
    lost: tuple[PointerFile, ...]
    unchecked: tuple[PointerFile, ...]
    warnings: tuple[str, ...]

    @property
    def size(self) -> int:
        """The bytes of the objects to send."""
        return sum(item.pointer.size for item in self.wanted.values())

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of the objects to send, for people."""
        return tuple(files.printable(item.path) for item in self.wanted.values())


def plan_send(
    repo: Repo,
    setting: StoreSetting,
    items: Sequence[PointerFile],
    *,
    imported_stay: bool = False,
    is_new: Callable[[Oid], bool] = lambda oid: True,
    verification: Verification = Verification.ROWS,
    progress: Progress,
) -> SendPlan:
    """Return what a store lacks of the objects in `items`; with `imported_stay` not those in the stores of dependencies.

    Objects that were not added here are copied from the stores that this repository may copy from. Raises ObjectsMissing
    if an object that `is_new` is nowhere, ConsentNeeded if a store that the user has not trusted has it, or if the user
    must agree to this store first, and what a store raises that does not answer.
    """
    store = _open_store(repo, setting)
    stored, damaged = _look_up(repo, store, items, is_new, verification, progress) if store else (set(), frozenset())
    lacking, unchecked = _lacking(repo, store, items, stored, imported_stay=imported_stay)
    if lacking:
        destination.check(repo, setting)
    copied = {oid: item for oid, item in lacking.items() if not repo.objects.was_added(oid)}
    sources = upload_sources.find(repo, setting, store, copied)
    lost = tuple(sources.missing.values())
    required = [item for item in lost if is_new(item.pointer.oid)]
    upload_sources.check(repo, setting, lost, required=required, refused=sources.refused)
    wanted = {oid: item for oid, item in lacking.items() if oid not in sources.missing}
    return SendPlan(
        setting,
        creates_store=store is None,
        objects=len(items),
        wanted=wanted,
        copied=tuple(item for oid, item in copied.items() if oid in wanted),
        sources=sources.stores,
        damaged=damaged,
        lost=lost,
        unchecked=tuple(unchecked),
        warnings=tuple(_warnings(setting, lost, sources.refused, unchecked)),
    )


def send(repo: Repo, plan: SendPlan, progress: Progress) -> int:
    """Upload the objects of a plan; return the bytes that went over the wire. The store is created if it does not exist.

    Raises ObjectsMissing if an object cannot be copied, and what `upload` raises.
    """
    store = repo.store(plan.setting)
    if plan.creates_store:
        destination.check(repo, plan.setting)
        store.create()
        store.refresh()
    if not plan.wanted:
        return 0
    upload_sources.copy(repo, plan.setting, plan.sources, plan.copied, progress)
    paths = {oid: (item.path,) for oid, item in plan.wanted.items()}
    return upload.upload(store, repo.objects, paths, {}, tmp=repo.tmp, avoid=plan.damaged, progress=progress).bytes


def _open_store(repo: Repo, setting: StoreSetting) -> Store | None:
    """Return the store with its log read, or None if it does not exist and may be created.

    A directory that only a committed file names is never created: anyone could name any directory there. Raises
    ConsentNeeded for a store that may not be used at all, and LdsError for one that may not be created.
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
        return None
    return store


def _check_not_gone(repo: Repo, setting: StoreSetting) -> None:
    """Raise LdsError if a directory that the user named was a store before: it may just not be mounted."""
    is_named = setting.trusted and not setting.origin.startswith("the directory of remote")
    if is_named and is_directory(setting.url) and confirmations.last_at(repo, setting.url) is not None:
        raise LdsError(
            f"{setting.url} was a store before, and no longer is; nothing was pushed",
            hint=f"mount it, or create it again: git lds init --store {shlex.quote(setting.url)}",
        )


def _look_up(
    repo: Repo,
    store: Store,
    items: Sequence[PointerFile],
    is_new: Callable[[Oid], bool],
    verification: Verification,
    progress: Progress,
) -> tuple[set[Oid], frozenset[FileId]]:
    """Return the objects that the store has, verified as asked, and its damaged packs.

    With `ROWS` new objects that were added here are proven: a wrong row of one would lose it.
    """
    if verification is not Verification.ROWS:
        store.check_indexes(read=verification is Verification.CONTENTS)
    rows = store.find([item.pointer.oid for item in items], reusable_only=True)
    if verification is not Verification.ROWS:
        is_full = verification is Verification.CONTENTS
        good, damaged = proof.whole(store, rows, progress) if is_full else proof.present(store, rows)
        return good, frozenset(damaged)
    doubtful = {oid: row for oid, row in rows.items() if repo.objects.own.has(oid) and is_new(oid)}
    return rows.keys() - (doubtful.keys() - proof.proven(store, repo.objects, doubtful)), frozenset()


def _lacking(
    repo: Repo, store: Store | None, items: Sequence[PointerFile], stored: set[Oid], *, imported_stay: bool
) -> tuple[dict[Oid, PointerFile], list[PointerFile]]:
    """Return the objects that the store lacks and must get, and those that a dependency's store could not be asked for."""
    lacking = {item.pointer.oid: item for item in items if item.pointer.oid not in stored}
    unchecked: list[PointerFile] = []
    if lacking and imported_stay:
        # objects that were imported and not changed stay in the store of their dependency
        vendored = _below(repo, lacking, repo.outputs(vendored=True))
        staying = {
            oid: item for oid, item in lacking.items() if oid not in vendored and not repo.objects.was_added(oid)
        }
        others = [other for other in repo.dependency_stores() if other is not store]
        answers = look_up_in(others, list(staying)) if staying else []
        for oid in {oid for answer in answers for oid in answer.rows}:
            del staying[oid], lacking[oid]
        if any(answer.error is not None and not isinstance(answer.error, NotInStore) for answer in answers):
            imported = _below(repo, staying, repo.outputs())
            unchecked = [lacking.pop(oid) for oid in imported if not repo.objects.was_added(oid)]
    return lacking, unchecked


def _below(repo: Repo, items: Mapping[Oid, PointerFile], outputs: Sequence[str]) -> set[Oid]:
    """Return which of the objects are at or below one of the paths of dependencies."""
    if not outputs or not items:
        return set()
    roots = [os.fsencode(output) for output in outputs]
    below = {oid for oid, item in items.items() if any(_is_at_or_below(item.path, root) for root in roots)}
    # the same contents may be at another path too, which the items have instead
    literal = [b":(top,literal)" + root for root in roots]
    if repo.index.exists():
        in_index = {item.pointer.oid for item in pointers.in_index(repo.git, literal, here=repo.objects)}
        below |= in_index & items.keys()
    return below


def _is_at_or_below(path: bytes, root: bytes) -> bool:
    return path == root or path.startswith(root + b"/")


def _warnings(
    setting: StoreSetting, lost: Sequence[PointerFile], refused: Mapping[str, str], unchecked: Sequence[PointerFile]
) -> list[str]:
    nowhere = f"missing from {setting.url} since before this push, and in no store that it may copy from"
    warnings = upload_sources.warning(lost, nowhere)
    if lost and refused:
        url, origin = next(iter(refused.items()))
        warnings.append(
            f"{url}, which {origin} names, may have them; if you trust it: git lds trust {shlex.quote(url)}"
        )
    return warnings + upload_sources.warning(unchecked, "imported, and the stores that have them could not be read")

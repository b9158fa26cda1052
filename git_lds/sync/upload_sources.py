"""Finds where a push may copy objects from that were not added in this repository.

The cache that all repositories of a user share is a shortcut for bytes, and never the reason to send any: anyone can commit
a pointer, and the object may be local only because another repository of the user fetched it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from git_lds import files
from git_lds.config.settings import StoreSetting
from git_lds.errors import ConsentNeeded, LdsError, ObjectsMissing, counted
from git_lds.fast_typing import NamedTuple
from git_lds.hashing import Oid
from git_lds.progress import Progress
from git_lds.repo import Repo
from git_lds.snapshots.pointers import PointerFile
from git_lds.store.client.store import Store
from git_lds.sync import confirmations, destination
from git_lds.transfer import download, nearby
from git_lds.transfer.store_lookup import look_up_in

_SHOWN = 10
"""Paths that a message names before it counts the rest."""


class UploadSources(NamedTuple):
    """The stores to copy objects from, and the objects that none of them has.

    `refused` are stores, with the files that name them, that may not be copied from and have some of the missing objects,
    or that may not even be read.
    """

    stores: tuple[Store, ...]
    missing: Mapping[Oid, PointerFile]
    refused: Mapping[str, str]


def find(repo: Repo, setting: StoreSetting, store: Store | None, wanted: Mapping[Oid, PointerFile]) -> UploadSources:
    """Look for objects in the stores that may be copied from, and in git remotes on this machine.

    A local object that came from one of this repository's own stores, or from `store`, the one to send to, counts as found.
    """
    missing = dict(wanted)
    if not missing:
        return UploadSources((), missing, {})
    copied = repo.copying_stores(setting.url)
    own = [*repo.own_stores(), *([store] if store else ())]
    received = set().union(*(each.received() for each in own))
    remotes = repo.objects.remotes
    for oid in wanted:
        if (oid in received and repo.objects.has(oid)) or nearby.has(remotes, oid):
            del missing[oid]
    having: list[Store] = []
    for answer in look_up_in(copied, list(missing)) if missing else ():
        if stored := missing.keys() & answer.rows.keys():
            having.append(answer.store)
            missing = {oid: item for oid, item in missing.items() if oid not in stored}
    return UploadSources(tuple(having), missing, _refused(repo, missing) if missing else {})


def _refused(repo: Repo, missing: Mapping[Oid, PointerFile]) -> dict[str, str]:
    """Return the stores, with the files that name them, that may not be copied from and have some of the objects, or that
    may not be read."""
    others = [setting for setting in repo.reading_settings() if not repo.consent.may_copy(setting)]
    refused = {setting.url: setting.origin for setting in others if not repo.consent.may_ask(setting)}
    readable = [setting for setting in others if setting.url not in refused]
    answers = look_up_in([repo.store(setting) for setting in readable], list(missing))
    for setting, answer in zip(readable, answers, strict=True):
        if answer.rows:
            refused[setting.url] = setting.origin
    return refused


def check(
    repo: Repo,
    setting: StoreSetting,
    missing: Sequence[PointerFile],
    *,
    required: Sequence[PointerFile],
    refused: Mapping[str, str],
) -> None:
    """Raise an error if objects in `required` are missing, or if others are that a former store of the repository may have.

    It is ConsentNeeded if a store that the user has not agreed to has them, else ObjectsMissing.
    """
    if required:
        raise _missing(repo, setting, required, refused)
    if missing and (former := _former(repo, setting)) is not None:
        raise _consent_to_former(missing, setting.url, former)


def _former(repo: Repo, setting: StoreSetting) -> str | None:
    """Return the former store of a repository that moved to the one of `setting`, as long as nothing was confirmed there
    and the user has not agreed to copy from the former."""
    if confirmations.last_at(repo, setting.url) is not None:
        return None
    url = destination.former(repo, setting.url)
    return None if url is None or url == setting.url or repo.consent.trusts(url) else url


def _consent_to_former(items: Sequence[PointerFile], store: str, former: str) -> ConsentNeeded:
    return ConsentNeeded(
        f"{_counted(items)} not in {store}, and not copied without your consent from {former}, which was the store of this "
        f"repository before; nothing was pushed{_listed(items)}",
        former,
    )


def _missing(repo: Repo, setting: StoreSetting, items: Sequence[PointerFile], refused: Mapping[str, str]) -> LdsError:
    """Return the error for objects that the store must get and that may not be copied from anywhere."""
    listed, store = _listed(items), setting.url
    if refused:
        url, origin = next(iter(refused.items()))
        return ConsentNeeded(
            f"{_counted(items)} not in {store}, and not copied there without your consent from {url}, "
            f"which {origin} names; nothing was pushed{listed}",
            url,
        )
    if (former := _former(repo, setting)) is not None:
        return _consent_to_former(items, store, former)
    if any(repo.objects.has(item.pointer.oid) for item in items):
        count = counted(len(items), "object was", "objects were")
        return ObjectsMissing(
            f"{count} not added in this repository, and in no store that it may copy from to {store}; nothing was pushed{listed}",
            hint="if they are yours to send, name the store that has them: git lds trust URL",
        )
    return ObjectsMissing(
        f"{_counted(items)} neither local nor in {store}; nothing was pushed{listed}",
        hint="fetch them from a remote that has them (git lds fetch REMOTE), or add the files again: git add --renormalize PATH",
    )


def copy(
    repo: Repo, setting: StoreSetting, stores: Sequence[Store], items: Iterable[PointerFile], progress: Progress
) -> None:
    """Bring objects to this machine from the stores that have them. Raises ObjectsMissing if some do not come."""
    coming = {item.pointer.oid: (item.pointer.size, item.path) for item in items}
    if all(repo.objects.has(oid) for oid in coming):
        return
    result = download.download(stores, repo.objects, coming, progress)
    if result.missing:
        raise ObjectsMissing(
            f"{counted(len(result.missing), 'object', 'objects')} could not be copied to {setting.url}; nothing was pushed"
            + "".join(f"\n  {missing.message}" for missing in result.missing[:_SHOWN]),
            hint=result.hint or "run the same command again",
        )


def warning(items: Sequence[PointerFile], what: str) -> list[str]:
    """Return a warning about objects, with their paths and oids, or nothing if there are none."""
    return [f"{_counted(items)} {what}:{_listed(items)}"] if items else []


def _counted(items: Sequence[PointerFile]) -> str:
    return counted(len(items), "object is", "objects are")


def _listed(items: Sequence[PointerFile]) -> str:
    named = [f"{files.printable(item.path)} ({item.pointer.oid.hex()})" for item in items[:_SHOWN]]
    more = [f"and {len(items) - _SHOWN} more"] if len(items) > _SHOWN else []
    return "".join(f"\n  {line}" for line in named + more)

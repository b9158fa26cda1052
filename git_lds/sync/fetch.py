"""Fetch: the objects of commits come from the stores into the cache.

In a bare repository they go to its own local store, which makes it a backup that depends on nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

from git_lds import patterns
from git_lds.errors import LdsError, ObjectsMissing, counted
from git_lds.fast_typing import NamedTuple
from git_lds.git import refs as git_refs
from git_lds.progress import Progress
from git_lds.repo import Repo
from git_lds.snapshots import pointers
from git_lds.snapshots.pointers import PointerFile
from git_lds.store.client.store import Store
from git_lds.sync import destination
from git_lds.transfer import download
from git_lds.transfer.download import Missing

_SHOWN = 100
"""Objects that an error names before it counts the rest."""


class FetchResult(NamedTuple):
    """The number of objects that came, and their bytes."""

    objects: int
    size: int


def fetch(
    repo: Repo,
    remote: str | None,
    refs: Sequence[str],
    *,
    everything: bool,
    checked_out: bool = False,
    include: Sequence[str] | None,
    exclude: Sequence[str] | None,
    progress: Progress,
) -> FetchResult:
    """Download the missing objects of the files in `refs`, by default of the files checked out.

    With `everything` those of all commits of all refs come; with `checked_out` those of the files checked out as well,
    and those of other pointers that files hold, if a store has them. `include` and `exclude` override the configuration,
    which does not count with `everything` in a bare repository. Raises ObjectsMissing, after everything else has come, if
    objects are in no store, and LdsError if there is no store.
    """
    repo.settings.check_remote(remote)
    is_backup = everything and repo.is_bare
    include = include if include is not None else () if is_backup else repo.settings.include
    exclude = exclude if exclude is not None else () if is_backup else repo.settings.exclude
    listed = _named(repo, refs, everything=everything)
    if checked_out or not (refs or everything):
        listed += _checked_out(repo)
    required = {item.pointer.oid for item in listed}
    if checked_out and repo.work_tree is not None:
        listed += pointers.held(repo.work_tree, listed)
    matching = [item for item in listed if patterns.wants(item.path, include, exclude)]
    objects = repo.objects.into_own() if repo.is_bare else repo.objects
    wanted = {i.pointer.oid: (i.pointer.size, i.path) for i in matching if not objects.has(i.pointer.oid)}
    if wanted and repo.is_bare:
        for inner in repo.inner_stores():
            for oid in repo.store(inner).look_up(wanted):
                del wanted[oid]
    if not wanted:
        return FetchResult(0, 0)
    if repo.is_bare:
        destination.note(repo)
    stores = _sources(repo, remote)
    if not stores and not objects.remotes:
        for refusal in repo.refusals(remote):
            raise refusal
        lacking = counted(len(wanted), "object is", "objects are")
        raise LdsError(f"{lacking} not on this machine, and no store is configured", hint="git lds init --store URL")
    result = download.download(stores, objects, wanted, progress)
    objects.downloads.sync()
    # a pointer that only a file in the working tree has may be a mistake
    missing = [item for item in result.missing if item.oid in required]
    if missing:
        refused = [refusal.hint for refusal in repo.refusals(remote)]
        hints = (result.hint, *refused, "ask somebody who has them to push again: git lds push --all")
        raise ObjectsMissing(_message(missing, len(wanted)), next(filter(None, hints)))
    return FetchResult(result.objects, result.bytes)


def _message(missing: Sequence[Missing], wanted: int) -> str:
    """Return the message about missing objects. A reason that many have comes once, before their names."""
    others = "; all others were fetched" if len(missing) < wanted else ""
    by_reason: dict[str, list[Missing]] = {}
    for item in missing[:_SHOWN]:
        by_reason.setdefault(item.why, []).append(item)
    lines = [f"{len(missing)} of {wanted} objects could not be fetched{others}"]
    for why, items in by_reason.items():
        if len(items) <= download.FEW_MISSING:
            lines += [f"  {item.message}" for item in items]
        else:
            lines += [f"  {why}:", *(f"    {item.name}" for item in items)]
    if len(missing) > _SHOWN:
        lines.append(f"  and {len(missing) - _SHOWN} more")
    return "\n".join(lines)


def _sources(repo: Repo, remote: str | None) -> list[Store]:
    """Return the stores to fetch from.

    Objects in a bare repository count as added there, and a push may send them: they come only from stores that a push
    may copy from.
    """
    return repo.copying_stores(str(repo.lds_dir), remote) if repo.is_bare else repo.reading_stores(remote)


def _named(repo: Repo, revisions: Sequence[str], *, everything: bool) -> list[PointerFile]:
    if everything:
        return pointers.in_commits(repo.git, ["--all"], here=repo.objects)
    return [item for name in revisions for item in pointers.in_tree(repo.git, name, here=repo.objects)]


def _checked_out(repo: Repo) -> list[PointerFile]:
    # a clone whose checkout failed, or was not requested, has no index yet
    if repo.index.exists():
        return pointers.in_index(repo.git, here=repo.objects)
    return pointers.in_tree(repo.git, "HEAD") if git_refs.head(repo.git) is not None else []

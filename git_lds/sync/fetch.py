"""Fetch: the objects of commits come from the stores into the cache; in a bare repository into its own local store, so that
it is a backup that depends on nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from git_lds import patterns
from git_lds.errors import LdsError, ObjectsMissing, counted
from git_lds.fast_typing import NamedTuple
from git_lds.progress import Progress
from git_lds.repo import Repo
from git_lds.snapshots import pointers
from git_lds.snapshots.pointers import Found
from git_lds.store.client.store import Store
from git_lds.sync import destination
from git_lds.transfer import download

_SHOWN = 100
"""How many objects an error names before it counts the rest."""


class FetchResult(NamedTuple):
    """How many objects came, and their bytes."""

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
    """Bring the objects that are not here of the files in `refs`, or, with none, of the files checked out.

    With `everything` it is those of all commits of all refs; with `checked_out` those checked out come as well, and those of
    other pointers that files hold, where a store has them.
    `include` and `exclude` take the place of what is configured, which does not count with `everything` in a bare
    repository. Raises ObjectsMissing, after everything else has come, when some are in no store.
    """
    repo.settings.check_remote(remote)
    is_backup = everything and repo.is_bare
    include = include if include is not None else () if is_backup else repo.settings.include
    exclude = exclude if exclude is not None else () if is_backup else repo.settings.exclude
    listed = _found(repo, refs, everything=everything)
    if checked_out or not (refs or everything):
        listed += _checked_out(repo)
    needed = {item.pointer.oid for item in listed}
    if checked_out and repo.work_tree is not None:
        listed += pointers.held(repo.work_tree, listed)
    found = [item for item in listed if patterns.wants(item.path, include, exclude)]
    objects = repo.objects.into_own() if repo.is_bare else repo.objects
    wanted = {i.pointer.oid: (i.pointer.size, i.path) for i in found if not objects.has(i.pointer.oid)}
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
        raise LdsError(f"{lacking} not here, and no store is set up", hint="git lds init --store URL")
    result = download.download(stores, objects, wanted, progress)
    objects.downloads.sync()
    absent = [
        missing for missing in result.missing if missing.oid in needed
    ]  # what a file alone names may be a mistake
    if absent:
        named = [missing.message for missing in absent[:_SHOWN]]
        more = [f"and {len(absent) - _SHOWN} more"] if len(absent) > _SHOWN else []
        others = "; the others are here" if len(absent) < len(wanted) else ""
        count = f"{len(absent)} of {len(wanted)} objects could not be fetched{others}"
        refused = [refusal.hint for refusal in repo.refusals(remote)]
        hints = (result.hint, *refused, "ask who has them to push again: git lds push --all")
        hint = next(filter(None, hints))
        raise ObjectsMissing("\n  ".join([count, *named, *more]), hint)
    return FetchResult(result.objects, result.bytes)


def _sources(repo: Repo, remote: str | None) -> list[Store]:
    """Return the stores to fetch from. What comes to a bare repository counts as added there, and so goes where that is
    pushed to: it comes from where a push may copy from."""
    return repo.copying_stores(str(repo.lds_dir), remote) if repo.is_bare else repo.reading_stores(remote)


def _found(repo: Repo, refs: Sequence[str], *, everything: bool) -> list[Found]:
    if everything:
        return pointers.in_commits(repo.git, ["--all"], here=repo.objects)
    return [item for ref in refs for item in pointers.in_tree(repo.git, ref, here=repo.objects)]


def _checked_out(repo: Repo) -> list[Found]:
    # a clone whose checkout failed, or was not wanted, has no index yet
    if repo.index.exists():
        return pointers.in_index(repo.git, here=repo.objects)
    return pointers.in_tree(repo.git, "HEAD") if repo.git.ok("rev-parse", "--verify", "--quiet", "HEAD") else []

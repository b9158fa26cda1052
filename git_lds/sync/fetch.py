"""Fetch: the objects of commits come from the stores into the cache."""

from __future__ import annotations

from collections.abc import Sequence

from git_lds import patterns, scan
from git_lds.errors import LdsError, ObjectsMissing
from git_lds.progress import Progress
from git_lds.repo import Repo
from git_lds.scan import Found
from git_lds.transfer import download
from git_lds.typed import NamedTuple

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

    With `everything` it is those of all commits of all refs; with `checked_out` those checked out come as well.
    `include` and `exclude` take the place of what is configured. Raises ObjectsMissing, after everything else has come,
    when some are in no store.
    """
    repo.settings.check_remote(remote)
    include = repo.settings.include if include is None else include
    exclude = repo.settings.exclude if exclude is None else exclude
    listed = _found(repo, refs, everything=everything)
    if checked_out or not (refs or everything):
        listed += _checked_out(repo)
    found = [item for item in listed if patterns.wants(item.path, include, exclude)]
    wanted = {i.pointer.oid: (i.pointer.size, i.path) for i in found if not repo.objects.has(i.pointer.oid)}
    if not wanted:
        return FetchResult(0, 0)
    stores = repo.reading_stores(remote)
    if not stores:
        raise LdsError(f"{len(wanted)} objects are not here, and no store is set up", hint="git lds init --store URL")
    result = download.download(stores, repo.objects, wanted, progress)
    if result.missing:
        named = [missing.message for missing in result.missing[:_SHOWN]]
        more = [f"and {len(result.missing) - _SHOWN} more"] if len(result.missing) > _SHOWN else []
        others = "; the others are here" if len(result.missing) < len(wanted) else ""
        count = f"{len(result.missing)} of {len(wanted)} objects could not be fetched{others}"
        hint = result.hint or "ask who has them to push again: git lds push --all"
        raise ObjectsMissing("\n  ".join([count, *named, *more]), hint)
    return FetchResult(result.objects, result.bytes)


def _found(repo: Repo, refs: Sequence[str], *, everything: bool) -> list[Found]:
    if everything:
        return scan.in_commits(repo.git, ["--all"], here=repo.objects)
    return [item for ref in refs for item in scan.in_tree(repo.git, ref, here=repo.objects)]


def _checked_out(repo: Repo) -> list[Found]:
    # a clone whose checkout failed, or was not wanted, has no index yet
    if repo.index.exists():
        return scan.in_index(repo.git, here=repo.objects)
    return scan.in_tree(repo.git, "HEAD") if repo.git.ok("rev-parse", "--verify", "--quiet", "HEAD") else []

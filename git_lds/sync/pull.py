"""Pull: the objects of what is checked out come from the stores, and their contents replace the pointers."""

from __future__ import annotations

from collections.abc import Sequence

from git_lds.errors import CorruptData, LdsError, ObjectsMissing
from git_lds.fast_typing import NamedTuple
from git_lds.progress import Progress
from git_lds.repo import Repo
from git_lds.sync.checkout import CheckoutResult, checkout
from git_lds.sync.fetch import FetchResult, fetch


class PullResult(NamedTuple):
    """What was fetched and checked out. `missing` is the error of objects that no store has: the others are in place."""

    fetched: FetchResult
    checked_out: CheckoutResult
    missing: ObjectsMissing | None


def pull(
    repo: Repo,
    remote: str | None,
    refs: Sequence[str],
    *,
    everything: bool,
    include: Sequence[str] | None,
    exclude: Sequence[str] | None,
    progress: Progress,
) -> PullResult:
    """Fetch as `fetch` does, then check out as `checkout` does; a damaged local copy is fetched and checked out again.

    Raises LdsError in a bare repository, and as `fetch` and `checkout` do; if objects are missing and the checkout fails,
    the former counts.
    """
    repo.require_work_tree()  # without a working tree nothing should be downloaded either

    def fetch_again() -> FetchResult:
        return fetch(
            repo,
            remote,
            refs,
            everything=everything,
            checked_out=True,
            include=include,
            exclude=exclude,
            progress=progress,
        )

    missing: ObjectsMissing | None = None
    fetched = FetchResult(0, 0)
    try:
        fetched = fetch_again()
    except ObjectsMissing as error:
        missing = error  # the other objects have come, and are checked out first
    repo.objects.reload()
    try:
        try:
            done = checkout(repo, (), include=include, exclude=exclude, progress=progress)
        except CorruptData:
            # the checkout found a damaged small object, which counts as absent from now on
            fetched = fetch_again()
            done = checkout(repo, (), include=include, exclude=exclude, progress=progress)
    except LdsError as error:
        raise missing or error from None
    return PullResult(fetched, done, missing)

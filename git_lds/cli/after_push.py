"""Compacts the local store after a push, if that is due. Whatever goes wrong, the push goes on."""

from __future__ import annotations

from git_lds.cli.render.output import amount, name, say, warn
from git_lds.errors import LdsError
from git_lds.maintenance import compact as compacting
from git_lds.progress import Progress
from git_lds.repo import Repo


def compact(repo: Repo, progress: Progress, *, quiet: bool = False) -> None:
    """Compact the local store if that is due, and print it; an error is only a warning."""
    try:
        done = compacting.compact(repo.own, compacting.plan_compact(repo).objects, progress)
    except LdsError as error:
        warn(f"could not compact the local store: {error.message}", error.hint)
        return
    except Exception as error:  # not even a bug of ours may stop a push whose objects are in the store
        why = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        warn(f"could not compact the local store: {why}")
        return
    if done.objects:
        many = f"{done.objects} old {'object' if done.objects == 1 else 'objects'}"
        sizes = f"{amount(done.size)} of files became {amount(done.written)} of chunks"
        say(f"git-lds: compacted {many} of the local store: {sizes}", quiet=quiet)
    for path in done.damaged:
        warn(
            f"{name(str(path))} is damaged and was not compacted", "delete it; git lds fetch COMMIT downloads it again"
        )

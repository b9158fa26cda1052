"""What a push does when all is sent: it makes the local store smaller where that is due. Whatever happens, the push goes on."""

from __future__ import annotations

from git_lds.cli.render.output import amount, name, say, warn
from git_lds.errors import LdsError
from git_lds.maintenance.compact import compact_if_due
from git_lds.progress import Progress
from git_lds.repo import Repo


def compact(repo: Repo, progress: Progress, *, quiet: bool = False) -> None:
    """Compact the local store if that is due, and say so; what goes wrong is a warning."""
    try:
        done = compact_if_due(repo, progress)
    except LdsError as error:
        warn(f"the local store was not made smaller: {error.message}", error.hint)
        return
    except Exception as error:  # not even a defect of ours may stop a push whose objects are in the store
        why = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        warn(f"the local store was not made smaller: {why}")
        return
    if done.objects:
        many = f"{done.objects} old {'object' if done.objects == 1 else 'objects'}"
        sizes = f"{amount(done.size)} of files became {amount(done.written)} of chunks"
        say(f"git-lds: compacted {many} of the local store: {sizes}", quiet=quiet)
    for path in done.damaged:
        warn(f"{name(str(path))}: damaged, and left as it is", "delete it; git lds fetch COMMIT gets it again")

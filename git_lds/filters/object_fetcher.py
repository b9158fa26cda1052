"""Fetches the objects of files that git waits for, and remembers which came and which are in no store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from git_lds import files
from git_lds.errors import LdsError, ObjectsMissing
from git_lds.fast_typing import TYPE_CHECKING
from git_lds.filters import complain, say
from git_lds.hashing import Oid
from git_lds.pointer import Pointer
from git_lds.progress import Progress
from git_lds.repo import Repo

if TYPE_CHECKING:
    from git_lds.transfer.download import Downloaded, Missing

_HINT = "run the same git command again when a store has them; with GIT_LDS_SKIP_SMUDGE=1 before it, it gets pointers"

_NAMED = 10
"""Reasons that are printed before the rest is counted."""


class ObjectFetcher:
    """Fetches objects for one process of the filter. An object that no store has is looked for once."""

    def __init__(self, repo: Repo, progress: Progress) -> None:
        self._repo = repo
        self._progress = progress
        self._failed: set[Oid] = set()
        self.verified: set[Oid] = set()
        """Objects whose local copy was hashed by this process, on arrival or later."""

    def is_local(self, oid: Oid) -> bool:
        """Return whether the object is on this machine."""
        return oid in self.verified or self._repo.objects.has(oid)

    def fetch(self, wanted: Mapping[bytes, Pointer]) -> None:
        """Fetch the objects of files by path. Raises ObjectsMissing if one is in no store, or what a download raises."""
        # git starts us before a merge driver, whose result is in the local store, and may have been looked for before
        self._repo.objects.reload()
        absent = {path: pointer for path, pointer in wanted.items() if not self.is_local(pointer.oid)}
        if not absent:
            return
        untried = {p.oid: (p.size, path) for path, p in absent.items() if p.oid not in self._failed}
        if not untried:
            path, pointer = next(iter(absent.items()))
            name = f"{files.printable(path)} ({pointer.oid.hex()})"
            raise ObjectsMissing(f"{name}: not found in any store (already searched)", _HINT)
        try:
            result = self.download(untried)
        except (LdsError, OSError):
            self._failed.update(untried)
            raise
        self._failed.update(missing.oid for missing in result.missing)
        if result.missing:
            self._report(result.missing)
            raise ObjectsMissing(f"{len(result.missing)} of {len(absent)} files could not be fetched", _HINT)

    def download(self, wanted: Mapping[Oid, tuple[int, bytes]]) -> Downloaded:
        """Download objects (their sizes and the paths to name) and return which came. Raises LdsError and OSError."""
        # late: what moves objects loads httpx, and no `git status` should wait for that
        from git_lds.transfer import download

        # the download verifies nothing that was local before
        absent = {oid for oid in wanted if not self._repo.objects.has(oid)}
        result = download.download(self._repo.reading_stores(), self._repo.objects, dict(wanted), self._progress)
        self.verified.update(absent.difference(missing.oid for missing in result.missing))
        return result

    def _report(self, missing: Sequence[Missing]) -> None:
        """Print why objects are missing, and which stores may not be read from.

        Few objects with one reason are named with their oid. For many the reason is printed once, and `Lacking` names the
        files at the end.
        """
        from git_lds.transfer.download import FEW_MISSING  # late, as the download itself

        by_reason: dict[str, list[Missing]] = {}
        for item in missing:
            by_reason.setdefault(item.why, []).append(item)
        for why, items in list(by_reason.items())[:_NAMED]:
            is_few = len(items) <= FEW_MISSING
            for line in [item.message for item in items] if is_few else [f"{len(items)} files: {why}"]:
                say(line)
        if len(by_reason) > _NAMED:
            say(f"and {len(by_reason) - _NAMED} more reasons")
        for refusal in self._repo.refusals():
            complain(refusal)

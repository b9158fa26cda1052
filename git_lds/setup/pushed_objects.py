"""Checks that the stores have what was pushed: the objects that the remote-tracking branches reach."""

from __future__ import annotations

import contextlib
import shlex
from functools import partial

from git_lds.consent import TRUST
from git_lds.errors import LdsError, NotInStore
from git_lds.files import printable
from git_lds.git import refs
from git_lds.hashing import Oid
from git_lds.repo import Repo
from git_lds.setup.checks import Check, of
from git_lds.snapshots import pointers
from git_lds.snapshots.pointers import PointerFile
from git_lds.store.client.store import Store

_NAMED = 5
"""Files that a message names."""

_REMOTES = 8
"""Remotes that are checked."""


def pushed(repo: Repo) -> list[Check]:
    """Return a check for each remote with remote-tracking branches: whether the stores have the objects of its commits."""
    checks = []
    for remote in repo.settings.remotes()[:_REMOTES]:
        if refs.tips(repo.git, [f"refs/remotes/{remote}/"], count=1):
            checks.append(of(f"pushed to {remote}", partial(_check_remote, repo, remote)))
    return checks


def _check_remote(repo: Repo, remote: str) -> Check:
    name = f"pushed to {remote}"
    reached = pointers.in_commits(repo.git, [f"--remotes={remote}"], here=repo.objects)
    setting = repo.settings.store_for(remote)
    remaining = {item.pointer.oid: item for item in reached}
    if reached and setting is not None:
        _remove_stored(repo.store(setting), remaining)  # raises if it does not answer
    silent = []
    for other in repo.reading_settings(remote) if remaining else ():
        if other.origin == TRUST or not repo.consent.may_ask(other):
            continue  # a clone does not know a store that is only trusted here
        store = repo.store(other)
        try:
            _remove_stored(store, remaining)
        except LdsError:
            silent.append(store.url)
    if not remaining:
        objects = "the object" if len(reached) == 1 else f"all {len(reached)} objects"
        return Check(name, True, f"its stores have {objects} of the commits that are known here")
    missing = list(remaining.values())
    files = ", ".join(printable(item.path) for item in missing[:_NAMED])
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    absent = sum(not repo.objects.has(item.pointer.oid) for item in missing)
    lost = f"; {absent} of them are not on this machine either" if absent else ""
    unheard = f"; no answer from {', '.join(silent)}" if silent else ""
    message = f"no store has {len(missing)} of {len(reached)} objects that were pushed: {files}{more}{lost}{unheard}"
    push = f"git lds push --all {shlex.quote(remote)}"
    return Check(name, False, message, push if absent < len(missing) else f"ask somebody who has them to run: {push}")


def _remove_stored(store: Store, remaining: dict[Oid, PointerFile]) -> None:
    """Remove from `remaining` the objects that the store has; a store that does not exist yet has none."""
    if remaining:
        with contextlib.suppress(NotInStore):
            for oid in store.look_up(list(remaining)):
                del remaining[oid]

"""Looks whether the stores have what was pushed: asks them for the objects that the remote-tracking branches reach."""

from __future__ import annotations

import contextlib
import shlex
from functools import partial

from git_lds.consent import TRUST
from git_lds.errors import LdsError, NotInStore
from git_lds.files import printable
from git_lds.hashing import Oid
from git_lds.repo import Repo
from git_lds.setup.checks import Check, of
from git_lds.snapshots import pointers
from git_lds.snapshots.pointers import Found
from git_lds.store.client.store import Store

_NAMED = 5
"""How many files a message names."""

_REMOTES = 8
"""How many remotes are looked at."""


def pushed(repo: Repo) -> list[Check]:
    """Return, for each remote with branches that are known here, whether the stores have the objects of all its commits."""
    checks = []
    for remote in repo.settings.remotes()[:_REMOTES]:
        if repo.git.text("for-each-ref", "--count=1", f"refs/remotes/{remote}/"):
            checks.append(of(f"pushed to {remote}", partial(_of_remote, repo, remote)))
    return checks


def _of_remote(repo: Repo, remote: str) -> Check:
    name = f"pushed to {remote}"
    found = pointers.in_commits(repo.git, [f"--remotes={remote}"], here=repo.objects)
    setting = repo.settings.store_for(remote)
    left = {item.pointer.oid: item for item in found}
    if found and setting is not None:
        _strike_out(repo.store(setting), left)  # raises where it does not answer
    silent = []
    for other in repo.reading_settings(remote) if left else ():
        if other.origin == TRUST or not repo.consent.may_ask(other):
            continue  # what is trusted here alone is not known to whoever clones
        store = repo.store(other)
        try:
            _strike_out(store, left)
        except LdsError:
            silent.append(store.url)
    if not left:
        objects = "the object" if len(found) == 1 else f"all {len(found)} objects"
        return Check(name, True, f"its stores have {objects} of the commits that are known here")
    missing = list(left.values())
    files = ", ".join(printable(item.path) for item in missing[:_NAMED])
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    absent = sum(not repo.objects.has(item.pointer.oid) for item in missing)
    lost = f"; {absent} of them are not on this machine either" if absent else ""
    unheard = f"; no answer from {', '.join(silent)}" if silent else ""
    message = f"no store has {len(missing)} of {len(found)} objects that were pushed: {files}{more}{lost}{unheard}"
    push = f"git lds push --all {shlex.quote(remote)}"
    return Check(name, False, message, push if absent < len(missing) else f"ask who has them to run: {push}")


def _strike_out(store: Store, left: dict[Oid, Found]) -> None:
    """Take out of `left` what the store has; of a place where no store is yet, nothing."""
    if left:
        with contextlib.suppress(NotInStore):
            for oid in store.look_up(list(left)):
                del left[oid]

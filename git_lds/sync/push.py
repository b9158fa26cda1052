"""Push: what the commits point to is in the store before a ref moves."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

from git_lds import files, scan
from git_lds.errors import LdsError, NotInStore, ObjectsMissing
from git_lds.hashing import Oid
from git_lds.progress import Progress
from git_lds.remote.store import Store
from git_lds.repo import Repo
from git_lds.scan import Found
from git_lds.settings import StoreSetting
from git_lds.transfer import download, upload
from git_lds.typed import NamedTuple

_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

_SHOWN = 10
"""How many paths an error names before it counts the rest."""


class PushResult(NamedTuple):
    """What a push did: the store, how many objects it was asked about, what went there, and the paths of that.

    `size` is the bytes of the objects, `sent` the bytes that went over the wire. In a dry run nothing was sent.
    """

    store: str
    objects: int
    size: int
    sent: int
    paths: tuple[str, ...]


NOTHING = PushResult("", 0, 0, 0, ())


def pre_push(
    repo: Repo, remote: str, url: str, lines: Iterable[str], *, dry_run: bool = False, progress: Progress
) -> PushResult:
    """Upload what a `git push` is about to need; `lines` are what git gives its pre-push hook.

    Each is "<local ref> <local id> <remote ref> <remote id>"; an id of zeros stands for no object: a deletion, or a
    ref that is new. Raises LdsError where the push must not go on.
    """
    new, known = [], []
    for line in lines:
        words = line.split()
        if len(words) != 4 or not all(_ID.fullmatch(words[at]) for at in (1, 3)):
            raise LdsError(f"not a line of git's pre-push hook: {line.strip()!r}", hint="this is for git to call")
        if words[1].strip("0"):
            new.append(words[1])
        if words[3].strip("0"):
            known.append(words[3])
    if not new:
        return NOTHING
    name = remote if remote in repo.settings.remotes() else None
    here = [commit for commit in known if repo.git.ok("cat-file", "-e", commit)]
    there = [*_tracking(repo, name), *here]
    found = scan.in_commits(repo.git, new, there, here=repo.objects)
    if there and (found or not here) and _is_empty(repo, name or url):
        found = scan.in_commits(repo.git, new, here=repo.objects)
    return _send(repo, name or url, found, dry_run=dry_run, progress=progress)


def _tracking(repo: Repo, remote: str | None) -> list[str]:
    """Return the option of rev-list for what is known of a remote: what its branches reach is in its store already."""
    if remote is None or any(other.startswith(f"{remote}/") for other in repo.settings.remotes()):
        return []  # refs/remotes/a/b/c may be of the remote "a/b"
    known = repo.git.text("for-each-ref", "--count=1", "--format=%(objectname)", f"refs/remotes/{remote}/")
    return [f"--remotes={remote}"] if known else []


def _is_empty(repo: Repo, remote: str) -> bool:
    """Tell whether nothing was ever pushed to the store of a remote: it was made anew since, and what is known of the
    remote's branches says nothing about it."""
    setting = repo.settings.store_for(remote)
    if setting is None:
        return False
    try:
        return repo.store(setting).read_once().seq < 0
    except NotInStore:
        return True
    except LdsError:
        return False  # it is said when the store is needed


def push(
    repo: Repo, remote: str | None, refs: Sequence[str], *, everything: bool, dry_run: bool, progress: Progress
) -> PushResult:
    """Upload what the store of a remote lacks of the objects that `refs` (else HEAD; with `everything` all refs) reach.

    Unlike a `git push` it looks at the whole history, and so repairs a store that an earlier push went past.
    """
    repo.settings.check_remote(remote)
    revisions = ["--all"] if everything else [_commit(repo, ref) for ref in refs or ["HEAD"]]
    return _send(
        repo, remote, scan.in_commits(repo.git, revisions, here=repo.objects), dry_run=dry_run, progress=progress
    )


def _commit(repo: Repo, ref: str) -> str:
    commit = repo.git.maybe("rev-parse", "--verify", "--quiet", "--end-of-options", ref + "^{object}")
    if commit is None:
        raise LdsError(f"{ref}: no such revision", hint="git branch --all")
    return commit


def _send(repo: Repo, remote: str | None, found: Sequence[Found], *, dry_run: bool, progress: Progress) -> PushResult:
    if not found:
        return NOTHING
    setting = repo.settings.store_for(remote)
    if setting is None:
        raise LdsError(
            f"{len(found)} files are tracked, and no store is set up for {remote or 'this repository'}",
            hint="git lds init --store URL",
        )
    return send(repo, setting, found, imported_stay=True, dry_run=dry_run, progress=progress)


def send(
    repo: Repo,
    setting: StoreSetting,
    found: Sequence[Found],
    *,
    imported_stay: bool = False,
    dry_run: bool,
    progress: Progress,
) -> PushResult:
    """Upload what a store lacks of the objects in `found`; with `imported_stay` not those in the stores of dependencies.

    What is not on this machine is copied from the stores that this repository reads from. Raises ObjectsMissing, before
    anything is sent, when some are nowhere.
    """
    store = _open_store(repo, setting, create=not dry_run)
    wanted = (
        _wanted(repo, store, found, imported_stay=imported_stay)
        if store
        else {item.pointer.oid: item for item in found}
    )
    absent = [item for oid, item in wanted.items() if not repo.objects.has(oid)]
    if absent:
        _bring(repo, setting, store, absent, dry_run=dry_run, progress=progress)
    size = sum(item.pointer.size for item in wanted.values())
    sent = 0
    if wanted and store is not None and not dry_run:
        paths_of = {oid: (item.path,) for oid, item in wanted.items()}
        sent = upload.upload(store, repo.objects, paths_of, tmp=repo.tmp, progress=progress).bytes
    return PushResult(setting.url, len(found), size, sent, tuple(files.shown(item.path) for item in wanted.values()))


def _bring(
    repo: Repo,
    setting: StoreSetting,
    store: Store | None,
    absent: Sequence[Found],
    *,
    dry_run: bool,
    progress: Progress,
) -> None:
    """Bring objects to this machine from other stores than the one to send them to. Raises ObjectsMissing, before any has
    come, when some are in none of them."""
    having: list[Store] = []
    left = {item.pointer.oid: item for item in absent}
    for other in repo.reading_stores():
        if left and other is not store and (there := _found_in(other, left)):
            having.append(other)
            left = {oid: item for oid, item in left.items() if oid not in there}
    if left:
        raise _absent(list(left.values()), setting.url)
    if dry_run:
        return
    coming = {item.pointer.oid: (item.pointer.size, item.path) for item in absent}
    result = download.download(having, repo.objects, coming, progress)
    if result.missing:
        raise ObjectsMissing(
            f"{len(result.missing)} objects could not be copied to {setting.url}; nothing was pushed"
            + "".join(f"\n  {missing.message}" for missing in result.missing[:_SHOWN]),
            hint=result.hint or "run the same command again",
        )


def _open_store(repo: Repo, setting: StoreSetting, *, create: bool) -> Store | None:
    """Return the store, its log read, made if there is none yet; None where it is not to be made now.

    A folder that only a committed file names is not made: anyone could name any folder there.
    """
    store = repo.store(setting)
    try:
        store.read_once()
    except NotInStore:
        if not setting.trusted and not setting.url.startswith(("http://", "https://")):
            raise LdsError(
                f"{setting.url} (from {setting.origin}) is not a store",
                hint=f"if you mean it: git lds init --store {shlex.quote(setting.url)}",
            ) from None
        if not create:
            return None
        store.create()
        store.refresh()
    return store


def _wanted(repo: Repo, store: Store, found: Sequence[Found], *, imported_stay: bool) -> dict[Oid, Found]:
    """Return what the store lacks and must get."""
    there = store.find([item.pointer.oid for item in found], to_build_on=True)
    lacking = {item.pointer.oid: item for item in found if item.pointer.oid not in there}
    if lacking and imported_stay:
        # what is imported unchanged stays in the store of its dependency
        vendored = _vendored(repo, lacking)
        staying = {oid: item for oid, item in lacking.items() if oid not in vendored}
        for other in repo.dependency_stores() if staying else ():
            if other is not store:
                for oid in _found_in(other, staying):
                    del staying[oid], lacking[oid]
    return lacking


def _vendored(repo: Repo, found: Mapping[Oid, Found]) -> set[Oid]:
    """Return which of the objects are of dependencies that this repository is to have copies of."""
    outputs = repo.vendored_outputs()
    if not outputs:
        return set()
    places = [os.fsencode(output) for output in outputs]
    below = {oid for oid, item in found.items() if any(_is_at(item.path, place) for place in places)}
    # the same contents may be at another path too, by which they were found
    literal = [b":(top,literal)" + place for place in places]
    return (
        below | {item.pointer.oid for item in scan.in_index(repo.git, literal, here=repo.objects)}
        if repo.index.exists()
        else below
    )


def _is_at(path: bytes, place: bytes) -> bool:
    return path == place or path.startswith(place + b"/")


def _found_in(store: Store, wanted: Mapping[Oid, Found]) -> set[Oid]:
    try:
        return set(store.look_up(list(wanted)))
    except LdsError:
        return set()  # then the objects are uploaded, or named as absent


def _absent(absent: Sequence[Found], store: str) -> ObjectsMissing:
    named = [f"{files.shown(item.path)} ({item.pointer.oid.hex()})" for item in absent[:_SHOWN]]
    rest = f"{os.linesep}  and {len(absent) - _SHOWN} more" if len(absent) > _SHOWN else ""
    listed = "".join(f"{os.linesep}  {name}" for name in named)
    return ObjectsMissing(
        f"{len(absent)} objects are neither here nor in {store}; nothing was pushed{listed}{rest}",
        hint="fetch them from where they are (git lds fetch REMOTE), or store them again: git add --renormalize PATH",
    )

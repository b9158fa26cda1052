"""Sees that a push sends nothing to a store that came with somebody else's commit: the user agrees to a new address first."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable

from git_lds.config import settings
from git_lds.config.settings import CONFIG_FILE, StoreSetting
from git_lds.errors import ConsentNeeded, LdsError
from git_lds.git.objects import BlobReader
from git_lds.repo import Repo
from git_lds.store.client.cache_files import read_cache, write_cache
from git_lds.sync import confirmations

_MOST = 200
"""Commits that are looked at for the one that brought an address: of the history, and of the reflog."""


def check(repo: Repo, setting: StoreSetting) -> None:
    """Raise ConsentNeeded where the address of the store was changed by a commit that was not made here.

    What the user typed or trusted, what was pushed to before, and what came with the clone is agreed to.
    """
    if setting.trusted or setting.origin != CONFIG_FILE or repo.consent.trusts(setting.url):
        return
    before = confirmations.addresses(repo) | _noted(repo)
    if setting.url in before:
        return
    with BlobReader(repo.git) as reader:
        commit, previous = _change_to(repo, reader, setting.url)
        own = _made_here(repo)
        theirs = _named_by_others(repo, reader, setting.url, own)
        if theirs is None and (_is_own(reader, setting.url, own) or _is_edited(repo)):
            return
    commit = commit or theirs
    if commit is not None and _came_with_the_clone(repo, commit, is_first=not before):
        return
    by = f" by commit {_one_line(repo.git.text('log', '-1', '--format=%h (%an: %s)', commit))}" if commit else ""
    was = f" from {previous}" if previous and previous != setting.url else ""
    raise ConsentNeeded(
        f"the store of this repository was changed{was} to {setting.url}{by}; nothing was sent", setting.url
    )


def note(repo: Repo) -> None:
    """Remember the store that a repository without a reflog, a bare one, names when it is first fetched for."""
    url = repo.settings.committed.store
    if url is not None and not _noted(repo):
        write_cache(repo.lds_dir / "first-store", os.fsencode(url), repo.tmp)


def _noted(repo: Repo) -> set[str]:
    noted = read_cache(repo.lds_dir / "first-store")
    return set() if noted is None else {os.fsdecode(noted)}


def former(repo: Repo, url: str) -> str | None:
    """Return the store that this repository had before the one at `url`, as the history of `.ldsconfig` says."""
    with BlobReader(repo.git) as reader:
        return _change_to(repo, reader, url)[1]


def _change_to(repo: Repo, reader: BlobReader, url: str) -> tuple[str | None, str | None]:
    """Return the commit of the pushed history, or else of that of HEAD, that last made `url` the store, and the store
    before it."""
    found = None
    for commit in _changes(repo, repo.settings_revision):
        if (store := _store_at(reader, commit)) != url:
            return found, store
        found = commit
    return found, None


def _made_here(repo: Repo) -> list[str]:
    """Return the latest commits that were made in this repository; reflogs know those."""
    made = (repo.git.maybe("log", "-g", f"-{_MOST}", "--format=%H %gs", "--branches", "HEAD", "--") or "").splitlines()
    return [line.partition(" ")[0] for line in made if line.partition(" ")[2].startswith("commit")]


def _named_by_others(repo: Repo, reader: BlobReader, url: str, own: Collection[str]) -> str | None:
    """Return a commit that came from somewhere else and makes `url` the store, or None."""
    fetched = [name for name in ("FETCH_HEAD", "MERGE_HEAD") if repo.git.ok("rev-parse", "--verify", "--quiet", name)]
    others = (each for each in _changes(repo, "--remotes", *fetched) if each not in own)
    return next((each for each in others if _store_at(reader, each) == url), None)


def _changes(repo: Repo, *revisions: str) -> list[str]:
    """Return the latest commits that changed `.ldsconfig`."""
    return (
        repo.git.maybe("log", f"-{_MOST}", "--format=%H", *revisions, "--", f":(top){CONFIG_FILE}") or ""
    ).splitlines()


def _is_own(reader: BlobReader, url: str, own: Iterable[str]) -> bool:
    """Return whether one of the commits that were made here made `url` the store."""
    return any(_store_at(reader, each) == url != _store_at(reader, f"{each}^") for each in own)


def _is_edited(repo: Repo) -> bool:
    """Return whether `.ldsconfig` in the working tree is another one than in HEAD, in git's eyes."""
    return repo.work_tree is not None and bool(repo.git.text("status", "--porcelain", "--", f":(top){CONFIG_FILE}"))


def _came_with_the_clone(repo: Repo, commit: str, *, is_first: bool) -> bool:
    """Return whether the commit was there when this repository began, as far as the reflog of HEAD goes back: to the clone,
    or, for the first push from here, to whatever is left of it."""
    known = (repo.git.maybe("log", "-g", "--format=%H %gs", "HEAD", "--") or "").splitlines()
    if not known:
        return is_first
    start, _, how = known[-1].partition(" ")
    return (is_first or how.startswith("clone:")) and repo.git.ok("merge-base", "--is-ancestor", commit, start)


def _store_at(reader: BlobReader, revision: str) -> str | None:
    """Return the store that `.ldsconfig` names in a commit."""
    data = reader.read(f"{revision}:{CONFIG_FILE}".encode())
    with contextlib.suppress(LdsError):
        return settings.parse_config(data).store if data is not None else None
    return None


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:200]

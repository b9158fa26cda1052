"""Guards a push against a store that came with somebody else's commit: the user must agree to a new URL first."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable

from git_lds.config import settings
from git_lds.config.settings import CONFIG_FILE, StoreSetting
from git_lds.errors import ConsentNeeded, LdsError
from git_lds.git import index, log, refs
from git_lds.git.objects import BlobReader
from git_lds.repo import Repo
from git_lds.store.client.cache_files import read_cache, write_cache
from git_lds.sync import confirmations

_MOST = 200
"""Commits of the history, and of the reflog, that are searched for the one that brought a URL."""


def check(repo: Repo, setting: StoreSetting) -> None:
    """Raise ConsentNeeded if a commit that was not made here changed the URL of the store.

    The user has agreed to a store that he typed or trusted, that was pushed to before, or that came with the clone.
    """
    if setting.trusted or setting.origin != CONFIG_FILE or repo.consent.trusts(setting.url):
        return
    before = confirmations.urls(repo) | _noted(repo)
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
    by = f" by commit {_printable(log.one_line(repo.git, commit))}" if commit else ""
    was = f" from {previous}" if previous and previous != setting.url else ""
    raise ConsentNeeded(
        f"the store of this repository was changed{was} to {setting.url}{by}; nothing was sent", setting.url
    )


def note(repo: Repo) -> None:
    """Remember the store that a bare repository, which has no reflog, names at its first fetch."""
    url = repo.settings.committed.store
    if url is not None and not _noted(repo):
        write_cache(repo.lds_dir / "first-store", os.fsencode(url), repo.tmp)


def _noted(repo: Repo) -> set[str]:
    noted = read_cache(repo.lds_dir / "first-store")
    return set() if noted is None else {os.fsdecode(noted)}


def former(repo: Repo, url: str) -> str | None:
    """Return the store that this repository had before the one at `url`, by the history of `.ldsconfig`, or None."""
    with BlobReader(repo.git) as reader:
        return _change_to(repo, reader, url)[1]


def _change_to(repo: Repo, reader: BlobReader, url: str) -> tuple[str | None, str | None]:
    """Return the commit of the pushed history, or of that of HEAD, that last made `url` the store, and the store before."""
    change = None
    for commit in _changes(repo, repo.settings_revision):
        if (store := _store_at(reader, commit)) != url:
            return change, store
        change = commit
    return change, None


def _made_here(repo: Repo) -> list[str]:
    """Return the latest commits that were made in this repository, by its reflogs."""
    entries = log.reflog(repo.git, ["--branches", "HEAD"], limit=_MOST)
    return [entry.commit for entry in entries if entry.message.startswith("commit")]


def _named_by_others(repo: Repo, reader: BlobReader, url: str, own: Collection[str]) -> str | None:
    """Return a commit of another repository that makes `url` the store, or None."""
    fetched = [name for name in ("FETCH_HEAD", "MERGE_HEAD") if refs.commit(repo.git, name) is not None]
    others = (commit for commit in _changes(repo, "--remotes", *fetched) if commit not in own)
    return next((commit for commit in others if _store_at(reader, commit) == url), None)


def _changes(repo: Repo, *revisions: str) -> list[str]:
    """Return the latest commits that changed `.ldsconfig`."""
    return log.commits_that_changed(repo.git, CONFIG_FILE, revisions, limit=_MOST)


def _is_own(reader: BlobReader, url: str, own: Iterable[str]) -> bool:
    """Return whether one of the user's own commits made `url` the store."""
    return any(_store_at(reader, commit) == url != _store_at(reader, f"{commit}^") for commit in own)


def _is_edited(repo: Repo) -> bool:
    """Return whether `.ldsconfig` has uncommitted changes."""
    return repo.work_tree is not None and index.is_changed(repo.git, CONFIG_FILE)


def _came_with_the_clone(repo: Repo, commit: str, *, is_first: bool) -> bool:
    """Return whether the commit is as old as this repository, as far as the reflog of HEAD goes back: to the clone, or, for
    the first push from here, to the oldest entry that it still has."""
    entries = log.reflog(repo.git, ["HEAD"])
    if not entries:
        return is_first
    start = entries[-1]
    return (is_first or start.message.startswith("clone:")) and refs.is_ancestor(repo.git, commit, start.commit)


def _store_at(reader: BlobReader, revision: str) -> str | None:
    """Return the store that `.ldsconfig` names in a commit."""
    data = reader.read(f"{revision}:{CONFIG_FILE}".encode())
    with contextlib.suppress(LdsError):
        return settings.parse_config(data).store if data is not None else None
    return None


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:200]

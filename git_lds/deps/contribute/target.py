"""Where a contribution goes: upstream itself or a fork, the branch there, and the store that is to have its objects."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from git_lds.config import settings
from git_lds.config.settings import StoreSetting
from git_lds.deps.manifest import manifest, transports
from git_lds.deps.manifest.manifest import Dependency
from git_lds.deps.upstream import mirror
from git_lds.deps.upstream import snapshot as upstream
from git_lds.deps.upstream.latest import Sources
from git_lds.deps.upstream.mirror import Mirror, Refs, mirrors_of
from git_lds.errors import LdsError
from git_lds.git import identity
from git_lds.repo import Repo

_MAX_SLUG = 60


@dataclass(frozen=True, slots=True)
class Target:
    """The repository that the branch goes to: its mirror, its branches, and its store, where one is known."""

    mirror: Mirror
    refs: Refs
    store: StoreSetting | None
    is_fork: bool


@dataclass(frozen=True, slots=True)
class Tip:
    """The commit upstream that a contribution is for, and the branch, or other name, that it is the tip of."""

    name: str
    commit: str


def tip(sources: Sources, at: Dependency, onto: str | None) -> Tip:
    """Return what a contribution is based on: `onto`, else the branch that is followed, else upstream's main branch."""
    source = sources.mirror(at.url)
    if onto is not None:
        manifest.check_rev(onto)
    revision = sources.resolve(at.url, onto or at.rev, None)
    if onto is None and (revision.is_tag or manifest.is_object_id(at.rev)):
        revision = mirror.resolve(source.refs(None), None, at.url)
    source.fetch(revision.commit)
    return Tip(re.sub(r"^refs/(heads|tags)/", "", revision.rev), source.commit_of(revision.commit))


def target(repo: Repo, sources: Sources, at: Dependency, tip: Tip, remote: str | None, store: str | None) -> Target:
    """Return where to push: upstream, or the fork that `remote`, an address or the name of a remote here, means.

    `store` is the user's word for where its objects go; else `remote.<name>.ldsstore`, else what its `.ldsconfig` says.
    """
    source = sources.mirror(at.url)
    url, said = _address(repo, remote) if remote is not None else (at.url, None)
    transport = transports.parse(url)
    if store is not None or said is not None:
        setting = StoreSetting(store or said or "", "--store" if store else f"remote.{remote}.ldsstore", trusted=True)
    else:
        setting = None
    if url == at.url:
        known = sources.refs.get(at.url)
        refs = known if isinstance(known, Refs) else source.refs("")
        return Target(source, refs, setting or _advertised(source, tip.commit, at.path), is_fork=False)
    there = mirror.open_mirror(transport, mirrors_of(repo), repo.hash_size)
    refs = there.refs("")
    own = refs.heads.get(tip.name) or _default(there)
    if own is not None:
        there.fetch(own)  # so that git knows what the fork has, and sends no more than it lacks
    setting = setting or _advertised(there, own, at.path) or _advertised(source, tip.commit, at.path)
    return Target(there, refs, setting, is_fork=True)


def _address(repo: Repo, remote: str) -> tuple[str, str | None]:
    if remote in repo.settings.remotes():
        config = repo.settings.config
        urls = config.get(f"remote.{remote}.pushurl") or config[f"remote.{remote}.url"]
        stores = config.get(f"remote.{remote}.ldsstore")
        url = transports.named_by_user(urls[-1][0], repo.work_tree or repo.common_dir)
        return url, stores[-1][0] if stores else None
    if re.fullmatch(r"[\w.-]+", remote) and not (repo.work_tree and (repo.work_tree / remote).exists()):
        raise LdsError(
            f"{remote}: no such remote", "see which there are: git remote -v; or give the address of the fork"
        )
    return transports.named_by_user(remote, repo.work_tree or repo.common_dir), None


def _default(there: Mirror) -> str | None:
    refs = there.refs(None)
    return refs.heads.get(refs.head) if refs.head else None


def _advertised(there: Mirror, commit: str | None, path: str) -> StoreSetting | None:
    """Return the store that a repository names at a commit: the directory `lds` in it where it names none, and is a path."""
    trusted = transports.parse(there.url).directory is not None
    if commit is None:
        directory = settings.store_directory_of(there.url)
        url = str(directory) if directory else None
    else:
        url = upstream.stores_at(there, commit, path)[0]
    return StoreSetting(url, transports.without_credentials(there.url), trusted=trusted) if url else None


# the branch


def default_branch(repo: Repo, at: Dependency) -> str:
    """Return `lds/<user>/<topic>`: the topic is the dependency's output, so that a second run finds the same branch."""
    name, email = identity.configured_user(repo.git)
    user = next((slug for text in (name, email.split("@")[0]) if (slug := _slug(text))), "contributor")
    return f"lds/{user}/{_slug(at.output) or 'data'}"


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:_MAX_SLUG].strip("-")

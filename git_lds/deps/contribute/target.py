"""The target of a contribution: upstream itself or a fork, its branches, and the store for the objects."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from git_lds.config import settings
from git_lds.config.settings import StoreSetting
from git_lds.deps.manifest import manifest, transports
from git_lds.deps.manifest.manifest import Dependency
from git_lds.deps.upstream import clone
from git_lds.deps.upstream import snapshot as upstream
from git_lds.deps.upstream.clone import Refs, UpstreamClone
from git_lds.deps.upstream.latest import Upstreams
from git_lds.errors import LdsError
from git_lds.git import identity
from git_lds.repo import Repo

_MAX_SLUG = 60


@dataclass(frozen=True, slots=True)
class Target:
    """The repository that the branch is pushed to: our clone of it, its branches, and its store, if one is known."""

    mirror: UpstreamClone
    refs: Refs
    store: StoreSetting | None
    is_fork: bool


@dataclass(frozen=True, slots=True)
class Tip:
    """The commit upstream that a contribution is based on, and the name of its branch or tag."""

    name: str
    commit: str


def tip(upstreams: Upstreams, dependency: Dependency, onto: str | None) -> Tip:
    """Return what a contribution is based on: `onto`, else the branch that is followed, else upstream's default branch.

    Raises LdsError if upstream has no such revision or cannot be read.
    """
    source = upstreams.clone(dependency.url)
    if onto is not None:
        manifest.check_rev(onto)
    revision = upstreams.resolve(dependency.url, onto or dependency.rev, None)
    if onto is None and (revision.is_tag or manifest.is_object_id(dependency.rev)):
        revision = clone.resolve(source.refs(None), None, dependency.url)
    source.fetch(revision.commit)
    return Tip(re.sub(r"^refs/(heads|tags)/", "", revision.rev), source.commit_of(revision.commit))


def target(
    repo: Repo, upstreams: Upstreams, dependency: Dependency, tip: Tip, remote: str | None, store: str | None
) -> Target:
    """Return the repository to push to: upstream, or the fork `remote`, a URL or the name of a remote here.

    Its store is `store` if the user names one, else `remote.<name>.ldsstore`, else the one in its `.ldsconfig`. Raises
    LdsError if the fork cannot be read.
    """
    source = upstreams.clone(dependency.url)
    url, remote_store = _address(repo, remote) if remote is not None else (dependency.url, None)
    transport = transports.parse(url)
    if store is not None or remote_store is not None:
        setting = StoreSetting(
            store or remote_store or "", "--store" if store else f"remote.{remote}.ldsstore", trusted=True
        )
    else:
        setting = None
    if url == dependency.url:
        known = upstreams.refs.get(dependency.url)
        refs = known if isinstance(known, Refs) else source.refs("")
        return Target(source, refs, setting or _advertised(source, tip.commit, dependency.path), is_fork=False)
    fork = clone.open_for(repo, transport)
    refs = fork.refs("")
    own = refs.heads.get(tip.name) or _default(fork)
    if own is not None:
        fork.fetch(own)  # so that git knows what the fork has, and sends only what it lacks
    setting = setting or _advertised(fork, own, dependency.path) or _advertised(source, tip.commit, dependency.path)
    return Target(fork, refs, setting, is_fork=True)


def _address(repo: Repo, remote: str) -> tuple[str, str | None]:
    if remote in repo.settings.remotes():
        config = repo.settings.config
        urls = config.get(f"remote.{remote}.pushurl") or config[f"remote.{remote}.url"]
        stores = config.get(f"remote.{remote}.ldsstore")
        url = transports.named_by_user(urls[-1][0], repo.work_tree or repo.common_dir)
        return url, stores[-1][0] if stores else None
    if re.fullmatch(r"[\w.-]+", remote) and not (repo.work_tree and (repo.work_tree / remote).exists()):
        raise LdsError(f"{remote}: no such remote", "list the remotes: git remote -v; or give the URL of the fork")
    return transports.named_by_user(remote, repo.work_tree or repo.common_dir), None


def _default(clone: UpstreamClone) -> str | None:
    refs = clone.refs(None)
    return refs.heads.get(refs.head) if refs.head else None


def _advertised(clone: UpstreamClone, commit: str | None, path: str) -> StoreSetting | None:
    """Return the store that a repository names at a commit, else the directory `lds` in it if it is a local path."""
    trusted = transports.parse(clone.url).directory is not None
    if commit is None:
        directory = settings.store_directory_of(clone.url)
        url = str(directory) if directory else None
    else:
        url = upstream.stores_at(clone, commit, path)[0]
    return StoreSetting(url, transports.without_credentials(clone.url), trusted=trusted) if url else None


def default_branch(repo: Repo, dependency: Dependency) -> str:
    """Return `lds/<user>/<topic>`. The topic is the path of the dependency, so that the next run finds the same branch."""
    name, email = identity.configured_user(repo.git)
    user = next((slug for text in (name, email.split("@")[0]) if (slug := _slug(text))), "contributor")
    return f"lds/{user}/{_slug(dependency.output) or 'data'}"


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:_MAX_SLUG].strip("-")

"""`git lds env`"""

from __future__ import annotations

import os
from collections.abc import Iterator

import click

from git_lds.cli import options
from git_lds.cli.commands import version
from git_lds.cli.render.output import answer, answer_json, warn
from git_lds.errors import LdsError
from git_lds.git import config
from git_lds.git.repository import DubiousOwnership
from git_lds.git.run import Git, find_program
from git_lds.repo import Repo
from git_lds.setup import hooks, launcher
from git_lds.store.backends.by_url import without_secrets

_PREFIXES = ("GIT_LDS_", "GIT_LFS_PROGRESS")


@click.command("env")
@options.as_json
def command(as_json: bool) -> None:
    """Show versions, directories and settings, and the origin of each."""
    try:
        repo = Repo.here()
    except DubiousOwnership as error:
        repo = None
        warn(error.message, error.hint)
    except LdsError:
        repo = None
    try:
        settings = [*_of_machine(), *(_of_repository(repo) if repo else ()), *_of_config(), *_of_environment()]
    finally:
        if repo is not None:
            repo.close()
    if as_json:
        answer_json([{"name": name, "value": value, "origin": origin} for name, value, origin in settings])
        return
    for name, value, origin in settings:
        answer(f"{name} = {value}" + (f"  ({origin})" if origin else ""))


Setting = tuple[str, str, str]
"""A name, a value, and its origin ("" if it has none)."""


def _of_machine() -> Iterator[Setting]:
    yield "version", version.line(), ""
    yield "program", str(launcher.own_path()), ""
    yield "git", find_program("git"), ""


def _of_repository(repo: Repo) -> Iterator[Setting]:
    settings = repo.settings
    yield "working tree", str(repo.work_tree or "none"), ""
    yield "git directory", str(repo.git_dir), ""
    yield "local store", str(repo.lds_dir), ""
    cache = settings.value("GIT_LDS_CACHE", "lds.cache")
    yield "cache", str(settings.cache_dir), cache[1] if cache else "default"
    store = settings.store_for(None)
    yield "store", without_secrets(store.url) if store else "none", store.origin if store else ""
    for other in settings.read_stores(None):
        if store is None or other.url != store.url:
            yield "read store", without_secrets(other.url), other.origin
    for name, patterns in (("include", settings.include), ("exclude", settings.exclude)):
        if patterns:
            yield name, ", ".join(patterns), ""
    yield "skip smudge", str(settings.skip_smudge).lower(), ""
    if settings.committed.ignored:
        yield "ignored", ", ".join(settings.committed.ignored), ".ldsconfig"
    hook = hooks.look(repo.git)
    yield f"{hooks.NAME} hook", hook.state.value, str(hook.path)


def _of_config() -> Iterator[Setting]:
    """Yield git's configuration of git-lds; of several values of a key the last one counts."""
    pattern = r"^(filter|merge|diff)\.lds\.|^lds\.|\.ldsstore$"
    for origin, key, value in config.matching(Git(), pattern):
        yield key, without_secrets(value), origin


def _of_environment() -> Iterator[Setting]:
    for name in sorted(os.environ):
        if name.startswith(_PREFIXES):
            yield name, without_secrets(os.environ[name]), "environment"

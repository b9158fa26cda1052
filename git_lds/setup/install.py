"""Sets git up to run git-lds, and undoes it: git's configuration for the filter and the drivers, and the hook."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from git_lds.data.kinds import DRIVER, KINDS, OWN_KINDS
from git_lds.errors import LdsError
from git_lds.git import config, repository
from git_lds.git.run import Git, GitFailed, version
from git_lds.setup import hooks, launcher
from git_lds.setup.hooks import Hook

Scope = Literal["global", "local", "system", "worktree"]
"""One of git's configuration files: the user's, the repository's, the machine's, the working tree's."""

_PATTERN = r"^(filter|diff|merge)\.lds\.|^merge\.lds-[a-z]+\.|^lds\.skipsmudge$"

_REST = " #"
"""The end of a command that git appends "$@" to: ours has its arguments already, and the rest becomes a comment."""

# Values of ours, of this version or an older one, that do not name the program; other values are somebody else's.
_NEUTRAL = {
    "filter.lds.required": ("true",),
    "merge.lds.driver": ("false",),
    "lds.skipsmudge": ("true",),
}


@dataclass(frozen=True, slots=True)
class Installed:
    """The scope of the configuration that was set, and the hook if this was in a repository."""

    scope: Scope
    hook: Hook | None


@dataclass(frozen=True, slots=True)
class Uninstalled:
    """The keys of the configuration and the hook that were removed; `kept` are keys whose values are not ours."""

    removed: tuple[str, ...]
    kept: tuple[str, ...]
    hook: Path | None


def install(
    git: Git, program: Path, *, scope: Scope = "global", skip_smudge: bool = False, force: bool = False
) -> Installed:
    """Configure the filter in `scope`, and in a repository install the hook. Return what was set.

    Raises LdsError before anything is changed if a key has somebody else's value, unless `force`; and after the filter
    is configured if another hook is in the way.
    """
    version()
    inside = repository.is_inside(git)
    if scope in ("local", "worktree") and not inside:
        raise _no_repository(git, "install")
    wanted = configuration(program, skip_smudge=skip_smudge)
    present = _present(git, scope)
    if not force:
        _refuse_foreign(present, wanted, scope)
    for key, value in wanted.items():
        if present.get(key) != [value]:
            with _explained(scope):
                config.replace_all(git, key, value, scope=scope)
    if "lds.skipsmudge" in present and not skip_smudge:
        with _explained(scope):
            config.unset_all(git, "lds.skipsmudge", scope=scope)
    return Installed(scope, hooks.install(git, program, force=force) if inside else None)


def configuration(program: Path, *, skip_smudge: bool = False) -> dict[str, str]:
    """Return the keys and values that make git run `program`."""
    # in the one-shot commands git itself expands % before the shell does
    escaped = Path(str(program).replace("%", "%%"))
    return {
        "filter.lds.process": launcher.command(program, "filter-process"),
        "filter.lds.clean": launcher.command(escaped, "clean -- %f"),
        "filter.lds.smudge": launcher.command(escaped, "smudge -- %f"),
        "filter.lds.required": "true",
        # no cachetextconv: git would store in refs/notes, for good, that an object was not here, and the text that one
        # version of us made; and it would look there only when it has started us anyway for the other side
        "diff.lds.textconv": launcher.command(program, 'textconv "$@"') + _REST,
        **_drivers(escaped),
        **({"lds.skipsmudge": "true"} if skip_smudge else {}),
    }


_NAMES = {
    "auto": "git-lds: data behind pointers",
    "deps": "git-lds: dependencies, one by one",
    "attributes": "git-lds: attributes, those of dependencies one by one",
}
"""The names of the drivers that are not for one kind of data."""


def _drivers(escaped: Path) -> dict[str, str]:
    """Return the merge drivers: lds, which detects the kind of a file, one for each kind, and those of our own files.

    When git merges common ancestors first it must use the same driver, and not "binary", which an older git-lds set.
    %S, %X and %Y came with git 2.44; older versions pass them on unchanged.
    """
    drivers = {}
    for kind in ("auto", *KINDS, *OWN_KINDS):
        key = f"merge.{DRIVER}" if kind == "auto" else f"merge.{DRIVER}-{kind}"
        drivers[f"{key}.name"] = _NAMES.get(kind, f"git-lds: data behind pointers, as {kind}")
        drivers[f"{key}.driver"] = launcher.command(escaped, f"merge-driver {kind} %O %A %B %L %P %S %X %Y")
        drivers[f"{key}.recursive"] = key.removeprefix("merge.")
    return drivers


def uninstall(git: Git, *, scope: Scope = "global") -> Uninstalled:
    """Remove from `scope` and from the repository's hook what `install` added, and nothing else; return what that was.

    Raises LdsError outside a repository if the scope needs one, or if a file cannot be changed.
    """
    inside = repository.is_inside(git)
    if scope in ("local", "worktree") and not inside:
        raise _no_repository(git, "uninstall")
    present = _present(git, scope)
    removed = tuple(key for key, values in present.items() if all(_is_ours(key, value) for value in values))
    for key in removed:
        with _explained(scope):
            config.unset_all(git, key, scope=scope)
    kept = tuple(key for key in present if key not in removed)
    return Uninstalled(removed, kept, hooks.uninstall(git) if inside else None)


def _no_repository(git: Git, command: str) -> LdsError:
    """Return the error for a scope that needs a repository, if git finds none or refuses to use it."""
    hint = f"cd into one, or for all your repositories: git lds {command}"
    return repository.refusal(git) or LdsError("not inside a git repository", hint)


def is_installed(git: Git) -> bool:
    """Return whether the filter that git would run here is ours, whichever file configures it."""
    command = config.get(git, "filter.lds.process")
    return command is not None and _is_ours("filter.lds.process", command)


def _present(git: Git, scope: Scope) -> dict[str, list[str]]:
    """Return the values of our keys in the configuration file of `scope`."""
    values: dict[str, list[str]] = {}
    with _explained(scope):
        for key, value in config.matching_in(git, scope, _PATTERN):
            values.setdefault(key, []).append(value)
    return values


def _refuse_foreign(present: Mapping[str, list[str]], wanted: Mapping[str, str], scope: Scope) -> None:
    foreign = ((key, value) for key in wanted for value in present.get(key, []) if not _is_ours(key, value))
    for key, value in foreign:
        raise LdsError(
            f"{key} in the {scope} configuration is set to {value!r}, which git-lds did not write",
            hint=f"see: git config --{scope} --get-all {key}, or replace it: git lds install --{scope} --force",
        )


def _is_ours(key: str, value: str) -> bool:
    if key.startswith(f"merge.{DRIVER}") and (
        key.endswith(".name")
        or (key.endswith(".recursive") and value in ("binary", key.removeprefix("merge.").removesuffix(".recursive")))
    ):
        return True
    return launcher.NAME in value or value in _NEUTRAL.get(key, ())


@contextlib.contextmanager
def _explained(scope: Scope) -> Iterator[None]:
    """Raise what goes wrong with a configuration file as an LdsError that names the scope."""
    try:
        yield
    except GitFailed as error:
        lines = error.stderr.strip().splitlines()[-1:] or [""]
        hint = None
        if "worktreeConfig" in error.stderr:
            hint = "let working trees have configuration of their own: git config extensions.worktreeConfig true"
        elif "ermission denied" in error.stderr:
            hint = "do it as the administrator, or only for yourself: git lds install"
        raise LdsError(f"cannot change git's {scope} configuration: {lines[0]}", hint=hint) from None

"""Sets git up to call us and takes that out again: git's configuration for the filter, and the repository's hook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from git_lds.data.kinds import DRIVER, KINDS, OWN_KINDS
from git_lds.errors import LdsError
from git_lds.git.run import Git, GitFailed, version
from git_lds.repo import dubious_ownership
from git_lds.setup import hooks, launcher
from git_lds.setup.hooks import Hook

Scope = Literal["global", "local", "system", "worktree"]
"""Which of git's configuration files: the user's, the repository's, the machine's, the working tree's."""

_PATTERN = r"^(filter|diff|merge)\.lds\.|^merge\.lds-[a-z]+\.|^lds\.skipsmudge$"

_REST = " #"
"""What ends a command to which git itself adds "$@" at its end, where our last words are no place for it."""

# What tells a value of ours, of this version or another, from one that somebody else put at the same key.
_NEUTRAL = {
    "filter.lds.required": ("true",),
    "merge.lds.driver": ("false",),
    "lds.skipsmudge": ("true",),
}


@dataclass(frozen=True, slots=True)
class Installed:
    """What was set: the scope of the configuration, and the hook when this was in a repository."""

    scope: Scope
    hook: Hook | None


@dataclass(frozen=True, slots=True)
class Uninstalled:
    """What was taken out: keys of the configuration and the hook; `left` are keys with values that are not ours."""

    removed: tuple[str, ...]
    left: tuple[str, ...]
    hook: Path | None


def install(
    git: Git, program: Path, *, scope: Scope = "global", skip_smudge: bool = False, force: bool = False
) -> Installed:
    """Configure the filter in `scope`, and in a repository put the hook in. Return what was set.

    Raises LdsError before anything is changed where a key holds somebody else's value, unless `force`; and after the
    filter is set where another hook is in the way.
    """
    version()
    inside = hooks.in_repository(git)
    if scope in ("local", "worktree") and not inside:
        raise _no_repository(git, "install")
    wanted = configuration(program, skip_smudge=skip_smudge)
    present = _present(git, scope)
    if not force:
        _refuse_foreign(present, wanted, scope)
    for key, value in wanted.items():
        if present.get(key) != [value]:
            _write(git, scope, "--replace-all", key, value)
    if "lds.skipsmudge" in present and not skip_smudge:
        _write(git, scope, "--unset-all", "lds.skipsmudge")
    return Installed(scope, hooks.put_in(git, program, force=force) if inside else None)


def configuration(program: Path, *, skip_smudge: bool = False) -> dict[str, str]:
    """Return the keys and values by which git calls `program`."""
    # in the one-shot commands git itself reads % before the shell does
    escaped = Path(str(program).replace("%", "%%"))
    return {
        "filter.lds.process": launcher.command(program, "filter-process"),
        "filter.lds.clean": launcher.command(escaped, "clean -- %f"),
        "filter.lds.smudge": launcher.command(escaped, "smudge -- %f"),
        "filter.lds.required": "true",
        # Without a cache in git: it would keep in refs/notes, for good, that an object was not here, and what one version
        # of us showed; and git asks it only when it has started us anyway for the other side.
        "diff.lds.textconv": launcher.command(program, 'textconv "$@"') + _REST,
        **_drivers(escaped),
        **({"lds.skipsmudge": "true"} if skip_smudge else {}),
    }


_NAMES = {
    "auto": "git-lds: data behind pointers",
    "deps": "git-lds: dependencies, one by one",
    "attributes": "git-lds: attributes, those of dependencies one by one",
}
"""What git calls those drivers that are not for one kind of data."""


def _drivers(escaped: Path) -> dict[str, str]:
    """Return the merge drivers: lds, which finds out what a file is, one for each kind, and those of our own files.

    Where common ancestors are merged first git is to ask the same driver, and not to take "binary", as an older git-lds said.
    %S, %X and %Y came with git 2.44; older ones leave them as they are.
    """
    found = {}
    for kind in ("auto", *KINDS, *OWN_KINDS):
        key = f"merge.{DRIVER}" if kind == "auto" else f"merge.{DRIVER}-{kind}"
        found[f"{key}.name"] = _NAMES.get(kind, f"git-lds: data behind pointers, as {kind}")
        found[f"{key}.driver"] = launcher.command(escaped, f"merge-driver {kind} %O %A %B %L %P %S %X %Y")
        found[f"{key}.recursive"] = key.removeprefix("merge.")
    return found


def uninstall(git: Git, *, scope: Scope = "global") -> Uninstalled:
    """Take out of `scope` and of the repository's hook what `install` put in, and nothing else; return what that was."""
    inside = hooks.in_repository(git)
    if scope in ("local", "worktree") and not inside:
        raise _no_repository(git, "uninstall")
    present = _present(git, scope)
    removed = tuple(key for key, values in present.items() if all(_is_ours(key, value) for value in values))
    for key in removed:
        _write(git, scope, "--unset-all", key)
    left = tuple(key for key in present if key not in removed)
    return Uninstalled(removed, left, hooks.take_out(git) if inside else None)


def _no_repository(git: Git, command: str) -> LdsError:
    """Return the error for a scope that needs a repository, where git sees none or does not use it."""
    try:
        git.bytes("rev-parse", "--git-dir")
    except GitFailed as error:
        if (refused := dubious_ownership(error.stderr)) is not None:
            return refused
    return LdsError("this directory is in no repository", hint=f"cd into one, or for all of them: git lds {command}")


def is_installed(git: Git) -> bool:
    """Tell whether the filter that git would run here is ours, whichever file says so."""
    command = git.maybe("config", "--get", "filter.lds.process")
    return command is not None and _is_ours("filter.lds.process", command)


def _present(git: Git, scope: Scope) -> dict[str, list[str]]:
    """Return the values of our keys in the configuration file of `scope`."""
    found: dict[str, list[str]] = {}
    try:
        entries = git.names("config", f"--{scope}", "-z", "--get-regexp", _PATTERN)
    except GitFailed as error:
        if error.status == 1:
            return {}
        raise _config_error(error, scope) from None
    for entry in entries:
        key, _, value = entry.decode("utf-8", "surrogateescape").partition("\n")
        found.setdefault(key, []).append(value)
    return found


def _refuse_foreign(present: Mapping[str, list[str]], wanted: Mapping[str, str], scope: Scope) -> None:
    for key in wanted:
        for value in present.get(key, []):
            if not _is_ours(key, value):
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


def _write(git: Git, scope: Scope, *arguments: str) -> None:
    try:
        git.bytes("config", f"--{scope}", *arguments)
    except GitFailed as error:
        raise _config_error(error, scope) from None


def _config_error(error: GitFailed, scope: Scope) -> LdsError:
    said = error.stderr.strip().splitlines()[-1:] or [""]
    hint = None
    if "worktreeConfig" in error.stderr:
        hint = "let working trees have configuration of their own: git config extensions.worktreeConfig true"
    elif "ermission denied" in error.stderr:
        hint = "do it as the administrator, or only for yourself: git lds install"
    return LdsError(f"git's {scope} configuration could not be changed: {said[0]}", hint=hint)

"""The hooks that run git-lds: where git looks for them, who wrote them, and how our lines get in and out of them.

Two of git's hooks are worth it: pre-push uploads before any ref moves, and post-checkout makes git report by its exit status
that a checkout lacks contents. The latter is installed when that first happens, and starts no program. Our part of a hook
stands between two markers; all other bytes of the file belong to somebody else and stay unchanged.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from git_lds.errors import LdsError
from git_lds.files import Scratch, write_all
from git_lds.git import repository
from git_lds.git.run import Git
from git_lds.setup import launcher

NAME = "pre-push"
CHECKOUT = "post-checkout"
LINE = f'git lds hook {NAME} "$@" || exit $?'
"""The line for users to add to a hook that we do not write to."""

_OPEN = b"# >>> git-lds >>>"
_CLOSE = b"# <<< git-lds <<<"
_CALLS = (b"git lds hook " + NAME.encode(), b"git-lds hook " + NAME.encode())
_MANAGERS = ("husky", "lefthook", "overcommit", "pre-commit")
_SHELLS = ("sh", "ash", "bash", "dash", "ksh", "zsh")

# A hook can read its stdin once. In a hook that others wrote, our lines come first (theirs may end with `exit` or
# `exec`) and pass their input on to the rest.
_BEFORE = b'lds_refs=$(cat); { test -z "$lds_refs" || printf \'%s\\n\' "$lds_refs"; } | '
_AFTER = b"""exec </dev/null; test -z "$lds_refs" || exec <<LDS_REFS
$lds_refs
LDS_REFS
"""


class State(Enum):
    """Who wrote the hook that git would run, and whether git would run it."""

    ABSENT = "absent"
    OURS = "ours"
    CALLS_US = "calls git-lds"
    FOREIGN = "foreign"
    NOT_EXECUTABLE = "not executable"


@dataclass(frozen=True, slots=True)
class Hook:
    """The hook that git would run, and the hook manager that wrote it, if known."""

    path: Path
    state: State
    manager: str | None = None


def look(git: Git) -> Hook:
    """Return the pre-push hook as git would find it: core.hooksPath (with `~`), worktrees, bare repositories.

    Raises GitFailed outside a repository.
    """
    # git's own answer: a relative core.hooksPath counts from the top of the working tree
    path = repository.git_path(git, "hooks") / NAME
    text = _read(path)
    if text is None:
        return Hook(path, State.ABSENT)
    if _OPEN in text:
        return Hook(path, State.OURS if _may_run(path) else State.NOT_EXECUTABLE)
    manager = next((name for name in _MANAGERS if name.encode() in text), "husky" if path.parent.name == "_" else None)
    called = _may_run(path) and any(_mentions(other) for other in (path, *_called_by(path, manager)))
    return Hook(path, State.CALLS_US if called else State.FOREIGN, manager)


def _may_run(path: Path) -> bool:
    """Return whether git would run the hook: it skips one that is not executable, which on Windows all are."""
    return os.name != "posix" or os.access(path, os.X_OK)


def _called_by(path: Path, manager: str | None) -> tuple[Path, ...]:
    """Return the hooks that a manager's hook runs: husky that of its directory, pre-commit the previous one."""
    if manager == "husky":
        return (path.parent.parent / NAME,)
    legacy = path.with_name(NAME + ".legacy")
    return (legacy,) if manager == "pre-commit" and _may_run(legacy) else ()


def _mentions(path: Path) -> bool:
    text = _read(path) or b""
    code = [line for line in text.splitlines() if not line.lstrip().startswith(b"#")]
    return _OPEN in text or any(call in line for line in code for call in _CALLS)


def install(git: Git, program: Path, *, force: bool = False) -> Hook:
    """Make pushes from this repository upload first, through `program`; return the resulting hook.

    With `force` our lines are added to another hook if it is a shell script; nothing of it is lost. Raises LdsError,
    with advice, if another hook is in the way or the hook cannot be written.
    """
    hook = look(git)
    if hook.state is State.CALLS_US:
        return hook
    if hook.path.is_symlink() or (hook.state is State.FOREIGN and not (force and _is_shell_script(hook.path))):
        raise LdsError(f"{hook.path} is another hook and was not changed: pushes will not upload", hint=advice(hook))
    text = _read(hook.path) or b""
    try:
        _write(hook.path, _with_ours(_without_ours(text), program))
    except OSError as error:
        raise LdsError(
            f"cannot write the hook {hook.path}: {error.strerror}",
            hint="see where git looks for hooks: git rev-parse --git-path hooks",
        ) from None
    return Hook(hook.path, State.OURS)


def advice(hook: Hook) -> str:
    """Return what the user can do to run git-lds beside the existing hook."""
    if hook.manager == "husky":
        return f"add this line to {hook.path.parent.parent / NAME}: {LINE}"
    if hook.manager == "pre-commit":
        again = f"pre-commit uninstall -t {NAME} && git lds install && pre-commit install -t {NAME}"
        return f"pre-commit runs the hook that existed before it: {again}"
    return f"add this line to it, before anything that reads its input: {LINE}"


def ensure(git: Git) -> None:
    """Install the hook if there is none, quietly: one `git lds install` for all repositories cannot do that in advance.

    Other hooks stay, and so do hook directories inside the working tree, where a new file would show up in `git status`;
    `git lds doctor` reports both.
    """
    try:
        hook = look(git)
        if hook.state is State.ABSENT and not _in_work_tree(git, hook.path):
            _write(hook.path, _with_ours(b"", launcher.own_path()))
    except (LdsError, OSError):
        pass


def ensure_checkout(directory: Path, common_dir: Path) -> bool:
    """Install the post-checkout hook if there is none, quietly; return whether git will run it.

    It goes only into the repository's own directory of hooks, because it looks for the filter's files beside that.
    """
    path = directory / CHECKOUT
    if directory != common_dir / "hooks" or directory.is_symlink():
        return False
    with contextlib.suppress(LdsError, OSError):
        if not os.path.lexists(path):
            _write(path, _stub(CHECKOUT))
        return _OPEN in (_read(path) or b"") and _may_run(path)
    return False


def _in_work_tree(git: Git, path: Path) -> bool:
    if path.is_relative_to(repository.common_dir(git)):
        return False
    top = repository.top(git)
    return top is not None and path.is_relative_to(top)


def uninstall(git: Git) -> Path | None:
    """Remove our lines from the hooks, and a hook that has nothing else.

    Return the path of pre-push if it had any, else that of post-checkout, else None. Raises LdsError if a hook cannot be
    changed.
    """
    path = look(git).path
    changed = [hook for hook in (path, path.with_name(CHECKOUT)) if _remove_from(hook)]
    return changed[0] if changed else None


def _remove_from(path: Path) -> bool:
    text = _read(path)
    if text is None or _OPEN not in text or path.is_symlink():
        return False
    rest = _without_ours(text)
    try:
        if _is_empty(rest):
            path.unlink()
        else:
            _write(path, rest)
    except OSError as error:
        raise LdsError(f"cannot remove the lines of git-lds from {path}: {error.strerror}") from None
    return True


def _stub(name: str = NAME) -> bytes:
    """Return a hook of ours from the package, or from the checkout of git-lds that runs."""
    room = Path(__file__).parent.parent
    packed = room / "_hooks" / name
    return (packed if packed.is_file() else room.parent / "hooks" / name).read_bytes()


def _with_ours(rest: bytes, program: Path) -> bytes:
    """Return a hook of our lines and those of others in `rest`."""
    stub = _stub().replace(b"@launcher@", os.fsencode(launcher.quoted(program)))
    if _is_empty(rest):
        return stub
    line = next(line for line in stub.splitlines(keepends=True) if line.startswith(b"{"))
    first, newline, others = rest.partition(b"\n")
    ours = _OPEN + b"\n" + _BEFORE + line + _AFTER + _CLOSE + b"\n"
    return first + (newline or b"\n") + ours + others


def _without_ours(text: bytes) -> bytes:
    """Return the lines of a hook that are not ours; of a block without its closing marker only the first line is ours."""
    kept, inside = [], False
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        word = line.rstrip()
        if word == _OPEN:
            inside = any(other.rstrip() == _CLOSE for other in lines[number:])
        elif inside:
            inside = word != _CLOSE
        else:
            kept.append(line)
    return b"".join(kept)


def _is_empty(text: bytes) -> bool:
    return text.strip() in (b"", b"#!/bin/sh")


def _is_shell_script(path: Path) -> bool:
    first = (_read(path) or b"").split(b"\n")[0].decode("utf-8", "replace")
    if not first.startswith("#!"):
        return False
    words = [os.path.basename(word) for word in first[2:].split() if not word.startswith("-")]
    return bool(words) and (words[1] if words[0] == "env" and len(words) > 1 else words[0]) in _SHELLS


def _read(path: Path) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return b""  # it exists and we may not read it: somebody else's


def _write(path: Path, text: bytes) -> None:
    """Write an executable hook: beside its place and then renamed, so that git never runs half of it."""
    mode = stat.S_IMODE(path.stat().st_mode) | 0o100 if path.exists() else 0o777
    if _read(path) == text and _may_run(path):
        return
    with Scratch(path.parent) as scratch:
        write_all(scratch.fd, text)
        scratch.move_to(path, mode=mode)

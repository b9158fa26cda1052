"""Where git keeps the parts of a repository, and whether there is one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from git_lds.errors import LdsError
from git_lds.fast_typing import NamedTuple
from git_lds.git.run import Git, GitFailed


class DubiousOwnership(LdsError):
    """The repository belongs to another user, so git does not use it."""


class GitPaths(NamedTuple):
    """The parts of a repository: its own directory, the one that its worktrees share, the index, the hooks."""

    git_dir: Path
    common_dir: Path
    index_file: Path
    hooks: Path


class Location(NamedTuple):
    """A repository: its paths, the top of its working tree (None if bare), and the bytes of an object id (20 or 32)."""

    paths: GitPaths
    work_tree: Path | None
    hash_size: int


_QUESTIONS = (
    ("--show-object-format",),
    ("--absolute-git-dir",),
    ("--path-format=absolute", "--git-common-dir"),
    ("--path-format=absolute", "--git-path", "index"),
    ("--path-format=absolute", "--git-path", "hooks"),
)
_TOP = ("--show-toplevel",)


def locate(git: Git) -> Location:
    """Return the parts of the repository around git's directory.

    Raises LdsError if there is no repository, and DubiousOwnership if git refuses to use it.
    """
    object_format, *answers = _answers(git)
    work_tree = Path(answers[4]) if len(answers) > 4 else None
    return Location(GitPaths(*map(Path, answers[:4])), work_tree, 32 if object_format == "sha256" else 20)


def _answers(git: Git) -> list[str]:
    """Return git's answers to `_QUESTIONS`, and to `_TOP` if there is a working tree."""
    try:
        return _ask(git, *_QUESTIONS, _TOP)
    except GitFailed as error:
        if "not a git repository" in error.stderr:
            raise LdsError("not inside a git repository", hint="cd into one, or start one: git init") from None
        if (refused := dubious_ownership(error.stderr)) is not None:
            raise refused from None
        if "work tree" not in error.stderr:
            raise
    return _ask(git, *_QUESTIONS)


def _ask(git: Git, *questions: Sequence[str]) -> list[str]:
    """Return git's answers: all from one process, unless a path has a newline in it."""
    answers = git.text("rev-parse", *(word for question in questions for word in question)).split("\n")
    return answers if len(answers) == len(questions) else [git.text("rev-parse", *words) for words in questions]


def dubious_ownership(stderr: str) -> DubiousOwnership | None:
    """Return the error for a repository of another user, or None if `stderr`, git's output, is about something else."""
    lines = [line.strip().removeprefix("fatal: ") for line in stderr.splitlines()]
    message = next((line for line in lines if line.startswith("detected dubious ownership")), None)
    if message is None:
        return None
    command = next((line for line in lines if line.startswith("git config ")), None)
    return DubiousOwnership(message, command and f"to add an exception for this directory: {command}")


def is_inside(git: Git) -> bool:
    """Return whether the directory that git runs in belongs to a repository that git uses."""
    return git.ok("rev-parse", "--git-dir")


def refusal(git: Git) -> DubiousOwnership | None:
    """Return why git does not use the repository that its directory belongs to, or None."""
    try:
        git.bytes("rev-parse", "--git-dir")
    except GitFailed as error:
        return dubious_ownership(error.stderr)
    return None


def is_bare(git: Git) -> bool:
    """Return whether the repository is bare. Raises GitFailed outside a repository."""
    return git.text("rev-parse", "--is-bare-repository") == "true"


def git_path(git: Git, name: str) -> Path:
    """Return the absolute path of a file or directory of git's own, such as "hooks" (core.hooksPath counts) or
    "info/attributes". Raises GitFailed outside a repository."""
    return Path(git.text("rev-parse", "--path-format=absolute", "--git-path", name))


def git_dir(git: Git) -> Path:
    """Return the absolute path of the git directory. Raises GitFailed outside a repository."""
    return Path(git.text("rev-parse", "--absolute-git-dir"))


def common_dir(git: Git) -> Path:
    """Return the absolute path of the directory that all worktrees share. Raises GitFailed outside a repository."""
    return Path(git.text("rev-parse", "--path-format=absolute", "--git-common-dir"))


def top(git: Git) -> Path | None:
    """Return the top of the working tree, or None if there is none."""
    path = git.maybe("rev-parse", "--show-toplevel")
    return Path(path) if path is not None else None


def prefix(git: Git) -> bytes:
    """Return git's directory from the top of the working tree, with a slash at its end; b"" at the top. Raises GitFailed."""
    return git.text("rev-parse", "--show-prefix").encode("utf-8", "surrogateescape")

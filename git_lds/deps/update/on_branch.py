"""`git lds update --branch`: a whole update with nobody there to look at it, for a scheduled job: a branch with one commit.

The update is made in the working tree, then the branch, then the commit. What is under way is noted, so that the same command
goes on where a kill ended it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from git_lds import sharing
from git_lds.deps.manifest.branch_names import check_branch
from git_lds.deps.update.update import Updated, update
from git_lds.errors import LdsError
from git_lds.files import printable, replace_with
from git_lds.git.run import GitFailed
from git_lds.progress import SILENT, Progress
from git_lds.repo import Repo


@dataclass(frozen=True, slots=True)
class Run:
    """What an unattended update did. `commit` is None where there is nothing new, or where there are conflicts."""

    done: tuple[Updated, ...]
    branch: str
    commit: str | None = None


def update_on_branch(
    repo: Repo, branch: str, outputs: Sequence[str] = (), *, rev: str | None = None, progress: Progress = SILENT
) -> Run:
    """Update as `update` does, and commit that on a new branch from HEAD, which is checked out then; or on the branch that
    is checked out, where it is this one. With nothing new, or with a conflict, everything stays as it is."""
    repo.require_work_tree()
    check_branch(repo.git, branch)
    git = repo.git
    head = git.maybe("rev-parse", "--verify", "--quiet", "HEAD")
    if head is None:
        raise LdsError("there is no commit here yet", "git commit")
    current = git.maybe("symbolic-ref", "--quiet", "--short", "HEAD")
    note, under_way = _note(repo), f"{branch}\n{head}\n".encode()
    goes_on = note.exists() and note.read_bytes() == under_way
    if not goes_on:
        _check(repo, branch, current)
        sharing.make_directory(note.parent)
        replace_with(note, under_way)
    done = tuple(update(repo, outputs, rev=rev, or_nothing=True, progress=progress))
    commit = None
    if not any(each.conflicts for each in done) and _is_staged(repo):
        if current != branch:
            if git.maybe("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}") != head:
                git.bytes("update-ref", f"refs/heads/{branch}", head, "")
            git.bytes("symbolic-ref", "-m", f"git lds update --branch {branch}", "HEAD", f"refs/heads/{branch}")
        git.bytes("commit", "--quiet", "--no-verify", "-F", "-", stdin=_message(done).encode("utf-8", "replace"))
        commit = git.text("rev-parse", "HEAD")
    note.unlink(missing_ok=True)
    return Run(done, branch, commit)


def _note(repo: Repo) -> Path:
    return repo.git_dir / "lds" / "update-branch"


def _check(repo: Repo, branch: str, current: str | None) -> None:
    git = repo.git
    if current != branch and git.ok("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}"):
        raise LdsError(
            f"there is a branch {branch} already", f"to add to it: git switch {branch}; or name another: --branch NAME"
        )
    if _is_staged(repo):
        staged = git.names("diff", "--cached", "--name-only", "-z")
        raise LdsError(
            f"{len(staged)} staged changes would be part of the commit, such as {printable(staged[0])}",
            "commit them, or put them away: git stash",
        )
    try:
        git.text("var", "GIT_COMMITTER_IDENT")
        git.text("var", "GIT_AUTHOR_IDENT")
    except GitFailed:
        raise LdsError(
            "git does not know who you are, and a commit must say who made it",
            'git config user.name "Your Name", and git config user.email you@example.org',
        ) from None


def _is_staged(repo: Repo) -> bool:
    return not repo.git.ok("diff", "--cached", "--quiet")


def _message(done: Sequence[Updated]) -> str:
    moved = [each for each in done if each.before != each.after]
    if len(moved) == 1:
        subject = f"Update {moved[0].output}"
    else:
        subject = f"Update {len(moved)} dependencies" if moved else "Update dependencies"
    lines = [f"{each.output}: {each.before[:10]} -> {each.after[:10]}" for each in moved]
    return "\n".join([subject, "", *lines]) + "\n"

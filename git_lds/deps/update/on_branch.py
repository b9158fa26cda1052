"""`git lds update --branch`: a whole update without a user, for a scheduled job: a branch with one commit.

The update is made in the working tree, then the branch, then the commit. A note says which branch is being made, so that
the same command continues after a kill.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from git_lds import sharing
from git_lds.deps.manifest.branch_names import check_branch
from git_lds.deps.update.plan import DependencyUpdate
from git_lds.deps.update.update import update_unless_conflicts
from git_lds.errors import LdsError
from git_lds.files import printable, replace_with
from git_lds.git import identity, index, refs, write_commits
from git_lds.progress import SILENT, Progress
from git_lds.repo import Repo


@dataclass(frozen=True, slots=True)
class BranchUpdate:
    """The result of an update on a branch. `commit` is None if nothing was new or there were conflicts."""

    updates: tuple[DependencyUpdate, ...]
    branch: str
    commit: str | None = None


def update_on_branch(
    repo: Repo, branch: str, targets: Sequence[str] = (), *, rev: str | None = None, progress: Progress = SILENT
) -> BranchUpdate:
    """Update as `update` does, and commit the result on a new branch from HEAD, which is then checked out.

    If the branch is the one that is checked out, the commit is added to it. If nothing is new or there are conflicts,
    nothing is changed. Raises UsageError for a name that no branch can have, LdsError if there is no commit, if the branch
    already exists, if changes are staged, or if git does not know the user; and what `update` raises.
    """
    repo.require_work_tree()
    git = repo.git
    check_branch(git, branch)
    head = refs.head(git)
    if head is None:
        raise LdsError("this repository has no commit yet", "git commit")
    current = refs.current_branch(git)
    note, content = _note(repo), f"{branch}\n{head}\n".encode()
    is_continued = note.exists() and note.read_bytes() == content
    if not is_continued:
        _check(repo, branch, current)
        sharing.make_directory(note.parent)
        replace_with(note, content)
    updates = tuple(update_unless_conflicts(repo, targets, rev=rev, progress=progress))
    commit = None
    if not any(update.conflicts for update in updates) and index.has_staged_changes(git):
        if current != branch:
            if refs.branch(git, branch) != head:
                refs.update(git, f"refs/heads/{branch}", head, expected="")
            refs.switch_head(git, branch, reason=f"git lds update --branch {branch}")
        write_commits.commit_index(git, _message(updates))
        commit = refs.head(git)
    note.unlink(missing_ok=True)
    return BranchUpdate(updates, branch, commit)


def _note(repo: Repo) -> Path:
    return repo.git_dir / "lds" / "update-branch"


def _check(repo: Repo, branch: str, current: str | None) -> None:
    """Raise LdsError if the branch cannot be made, or the commit would hold more than the update."""
    if current != branch and refs.branch(repo.git, branch) is not None:
        raise LdsError(
            f"a branch {branch} already exists", f"to add to it: git switch {branch}; or name another: --branch NAME"
        )
    if staged := index.staged_paths(repo.git):
        raise LdsError(
            f"{len(staged)} staged changes would be part of the commit, such as {printable(staged[0])}",
            "commit them, or put them away: git stash",
        )
    if identity.committer(repo.git) is None or identity.author(repo.git) is None:
        raise LdsError(
            "git does not know who you are, and a commit must say who made it",
            'git config user.name "Your Name", and git config user.email you@example.org',
        )


def _message(updates: Sequence[DependencyUpdate]) -> str:
    moved = [update for update in updates if update.before != update.after]
    if len(moved) == 1:
        subject = f"Update {moved[0].output}"
    else:
        subject = f"Update {len(moved)} dependencies" if moved else "Update dependencies"
    lines = [f"{update.output}: {update.before[:10]} -> {update.after[:10]}" for update in moved]
    return "\n".join([subject, "", *lines]) + "\n"

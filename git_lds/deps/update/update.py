"""`git lds update`: upstream's changes since the pinned commit are merged with ours; other files are not touched.

plan_update   latest     what upstream has now, for each dependency
              incoming   merged with the files here: the changes of files, and conflicts
execute       apply      all or nothing: attributes, contents, working tree, index, `.ldsdeps`
"""

from __future__ import annotations

from collections.abc import Sequence

from git_lds.deps.session import Session, exclusive_session
from git_lds.deps.update import apply, resolve
from git_lds.deps.update.plan import DependencyUpdate, UpdatePlan, plan_update
from git_lds.progress import SILENT, Progress
from git_lds.repo import Repo


def update(
    repo: Repo, targets: Sequence[str] = (), *, rev: str | None = None, progress: Progress = SILENT
) -> list[DependencyUpdate]:
    """Update the dependencies at the outputs `targets`, or all; return one result for each.

    `rev` is a new branch, tag or full commit to follow. Where both sides changed a file in ways that cannot be merged, the
    conflict is left in git's index as `git merge` leaves it, and the rest is done; `resolve` continues from there. Raises
    what `plan_update` and `execute` raise, and LdsError while an earlier update has unresolved conflicts. Then nothing was
    changed.
    """
    with exclusive_session(repo) as session:
        resolve.check_none_pending(repo)
        plan = plan_update(session, targets, rev)
        execute(session, plan, progress)
        return plan.executed()


def preview(repo: Repo, targets: Sequence[str] = (), *, rev: str | None = None) -> list[DependencyUpdate]:
    """Return what `update` would do. Raises what it raises."""
    with exclusive_session(repo) as session:
        resolve.check_none_pending(repo)
        return list(plan_update(session, targets, rev).updates)


def update_unless_conflicts(
    repo: Repo, targets: Sequence[str] = (), *, rev: str | None = None, progress: Progress = SILENT
) -> list[DependencyUpdate]:
    """Do what `update` does, or change nothing if there would be conflicts. Raises what `update` raises."""
    with exclusive_session(repo) as session:
        resolve.check_none_pending(repo)
        plan = plan_update(session, targets, rev)
        if plan.has_conflicts:
            return list(plan.updates)
        execute(session, plan, progress)
        return plan.executed()


def execute(session: Session, plan: UpdatePlan, progress: Progress = SILENT) -> None:
    """Make the changes of a plan, all or nothing. Raises LdsError if contents are in no store or git cannot write."""
    if plan.view is not None:
        apply.apply_updates(session, plan.view, plan.incoming, progress, vacated=plan.vacated)

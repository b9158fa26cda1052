"""`git lds contribute`: committed edits of a dependency become commits on a branch of upstream, or of a fork.

    Edits -> Branch -> MergedEdits -> ContributePlan -> upload -> push -> record

The commits are made in a scratch directory. Then their objects go to the store, then the branch is pushed, and last a
record of it is written. A kill before the push leaves nothing that anyone sees; after it the next run finds the branch and has
nothing new to push.
"""

from __future__ import annotations

from dataclasses import dataclass

from git_lds.deps.contribute import send
from git_lds.deps.contribute.edits import Options
from git_lds.deps.contribute.plan import ContributePlan, plan_contribute
from git_lds.deps.session import exclusive_session
from git_lds.progress import SILENT, Progress
from git_lds.repo import Repo

_DEFAULTS = Options()


@dataclass(frozen=True, slots=True)
class Contribution:
    """What was contributed, or would be."""

    plan: ContributePlan
    sent: int = 0
    """Bytes that were sent to the store."""
    written: bool = False
    """Whether the branch was pushed."""

    @property
    def uploaded(self) -> int:
        """The number of objects that the store got, or would get."""
        return len(self.plan.upload.wanted) if self.plan.upload is not None else 0

    @property
    def tip(self) -> str:
        """The commit of the branch."""
        return self.plan.tip


def contribute(repo: Repo, path: str, options: Options = _DEFAULTS, *, progress: Progress = SILENT) -> Contribution:
    """Push the committed edits of the dependency at `path`. If all of them are on the branch, nothing is pushed.

    Raises what `plan_contribute` and `execute` raise; after an error nothing was pushed.
    """
    with exclusive_session(repo) as session:
        return execute(plan_contribute(session, path, options, progress), progress)


def preview(repo: Repo, path: str, options: Options = _DEFAULTS, *, progress: Progress = SILENT) -> Contribution:
    """Return what `contribute` would do. The store is asked which objects it lacks. Raises what `contribute` raises."""
    with exclusive_session(repo) as session:
        return Contribution(plan_contribute(session, path, options, progress))


def execute(plan: ContributePlan, progress: Progress) -> Contribution:
    """Upload the objects of a plan, push its branch and record it; the session that made the plan is still held.

    Raises NotAllowed or ObjectsMissing if the store cannot get the objects, and LdsError if the branch is refused.
    """
    if not plan.commits:
        if plan.branch.extends:
            send.write_record(plan.edits, plan.branch, [])  # after a kill, or in another clone
        return Contribution(plan)
    sent = send.upload(plan.edits, plan.upload, progress)
    send.push(plan.edits, plan.branch.name, plan.tip)
    send.write_record(plan.edits, plan.branch, plan.commits)
    return Contribution(plan, sent, written=True)

"""Sends a contribution: first its objects to the store, then the branch. Last, a record of it is written here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from git_lds.deps.contribute.branch import Branch, contributed_files
from git_lds.deps.contribute.edits import Edits
from git_lds.deps.contribute.replay import NewCommit
from git_lds.deps.contribute.target import Target
from git_lds.deps.history import records
from git_lds.deps.history.records import Record
from git_lds.deps.history.trailers import Contributed
from git_lds.deps.manifest import transports
from git_lds.deps.merge import file_merge
from git_lds.deps.upstream import fetch_contents
from git_lds.errors import LdsError, NotAllowed
from git_lds.git import objects, remotes
from git_lds.git.run import Git, GitFailed
from git_lds.progress import Progress
from git_lds.snapshots.pointers import PointerFile
from git_lds.sync import send
from git_lds.sync.send import SendPlan


def new_objects(edits: Edits, commits: Sequence[NewCommit]) -> list[PointerFile]:
    """Return the tracked files of new commits that upstream lacks, sorted by path.

    Raises LdsError if there are some and no store is known.
    """
    upstream_blobs = {file.blob for file in edits.upstream_files.values()}
    paths = {
        after.blob: path
        for commit in commits
        for path, (_, after) in commit.changes.items()
        if after and after.is_regular and after.blob not in upstream_blobs
    }
    pointers = fetch_contents.pointers(edits.git, paths)
    if pointers and edits.target.store is None:
        where = transports.without_credentials(edits.target.mirror.url)
        raise LdsError(
            f"{len(pointers)} files are tracked, and no store of {where} is known",
            "say where its objects go: --store URL",
        )
    return [
        PointerFile(paths[blob], known) for blob, known in sorted(pointers.items(), key=lambda item: paths[item[0]])
    ]


def plan_upload(edits: Edits, items: Sequence[PointerFile], progress: Progress) -> SendPlan | None:
    """Return what the store lacks of the objects, or None if there are none.

    Raises NotAllowed if the user may not write to the store, and LdsError if some objects are missing.
    """
    setting = edits.target.store
    if not items or setting is None:
        return None
    with _another_store_hinted():
        return send.plan_send(edits.session.repo, setting, items, progress=progress)


def upload(edits: Edits, plan: SendPlan | None, progress: Progress) -> int:
    """Make sure that the store has the objects, before anyone can see the branch; return the bytes that were sent.

    Raises NotAllowed if the user may not write to the store, and what `sync.send.send` raises.
    """
    if plan is None:
        return 0
    with _another_store_hinted():
        return send.send(edits.session.repo, plan, progress)


@contextlib.contextmanager
def _another_store_hinted() -> Iterator[None]:
    try:
        yield
    except NotAllowed as error:
        hint = "if you may not write there, name a store that you may write to: --store URL"
        raise NotAllowed(f"{error.message}; nothing was pushed", hint) from None


def push(edits: Edits, branch: str, commit: str) -> None:
    """Make `branch` of the target be `commit`, which must descend from what it is now. Never forces.

    Raises LdsError if the target refuses it or cannot be reached.
    """
    session, target = edits.session, edits.target
    seen = file_merge.all_objects(session.repo, session.directory, edits.source, target.mirror)
    git = target.mirror.git.with_environment(seen)
    _fetch_missing(git, edits, commit)
    may_be_rewritten = any(key.startswith(("url.", "remote.upstream.pushurl")) for key in session.repo.settings.config)
    url = target.mirror.url
    # the user's own `url.<base>.pushInsteadOf` may lead to another transport than that of fetching
    url = remotes.rewritten_push_url(git, "upstream", url) if may_be_rewritten else url
    allowed = transports.environment(transports.parse(url), session.repo.git.environment)
    try:
        remotes.push(git.with_environment(allowed), "upstream", commit, branch)
    except GitFailed as error:
        raise _refused(target, branch, error) from None


def _fetch_missing(git: Git, edits: Edits, commit: str) -> None:
    """Fetch the blobs that neither the target nor this machine has: a fork may be behind upstream."""
    advertised = {*edits.target.refs.heads.values(), *edits.target.refs.tags.values()}
    missing = objects.missing_below(git, commit, excluded=objects.present(git, advertised))
    if missing:
        edits.source.fetch_blobs(missing)


def _refused(target: Target, branch: str, error: GitFailed) -> LdsError:
    lines = error.stderr.splitlines()
    marks = ("fatal:", "remote: error", "! ", "ERROR:", "error:")
    reason = next(
        (line for line in lines for mark in marks if line.startswith(mark)),
        lines[0] if lines else f"git exited with {error.status}",
    )
    plain = "".join(c if c.isprintable() else " " for c in reason)[:300]
    where = transports.without_credentials(target.mirror.url)
    if "non-fast-forward" in error.stderr or "fetch first" in error.stderr or "rejected" in error.stderr:
        hint = "run the same command again, or name another branch: --branch NAME"
    elif target.is_fork:
        hint = "check that you may write there"
    else:
        hint = "if you may not write there, contribute through a fork: --remote URL"
    return LdsError(f"cannot push {branch} to {where}: {plain}", hint)


def write_record(edits: Edits, branch: Branch, new: Sequence[NewCommit]) -> None:
    """Record what the branch has, with the new commits on it. An unchanged record is not written again."""
    dependency, target = edits.dependency, edits.target.mirror.url
    tip = new[-1].commit if new else branch.base
    commits = (*branch.commits, *(Contributed(commit.commit, commit.sources) for commit in new))
    forms = contributed_files(edits, branch, tip, new) if new else branch.forms
    record = Record(dependency.url, dependency.path, target, branch.name, branch.start, tip, commits, forms)
    if branch.record != record:
        records.write(edits.session.repo, record)

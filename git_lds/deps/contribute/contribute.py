"""`git lds contribute`: the edits that were committed here become commits on a branch of upstream, or of a fork.

First the commits are made, in a directory that the run throws away. Then their objects go to the store, then the branch is
pushed, and last a record of it is kept. A kill before the push leaves nothing that anyone sees; after it the next run finds
the branch, and that there is nothing new.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from git_lds import pointer
from git_lds.deps.contribute import replay
from git_lds.deps.contribute import target as contribute_target
from git_lds.deps.contribute.replay import NewCommit, Plan
from git_lds.deps.contribute.target import Target, Tip
from git_lds.deps.history import commits as history_commits
from git_lds.deps.history import records, trailers
from git_lds.deps.history.commits import Step
from git_lds.deps.history.records import Form, Record
from git_lds.deps.history.trailers import Contributed
from git_lds.deps.manifest import own_files, transports
from git_lds.deps.manifest.branch_names import check_branch
from git_lds.deps.manifest.manifest import WHOLE, Dependency, output_path
from git_lds.deps.merge import base as merge_base
from git_lds.deps.merge import file_merge, inputs, three_way
from git_lds.deps.merge.inputs import MergeInputs, Sent
from git_lds.deps.merge.three_way import Files, Merge
from git_lds.deps.session import Run, alone
from git_lds.deps.update import attribute_check
from git_lds.deps.upstream import fetch_contents, forges, imported_attributes, latest
from git_lds.deps.upstream import snapshot as upstream
from git_lds.deps.upstream.latest import Sources
from git_lds.deps.upstream.mirror import Mirror
from git_lds.deps.upstream.snapshot import Snapshot
from git_lds.errors import LdsError, NotAllowed
from git_lds.files import printable
from git_lds.filters.clean import Cleaner
from git_lds.git.run import Git
from git_lds.git.trees import TreeEntry
from git_lds.progress import SILENT, Progress
from git_lds.repo import Repo
from git_lds.snapshots.pointers import Found
from git_lds.snapshots.sizes import size_of
from git_lds.sync import send
from git_lds.worktree import state
from git_lds.worktree.state import LocalEdits

_GOVERNING = frozenset((b".gitattributes", b".ldsconfig", b".ldsdeps", b".gitmodules"))
"""Files that govern a repository. Those that upstream does not have are about this one."""

_MOST_NAMES = 50
_SUBMODULE = b"160000"


@dataclass(frozen=True, slots=True)
class Contribution:
    """What was contributed of a dependency, or would be. Paths are upstream's, but for `uncommitted` and `left_out`."""

    output: str
    url: str
    target: str
    """The address of the repository that the branch is in."""
    branch: str
    onto: str
    """The branch, or other name, upstream that it is for."""
    base: str
    """The commit that the new commits are on."""
    tip: str
    """The commit of the branch."""
    extends: bool
    """Whether the branch was there, with earlier contributions."""
    commits: tuple[NewCommit, ...] = ()
    added: tuple[bytes, ...] = ()
    changed: tuple[bytes, ...] = ()
    deleted: tuple[bytes, ...] = ()
    size: int = 0
    """Bytes of the files that are added and changed."""
    store: str | None = None
    uploaded: int = 0
    """Objects that the store got, or would get."""
    sent: int = 0
    page: str | None = None
    """Where to open a pull request."""
    uncommitted: tuple[bytes, ...] = ()
    """Files here with edits that are in no commit, and so in no contribution."""
    taken_back: tuple[bytes, ...] = ()
    """Files of which the branch had an edit that was given up here."""
    left_out: tuple[bytes, ...] = ()
    """Files here that are about this repository alone, or that upstream may have others of, outside of what is imported."""
    written: bool = False


def contribute(
    repo: Repo,
    output: str,
    *,
    remote: str | None = None,
    store: str | None = None,
    onto: str | None = None,
    branch: str | None = None,
    squash: bool = False,
    message: str | None = None,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> Contribution:
    """Send the committed edits of the dependency at `output` to a branch of upstream, or of the fork that `remote` means.

    `onto` is the branch upstream that it is for, by default the one that is followed. `squash` makes one commit of all,
    `message` too, with these words. Without edits that are not there already nothing is done. Raises LocalEdits when
    upstream has changed the same files in ways that cannot be merged; nothing is pushed then, or on any other error.
    """
    if branch is not None:
        check_branch(repo.git, branch)
    with alone(repo) as run:
        known = own_files.read_committed(repo)
        if not known:
            raise LdsError("no commit here has a dependency", "import one, and commit it: git lds import URL PATH")
        (at,) = latest.chosen(known, [output])
        sources = Sources(repo)
        tip = contribute_target.tip(sources, at, onto)
        target = contribute_target.target(repo, sources, at, tip, remote, store)
        work = _Work(run, sources.mirror(at.url), at, target, tip, history_commits.steps(repo, at, known))
        chosen = _branch(work, branch)
        prepared = _prepared(work, chosen)
        commits = _commits(work, prepared, squash=squash or message is not None, message=message)
        done = _described(work, chosen, commits, prepared, dry_run=dry_run)
        if not commits:
            if chosen.extends and not dry_run:
                _record(work, chosen, chosen.base, [])  # after a kill, or in another clone
            return done
        uploaded = _upload(work, commits, dry_run=dry_run, progress=progress)
        if not dry_run:
            contribute_target.push(run, work.source, target, commits[-1].commit, chosen.name)
            _record(work, chosen, commits[-1].commit, commits)
        return _with_upload(done, uploaded)


@dataclass(frozen=True, slots=True)
class _Work:
    """One contribution at work."""

    run: Run
    source: Mirror
    at: Dependency
    target: Target
    tip: Tip
    steps: Sequence[Step]

    @property
    def git(self) -> Git:
        """git that sees the objects of this repository, of upstream and of the fork."""
        joined = file_merge.joined(self.run.repo, self.run.directory, self.source, self.target.mirror)
        return joined.with_environment({"GIT_NO_REPLACE_OBJECTS": "1", "GIT_LITERAL_PATHSPECS": "1"})

    def name(self, path: bytes) -> bytes:
        """Return the name below the dependency's path of a path here."""
        return path[len(self.at.output.encode()) :].removeprefix(b"/")

    def upstream_path(self, path: bytes) -> bytes:
        """Return upstream's path of a path here."""
        name = self.name(path)
        if self.at.path == WHOLE:
            return name
        return self.at.path.encode() + (b"/" + name if name else b"")


# the branch


@dataclass(frozen=True, slots=True)
class _Branch:
    """The branch to push. `base` is the commit that it is at, or will start from; `commits` are ours that are on it."""

    name: str
    base: str
    start: str
    """The commit upstream that it started from."""
    there: Mirror
    """The mirror that has `base`."""
    extends: bool = False
    """Whether it is there."""
    commits: tuple[Contributed, ...] = ()
    record: Record | None = None


def _branch(work: _Work, name: str | None) -> _Branch:
    """Return the branch `name`, else the first of the default names that is free, or ours and not merged yet."""
    first = name or contribute_target.default_branch(work.run.repo, work.at)
    for number in range(1, _MOST_NAMES):
        candidate = first if number == 1 else f"{first}-{number}"
        existing = work.target.refs.heads.get(candidate)
        if existing is None:
            return _Branch(candidate, work.tip.commit, work.tip.commit, work.source)
        found = _ours(work, candidate, existing)
        if not _is_merged(work, found):
            return found
        if name is not None:
            raise LdsError(f"{name} is merged already", "name another: --branch NAME")
    raise LdsError(f"{first} and {_MOST_NAMES} names like it are taken", "name another: --branch NAME")


def _ours(work: _Work, name: str, commit: str) -> _Branch:
    """Return a branch that is there. Raises LdsError when what is on it was not contributed from here."""
    target, repo = work.target, work.run.repo
    target.mirror.fetch(commit)
    git = work.git
    start = git.maybe("merge-base", commit, work.tip.commit)
    record = records.read(repo, target.mirror.url, name)
    if record and not git.ok("merge-base", "--is-ancestor", record.tip, commit):
        record = None
    commits: list[Contributed] = []
    if start is not None:
        # of a branch that was merged as it is nothing is left beyond the tip
        since = record.base if record and start == commit else start
        commits = trailers.named(git, commit, since, work.at.path)
    is_ours = record is not None or any(
        repo.git.ok("cat-file", "-e", source + "^{commit}") for each in commits for source in each.sources
    )
    if not is_ours or start is None or name == work.tip.name:
        raise LdsError(
            f"{transports.without_credentials(target.mirror.url)} has a branch {name} already, which is not from here",
            "name another: --branch NAME",
        )
    return _Branch(name, commit, start, target.mirror, True, tuple(commits), record)


def _is_merged(work: _Work, found: _Branch) -> bool:
    """Tell whether upstream has all of a branch, squashed or not."""
    if found.start == found.base:
        return True
    sent = _forms(work, found, found.base)
    now = upstream.files_below(work.source.git, work.tip.commit, work.at.path)
    had = upstream.had_since(work.source, found.start, work.tip.commit, work.at.path)
    return bool(sent) and records.state_of(sent, now, had) == records.MERGED


def _forms(work: _Work, branch: _Branch, tip: str, new: Sequence[NewCommit] = ()) -> dict[bytes, Form]:
    """Return the files of a branch up to `tip` that were contributed, by name, in their forms there and here."""
    git, at = work.git, work.at
    commits = [*branch.commits, *(Contributed(each.commit, each.sources) for each in new)]
    pairs = records.forms(git, at, commits, work.steps)
    before = upstream.files_below(git, branch.start, at.path)
    after = upstream.files_below(git, tip, at.path)
    found = dict(branch.record.files) if branch.record else {}
    for each in commits:
        for name in records.changed(git, each.commit, at.path):
            known = pairs.get(output_path(at.output, name))
            local = known[-1][1] if known else found[name].local if name in found else after.get(name)
            found[name] = Form(before.get(name), after.get(name), local)
    return found


# the merge


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What the merge with upstream came to: the paths here that differ there, and what they become."""

    meeting: MergeInputs
    goal: Mapping[bytes, TreeEntry | None]
    steps: Sequence[Step]
    left_out: tuple[bytes, ...]
    given_up: tuple[bytes, ...]
    """Those that the branch has an edit of, which is none here any more."""


def _prepared(work: _Work, branch: _Branch) -> _Prepared:
    at, repo = work.at, work.run.repo
    ours = state.committed(repo, at.output)
    base = merge_base.files_at(repo, work.source, at, ours)
    if not ours:
        raise LdsError(
            f"no commit here has files at {at.output} now; their deletion is not contributed as a whole",
            "if they were moved: git lds update, and commit",
        )
    snapshot = _snapshot(work, branch)
    done = {source for each in branch.commits for source in each.sources}
    steps = [step for step in work.steps if step.commit not in done]
    sent: Sent
    if branch.extends:
        sent = records.of_history(_pairs(work, branch), work.steps)
        given_up = _given_up(work, branch, base, ours, snapshot, sent)
        touched = {path for step in steps if step.is_edit for path in step.files} | given_up
        counting = touched | {
            path for step in steps for path in step.files if not step.is_edit and ours.get(path) != base.get(path)
        }
        source = work.source if branch.there is not work.source else None
        meeting = MergeInputs(at, base, ours, snapshot, branch.there, source, sent, touched)
    else:
        counting, given_up = None, set()
        sent = records.sent(work.run, work.git, work.source, at, branch.base)
        meeting = MergeInputs(at, base, ours, snapshot, branch.there, sent=sent)
    merge = inputs.merged(work.run, work.git, meeting)
    _check(work, branch, merge)
    goal, left_out = _goal(meeting, merge, counting)
    return _Prepared(meeting, goal, _ending(steps, given_up), left_out, tuple(sorted(given_up & goal.keys())))


def _given_up(work: _Work, branch: _Branch, base: Files, ours: Files, snapshot: Snapshot, sent: Sent) -> set[bytes]:
    """Return the paths of which the branch has an edit that is none here any more, and that upstream never took.

    Such as one that an update met, and that `--theirs` ended. An edit that upstream did take is none here either.
    """
    there = {output_path(work.at.output, name): file for name, file in snapshot.files.items()}
    found = {
        path
        for path, pairs in sent.items()
        if ours.get(path) == base.get(path) and there.get(path) == pairs[-1][0] and ours.get(path) != pairs[-1][1]
    }
    if not found:
        return found
    had = upstream.had_since(work.source, branch.start, work.tip.commit, work.at.path)
    now = upstream.files_below(work.source.git, work.tip.commit, work.at.path)
    taken = {
        path
        for path in found
        if (file := there.get(path)) == now.get(work.name(path)) or (file and (work.name(path), file) in had)
    }
    return found - taken


def _ending(steps: Sequence[Step], given_up: Collection[bytes]) -> list[Step]:
    """Return the steps, of which only the last that touched a path in `given_up` still does: those before made it otherwise."""
    seen: set[bytes] = set()
    found = []
    for step in reversed(steps):
        files = {path: edit for path, edit in step.files.items() if path not in seen}
        if files or not step.files:  # merges touch none
            found.append(replace(step, files=files))
        seen |= step.files.keys() & set(given_up)
    return found[::-1]


def _snapshot(work: _Work, branch: _Branch) -> Snapshot:
    if upstream.tree_of(branch.there, branch.base, work.at.path) is None:
        why = upstream.removal_of(branch.there, work.at.tree, branch.base, work.at.path)
        raise LdsError(
            f"{work.at.path} is no longer in {transports.without_credentials(work.at.url)} at {work.tip.name}"
            + (f": {why}" if why else ""),
            "import the new place, and make the edits there",
        )
    snapshot = upstream.take(branch.there, branch.base, work.at.path, work.at.wants)
    inside = {
        file.blob.decode()
        for name, file in snapshot.files.items()
        if attribute_check.is_rules(name) and file.is_regular
    }
    branch.there.fetch_blobs(inside | {blob.decode() for blob in snapshot.rules.values()})
    return snapshot


def _pairs(work: _Work, branch: _Branch) -> dict[bytes, list[tuple[TreeEntry | None, TreeEntry | None]]]:
    pairs = dict(records.forms(work.git, work.at, branch.commits, work.steps))
    for name, form in branch.record.files.items() if branch.record else ():
        pairs.setdefault(output_path(work.at.output, name), []).insert(0, (form.sent, form.local))
    return pairs


def _check(work: _Work, branch: _Branch, merge: Merge) -> None:
    if not merge.conflicts:
        return
    if branch.extends:
        raise LocalEdits(
            f"these files were edited here on what {branch.name} does not have, so they cannot be added to it:",
            list(merge.conflicts),
            "begin another branch: --branch NAME",
        )
    raise LocalEdits(
        f"upstream changed these files too, since {work.at.output} was last updated; nothing was pushed:",
        list(merge.conflicts),
        f"git lds update {work.at.output}, commit, and contribute again",
    )


def _goal(
    meeting: MergeInputs, merge: Merge, counting: Collection[bytes] | None
) -> tuple[dict[bytes, TreeEntry | None], tuple[bytes, ...]]:
    """Return what is to change upstream, by path here, and the files that are left out. `counting`: only these may change."""
    theirs = meeting.theirs
    goal: dict[bytes, TreeEntry | None] = {}
    left_out = []
    for path in sorted(theirs.keys() | merge.files.keys()):
        file = merge.files.get(path)
        if file == theirs.get(path) or (counting is not None and path not in counting):
            continue
        is_outside = not meeting.at.wants(path[len(meeting.at.output.encode()) :].removeprefix(b"/"))
        if path not in theirs and (is_outside or path.rpartition(b"/")[2].lower() in _GOVERNING):
            left_out.append(path)
            continue
        if file is not None and file.mode == _SUBMODULE:
            raise LdsError(
                f"{printable(path)} is a submodule, which cannot be contributed", "take it out of the dependency"
            )
        goal[path] = file
    return goal, tuple(left_out)


# the commits


def _commits(work: _Work, prepared: _Prepared, *, squash: bool, message: str | None) -> list[NewCommit]:
    if not prepared.goal:
        return []
    meeting, git = prepared.meeting, work.git
    base, theirs = meeting.base, meeting.theirs
    paths = {path for step in prepared.steps for path in step.files} | prepared.goal.keys()
    forms = _Forms(work, prepared, sorted(paths))
    plan = Plan(
        meeting.snapshot.commit,
        work.at.path,
        theirs,
        prepared.goal,
        prepared.steps,
        three_way.exact_renames(base, theirs),
        work.upstream_path,
        forms.of,
    )
    merge_contents = inputs.contents_of(work.run, git, meeting)
    return replay.replay(work.run.repo, git, plan, merge_contents, squash=squash, message=message)


class _Forms:
    """Gives files the form in which upstream keeps them: a pointer where it tracks them, else plain."""

    def __init__(self, work: _Work, prepared: _Prepared, paths: Sequence[bytes]) -> None:
        self._work = work
        self._snapshot = prepared.meeting.snapshot
        names = [work.name(path) for path in paths]
        answers = attribute_check.upstream_says(work.run, prepared.meeting.there, self._snapshot, names)
        self._tracked = {
            path for path, name in zip(paths, names, strict=True) if imported_attributes.is_tracked(answers[name])
        }
        self._made: dict[tuple[bytes, bool], bytes] = {}

    def of(self, path: bytes, file: TreeEntry) -> TreeEntry:
        known = self._snapshot.files.get(self._work.name(path))
        if not file.is_regular or file.mode == _SUBMODULE or (known and known.blob == file.blob):
            return file
        key = file.blob, path in self._tracked
        if key not in self._made:
            self._made[key] = self._form(path, file.blob, tracked=key[1])
        return TreeEntry(file.mode, self._made[key])

    def _form(self, path: bytes, blob: bytes, *, tracked: bool) -> bytes:
        git, repo = self._work.git, self._work.run.repo
        found = fetch_contents.pointers(git, [blob]).get(blob)
        if tracked and found is None and int(git.text("cat-file", "-s", blob.decode())):
            return self._cleaned(path, blob)
        if not tracked and found is not None:
            fetch_contents.bring(repo, repo.reading_stores(), {found.oid: (found.size, path)}, SILENT)
            return self._plain(found)
        return blob

    def _cleaned(self, path: bytes, blob: bytes) -> bytes:
        git, cleaner = self._work.git, Cleaner(self._work.run.repo)
        try:
            with git.start("cat-file", "blob", blob.decode()) as reading:
                assert reading.stdout is not None
                made = cleaner.clean(path, iter(lambda: reading.stdout.read(1 << 16), b""))  # type: ignore[union-attr]
        except OSError as error:
            raise LdsError(
                f"{printable(path)} could not be kept: {error.strerror}", "see whether the disk is full: git lds doctor"
            ) from None
        finally:
            cleaner.close()
        if reading.returncode:
            raise LdsError(f"{printable(path)} cannot be read", "git fsck")
        return git.text("hash-object", "-w", "--no-filters", "--stdin", stdin=made).encode()

    def _plain(self, found: pointer.Pointer) -> bytes:
        git, objects = self._work.git, self._work.run.repo.objects
        stream = objects.open(found.oid)
        assert stream is not None
        with stream, git.start("hash-object", "-w", "--no-filters", "--stdin") as hashing:
            assert hashing.stdin is not None and hashing.stdout is not None
            shutil.copyfileobj(stream, hashing.stdin, 1 << 20)
            hashing.stdin.close()
            return hashing.stdout.read().strip()


# sending


@dataclass(frozen=True, slots=True)
class _Uploaded:
    """How many objects a store lacked, and the bytes that were sent for them."""

    objects: int
    sent: int


def _upload(work: _Work, commits: Sequence[NewCommit], *, dry_run: bool, progress: Progress) -> _Uploaded:
    """Make sure that the store has the objects of the new commits, before anyone can see these."""
    there = {file.blob for file in upstream.files_below(work.git, work.tip.commit, work.at.path).values()}
    new = {
        after.blob: name
        for each in commits
        for name, (_, after) in each.changes.items()
        if after and after.is_regular and after.blob not in there
    }
    known = fetch_contents.pointers(work.git, new)
    if not known:
        return _Uploaded(0, 0)
    setting = work.target.store
    if setting is None:
        raise LdsError(
            f"{len(known)} files are tracked, and no store of {transports.without_credentials(work.target.mirror.url)} is known",
            "say where its objects go: --store URL",
        )
    found = [Found(new[blob], at) for blob, at in sorted(known.items(), key=lambda each: new[each[0]])]
    try:
        plan = send.plan_send(work.run.repo, setting, found, progress=progress)
        return _Uploaded(len(plan.wanted), 0 if dry_run else send.send(work.run.repo, plan, progress))
    except NotAllowed as error:
        hint = "if you may not write there, name a store that you may write to: --store URL"
        raise NotAllowed(f"{error.message}; nothing was pushed", hint) from None


def _record(work: _Work, branch: _Branch, tip: str, new: Sequence[NewCommit]) -> None:
    commits = (*branch.commits, *(Contributed(each.commit, each.sources) for each in new))
    forms = _forms(work, branch, tip, new)
    target = work.target.mirror.url
    record = Record(work.at.url, work.at.path, target, branch.name, branch.start, tip, commits, forms)
    if branch.record != record:
        records.write(work.run.repo, record)


def _described(
    work: _Work, branch: _Branch, commits: Sequence[NewCommit], prepared: _Prepared, *, dry_run: bool
) -> Contribution:
    at, target = work.at, work.target
    before: Files = prepared.meeting.theirs
    net: dict[bytes, TreeEntry | None] = {}
    for each in commits:
        net |= {name: after for name, (_, after) in each.changes.items()}
    had = {work.upstream_path(path) for path in before}
    coming = {name: file for name, file in net.items() if file is not None}
    url = target.mirror.url
    return Contribution(
        at.output,
        at.url,
        url,
        branch.name,
        work.tip.name,
        branch.base,
        commits[-1].commit if commits else branch.base,
        extends=branch.extends,
        commits=tuple(commits),
        added=tuple(sorted(name for name in coming if name not in had)),
        changed=tuple(sorted(name for name in coming if name in had)),
        deleted=tuple(sorted(name for name, file in net.items() if file is None)),
        size=size_of(work.git, coming.values()),
        store=target.store.url if target.store else None,
        page=forges.compare_page(at.url, url, work.tip.name, branch.name) if commits or branch.extends else None,
        uncommitted=_uncommitted(work.run.repo, at.output),
        taken_back=tuple(work.upstream_path(path) for path in prepared.given_up),
        left_out=prepared.left_out,
        written=bool(commits) and not dry_run,
    )


def _with_upload(done: Contribution, uploaded: _Uploaded) -> Contribution:
    return replace(done, uploaded=uploaded.objects, sent=uploaded.sent)


def _uncommitted(repo: Repo, output: str) -> tuple[bytes, ...]:
    git = repo.git.with_environment({"GIT_LITERAL_PATHSPECS": "1"})
    listed = git.names("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--", output)
    return tuple(entry[3:] for entry in listed)

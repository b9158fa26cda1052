"""Push: a store has everything that the pushed commits reach before a ref moves.

What a store has is not inferred from what git knows of the remote's branches: the store may be another one than then, or an
older copy, or a push went past the hook. Commits that were confirmed complete there are not looked at again as long as that
holds (`confirmations`); everything else that the push reaches is looked up in the store's indexes.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Sequence

from git_lds.config.settings import CONFIG_FILE, DEPS_FILE, StoreSetting
from git_lds.errors import ConsentNeeded, LdsError, NotInStore, StoreUnreachable, counted
from git_lds.fast_typing import NamedTuple
from git_lds.git import objects, refs
from git_lds.hashing import Oid
from git_lds.progress import Progress
from git_lds.repo import Repo
from git_lds.snapshots import pointers
from git_lds.snapshots.pointers import PointerFile
from git_lds.sync import confirmations, destination
from git_lds.sync.send import SendPlan, Verification, plan_send, send

_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class PushPlan(NamedTuple):
    """What a push will upload: `send` is None if there is nothing to look up, and without effect if the store has all.

    `confirms` are the commits to remember as complete in the store afterwards. If the store cannot be reached during the
    upload, the push succeeds all the same if `new` reach nothing beyond the commits in `last_confirmed` (None: it fails).
    """

    send: SendPlan | None = None
    setting: StoreSetting | None = None
    warnings: tuple[str, ...] = ()
    confirms: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    last_confirmed: tuple[str, ...] | None = None

    @property
    def store(self) -> str:
        """The URL of the store; "" if there is nothing to look up."""
        return self.send.setting.url if self.send else ""

    @property
    def objects(self) -> int:
        """The number of objects that were looked up."""
        return self.send.objects if self.send else 0

    @property
    def size(self) -> int:
        """The bytes of the objects to upload."""
        return self.send.size if self.send else 0

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of the objects to upload, for people."""
        return self.send.paths if self.send else ()

    @property
    def is_incomplete(self) -> bool:
        """Whether objects are missing everywhere, or could not be checked."""
        return self.send is not None and bool(self.send.lost or self.send.unchecked)


class PushResult(NamedTuple):
    """What a push did: the number and bytes of the objects uploaded, the bytes sent for them, and warnings for people."""

    objects: int = 0
    size: int = 0
    sent: int = 0
    warnings: tuple[str, ...] = ()


def plan_pre_push(repo: Repo, remote: str, url: str, lines: Iterable[str], *, progress: Progress) -> PushPlan:
    """Return what a `git push` needs the store to have; `lines` are the input of git's pre-push hook.

    Each is "<local ref> <local id> <remote ref> <remote id>"; an id of zeros means no object: the ref is deleted, or new.
    Raises LdsError if the push must not go on, as `plan_send` does.
    """
    updates = [_ref_update(line) for line in lines]
    new = [update.local_id for update in updates if update.local_id.strip("0")]
    if not new:
        return PushPlan()
    known = [update.remote_id for update in updates if update.remote_id.strip("0")]
    name = remote if remote in repo.settings.remotes() else None
    if (commit := _tip(repo, updates)) is not None:
        repo.read_settings_at(commit)  # clones will have these, whatever is checked out here
    before = [*_tracking_option(repo, name), *objects.present(repo.git, known)]
    setting = repo.settings.store_for(name or url, push_url=url)
    return _Planner(repo, setting, name or url, new, before).plan(progress)


class _RefUpdate(NamedTuple):
    local_ref: str
    local_id: str
    remote_ref: str
    remote_id: str


def _ref_update(line: str) -> _RefUpdate:
    words = line.split()
    if len(words) != 4 or not all(_ID.fullmatch(word) for word in (words[1], words[3])):
        raise LdsError(f"not a line of git's pre-push hook: {line.strip()!r}", hint="only git runs this command")
    return _RefUpdate(*words)


def _tip(repo: Repo, updates: Sequence[_RefUpdate]) -> str | None:
    """Return the commit whose settings count for a push: that of a branch, if all pushed branches have the same
    `.ldsconfig` and `.ldsdeps`; else None."""
    tips = [u.local_id for u in updates if u.local_ref.startswith("refs/heads/") and u.local_id.strip("0")]
    settings = {tuple(refs.blob_at(repo.git, tip, name) for name in (CONFIG_FILE, DEPS_FILE)) for tip in tips}
    return tips[0] if len(settings) == 1 else None


def plan_push(
    repo: Repo,
    remote: str | None,
    revisions: Sequence[str],
    *,
    everything: bool,
    repair: bool = False,
    progress: Progress,
) -> PushPlan:
    """Return what the store of a remote lacks of the objects that `revisions` (by default HEAD) reach.

    With `everything` all refs count. Unlike for a `git push` the whole history is looked up, whatever was confirmed before.
    With `everything` the packs must exist that have the objects, and with `repair` all of them are read; damaged ones are
    replaced. `repair` without `revisions` means all refs. Raises LdsError, as `plan_send` does.
    """
    repo.settings.check_remote(remote)
    everything = everything or (repair and not revisions)
    new = _all_tips(repo) if everything else [_object_id(repo, revision) for revision in revisions or ["HEAD"]]
    name = remote or repo.settings.default_remote()
    before = _tracking_option(repo, name if name in repo.settings.remotes() else None)
    setting = repo.settings.store_for(remote, push_url=repo.settings.push_url(remote))
    verification = Verification.CONTENTS if repair else Verification.PACKS if everything else Verification.ROWS
    return _Planner(repo, setting, remote, new, before, afresh=True, verification=verification).plan(progress)


def execute(repo: Repo, plan: PushPlan, progress: Progress) -> PushResult:
    """Upload what a plan says, and remember which commits are complete in the store. Raises LdsError, as `send` does."""
    sent = 0
    try:
        if plan.send is not None:
            sent = send(repo, plan.send, progress)
    except StoreUnreachable as error:
        if plan.last_confirmed is None or _ReachCache(repo, plan.new).beyond(plan.last_confirmed).found:
            raise
        return PushResult(warnings=(_had_everything(error),))
    if plan.confirms and plan.setting is not None:
        _confirm(repo, plan.setting, plan.confirms, plan.send.lost if plan.send else ())
    return PushResult(len(plan.paths), plan.size, sent)


def _had_everything(error: StoreUnreachable) -> str:
    return f"{error.message}; it had everything that this push needs when it was last reached"


def _confirm(repo: Repo, setting: StoreSetting, commits: Sequence[str], lost: Sequence[PointerFile]) -> None:
    """Remember that the store has all that `commits` reach, unless the user has not agreed to the store."""
    with contextlib.suppress(ConsentNeeded):
        destination.check(repo, setting)
        confirmations.write(repo, setting.url, repo.store(setting), commits, lost)


def _object_id(repo: Repo, revision: str) -> str:
    oid = refs.object_id(repo.git, revision)
    if oid is None:
        raise LdsError(f"{revision}: no such revision", hint="git branch --all")
    return oid


def _all_tips(repo: Repo) -> list[str]:
    head = refs.head(repo.git)
    return list(dict.fromkeys([*([head] if head else []), *refs.tips(repo.git)]))


def _tracking_option(repo: Repo, remote: str | None) -> list[str]:
    """Return the option of rev-list for the remote-tracking branches of a remote, if it has any: what they reach was pushed
    before."""
    if remote is None or any(other.startswith(f"{remote}/") for other in repo.settings.remotes()):
        return []  # refs/remotes/a/b/c may belong to the remote "a/b"
    return [f"--remotes={remote}"] if refs.tips(repo.git, [f"refs/remotes/{remote}/"], count=1) else []


class _ReachCache:
    """The pointers that `new` objects reach, each answer computed once."""

    def __init__(self, repo: Repo, new: Sequence[str]) -> None:
        self._objects = repo.objects
        self._new = new
        self._answers: dict[tuple[str, ...], pointers.Reach] = {}
        # git pushes the objects themselves, not their replacements by `git replace`
        self._git = repo.git.with_environment({"GIT_NO_REPLACE_OBJECTS": "1"})

    def beyond(self, known: Sequence[str] = ()) -> pointers.Reach:
        """Return what is reached beyond `known`: options of rev-list, and commits, which need not exist any more."""
        key = tuple(known)
        if key not in self._answers:
            options = [word for word in known if word.startswith("--")]
            commits = [word for word in known if not word.startswith("--")]
            existing = objects.present(self._git, commits)
            exclude = [*options, *(commit for commit in dict.fromkeys(commits) if commit in existing)]
            self._answers[key] = pointers.reach(self._git, self._new, exclude, here=self._objects)
        return self._answers[key]


class _Planner:
    """Plans one push of the objects `new` to the store of a remote, whose branches are known to reach `before`.

    With `afresh` earlier confirmations do not count.
    """

    def __init__(
        self,
        repo: Repo,
        setting: StoreSetting | None,
        remote: str | None,
        new: Sequence[str],
        before: Sequence[str],
        *,
        afresh: bool = False,
        verification: Verification = Verification.ROWS,
    ) -> None:
        self._repo = repo
        self._setting = setting
        self._remote = remote
        self._new = new
        self._before = before
        self._afresh = afresh
        self._verification = verification
        self._reach = _ReachCache(repo, new)

    def plan(self, progress: Progress) -> PushPlan:
        """Return the plan. Raises LdsError if files are tracked and there is no store, and as `plan_send` does."""
        setting = self._setting
        if setting is None:
            self._check_nothing_is_tracked()
            return PushPlan()
        last = confirmations.last_at(self._repo, setting.url)
        if last is None and not self._reach.beyond().found:
            return PushPlan()  # a repository that tracks nothing needs no store
        last_confirmed = last.commits if last is not None and not self._afresh else None
        try:
            return self._plan_for(setting, progress)._replace(last_confirmed=last_confirmed)
        except StoreUnreachable as error:
            if last_confirmed is None or self._reach.beyond(last_confirmed).found:
                raise
            return PushPlan(warnings=(_had_everything(error),))

    def _check_nothing_is_tracked(self) -> None:
        if items := self._reach.beyond(() if self._afresh else self._before).found:
            tracked = counted(len(items), "file is", "files are")
            raise LdsError(
                f"{tracked} tracked, and no store is configured for {self._remote or 'this repository'}",
                hint="git lds init --store URL",
            )

    def _plan_for(self, setting: StoreSetting, progress: Progress) -> PushPlan:
        record = None if self._afresh else self._confirmed_in(setting)
        was_empty = self._repo.store(setting).state.seq < 0
        commits = record.commits if record else ()
        reach = self._reach.beyond(commits)
        items = [*reach.found, *(record.lost if record else ())]
        plan = self._plan_send(setting, items, progress) if items else None
        warnings = [*self._repo.notices(), *(plan.warnings if plan else ())]
        is_whole = reach.whole and not (self._repo.common_dir / "shallow").exists()
        if not is_whole and was_empty:
            warnings.append(
                f"{setting.url} had nothing before this push, and this clone does not have the whole history: the objects of "
                "older commits were not looked up; from a full clone: git lds push --all"
            )
        is_checked = is_whole and not (plan and plan.unchecked)
        confirms = (*self._new, *commits) if is_checked else ()
        return PushPlan(plan, setting, tuple(warnings), confirms, tuple(self._new))

    def _plan_send(self, setting: StoreSetting, items: Sequence[PointerFile], progress: Progress) -> SendPlan:
        return plan_send(
            self._repo,
            setting,
            items,
            imported_stay=True,
            is_new=self._is_new,
            verification=self._verification,
            progress=progress,
        )

    def _confirmed_in(self, setting: StoreSetting) -> confirmations.Confirmed | None:
        """Return what was confirmed in the store, if it still holds."""
        store = self._repo.store(setting)
        try:
            store.ensure_loaded()
        except NotInStore:
            return None
        record = confirmations.read(self._repo, store)
        return record if record is not None and record.holds_in(self._repo, store) else None

    def _is_new(self, oid: Oid) -> bool:
        """Return whether the push brings the object, and it was not pushed before."""
        return oid in {item.pointer.oid for item in self._reach.beyond(self._before).found}

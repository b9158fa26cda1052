"""Push: a store has everything that the pushed commits reach before a ref moves.

What a store has is not inferred from what git knows of the remote's branches: the store may be another one than then, or an older
copy, or a push went past the hook. What was confirmed complete there, and still holds, is not looked at again (`confirmed`); all
else that the commits reach is looked up in the store's indexes.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Sequence

from git_lds.config.settings import CONFIG_FILE, DEPS_FILE, StoreSetting
from git_lds.errors import ConsentNeeded, LdsError, NotInStore, StoreUnreachable, counted
from git_lds.hashing import Oid
from git_lds.progress import Progress
from git_lds.repo import Repo
from git_lds.snapshots import pointers
from git_lds.snapshots.pointers import Found
from git_lds.sync import confirmations, destination
from git_lds.sync.send import NOTHING, PushResult, Trust, send

_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def pre_push(
    repo: Repo, remote: str, url: str, lines: Iterable[str], *, dry_run: bool = False, progress: Progress
) -> PushResult:
    """Upload what a `git push` is about to need; `lines` are what git gives its pre-push hook.

    Each is "<local ref> <local id> <remote ref> <remote id>"; an id of zeros stands for no object: a deletion, or a
    ref that is new. Raises LdsError where the push must not go on.
    """
    new, known = [], []
    lines = list(lines)
    for line in lines:
        words = line.split()
        if len(words) != 4 or not all(_ID.fullmatch(words[at]) for at in (1, 3)):
            raise LdsError(f"not a line of git's pre-push hook: {line.strip()!r}", hint="this is for git to call")
        if words[1].strip("0"):
            new.append(words[1])
        if words[3].strip("0"):
            known.append(words[3])
    if not new:
        return NOTHING
    name = remote if remote in repo.settings.remotes() else None
    if (commit := _tip(repo, lines)) is not None:
        repo.read_settings_at(commit)  # whoever clones has these, whatever is checked out here
    before = [*_tracking(repo, name), *confirmations.existing(repo.git, known)]
    setting = repo.settings.store_for(name or url, push_url=url)
    return _Push(repo, setting, name or url, new, before, dry_run=dry_run, progress=progress).run()


def _tip(repo: Repo, lines: Sequence[str]) -> str | None:
    """Return the commit whose settings count for a push: that of a branch, where all branches that are pushed have the same
    `.ldsconfig` and `.ldsdeps`; else None."""
    pushed = [line.split() for line in lines]
    tips = [words[1] for words in pushed if words[2].startswith("refs/heads/") and words[1].strip("0")]
    files = {repo.git.maybe("ls-tree", tip, "--", CONFIG_FILE, DEPS_FILE) for tip in tips}
    return tips[0] if len(files) == 1 else None


def push(
    repo: Repo,
    remote: str | None,
    refs: Sequence[str],
    *,
    everything: bool,
    repair: bool = False,
    dry_run: bool,
    progress: Progress,
) -> PushResult:
    """Upload what the store of a remote lacks of the objects that `refs` (else HEAD; with `everything` all refs) reach.

    Unlike a `git push` it looks at the whole history, whatever was confirmed before. With `everything` it looks whether the
    packs are there that the objects lie in, and with `repair` it reads all of them; what is damaged there is sent again.
    `repair` without `refs` means all refs.
    """
    repo.settings.check_remote(remote)
    everything = everything or (repair and not refs)
    revisions = _all_refs(repo) if everything else [_commit(repo, ref) for ref in refs or ["HEAD"]]
    named = remote or repo.settings.default_remote()
    before = _tracking(repo, named if named in repo.settings.remotes() else None)
    setting = repo.settings.store_for(remote, push_url=repo.settings.push_url(remote))
    trust = Trust.NOTHING if repair else Trust.PACKS if everything else Trust.ROWS
    return _Push(
        repo, setting, remote, revisions, before, dry_run=dry_run, progress=progress, afresh=True, trust=trust
    ).run()


def _commit(repo: Repo, ref: str) -> str:
    commit = repo.git.maybe("rev-parse", "--verify", "--quiet", "--end-of-options", ref + "^{object}")
    if commit is None:
        raise LdsError(f"{ref}: no such revision", hint="git branch --all")
    return commit


def _all_refs(repo: Repo) -> list[str]:
    head = repo.git.maybe("rev-parse", "--verify", "--quiet", "HEAD")
    listed = repo.git.text("for-each-ref", "--format=%(objectname)").split()
    return list(dict.fromkeys([*([head] if head else []), *listed]))


def _tracking(repo: Repo, remote: str | None) -> list[str]:
    """Return the option of rev-list for what is known of a remote: what its branches reach was pushed before."""
    if remote is None or any(other.startswith(f"{remote}/") for other in repo.settings.remotes()):
        return []  # refs/remotes/a/b/c may be of the remote "a/b"
    known = repo.git.text("for-each-ref", "--count=1", "--format=%(objectname)", f"refs/remotes/{remote}/")
    return [f"--remotes={remote}"] if known else []


class _Push:
    """One push of the objects `new` to the store of a remote, where it has one, whose branches are known to reach `before`.

    With `afresh` nothing that was confirmed counts.
    """

    def __init__(
        self,
        repo: Repo,
        setting: StoreSetting | None,
        remote: str | None,
        new: Sequence[str],
        before: Sequence[str],
        *,
        dry_run: bool,
        progress: Progress,
        afresh: bool = False,
        trust: Trust = Trust.ROWS,
    ) -> None:
        self._repo = repo
        self._setting = setting
        self._remote = remote
        self._new = new
        self._before = before
        self._dry_run = dry_run
        self._progress = progress
        self._afresh = afresh
        self._trust = trust
        self._reached: dict[tuple[str, ...], pointers.Reach] = {}
        # what git pushes is not what `git replace` shows in its place
        self._git = repo.git.with_environment({"GIT_NO_REPLACE_OBJECTS": "1"})

    def run(self) -> PushResult:
        setting = self._setting
        if setting is None:
            self._check_nothing_is_tracked()
            return NOTHING
        last = confirmations.at_address(self._repo, setting.url)
        if last is None and not self._reach().found:
            return NOTHING  # a repository that tracks nothing needs no store
        try:
            return self._complete(setting)
        except StoreUnreachable as error:
            if last is None or self._afresh or self._reach(last.commits).found:
                raise
            said = f"{error.message}; it had everything that this push needs when it was last asked"
            return NOTHING._replace(warnings=(said,))

    def _check_nothing_is_tracked(self) -> None:
        if found := self._reach(() if self._afresh else self._before).found:
            tracked = counted(len(found), "file is", "files are")
            raise LdsError(
                f"{tracked} tracked, and no store is set up for {self._remote or 'this repository'}",
                hint="git lds init --store URL",
            )

    def _complete(self, setting: StoreSetting) -> PushResult:
        """Bring the store to have all that the push needs, and remember that it has."""
        record = None if self._afresh else self._holding(setting)
        was_empty = self._repo.store(setting).state.seq < 0
        done = self._reach(record.commits if record else ())
        found = [*done.found, *(record.lost if record else ())]
        result = NOTHING
        if found:
            result = send(
                self._repo,
                setting,
                found,
                imported_stay=True,
                is_new=self._is_new,
                trust=self._trust,
                dry_run=self._dry_run,
                progress=self._progress,
            )
        warnings = [*self._repo.notices(), *result.warnings]
        if not done.whole or (self._repo.common_dir / "shallow").exists():
            if was_empty:
                warnings.append(
                    f"{setting.url} had nothing before this push, and this clone does not have the whole history: what older "
                    "commits need was not looked at; from a full clone: git lds push --all"
                )
        elif not self._dry_run and not result.unchecked:
            self._confirm(setting, [*self._new, *(record.commits if record else ())], result.lost)
        return result._replace(warnings=tuple(warnings))

    def _confirm(self, setting: StoreSetting, commits: Sequence[str], lost: Sequence[Found]) -> None:
        """Remember that the store has all that `commits` reach; not of one that the user has not agreed to."""
        with contextlib.suppress(ConsentNeeded):
            destination.check(self._repo, setting)
            confirmations.write(self._repo, setting.url, self._repo.store(setting), commits, lost)

    def _holding(self, setting: StoreSetting) -> confirmations.Confirmed | None:
        """Return what was confirmed in the store and still holds."""
        store = self._repo.store(setting)
        try:
            store.ensure_loaded()
        except NotInStore:
            return None
        record = confirmations.read(self._repo, store)
        return record if record is not None and record.holds_in(self._repo, store) else None

    def _reach(self, known: Sequence[str] = ()) -> pointers.Reach:
        """Return what the push reaches beyond `known`: commits, which need not be here any more, and options of rev-list."""
        key = tuple(known)
        if key not in self._reached:
            options = [each for each in known if each.startswith("--")]
            commits = confirmations.existing(self._git, (each for each in known if not each.startswith("--")))
            self._reached[key] = pointers.reach(self._git, self._new, [*options, *commits], here=self._repo.objects)
        return self._reached[key]

    def _is_new(self, oid: Oid) -> bool:
        """Return whether the push brings the object, and it was not pushed before."""
        return oid in {item.pointer.oid for item in self._reach(self._before).found}

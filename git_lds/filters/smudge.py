"""Smudge: a pointer comes from git, contents go back; at once, delayed, or behind git's back for large files.

For each path the answer is one of these:
- text that is no pointer, or a pointer that is not wanted (skip-smudge, exclude): itself
- an object that is here: its contents; if it is large and git is filling a working tree, the pointer for now
- an object that is not here: "delayed" where git allows, so that all that is missing is fetched in one go
- for a command that only shows differences: what is here, and for a large object and for one that is not here the pointer,
  of which `textconv` makes what is shown; to look at a history downloads nothing
- an object that nobody has: where git writes a working tree, the pointer (see `lacking`), and for who only reads, an error
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from functools import cached_property

from git_lds import files, hashing, patterns, pointer
from git_lds.errors import LdsError, ObjectsMissing
from git_lds.fast_typing import TYPE_CHECKING
from git_lds.filters import say
from git_lds.git import caller
from git_lds.hashing import Oid
from git_lds.local.objects import SMALL
from git_lds.pointer import Pointer
from git_lds.progress import Progress
from git_lds.repo import Repo
from git_lds.worktree.place import Placement, WorkTree, damaged

if TYPE_CHECKING:
    from pathlib import Path

    from git_lds.filters.lacking import Lacking
    from git_lds.transfer.download import Downloaded

DIRECT = 4 << 20
"""Objects larger than this, in bytes, are not sent through git, which would hold them whole in memory."""

RACY_SECONDS = 3
"""Files answered so long before the last one can be as young as git's index, whose time stamp git compares by the second."""

_READING_HOOKS = ("post-checkout", "post-merge", "pre-merge-commit", "post-commit", "post-rewrite", "post-applypatch")
"""The hooks that git runs when it has filled a working tree and before it ends its filters."""


_OUR_HOOK = (b"#!/bin/sh\n# >>> git-lds >>>\n", b"\n# <<< git-lds <<<\n")
"""How a hook begins and ends that has our lines in it and nothing else."""

_HINT = "run the same git command again when a store has them; with GIT_LDS_SKIP_SMUDGE=1 before it, it gets pointers"

_NAMED = 10
"""Objects that did not come, each with the reasons, before the rest is counted."""


class Delayed(Enum):
    """The answer "later": git asks again when the path is reported as available."""

    DELAYED = "delayed"


DELAYED = Delayed.DELAYED
Answer = bytes | Iterator[bytes] | Delayed


class Smudger:
    """Smudges files of one repository, for the time of one process."""

    def __init__(
        self, repo: Repo, progress: Progress, put_hook_in: Callable[[Repo], bool] = lambda repo: False
    ) -> None:
        """`put_hook_in` is called where contents are lacking: see `Lacking`."""
        self._repo = repo
        self._progress = progress
        self._put_hook_in = put_hook_in
        self._lacking: Lacking | None = None
        self._waiting: dict[bytes, Pointer] = {}
        self._promised: dict[bytes, Pointer] = {}
        self._failed: set[Oid] = set()
        self._fetched: set[Oid] = set()
        self._has_looked_ahead = False
        self._upcoming: Iterator[Oid] = iter(())
        self._read: dict[Oid, bytes | None] = {}
        self._direct: list[Placement] = []
        self._answered: dict[bytes, float] = {}

    def smudge(
        self, path: bytes, blob: bytes, *, can_delay: bool, for_no_tree: bool = False, for_a_file: bool = False
    ) -> Answer:
        """Return what the working tree shall hold for a blob of at most MAX_LENGTH bytes. Raises ObjectsMissing.

        `for_no_tree`: git named neither a commit nor a tree that it checks out, so perhaps nothing is to be written at all.
        `for_a_file`: git named not even a blob, as `git apply` does for a file that it writes without a delay.
        """
        # git sends nothing when it asks again for what was delayed
        promised = None if blob or can_delay else self._promised.pop(path, None)
        filling = can_delay or promised is not None
        found = promised or pointer.parse(blob)
        if found is None:
            if blob:
                self.pass_through(path, can_delay=can_delay)
            else:
                self._note(path, filling=filling)
            return blob
        if for_no_tree and not filling and self._is_wanted(path) and self._stays_pointer(found):
            return blob
        try:
            return self._filled(path, found, can_delay=can_delay, filling=filling, fragile=filling or for_a_file)
        except (LdsError, OSError) as error:
            if not filling and not for_a_file:
                raise
            explain(error, path)
        return self._pointer_for_now(path, found, filling=filling)

    def _filled(self, path: bytes, found: Pointer, *, can_delay: bool, filling: bool, fragile: bool) -> Answer:
        """Return the answer for a pointer. Where git is `fragile`, an error that it gets would end it in the midst."""
        if not self._is_wanted(path):
            self._note(path, filling=filling)
            return found.encode()
        told = fragile and not can_delay and self._lacking is not None and self._lacking.has(path)
        if told and not self._is_here(found.oid):
            return self._pointer_for_now(path, found, filling=filling)
        if fragile and found.size > SMALL:
            self._verify(path, found)
        if can_delay and not self._is_here(found.oid):
            self._look_ahead(found.oid)
        if not self._is_here(found.oid):
            if can_delay:
                self._waiting[path] = found
                return DELAYED
            self._fetch({path: found})
        self._note(path, filling=filling)
        if filling and found.size > DIRECT and self._can_go_around_git():
            self._direct.append(Placement(path, found))
            answer: Answer = found.encode()
        else:
            answer = self._contents(path, found)
        if self._lacking is not None:
            self._lacking.is_filled(path)
        return answer

    def _pointer_for_now(self, path: bytes, found: Pointer, *, filling: bool) -> bytes:
        """Let the file hold its pointer, which git finds unchanged, instead of leaving it out or git in the midst."""
        self._lack(path, found)
        self._note(path, filling=filling)
        return found.encode()

    def _lack(self, path: bytes, found: Pointer) -> None:
        if self._lacking is None:
            from git_lds.filters.lacking import Lacking  # late: most checkouts lack nothing

            self._lacking = Lacking(self._repo, self._put_hook_in)
        self._lacking.add(path, found)

    def _verify(self, path: bytes, found: Pointer) -> None:
        """Hash an object that is here before git is told that it comes. What is damaged and came from a store is deleted,
        so that it is fetched again. Raises CorruptData."""
        oid = found.oid
        if oid in self._fetched or (stream := self._repo.objects.open(oid)) is None:
            return
        with stream:
            data = stream.read(DIRECT + 1) if found.size <= DIRECT else None
            is_whole = (hashing.of_bytes(data) if data is not None else hashing.of_stream(stream)[0]) == oid
        if is_whole:
            self._fetched.add(oid)
            if data is not None:
                self._read[oid] = data
            return
        error = damaged(self._repo.objects, path, oid)
        if self._repo.objects.has(oid):
            raise error

    def pass_through(self, path: bytes, *, can_delay: bool) -> None:
        """Name a file that is under a tracked pattern and not a pointer."""
        self._note(path, filling=can_delay)
        say(f"{files.printable(path)}: committed as it is, not as a pointer; to convert it: git add --renormalize")

    def _is_wanted(self, path: bytes) -> bool:
        skip, include, exclude = self._choice
        return not skip and patterns.wants(path, include, exclude)

    @cached_property
    def _choice(self) -> tuple[bool, Sequence[str], Sequence[str]]:
        """Whether nothing is to be filled, and the patterns of what is and what is not. Asked for once, not for each file."""
        settings = self._repo.settings
        return settings.skip_smudge, settings.include, settings.exclude

    def _stays_pointer(self, found: Pointer) -> bool:
        """Tell whether who asks only shows what differs, and gets by with the pointer."""
        if not self._only_shows:
            return False
        return not self._is_here(found.oid) or (found.size > DIRECT and self._shown_by_us)

    @cached_property
    def _only_shows(self) -> bool:
        return caller.only_shows(self._repo.git)

    @cached_property
    def _shown_by_us(self) -> bool:
        """Whether what git gets goes to our textconv, which reads objects itself, and to nobody else's program."""
        if self._repo.environment.get("GIT_EXTERNAL_DIFF"):
            return False
        said = self._repo.git.maybe("config", "--get-regexp", r"^diff\.(external|lds\.(command|textconv))$") or ""
        return [line.split(" ")[0] for line in said.splitlines()] == ["diff.lds.textconv"] and "git-lds" in said

    def _can_go_around_git(self) -> bool:
        """Tell whether nobody reads the working tree before git is done with it and we put the large files there.

        Hooks and the command of `rebase --exec` do, while we still run. And in the midst of it we could put no file
        there: git goes on with the stat data that it remembers, and would take it for changed by the user.
        """
        if self._repo.work_tree is None or sys.platform == "win32" or self._has_reading_hooks:
            return False
        try:
            todo = (self._repo.git_dir / "rebase-merge" / "git-rebase-todo").read_bytes()
        except OSError:
            return True
        return not any(line.split(maxsplit=1)[:1] in ([b"exec"], [b"x"]) for line in todo.splitlines())

    @cached_property
    def _has_reading_hooks(self) -> bool:
        hooks = [self._repo.hooks / name for name in _READING_HOOKS]
        return any(os.access(hook, os.X_OK) and not _is_ours(hook) for hook in hooks)

    def _note(self, path: bytes, *, filling: bool) -> None:
        """Remember which files git writes to the working tree now, as long as they can be as young as its index."""
        if not filling:
            return
        now = time.time()
        while self._answered and next(iter(self._answered.values())) < now - RACY_SECONDS:
            del self._answered[next(iter(self._answered))]
        self._answered.pop(path, None)
        self._answered[path] = now

    def _contents(self, path: bytes, found: Pointer) -> bytes | Iterator[bytes]:
        data = self._read.pop(found.oid, None)
        if data is None:
            if self._read:
                self._upcoming = iter(())  # git does not ask in that order
            data = self._repo.objects.read(found.oid)
        if data is None and not self._repo.objects.has(found.oid):
            self._fetched.discard(found.oid)  # it was here, and is damaged
            self._fetch({path: found})
            data = self._repo.objects.read(found.oid)
        return data if data is not None else self._streamed(path, found)

    def _streamed(self, path: bytes, found: Pointer) -> Iterator[bytes]:
        """Yield the contents of a large object. Raises CorruptData at their end if they are not what the oid says."""
        stream, hasher = self._repo.objects.open(found.oid), hashing.new()
        if stream is not None:
            with stream:
                while block := stream.read(hashing.READ_SIZE):
                    hasher.update(block)
                    yield block
        if hasher.digest() != found.oid:
            raise damaged(self._repo.objects, path, found.oid)

    def read_on(self) -> None:
        """Read what git will most likely ask for next, while it is busy with the last answer."""
        with contextlib.suppress(OSError):
            self._read = {oid: self._repo.objects.read(oid) for oid in itertools.islice(self._upcoming, 1)}

    def _will_ask_for(self, found: Iterable[Pointer]) -> None:
        self._upcoming = iter([each.oid for each in found if each.size <= SMALL])

    def _look_ahead(self, first: Oid) -> None:
        """Fetch what a clone will ask for, all of its tree, when it asks for the `first` of it.

        git would else ask for each file twice, and wait each time: 10,000 files 3.9 s, so 2.9 s. What does not come now is
        looked for again, and told of, when git asks for it.
        """
        if self._has_looked_ahead:
            return
        self._has_looked_ahead = True
        git, tree = self._repo.git, self._repo.treeish
        if tree is None or caller.verb(caller.words()) != b"clone" or git.maybe("config", "core.sparseCheckout"):
            return
        from git_lds.snapshots import pointers  # late: a clone alone has a use for it

        found = [item for item in pointers.in_tree(git, tree) if self._is_wanted(item.path)]
        left = {item.pointer.oid: (item.pointer.size, item.path) for item in found}
        with contextlib.suppress(LdsError, OSError):
            self._download(left)
        self._will_ask_for(itertools.dropwhile(lambda each: each.oid != first, (item.pointer for item in found)))
        next(self._upcoming, None)

    def available(self) -> list[bytes]:
        """Fetch what is waiting, in one go; return the paths that git can ask for again, those too whose contents did not
        come. Empty: there are no more."""
        waiting, self._waiting = self._waiting, {}
        if waiting:
            try:
                self._fetch(waiting)
            except (LdsError, OSError) as error:
                explain(error)
        for path, found in waiting.items():
            if not self._is_here(found.oid):
                self._lack(path, found)
        self._promised = waiting
        self._will_ask_for(found for found in waiting.values() if self._is_here(found.oid))
        return list(waiting)

    @property
    def ends_in_error(self) -> bool:
        """Whether git is to be told, when it has asked for all, that contents are lacking."""
        return self._lacking is not None and self._lacking.is_an_error

    def _is_here(self, oid: Oid) -> bool:
        return oid in self._fetched or self._repo.objects.has(oid)

    def _fetch(self, wanted: dict[bytes, Pointer]) -> None:
        # git starts us before a merge driver, whose result is in the local store, and that we have looked at before
        self._repo.objects.reload()
        wanted = {path: found for path, found in wanted.items() if not self._is_here(found.oid)}
        left = {found.oid: (found.size, path) for path, found in wanted.items() if found.oid not in self._failed}
        if not wanted:
            return
        if not left:
            path, found = next(iter(wanted.items()))
            raise ObjectsMissing(
                f"{files.printable(path)} ({found.oid.hex()}): looked for before, and in no store", _HINT
            )
        try:
            result = self._download(left)
        except (LdsError, OSError):
            self._failed.update(left)
            raise
        self._failed.update(missing.oid for missing in result.missing)
        for missing in result.missing[:_NAMED]:
            say(missing.message)
        if len(result.missing) > _NAMED:
            say(f"and {len(result.missing) - _NAMED} more")
        if result.missing:
            for refusal in self._repo.refusals():
                say(refusal.message, refusal.hint)
            raise ObjectsMissing(f"{len(result.missing)} of {len(wanted)} files could not be fetched", _HINT)

    def _download(self, left: dict[Oid, tuple[int, bytes]]) -> Downloaded:
        # late: what moves objects loads httpx, which no `git status` should wait for
        from git_lds.transfer import download

        absent = {
            oid for oid in left if not self._repo.objects.has(oid)
        }  # what was here before is not verified by this
        result = download.download(self._repo.reading_stores(), self._repo.objects, left, self._progress)
        self._fetched.update(absent.difference(missing.oid for missing in result.missing))
        return result

    def finish(self) -> None:
        """Put large files in the place of the pointers that git has written by now, and tell of what is lacking, and of
        stores that are other ones than before.

        And spare the next `git status` from cleaning what was just written.
        """
        for notice in self._repo.notices():
            say(f"warning: {notice}")
        if self._repo.work_tree is None or not (self._answered or self._lacking):
            return
        tree = WorkTree.of(self._repo)
        tree.trusted.update(self._fetched)
        try:
            if self._direct:
                _place_all(tree, self._direct)
        finally:
            tree.tell_git(self._answered)
            if self._lacking is not None:
                self._lacking.report(tree)

    def close(self) -> None:
        if self._lacking is not None:
            self._lacking.close()


def _is_ours(hook: Path) -> bool:
    """Return whether a hook has our lines in it and nothing else."""
    try:
        text = hook.read_bytes()
    except OSError:
        return False
    return text.startswith(_OUR_HOOK[0]) and text.endswith(_OUR_HOOK[1]) and text.count(b"\n") == 4


def _place_all(tree: WorkTree, items: list[Placement]) -> None:
    try:
        tree.announce(items)
    except LdsError as error:
        say(error.message, error.hint)
        return
    for item in items:
        try:
            tree.place(item)
        except LdsError as error:
            say(error.message, error.hint)
        except OSError as error:
            say(f"{files.printable(item.path)}: still a pointer: {error.strerror}", "git lds checkout")


def complain(error: LdsError) -> None:
    """Tell the user of an error with which things go on."""
    say(error.message, error.hint)


def explain(error: LdsError | OSError, path: bytes | None = None) -> None:
    """Tell the user why contents did not come; of what no store has, that was told when it was looked for."""
    if isinstance(error, OSError):
        say(f"{files.printable(path) if path else 'the download stopped'}: {error.strerror or error}")
    elif not isinstance(error, ObjectsMissing):
        say(error.message, error.hint)

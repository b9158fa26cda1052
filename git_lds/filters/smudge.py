"""Smudge: git hands in a pointer and gets contents: at once, delayed, or, for large files, behind git's back.

The answer for each path is one of these:
- for text that is not a pointer, and for an unwanted pointer (skip-smudge, exclude): itself
- for a local object: its contents, or, if it is large and git is filling a working tree, the pointer for now
- for an object that is not local: "delayed" if git allows that, so that one download brings all that is missing
- for a command that only shows differences: the contents of a small local object, else the pointer, which `textconv`
  reads; to look at a history downloads nothing
- for an object that no store has: the pointer if git writes a working tree (see `lacking`), an error if it only reads
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

from git_lds import files, hashing, patterns, pointer
from git_lds.errors import LdsError, ObjectsMissing
from git_lds.fast_typing import TYPE_CHECKING
from git_lds.filters import DELAYED, Delayed, complain, say
from git_lds.filters.large_files import LARGE, LargeFiles
from git_lds.filters.object_fetcher import ObjectFetcher
from git_lds.filters.read_ahead import ReadAhead
from git_lds.git import caller
from git_lds.local.objects import SMALL
from git_lds.pointer import Pointer
from git_lds.progress import Progress
from git_lds.repo import Repo
from git_lds.worktree.place import Placement, WorkTree, damaged

if TYPE_CHECKING:
    from git_lds.filters.lacking import Lacking

RACY_SECONDS = 3
"""Files answered at most so long before the last one can be as young as git's index: git compares time stamps by the second."""


Answer = bytes | Iterator[bytes] | Delayed


class Smudger:
    """Smudges files of one repository, for the time of one process."""

    def __init__(
        self, repo: Repo, progress: Progress, install_hook: Callable[[Repo], bool] = lambda repo: False
    ) -> None:
        """`install_hook` is called if contents are lacking: see `Lacking`."""
        self._repo = repo
        self._install_hook = install_hook
        self._fetcher = ObjectFetcher(repo, progress)
        self._ahead = ReadAhead(repo)
        self._large = LargeFiles(repo)
        self._lacking: Lacking | None = None
        self._waiting: dict[bytes, Pointer] = {}
        self._promised: dict[bytes, Pointer] = {}
        self._has_looked_ahead = False
        self._answered: dict[bytes, float] = {}

    # one request

    def smudge(
        self, path: bytes, blob: bytes, *, can_delay: bool, for_no_tree: bool = False, for_a_file: bool = False
    ) -> Answer:
        """Return the answer for a blob of at most MAX_LENGTH bytes.

        With `for_no_tree` git named neither a commit nor a tree that it checks out, so perhaps it writes nothing at all.
        With `for_a_file` git named not even a blob, as `git apply` does for a file that it writes without a delay.
        Raises ObjectsMissing, CorruptData, what a download raises, and OSError.
        """
        # git sends nothing when it asks again for a delayed file
        promised = None if blob or can_delay else self._promised.pop(path, None)
        filling = can_delay or promised is not None
        target = promised or pointer.parse(blob)
        if target is None:
            if blob:
                self.pass_through(path, can_delay=can_delay)
            else:
                self._note(path, filling=filling)
            return blob
        if for_no_tree and not filling and self._is_wanted(path) and self._stays_pointer(target):
            return blob
        try:
            return self._filled(path, target, can_delay=can_delay, filling=filling, fragile=filling or for_a_file)
        except (LdsError, OSError) as error:
            if not filling and not for_a_file:
                raise
            explain(error, path)
        return self._pointer_for_now(path, target, filling=filling)

    def _filled(self, path: bytes, target: Pointer, *, can_delay: bool, filling: bool, fragile: bool) -> Answer:
        """Return the answer for a pointer. If git is `fragile`, an error would end it in the middle of its work."""
        if not self._is_wanted(path):
            self._note(path, filling=filling)
            return target.encode()
        is_reported = fragile and not can_delay and self._lacking is not None and self._lacking.has(path)
        if is_reported and not self._fetcher.is_local(target.oid):
            return self._pointer_for_now(path, target, filling=filling)
        if fragile and target.size > SMALL:
            self._verify(path, target)
        if can_delay and not self._fetcher.is_local(target.oid):
            self._look_ahead(target)
        if not self._fetcher.is_local(target.oid):
            if can_delay:
                self._waiting[path] = target
                return DELAYED
            self._fetcher.fetch({path: target})
        self._note(path, filling=filling)
        if filling and target.size > LARGE and self._large.can_go_around_git():
            self._large.items.append(Placement(path, target))
            answer: Answer = target.encode()
        else:
            answer = self._contents(path, target)
        if self._lacking is not None:
            self._lacking.remove(path)
        return answer

    def pass_through(self, path: bytes, *, can_delay: bool) -> None:
        """Print that a file under a tracked pattern is not a pointer."""
        self._note(path, filling=can_delay)
        say(f"{files.printable(path)}: committed as it is, not as a pointer; to convert it: git add --renormalize")

    def _pointer_for_now(self, path: bytes, target: Pointer, *, filling: bool) -> bytes:
        """Return the pointer for a file whose contents are lacking. git finds it unchanged, and neither leaves the file out
        nor stops in the middle."""
        self._lack(path, target)
        self._note(path, filling=filling)
        return target.encode()

    def _lack(self, path: bytes, target: Pointer) -> None:
        if self._lacking is None:
            from git_lds.filters.lacking import Lacking  # late: most checkouts lack nothing

            self._lacking = Lacking(self._repo, self._install_hook)
        self._lacking.add(path, target)

    def _verify(self, path: bytes, target: Pointer) -> None:
        """Hash a local object before git gets a promise of it. A damaged one that came from a store is deleted, to be
        fetched again. Raises CorruptData for another damaged one."""
        oid = target.oid
        if oid in self._fetcher.verified or (stream := self._repo.objects.open(oid)) is None:
            return
        with stream:
            data = stream.read(LARGE + 1) if target.size <= LARGE else None
            is_whole = (hashing.of_bytes(data) if data is not None else hashing.of_stream(stream)[0]) == oid
        if is_whole:
            self._fetcher.verified.add(oid)
            if data is not None:
                self._ahead.keep(oid, data)
            return
        error = damaged(self._repo.objects, path, oid)
        if self._repo.objects.has(oid):
            raise error

    def _look_ahead(self, first: Pointer) -> None:
        if not self._has_looked_ahead:
            self._has_looked_ahead = True
            self._ahead.fetch_for_clone(self._fetcher, first.oid, self._is_wanted)

    def _note(self, path: bytes, *, filling: bool) -> None:
        """Remember the files that git is writing to the working tree, as long as they can be as young as its index."""
        if not filling:
            return
        now = time.time()
        while self._answered and next(iter(self._answered.values())) < now - RACY_SECONDS:
            del self._answered[next(iter(self._answered))]
        self._answered.pop(path, None)
        self._answered[path] = now

    # which paths and pointers

    def _is_wanted(self, path: bytes) -> bool:
        skip, include, exclude = self._choice
        return not skip and patterns.wants(path, include, exclude)

    @cached_property
    def _choice(self) -> tuple[bool, Sequence[str], Sequence[str]]:
        """Whether all files stay pointers, and the patterns to include and to exclude: read once, not for each file."""
        settings = self._repo.settings
        return settings.skip_smudge, settings.include, settings.exclude

    def _stays_pointer(self, target: Pointer) -> bool:
        """Return whether the calling git command only displays differences, so the pointer is enough."""
        if not self._only_shows:
            return False
        return not self._fetcher.is_local(target.oid) or (target.size > LARGE and self._is_shown_by_textconv)

    @cached_property
    def _only_shows(self) -> bool:
        return caller.only_shows(self._repo.git)

    @cached_property
    def _is_shown_by_textconv(self) -> bool:
        """Whether git hands the file to our textconv, which reads objects itself, and to no other program."""
        if self._repo.environment.get("GIT_EXTERNAL_DIFF"):
            return False
        from git_lds.git import config  # late: only for what is large and shown

        values = config.matching(self._repo.git, r"^diff\.(external|lds\.(command|textconv))$")
        return [key for _, key, _ in values] == ["diff.lds.textconv"] and "git-lds" in values[0][2]

    # contents

    def _contents(self, path: bytes, target: Pointer) -> bytes | Iterator[bytes]:
        oid = target.oid
        data = self._ahead.take(oid)
        if data is None:
            data = self._repo.objects.read(oid)
        if data is None and not self._repo.objects.has(oid):
            self._fetcher.verified.discard(oid)  # it was local, and is damaged
            self._fetcher.fetch({path: target})
            data = self._repo.objects.read(oid)
        return data if data is not None else self._streamed(path, target)

    def _streamed(self, path: bytes, target: Pointer) -> Iterator[bytes]:
        """Yield the contents of a large object. Raises CorruptData at their end if they do not match the oid."""
        stream, hasher = self._repo.objects.open(target.oid), hashing.new()
        if stream is not None:
            with stream:
                while block := stream.read(hashing.READ_SIZE):
                    hasher.update(block)
                    yield block
        if hasher.digest() != target.oid:
            raise damaged(self._repo.objects, path, target.oid)

    def read_ahead(self) -> None:
        """Read the contents that git most likely asks for next, while it is busy with the last answer."""
        self._ahead.read_next()

    # the end

    def available(self) -> list[bytes]:
        """Fetch all delayed objects in one go; return the paths that git can ask for again, those that did not come too.

        The list is empty when no path is left.
        """
        waiting, self._waiting = self._waiting, {}
        if waiting:
            try:
                self._fetcher.fetch(waiting)
            except (LdsError, OSError) as error:
                explain(error)
        for path, target in waiting.items():
            if not self._fetcher.is_local(target.oid):
                self._lack(path, target)
        self._promised = waiting
        self._ahead.expect(target for target in waiting.values() if self._fetcher.is_local(target.oid))
        return list(waiting)

    @property
    def ends_in_error(self) -> bool:
        """Whether to report an error to git, when it has asked for all files, because contents are lacking."""
        return self._lacking is not None and self._lacking.is_an_error

    def finish(self) -> None:
        """Place the large files, print what is lacking, and warn of stores that are other ones than before.

        Also spare the next `git status` from cleaning the files that git has just written.
        """
        for notice in self._repo.notices():
            say(f"warning: {notice}")
        if self._repo.work_tree is None or not (self._answered or self._lacking):
            return
        tree = WorkTree.of(self._repo)
        tree.trusted.update(self._fetcher.verified)
        try:
            self._large.place(tree)
        finally:
            tree.tell_git(self._answered)
            if self._lacking is not None:
                self._lacking.report(tree)

    def close(self) -> None:
        """Remove the file by which the hook learns of lacking contents."""
        if self._lacking is not None:
            self._lacking.close()


def explain(error: LdsError | OSError, path: bytes | None = None) -> None:
    """Print why contents did not come; of missing objects the download printed it."""
    if isinstance(error, OSError):
        say(f"{files.printable(path) if path else 'the download stopped'}: {error.strerror or error}")
    elif not isinstance(error, ObjectsMissing):
        complain(error)

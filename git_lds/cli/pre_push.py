"""`git-lds hook pre-push`: uploads before git moves a ref, and stops the push when that fails."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from git_lds.cli import after_push, ask_consent
from git_lds.cli.render import progress
from git_lds.cli.render.output import files, say, warn, warn_of_ignored
from git_lds.repo import Repo
from git_lds.sync.push import pre_push

_GENERATIONS = 8
"""How far up a `git push` may be: a hook manager or two stand between."""

_WITH_VALUE = ("--repo", "--push-option", "--receive-pack", "--exec")
"""Options of `git push` whose next word is their value."""


def run(remote: str, url: str, lines: Iterable[str]) -> int:
    """Upload what the refs in `lines` need that the store of `remote` does not have. Returns the exit code."""
    dry_run = is_dry_run(_words_of_push())
    told = list(lines)
    ask_consent.asked_for(lambda: _run(remote, url, told, dry_run=dry_run))
    return 0


def _run(remote: str, url: str, lines: Sequence[str], *, dry_run: bool) -> None:
    with Repo.here() as repo:
        warn_of_ignored(repo.settings.committed.ignored)
        shown = progress.shown()
        done = pre_push(repo, remote, url, lines, dry_run=dry_run, progress=shown)
        for warning in done.warnings:
            warn(warning)
        if done.paths:
            verb = "would upload" if dry_run else "uploaded"
            say(f"git-lds: {verb} {files(len(done.paths), done.size)} to {done.store}")
            if not dry_run:
                after_push.compact(repo, shown)


def is_dry_run(words: Sequence[str]) -> bool:
    """Tell whether `git push` with these words is a dry run. In doubt it is none: then more is uploaded than need be."""
    found = False
    left = iter(words)
    for word in left:
        if word == "--":
            break
        if word.startswith("--"):
            if len(word) > 3 and ("--dry-run".startswith(word) or word == "--no-dry-run"):
                found = word != "--no-dry-run"
            elif any(option.startswith(word) for option in _WITH_VALUE):
                next(left, None)
        elif word.startswith("-"):
            letters, is_option, value = word.partition("o")  # -o takes a value, in this word or the next
            found = found or "n" in letters
            if is_option and not value:
                next(left, None)
    return found


def _words_of_push() -> list[str]:
    """Return what follows "push" on the command line of the git that runs the hook; nothing where that cannot be seen.

    git runs the hook in a dry run as well, and does not say so (2.39). But it waits for us, and /proc has its words.
    """
    process = os.getppid()
    for _ in range(_GENERATIONS):
        try:
            words = [os.fsdecode(word) for word in Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")[:-1]]
            # "<pid> (<name, with anything in it>) <state> <parent> …"
            process = int(Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return []
        if words and os.path.basename(words[0]) == "git" and "push" in words:
            return words[words.index("push") + 1 :]
    return []

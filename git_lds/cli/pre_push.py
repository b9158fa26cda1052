"""`git-lds hook pre-push`: uploads before git moves a ref, and stops the push if that fails."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from git_lds.cli import after_push, ask_consent
from git_lds.cli.render import progress
from git_lds.cli.render.output import files, say, warn, warn_of_ignored
from git_lds.repo import Repo
from git_lds.sync.push import execute, plan_pre_push

_GENERATIONS = 8
"""Parent processes that are searched for a `git push`: hook managers may stand between."""

_WITH_VALUE = ("--repo", "--push-option", "--receive-pack", "--exec")
"""Options of `git push` whose next word is their value."""


def run(remote: str, url: str, lines: Iterable[str]) -> int:
    """Upload the objects that the refs in `lines` need and the store of `remote` lacks; return the exit code.

    Raises LdsError if the push must not go on.
    """
    dry_run = is_dry_run(_words_of_push())
    updates = list(lines)
    ask_consent.with_consent(lambda: _run(remote, url, updates, dry_run=dry_run))
    return 0


def _run(remote: str, url: str, lines: Sequence[str], *, dry_run: bool) -> None:
    with Repo.here() as repo:
        warn_of_ignored(repo.settings.committed.ignored)
        shown = progress.shown()
        plan = plan_pre_push(repo, remote, url, lines, progress=shown)
        for warning in plan.warnings:
            warn(warning)
        if dry_run:
            if plan.paths:
                say(f"git-lds: would upload {files(len(plan.paths), plan.size)} to {plan.store}")
            return
        done = execute(repo, plan, shown)
        for warning in done.warnings:
            warn(warning)
        if done.objects:
            say(f"git-lds: uploaded {files(done.objects, done.size)} to {plan.store}")
            after_push.compact(repo, shown)


def is_dry_run(words: Sequence[str]) -> bool:
    """Return whether `git push` with these words is a dry run. In doubt it is not, and more is uploaded than needed."""
    dry_run = False
    remaining = iter(words)
    for word in remaining:
        if word == "--":
            break
        if word.startswith("--"):
            if len(word) > 3 and ("--dry-run".startswith(word) or word == "--no-dry-run"):
                dry_run = word != "--no-dry-run"
            elif any(option.startswith(word) for option in _WITH_VALUE):
                next(remaining, None)
        elif word.startswith("-"):
            letters, is_option, value = word.partition("o")  # -o takes a value, in this word or the next
            dry_run = dry_run or "n" in letters
            if is_option and not value:
                next(remaining, None)
    return dry_run


def _words_of_push() -> list[str]:
    """Return the words after "push" on the command line of the git that runs the hook, or none if that is unknown.

    git runs the hook in a dry run too, and does not tell it so (2.39). But it waits for us, and /proc has its words.
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

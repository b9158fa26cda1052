"""The one import, update or contribution that is at work in a repository."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from git_lds.deps.manifest import transports
from git_lds.locks import locked
from git_lds.repo import Repo
from git_lds.worktree import journal, recovery
from git_lds.worktree.journal import Note, Transaction


@dataclass(frozen=True, slots=True)
class UpdateNote:
    """What the journal of an update records for its recovery and its abort. The names of the fields are a format."""

    outputs: tuple[str, ...] = ()
    """The dependencies that it brings."""
    allowed: str | None = None
    """The local path that the user named as the source. On success it is allowed from then on."""
    pending: str | None = None
    """The commit of HEAD ("" if none) when the update left conflicts; None if it left none."""

    @classmethod
    def of(cls, transaction: Transaction) -> UpdateNote:
        """Return the note of a transaction."""
        note = transaction.note
        return cls(tuple(note.get("outputs", ())), note.get("allowed"), note.get("pending"))

    def encode(self) -> Note:
        """Return the note for the journal."""
        return asdict(self)


def allow_source(repo: Repo, note: Note) -> None:
    """Allow the local path in a note, if it has one. Raises LdsError if git's configuration cannot be changed."""
    if note.get("allowed") is not None:
        transports.allow(transports.parse(note["allowed"]), repo)


@dataclass(frozen=True, slots=True)
class Session:
    """A command that is alone in its repository, with a directory for its scratch files."""

    repo: Repo
    directory: Path
    recovered: tuple[str, ...]
    """The dependencies of an earlier command that was killed, and that is complete now."""


@contextlib.contextmanager
def exclusive_session(repo: Repo) -> Iterator[Session]:
    """Hold the lock of imports and updates of this repository. First complete a command that was killed.

    Raises LdsError in a bare repository, and what `recovery.recover` raises.
    """
    repo.require_work_tree()
    with locked(repo.lds_dir / "imports.lock"):
        transaction = recovery.recover(repo, lambda note: allow_source(repo, note))
        directory = journal.new_directory(repo)
        try:
            yield Session(repo, directory, UpdateNote.of(transaction).outputs if transaction is not None else ())
        finally:
            journal.discard_unless_prepared(directory)

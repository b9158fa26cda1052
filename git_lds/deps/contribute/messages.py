"""Authors and messages of the commits that are made for upstream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from git_lds.deps.history import trailers
from git_lds.deps.manifest.manifest import WHOLE
from git_lds.errors import LdsError
from git_lds.git import identity, log
from git_lds.git.log import Authorship
from git_lds.git.run import Git

_MAX_SOURCES = 200
"""Trailers in one commit. A squash of more commits does not name the rest."""


@dataclass(frozen=True, slots=True)
class CommitText:
    """The text of a commit beside its tree: the author as git writes it, with the date, and the message."""

    author: str
    message: str

    @property
    def author_name(self) -> str:
        return self.author.partition(" <")[0]

    @property
    def subject(self) -> str:
        return self.message.partition("\n")[0]


class CommitTexts:
    """Gives the texts for new commits. git is asked once about all commits that they come from."""

    def __init__(self, git: Git, path: str, sources: Sequence[str]) -> None:
        """`path` is upstream's path of the dependency. Raises LdsError if git does not know who the user is."""
        self.committer = _committer(git)
        self._path = path
        self._texts = {commit: _text(said) for commit, said in log.authorship(git, sources).items()}

    def of_one(self, source: str) -> CommitText:
        """Return the text for a commit that takes over one commit: its author and message, with a trailer."""
        return self._with_trailers(self._texts[source], [source])

    def of_all(self, sources: Sequence[str], message: str | None) -> CommitText:
        """Return the text for one commit of several.

        The author is that of the commits if all have the same, else the user, with the others in trailers.
        """
        texts = [self._texts[source] for source in sources]
        authors = list(dict.fromkeys(_without_date(text.author) for text in texts))
        if message is None and len(texts) == 1:
            message = texts[0].message
        elif message is None:
            where = self._path if self._path != WHOLE else "files"
            subjects = "\n".join(f"* {text.subject}" for text in texts)
            message = f"Change {where}: {len(texts)} commits\n\n{subjects}"
        author = texts[-1].author if len(authors) == 1 else self.committer
        user = _without_date(self.committer)
        others = [f"Co-authored-by: {other}" for other in authors if len(authors) > 1 and other != user]
        return self._with_trailers(CommitText(author, message), sources, *others)

    def _with_trailers(self, text: CommitText, sources: Sequence[str], *more: str) -> CommitText:
        lines = [*more, *(trailers.line(source, self._path) for source in sources[:_MAX_SOURCES])]
        return CommitText(text.author, trailers.added(text.message, lines))


def _committer(git: Git) -> str:
    committer = identity.committer(git)
    if committer is None:
        raise LdsError(
            "git does not know who you are, and a commit must say who made it",
            'git config user.name "Your Name", and git config user.email you@example.org',
        )
    return committer


def _text(said: Authorship) -> CommitText:
    name, email = (_without_marks(text) for text in (said.name, said.email))
    return CommitText(f"{name or email or 'unknown'} <{email}> {said.date}", said.message.strip("\n") + "\n")


def _without_marks(text: str) -> str:
    """Return a name without the characters that the line of an author cannot hold."""
    return "".join(c for c in text if c not in "<>\n\0").strip()


def _without_date(author: str) -> str:
    return author.rpartition("> ")[0] + ">"

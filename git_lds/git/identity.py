"""Who the user is, as git has it configured."""

from __future__ import annotations

from git_lds.git import config
from git_lds.git.run import Git


def committer(git: Git) -> str | None:
    """Return the name, email and date that a commit made now would have, or None if git does not know the user."""
    return git.maybe("var", "GIT_COMMITTER_IDENT")


def author(git: Git) -> str | None:
    """Return the name, email and date of the author of a commit made now, or None if git does not know the user."""
    return git.maybe("var", "GIT_AUTHOR_IDENT")


def configured_user(git: Git) -> tuple[str, str]:
    """Return the values of user.name and user.email, "" if they are not set."""
    values = {key: value for _, key, value in config.matching(git, r"^user\.(name|email)$")}
    return values.get("user.name", ""), values.get("user.email", "")

"""Who the user is, as git has it configured."""

from __future__ import annotations

from git_lds.git import config
from git_lds.git.run import Git, GitFailed


def committer(git: Git) -> str | None:
    """Return the name, email and date that a commit made now would have, or None if git does not know the user."""
    try:
        return git.text("var", "GIT_COMMITTER_IDENT")
    except GitFailed:
        return None


def configured_user(git: Git) -> tuple[str, str]:
    """Return the values of user.name and user.email, "" if they are not set."""
    values = {key: value for _, key, value in config.matching(git, r"^user\.(name|email)$")}
    return values.get("user.name", ""), values.get("user.email", "")

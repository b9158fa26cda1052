"""The page of a known host on which a branch becomes a pull request, derived from the URL of its repository."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlencode

_URL = re.compile(r"(?:https|ssh|git)://(?:[^/@]*@)?(?P<host>[^/:]+)(?::[0-9]+)?/(?P<path>.+)")
_SCP_LIKE = re.compile(r"(?:[^/@:]+@)?(?P<host>[^/:]+):(?P<path>[^/].*)")


@dataclass(frozen=True, slots=True)
class _HostedRepository:
    host: str
    path: str

    @property
    def owner(self) -> str:
        return self.path.split("/")[0]


def compare_page(upstream: str, target: str, base: str, branch: str) -> str | None:
    """Return the page that proposes `branch` of the repository at `target` for `base` of that at `upstream`.

    None if the host is not known.
    """
    theirs, ours = _hosted_repository(upstream), _hosted_repository(target)
    if theirs is None or ours is None or theirs.host != ours.host:
        return None
    forked = theirs.path.lower() != ours.path.lower()
    to, source = quote(base, safe="/"), quote(branch, safe="/")
    page = f"https://{theirs.host}/{quote(theirs.path, safe='/~')}"
    if theirs.host == "github.com":
        return f"{page}/compare/{to}...{quote(ours.owner) + ':' if forked else ''}{source}?expand=1"
    if theirs.host == "bitbucket.org":
        page = f"https://{ours.host}/{quote(ours.path, safe='/~')}"
        wanted = {"source": branch, "t": "1"} | ({"dest": f"{theirs.path}::{base}"} if forked else {"dest": base})
        return f"{page}/pull-requests/new?{urlencode(wanted)}"
    if theirs.host == "gitlab.com" or theirs.host.startswith("gitlab."):
        page = f"https://{ours.host}/{quote(ours.path, safe='/~')}"
        wanted = {"merge_request[source_branch]": branch, "merge_request[target_branch]": base}
        return f"{page}/-/merge_requests/new?{urlencode(wanted)}"
    if theirs.host in ("codeberg.org", "gitea.com") or theirs.host.startswith(("gitea.", "forgejo.")):
        return f"{page}/compare/{to}...{quote(ours.owner) + ':' if forked else ''}{source}"
    return None


def _hosted_repository(url: str) -> _HostedRepository | None:
    found = _URL.fullmatch(url) or (None if "://" in url else _SCP_LIKE.fullmatch(url))
    if found is None:
        return None
    path = found["path"].strip("/").removesuffix(".git")
    names = path.split("/")
    if len(names) < 2 or any(name in ("", ".", "..") for name in names):
        return None
    return _HostedRepository(found["host"].lower(), path)

"""The page of a known host on which a branch becomes a pull request, derived from the address of its repository."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlencode

_URL = re.compile(r"(?:https|ssh|git)://(?:[^/@]*@)?(?P<host>[^/:]+)(?::[0-9]+)?/(?P<path>.+)")
_SCP_LIKE = re.compile(r"(?:[^/@:]+@)?(?P<host>[^/:]+):(?P<path>[^/].*)")


@dataclass(frozen=True, slots=True)
class _Place:
    host: str
    path: str

    @property
    def owner(self) -> str:
        return self.path.split("/")[0]


def compare_page(upstream: str, target: str, base: str, branch: str) -> str | None:
    """Return where to propose `branch` of the repository at `target` for `base` of that at `upstream`; None for hosts that
    are not known."""
    there, here = _place(upstream), _place(target)
    if there is None or here is None or there.host != here.host:
        return None
    forked = there.path.lower() != here.path.lower()
    to, source = quote(base, safe="/"), quote(branch, safe="/")
    page = f"https://{there.host}/{quote(there.path, safe='/~')}"
    if there.host == "github.com":
        return f"{page}/compare/{to}...{quote(here.owner) + ':' if forked else ''}{source}?expand=1"
    if there.host == "bitbucket.org":
        page = f"https://{here.host}/{quote(here.path, safe='/~')}"
        wanted = {"source": branch, "t": "1"} | ({"dest": f"{there.path}::{base}"} if forked else {"dest": base})
        return f"{page}/pull-requests/new?{urlencode(wanted)}"
    if there.host == "gitlab.com" or there.host.startswith("gitlab."):
        page = f"https://{here.host}/{quote(here.path, safe='/~')}"
        wanted = {"merge_request[source_branch]": branch, "merge_request[target_branch]": base}
        return f"{page}/-/merge_requests/new?{urlencode(wanted)}"
    if there.host in ("codeberg.org", "gitea.com") or there.host.startswith(("gitea.", "forgejo.")):
        return f"{page}/compare/{to}...{quote(here.owner) + ':' if forked else ''}{source}"
    return None


def _place(url: str) -> _Place | None:
    found = _URL.fullmatch(url) or (None if "://" in url else _SCP_LIKE.fullmatch(url))
    if found is None:
        return None
    path = found["path"].strip("/").removesuffix(".git")
    names = path.split("/")
    if len(names) < 2 or any(name in ("", ".", "..") for name in names):
        return None
    return _Place(found["host"].lower(), path)

"""Include and exclude patterns, as .gitignore writes them: `*`, `?`, `[…]`, `**`, a folder for all that is below it."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Sequence


def wants(path: bytes, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Tell whether `path` is wanted: it matches a pattern of `include`, or there is none, and no pattern of `exclude`."""
    text = os.fsdecode(path)
    if include and not any(_form(p).fullmatch(text) for p in include):
        return False
    return not any(_form(p).fullmatch(text) for p in exclude)


@functools.cache
def _form(pattern: str) -> re.Pattern[str]:
    pattern = pattern.removeprefix("./").rstrip("/")
    anchored = "/" in pattern
    body = _translated(pattern.lstrip("/"))
    return re.compile(("" if anchored else "(?:.*/)?") + body + "(?:/.*)?", re.DOTALL)


def _translated(pattern: str) -> str:
    out, at = [], 0
    while at < len(pattern):
        if pattern.startswith("**/", at) and (at == 0 or pattern[at - 1] == "/"):
            out.append("(?:.*/)?")
            at += 3
        elif pattern.startswith("**", at):
            out.append(".*")
            at += 2
        elif pattern[at] == "*":
            out.append("[^/]*")
            at += 1
        elif pattern[at] == "?":
            out.append("[^/]")
            at += 1
        elif pattern[at] == "[" and (end := pattern.find("]", at + 2)) > 0:
            inner = pattern[at + 1 : end].replace("\\", "\\\\")
            out.append("[" + ("^" + inner[1:] if inner[0] in "!^" else inner) + "]")
            at = end + 1
        else:
            if pattern[at] == "\\" and at + 1 < len(pattern):
                at += 1
            out.append(re.escape(pattern[at]))
            at += 1
    return "".join(out)

"""Writes the page: one HTML file that holds its own style and program, and beside it the parts of its data.

The page opens from a file as well as from a server. It allows itself nothing but its own program, known by its hash, what
that loads from beside it, and pictures. Values from data are JSON, and the program makes text of them, never markup.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from git_lds import files

MARK = b"<!-- made by git lds review -->"
"""What the second line of a page says, by which a directory is known to be one of ours."""

_SCRIPTS = ("elements", "list", "chart", "masks", "picture", "differences", "page")


def write_index(directory: Path, title: str, review: Mapping[str, object]) -> None:
    """Write the page itself; `review` is what page.js reads at its start."""
    style = _source("page.css")
    script = "(() => {\n'use strict';\n" + "\n".join(_source(f"{name}.js") for name in _SCRIPTS) + "\n})();\n"
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash(script)} 'strict-dynamic'",
            f"style-src {_hash(style)}",
            "img-src 'self' file: data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    heading = html.escape(f"{title}: data under review")
    parts = {"title": heading, "policy": policy, "style": style, "script": script, "review": as_json(review)}
    # in one pass, so that no value is looked into
    text = re.sub("@([a-z]+)@", lambda found: parts[found[1]], _source("page.html"))
    files.replace_with(directory / "index.html", text.encode())


def write_part(directory: Path, number: int, details: Mapping[int, object]) -> None:
    """Write a part of the data, which the page loads as a program of one call: a page opened from a file may load no other."""
    (directory / "data").mkdir(exist_ok=True)
    (directory / "data" / f"{number}.js").write_text(f"gitLdsPart({number}, {as_json(details)});\n", "ascii")


def as_json(value: object) -> str:
    """Return JSON that is safe inside a `<script>`: all ASCII, without `<`, `>` and `&`."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _source(name: str) -> str:
    return resources.files(__package__).joinpath("page", name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

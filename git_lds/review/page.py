"""Writes the page: one HTML file with its style and script, and the parts of its data beside it.

The page works from a file and from a server. Its content security policy allows only its own script, known by its hash, what
that loads from beside the page, and pictures. Values from data are JSON, and the script inserts them as text, never as markup.
`listing` describes what the page reads first, `details`, `annotations` and `pictures` the parts of the data.
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
"""The second line of a page, which identifies its directory as made by git lds review."""

_SCRIPTS = ("elements", "list", "chart", "masks", "picture", "differences", "page")


def write_index(directory: Path, title: str, review: Mapping[str, object]) -> None:
    """Write the page itself; `review` is the data that page.js reads at its start."""
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
    # in one pass, so that a placeholder in a value is not replaced
    text = re.sub("@([a-z]+)@", lambda match: parts[match[1]], _source("page.html"))
    files.replace_with(directory / "index.html", text.encode())


def write_part(directory: Path, number: int, details: Mapping[int, object]) -> None:
    """Write a part of the data as a script with one call. A page that was opened from a file can load nothing else."""
    (directory / "data").mkdir(exist_ok=True)
    (directory / "data" / f"{number}.js").write_text(f"gitLdsPart({number}, {as_json(details)});\n", "ascii")


def as_json(value: object) -> str:
    """Return JSON that is safe inside a `<script>`: ASCII without `<`, `>` and `&`."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _source(name: str) -> str:
    return resources.files(__package__).joinpath("page", name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

"""What the page says of a file that is no image: tables by row, JSON by value, text by line."""

from __future__ import annotations

from dataclasses import dataclass, field

from git_lds.data.changed import Version
from git_lds.review import pictures

_KINDS = {b".json": "json", b".csv": "table", b".tsv": "table"}
_TEXTS = tuple(
    b"." + word
    for word in b"txt md jsonl ndjson yaml yml toml xml svg py html css js cfg ini rst log".split()
    + b"gitattributes gitignore ldsconfig ldsdeps".split()
)

_MAX_TEXT = 4 << 20


@dataclass(frozen=True, slots=True)
class Described:
    """What the page shows of a file, and what is wrong with it."""

    detail: dict[str, object] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def kind_of(path: bytes, version: Version) -> str:
    """Return what kind of file a path is by its name: image, json, table, text or binary. A link is text: where it leads."""
    if version.mode == b"120000":
        return "text"
    name = path.lower()
    if name.endswith(pictures.ENDINGS):
        return "image"
    kind = next((kind for ending, kind in _KINDS.items() if name.endswith(ending)), None)
    return kind or ("text" if name.endswith(_TEXTS) else "binary")


def describe(kind: str, path: str, before: bytes | None, after: bytes | None) -> Described:
    """Return what changed from one text to another."""
    return Described({"facts": []})

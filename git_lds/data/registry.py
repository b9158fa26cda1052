"""How the contents of a file are merged: the kinds there are, which one fits a file, and what is done where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from git_lds.data.coco import merge as coco_merge
from git_lds.data.coco import model as coco
from git_lds.data.conflicts import Markers, Merged, apart, is_marked
from git_lds.data.json import merge as json_merge
from git_lds.data.json import strict
from git_lds.data.jsonl import merge as jsonl_merge
from git_lds.data.table import merge as table_merge
from git_lds.data.text import merge as text_merge
from git_lds.errors import LdsError
from git_lds.files import printable
from git_lds.git.run import Git

_BINARY = frozenset(
    b"png jpg jpeg gif webp bmp tif tiff ico heic avif dng mp4 mov avi mkv webm mp3 wav flac ogg npy npz h5 hdf5 parquet arrow"
    b" feather zip gz bz2 xz zst tar 7z pdf pt pth onnx safetensors ckpt tfrecord sqlite db".split()
)
"""Endings of names of files that nobody merges, so that their contents are not even looked at."""


STRUCTURED = {
    "coco": coco_merge.merge,
    "json": json_merge.merge,
    "jsonl": jsonl_merge.merge,
    "table": table_merge.merge,
}
"""The kinds that are read before they are merged."""

_MAX_PARSED = 256 << 20
"""Bytes of the largest file that is read to be merged: three versions of 100 MB of annotations take 1.9 GB of memory."""


def is_binary_by_name(path: bytes) -> bool:
    """Tell whether a file is one that cannot be merged, by its name alone."""
    return b"." in path and path.rpartition(b".")[2].lower() in _BINARY


def merge(
    kind: str,
    sides: Sequence[bytes],
    path: bytes,
    markers: Markers,
    *,
    git: Git,
    key: Sequence[str] = (),
) -> tuple[Merged | None, str | None]:
    """Return the merge of base, ours and theirs, None where there can be none; and why it is not of the kind that fits.

    `kind` is "auto" or one of KINDS; with "auto" the name and the contents decide. What is malformed for its kind is merged
    as text, line by line; what is no text, not at all.
    """
    base, ours, theirs = sides
    if theirs in (base, ours):
        return Merged(ours), None
    if base == ours:
        return Merged(theirs), None
    name = printable(path)
    if kind == "auto":
        kind = _fitting(path, sides)
    note: str | None = None
    if kind in STRUCTURED and not (ours and theirs):
        kind = "text"
    elif kind in STRUCTURED and max(map(len, sides)) > _MAX_PARSED:
        kind, note = "text", f"{name}: larger than {_MAX_PARSED >> 20} MiB"
    if is_marked(base, markers.size):
        if (merged := _by_ancestors(kind, sides, name, markers, git, key)) is not None:
            return merged, None
        # with no base all that differs is marked, which is more than what clashes, and never less
        kind = "binary" if kind == "binary" else "text"
        note, base = f"{name}: its common ancestors clash with each other", b""
    merged, why = _by_structure(kind, (base, ours, theirs), name, markers, key)
    if merged is not None:
        return merged, None
    note = why or note
    if kind == "binary" or not all(map(text_merge.is_text, sides)):
        return None, note
    try:
        return text_merge.merge(git, base, ours, theirs, name, markers), note
    except LdsError as error:
        return None, note or error.message


def _by_ancestors(
    kind: str, sides: Sequence[bytes], name: str, markers: Markers, git: Git, key: Sequence[str]
) -> Merged | None:
    """Return the merge where the base is two ancestors that clash, if it is the same whichever of them is the base. It is
    not where the sides differ in what the ancestors clash about."""
    if kind == "binary" or not all(map(text_merge.is_text, sides)):
        return None
    found: list[Merged] = []
    for base in apart(sides[0], markers.size) or ():
        merged = _by_structure(kind, (base, *sides[1:]), name, markers, key)[0]
        if kind in STRUCTURED and merged is None:
            return None
        try:
            found.append(merged or text_merge.merge(git, base, sides[1], sides[2], name, markers))
        except LdsError:
            return None
    return found[0] if found and found[0] == found[1] else None


def _by_structure(
    kind: str, sides: Sequence[bytes], name: str, markers: Markers, key: Sequence[str]
) -> tuple[Merged | None, str | None]:
    """Return the merge of a kind that has a structure, or why there is none."""
    base, ours, theirs = sides
    try:
        if kind == "table":
            return table_merge.merge(base, ours, theirs, name, markers, key), None
        if kind not in STRUCTURED:
            return None, None
        merged = STRUCTURED[kind](base, ours, theirs, name, markers)
    except LdsError as error:
        return None, error.message
    # readers of JSON drop the mark that a file may begin with
    return (replace(merged, data=strict.MARK + merged.data) if ours.startswith(strict.MARK) else merged), None


def _fitting(path: bytes, sides: Sequence[bytes]) -> str:
    """Return the kind of a file by its name and what is in it."""
    if is_binary_by_name(path) or not all(map(text_merge.is_text, sides)):
        return "binary"
    if not sides[1] or not sides[2]:
        return "text"
    ending = path.rpartition(b".")[2].lower()
    if ending in (b"jsonl", b"ndjson"):
        return "jsonl"
    if ending in (b"csv", b"tsv"):
        return "table"
    if ending in (b"json", b"geojson"):
        return "coco" if all(_looks_like_coco(side) for side in sides[1:]) else "json"
    return "text"


def _looks_like_coco(data: bytes) -> bool:
    """Tell whether a JSON text may be COCO, by a look for the names of its lists; whether it is, its reader says."""
    return all(b'"%s"' % part.encode() in data for part in coco.PARTS[:2]) and data.lstrip()[:1] in (
        b"{",
        strict.MARK[:1],
    )

"""How the contents of a file are merged: the kinds there are, which one fits a file, and what is done where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from git_lds.data import coco, merge_coco, merge_json, merge_lines, merge_table, merge_text, strict
from git_lds.data.merged import Markers, Merged
from git_lds.errors import LdsError
from git_lds.files import shown
from git_lds.git.run import Git

_BINARY = frozenset(
    b"png jpg jpeg gif webp bmp tif tiff ico heic avif dng mp4 mov avi mkv webm mp3 wav flac ogg npy npz h5 hdf5 parquet arrow"
    b" feather zip gz bz2 xz zst tar 7z pdf pt pth onnx safetensors ckpt tfrecord sqlite db".split()
)
"""Endings of names of files that nobody merges, so that their contents are not even looked at."""


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
    scratch: Path,
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
    name = shown(path)
    if kind == "auto":
        kind = _fitting(path, sides)
    note = None
    try:
        if kind == "coco":
            return merge_coco.merge(base, ours, theirs, name, markers), None
        if kind == "json":
            return merge_json.merge(base, ours, theirs, name, markers), None
        if kind == "jsonl":
            return merge_lines.merge(base, ours, theirs, name, markers), None
        if kind == "table":
            return merge_table.merge(base, ours, theirs, name, markers, key), None
    except LdsError as error:
        note = error.message
    if kind == "binary" or not all(map(merge_text.is_text, sides)):
        return None, note
    try:
        return merge_text.merge(git, scratch, base, ours, theirs, name, markers), note
    except LdsError as error:
        return None, note or error.message


def _fitting(path: bytes, sides: Sequence[bytes]) -> str:
    """Return the kind of a file by its name and what is in it."""
    if is_binary_by_name(path) or not all(map(merge_text.is_text, sides)):
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

"""Finds the image that an annotation file means: a file name in COCO is relative to a folder that it does not name."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

_WORD = re.compile(r"[a-z]+")


class Places:
    """The files of a tree, by their last names."""

    def __init__(self, paths: Iterable[bytes]) -> None:
        self._by_name: dict[bytes, list[bytes]] = {}
        for path in paths:
            self._by_name.setdefault(path.rpartition(b"/")[2], []).append(path)

    def find(self, name: str, source: bytes) -> bytes | None:
        """Return the path of the image `name` of the annotation file `source`, or None when no file can be meant.

        Of several files that end in `name`, that which shares most folders with the annotation file; then that in a folder
        of which the annotation file's name speaks (`instances_val.json` and `val/`); then the shortest path.
        """
        try:
            wanted = posixpath.normpath(name.replace("\\", "/")).lstrip("/").encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            return None  # half a character, which JSON can write and no path has
        candidates = self._by_name.get(wanted.rpartition(b"/")[2], [])
        if b"/" in wanted:
            ending = b"/" + wanted
            candidates = [path for path in candidates if path == wanted or path.endswith(ending)]
        if len(candidates) <= 1:
            return candidates[0] if candidates else None
        folders = source.split(b"/")[:-1]
        words = _words(source.rpartition(b"/")[2])

        def order(path: bytes) -> tuple[int, int, int, bytes]:
            parts = path.split(b"/")[:-1]
            shared = 0
            while shared < min(len(parts), len(folders)) and parts[shared] == folders[shared]:
                shared += 1
            spoken = len(words & set().union(*map(_words, parts[shared:])))
            return -shared, -spoken, len(parts), path

        return min(candidates, key=order)


def _words(name: bytes) -> set[str]:
    return set(_WORD.findall(name.decode("utf-8", "replace").lower()))

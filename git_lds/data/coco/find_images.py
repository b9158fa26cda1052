"""Finds the image that an annotation file refers to: its file names are relative to a directory that COCO does not name."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

_WORD = re.compile(r"[a-z]+")
_DEEPEST = 12
"""File names in an annotation file with more directories must be whole paths."""


class ImageFinder:
    """The files of a tree by the ends of their paths: the last name, the last two, and so on, as requested."""

    def __init__(self, paths: Iterable[bytes]) -> None:
        self._paths = list(paths)
        self._by_ending: dict[int, dict[bytes, list[bytes]]] = {}
        self._known: dict[tuple[bytes, bytes], bytes | None] = {}

    def find(self, name: str, source: bytes) -> bytes | None:
        """Return the path of the image `name` of the annotation file `source`, or None if no file matches.

        Among several files that end in `name`, the one that shares most directories with the annotation file wins; then one
        in a directory that the annotation file is named after (`instances_val.json` and `val/`); then the shortest path.
        """
        try:
            wanted = posixpath.normpath(name.replace("\\", "/")).lstrip("/").encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            return None  # half a surrogate pair, which JSON can hold and a path cannot
        asked = wanted, source
        if asked not in self._known:
            self._known[asked] = _nearest(self._ending(wanted), source)
        return self._known[asked]

    def _ending(self, wanted: bytes) -> list[bytes]:
        """Return the files whose path ends like this. An index, not a search: a dataset may have 100,000 `image.jpg`."""
        depth = wanted.count(b"/") + 1
        if depth > _DEEPEST:
            return [path for path in self._paths if path == wanted]
        if depth not in self._by_ending:
            found: dict[bytes, list[bytes]] = {}
            for path in self._paths:
                parts = path.rsplit(b"/", depth)
                found.setdefault(b"/".join(parts[-depth:]), []).append(path)
            self._by_ending[depth] = found
        return self._by_ending[depth].get(wanted, [])


def _nearest(candidates: list[bytes], source: bytes) -> bytes | None:
    if len(candidates) <= 1:
        return candidates[0] if candidates else None
    directories = source.split(b"/")[:-1]
    words = _words(source.rpartition(b"/")[2])

    def order(path: bytes) -> tuple[int, int, int, bytes]:
        parts = path.split(b"/")[:-1]
        shared = 0
        while shared < min(len(parts), len(directories)) and parts[shared] == directories[shared]:
            shared += 1
        spoken = len(words & set().union(*map(_words, parts[shared:])))
        return -shared, -spoken, len(parts), path

    return min(candidates, key=order)


def _words(name: bytes) -> set[str]:
    return set(_WORD.findall(name.decode("utf-8", "replace").lower()))

"""Merges the contents of a file by its kind, and as text or not at all where that is impossible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from git_lds.data import registry
from git_lds.data.coco.model import NotCoco
from git_lds.data.conflicts import Markers, Merged, ancestors_of, is_marked
from git_lds.data.json import strict
from git_lds.data.registry import JSON, TABLE, TEXT, Kind
from git_lds.data.text import merge as text_merge
from git_lds.errors import LdsError
from git_lds.files import printable
from git_lds.git.run import Git

_MAX_PARSED = 256 << 20
"""Bytes of the largest file that is merged by structure: three versions of 100 MB of annotations take 1.9 GB of memory."""


def merge(
    sides: Sequence[bytes], path: bytes, attributes: Mapping[str, bytes], markers: Markers, *, git: Git
) -> tuple[Merged | None, str | None]:
    """Return the merge of base, ours and theirs, or None; and why it was not merged by its kind, or None.

    Contents that are malformed for their kind are merged as text, line by line. Contents that are not text are not merged.
    """
    base, ours, theirs = sides
    if theirs in (base, ours):
        return Merged(ours), None
    if base == ours:
        return Merged(theirs), None
    kind = registry.kind_of_contents(path, (ours, theirs), attributes)
    merger = _FileMerger(kind, printable(path), markers, git, attributes)
    return merger.merge(base, ours, theirs)


class _FileMerger:
    """One merge of a file of a kind."""

    def __init__(self, kind: Kind, name: str, markers: Markers, git: Git, attributes: Mapping[str, bytes]) -> None:
        self._kind, self._name, self._markers, self._git = kind, name, markers, git
        self._key = registry.key_columns(attributes)
        self._is_declared = registry.declared(attributes) is not None

    def merge(self, base: bytes, ours: bytes, theirs: bytes) -> tuple[Merged | None, str | None]:
        sides = (base, ours, theirs)
        note: str | None = None
        if self._kind.has_structure and not (ours and theirs):
            self._kind = TEXT
        elif self._kind.has_structure and max(map(len, sides)) > _MAX_PARSED:
            self._kind, note = TEXT, f"{self._name}: larger than {_MAX_PARSED >> 20} MiB"
        if is_marked(base, self._markers.size):
            if (merged := self._by_ancestors(sides)) is not None:
                return merged, None
            # without a base all that differs is in conflict: more than necessary, but nothing is lost
            self._kind = self._kind if self._kind.is_opaque else TEXT
            note, base = f"{self._name}: its common ancestors conflict with each other", b""
        merged, why = self._by_structure(base, ours, theirs)
        if merged is not None:
            return merged, None
        note = why or note
        if not self._is_mergeable(sides):
            return None, note
        try:
            return self._by_lines(base, ours, theirs), note
        except LdsError as error:
            return None, note or error.message

    def _by_ancestors(self, sides: Sequence[bytes]) -> Merged | None:
        """Return the merge onto a base that holds two clashing ancestors, if it is the same for either ancestor.

        It differs if the sides differ in what the ancestors clash about.
        """
        if not self._is_mergeable(sides):
            return None
        results: list[Merged] = []
        for base in ancestors_of(sides[0], self._markers.size) or ():
            merged = self._by_structure(base, *sides[1:])[0]
            if self._kind.has_structure and merged is None:
                return None
            try:
                results.append(merged or self._by_lines(base, *sides[1:]))
            except LdsError:
                return None
        return results[0] if results and results[0] == results[1] else None

    def _is_mergeable(self, sides: Sequence[bytes]) -> bool:
        return not self._kind.is_opaque and all(map(text_merge.is_text, sides))

    def _by_structure(self, base: bytes, ours: bytes, theirs: bytes) -> tuple[Merged | None, str | None]:
        """Return the merge of a kind with structure, or why it failed."""
        if not self._kind.has_structure:
            return None, None
        try:
            merged = self._merged_as(self._kind, base, ours, theirs)
        except LdsError as error:
            return None, error.message
        # readers of JSON drop the byte order mark at the start of a file
        restores_mark = self._kind is not TABLE and ours.startswith(strict.MARK)
        return (replace(merged, data=strict.MARK + merged.data) if restores_mark else merged), None

    def _merged_as(self, kind: Kind, base: bytes, ours: bytes, theirs: bytes) -> Merged:
        try:
            return kind.merge(base, ours, theirs, self._name, self._markers, self._key)
        except NotCoco:
            if self._is_declared:
                raise
            return JSON.merge(base, ours, theirs, self._name, self._markers, self._key)

    def _by_lines(self, base: bytes, ours: bytes, theirs: bytes) -> Merged:
        return text_merge.merge(self._git, base, ours, theirs, self._name, self._markers)

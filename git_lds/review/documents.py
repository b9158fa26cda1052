"""Reads the changed files that are not images, and the annotation files that describe images on the page."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping

from git_lds.data import registry
from git_lds.data.coco import diff as coco_diff
from git_lds.data.coco import model as coco
from git_lds.data.coco.diff import CocoChanges, ListChanges
from git_lds.data.coco.model import NotCoco
from git_lds.data.image import identify
from git_lds.errors import LdsError
from git_lds.git import attributes
from git_lds.repo import Repo
from git_lds.review.details import Details, describe, lines_of
from git_lds.review.images import ReviewedImages
from git_lds.review.model import AnnotationSource, Review, ReviewEntry, sentence
from git_lds.snapshots.contents import Contents
from git_lds.snapshots.version import Version

MAX_DOCUMENT = 256 << 20
"""Bytes of the largest annotation file, table or text that is read."""

_UNCHANGED_DOCUMENTS = 64 << 20
"""Bytes of unchanged annotation files that are read for what they say about changed images."""

_ABSENT = "Its contents are not on this machine."
_NO_CHANGES = CocoChanges(ListChanges(), ListChanges(), ListChanges(), {}, 0, ())

Fetch = Callable[[Iterable[Version]], None]
"""Downloads versions that are not on this machine, if the user wants that."""


class DocumentReader:
    """Reads documents into the entries of a review. Kinds and keys are those that `.gitattributes` declares now."""

    def __init__(
        self, repo: Repo, contents: Contents, review: Review, declared: Mapping[bytes, Mapping[str, bytes]]
    ) -> None:
        """`declared` has the attributes of the changed files by path."""
        self._repo, self._contents, self._review = repo, contents, review
        self._declared = declared
        self._images = ReviewedImages(repo, review)

    def read_changed(self, fetch: Fetch) -> None:
        """Read the files that changed, apart from images."""
        documents = [entry for entry in self._review.entries if entry.kind not in ("image", "binary")]
        fetch(version for entry in documents for version in entry.versions if version.size <= MAX_DOCUMENT)
        for entry in documents:
            self._read(entry)
        for entry in self._review.entries:
            if entry.kind == "binary":
                entry.detail["facts"] = self._facts(entry)

    def _read(self, entry: ReviewEntry) -> None:
        versions: list[bytes | None] = []
        for version in (entry.before, entry.after):
            data = None
            if version is not None:
                try:
                    data = self._contents_of(version)
                except LdsError as error:
                    entry.notes.append(sentence(error.message, entry.path))
                    return
                if data is None:
                    entry.notes.append(_ABSENT)
                    return
            versions.append(data)
        if entry.old_path is not None:
            entry.detail["remarks"] = ["The contents did not change."]
            return
        details = self._details(entry, versions[0], versions[1])
        entry.notes += details.notes
        entry.detail.update(details.detail)

    def _contents_of(self, version: Version) -> bytes | None:
        if version.size > MAX_DOCUMENT:
            raise LdsError(f"too large to be read: {version.size} bytes")
        return self._contents.read(version, MAX_DOCUMENT)

    def _details(self, entry: ReviewEntry, before: bytes | None, after: bytes | None) -> Details:
        """Return the changes in a file by its kind, and set the kind of the entry."""
        if entry.is_symlink:
            return lines_of(self._repo, entry.path, before, after)
        declared = self._declared.get(entry.git_path, {})
        kind = registry.kind_of_contents(entry.git_path, (before, after), declared)
        if kind is registry.COCO:
            try:
                self._add_annotations(entry, before, after)
            except NotCoco as error:
                if registry.declared(declared) is not None:
                    return lines_of(self._repo, entry.path, before, after, sentence(error.message, entry.path))
                kind = registry.JSON
            except LdsError as error:
                return lines_of(self._repo, entry.path, before, after, sentence(error.message, entry.path))
            else:
                return Details()
        return describe(self._repo, kind, entry.path, before, after, registry.key_columns(declared))

    def _add_annotations(self, entry: ReviewEntry, before: bytes | None, after: bytes | None) -> None:
        """Compare two versions of an annotation file. Raises LdsError if one is malformed, NotCoco if one is not COCO."""
        old, new = (coco.read(data, entry.path) if data else None for data in (before, after))
        changes = coco_diff.compare(old, new)
        number = len(self._review.sources)
        self._review.sources.append(AnnotationSource(entry.path, changes))
        entry.kind = "annotations"
        entry.detail["coco"] = number
        self._images.add_annotations(number, entry.git_path, old, new, changes)

    def _facts(self, entry: ReviewEntry) -> list[list[str | None]]:
        """Return what is known about a file that is not read: its type if it is on this machine, its size, its id."""
        sides = (entry.before, entry.after)
        heads = [self._contents.head(version, identify.HEAD) if version is not None else None for version in sides]
        types = [identify.described(head) if head is not None else None for head in heads]
        ids = [(v.oid or (v.blob or b"").decode()) if v is not None else None for v in sides]
        sizes = [f"{version.size} bytes" if version is not None else None for version in sides]
        facts: list[list[str | None]] = [["Type", *types]] if any(types) else []
        return [*facts, ["Size", *sizes], ["Contents", *ids]]

    def read_unchanged_annotations(self) -> None:
        """Read unchanged annotation files for images without annotations; only local ones, up to a total size."""
        if not any(self._images.without_annotations()):
            return
        budget = _UNCHANGED_DOCUMENTS
        for version in self._unchanged_json():
            if not 0 < version.size <= budget or not self._contents.is_here(version):
                continue
            with contextlib.suppress(LdsError):
                data = self._contents.read(version, budget) or b""
                if not coco.looks_like_coco(data):
                    continue
                read = coco.read(data, "")
                budget -= version.size
                self._images.add_annotations(-1, version.path, read, read, _NO_CHANGES)

    def _unchanged_json(self) -> list[Version]:
        """Return the files of the commit after that did not change and may be COCO."""
        changed = {entry.git_path for entry in self._review.entries}
        files = [
            version
            for path, version in self._images.after.files.items()
            if path not in changed and registry.by_name(path) is not registry.IMAGE
        ]
        declared = attributes.check(self._repo.git, registry.ATTRIBUTES, [version.path for version in files])
        return [version for version in files if registry.may_be_coco(version.path, declared[version.path])]

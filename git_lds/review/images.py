"""The images on the page, and the annotation files that name them."""

from __future__ import annotations

from collections.abc import Iterator

from git_lds.data.coco.diff import CocoChanges
from git_lds.data.coco.find_images import ImageFinder
from git_lds.data.coco.model import Coco
from git_lds.files import printable
from git_lds.repo import Repo
from git_lds.review.annotations import by_image
from git_lds.review.model import AnnotationGroup, Review, ReviewEntry
from git_lds.snapshots.listing import files_of
from git_lds.snapshots.version import Version


class CommitFiles:
    """The files of one commit, listed when they are first needed."""

    def __init__(self, repo: Repo, commit: str) -> None:
        self._repo, self._commit = repo, commit
        self._files: dict[bytes, Version] | None = None
        self._finder: ImageFinder | None = None

    @property
    def files(self) -> dict[bytes, Version]:
        if self._files is None:
            self._files = files_of(self._repo, self._commit)
        return self._files

    def find_image(self, name: str, annotation_file: bytes) -> bytes | None:
        """Return the path of the image that an annotation file names, or None."""
        if self._finder is None:
            self._finder = ImageFinder(self.files)
        return self._finder.find(name, annotation_file)


class ReviewedImages:
    """The entries of a review that are images. Annotations are added to them, and images whose annotations changed."""

    def __init__(self, repo: Repo, review: Review) -> None:
        self._review = review
        self.before = CommitFiles(repo, review.ends.base)
        self.after = CommitFiles(repo, review.ends.head)
        self._entries = {entry.git_path: entry for entry in review.entries if entry.kind == "image"}

    def without_annotations(self) -> Iterator[ReviewEntry]:
        """Yield the images that no annotation file describes so far."""
        return (entry for entry in self._entries.values() if not entry.groups)

    def add_annotations(
        self, number: int, annotation_file: bytes, before: Coco | None, after: Coco | None, changes: CocoChanges
    ) -> None:
        """Add the annotations of a file, which is source `number`, to their images.

        An image that is not on the page is added to it if its annotations changed.
        """
        paths = self._paths(annotation_file, before, after)
        listed = [name for name, path in paths.items() if path in self._entries]
        category_names = (after or before or Coco("", {})).category_names
        for name, image in by_image(before, after, changes, listed).items():
            path = paths.get(name)
            entry = self._entries.get(path) if path is not None else None
            if entry is None:
                if not image.changed:
                    continue
                entry = self._add_unchanged_image(name, path)
            entry.groups.append(AnnotationGroup(number, image, category_names))

    def _paths(self, annotation_file: bytes, before: Coco | None, after: Coco | None) -> dict[str, bytes | None]:
        """Return the path of each image that the two versions name, None for a name that is not a file."""
        paths: dict[str, bytes | None] = {}
        for coco, commit in ((before, self.before), (after, self.after)):
            for name in coco.image_names.values() if coco is not None else ():
                path = commit.find_image(name, annotation_file)
                if path is not None or name not in paths:
                    paths[name] = path
        return paths

    def _add_unchanged_image(self, name: str, path: bytes | None) -> ReviewEntry:
        version = None
        if path is not None:
            version = self.after.files.get(path) or self.before.files.get(path)
        shown = printable(path) if path is not None else name[:500]
        entry = ReviewEntry(shown, "image", "labels", version, version)
        if version is None:
            entry.notes.append("It has annotations, but no file has this name.")
        self._entries[path if path is not None else b"\0" + name.encode("utf-8", "backslashreplace")] = entry
        self._review.entries.append(entry)
        return entry

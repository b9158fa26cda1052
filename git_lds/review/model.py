"""The contents of a review: what the page and its summary show of the changes between two commits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from git_lds.data.coco.diff import CocoChanges, ListChanges
from git_lds.data.image.render import Pair
from git_lds.review.annotations import ImageAnnotations
from git_lds.snapshots.revisions import Ends
from git_lds.snapshots.version import Version


class AnnotationGroup(NamedTuple):
    """What one annotation file says about an image.

    `source` is the number of the file in `Review.sources`, -1 for a file that did not change. `category_names` has the names
    of its categories by id.
    """

    source: int
    image: ImageAnnotations
    category_names: Mapping[object, str]


@dataclass(slots=True)
class ReviewEntry:
    """One line of the page: a file that changed, or an unchanged image whose annotations changed.

    `kind` is image, annotations, table, json, text or binary. `change` is added, changed, removed, renamed, or labels for an
    unchanged image. `notes` name what could not be shown; `detail` is what the page shows when the line is selected.
    """

    path: str
    kind: str
    change: str
    before: Version | None
    after: Version | None
    old_path: str | None = None
    notes: list[str] = field(default_factory=list)
    groups: list[AnnotationGroup] = field(default_factory=list)
    detail: dict[str, object] = field(default_factory=dict)
    pair: Pair | None = None

    @property
    def versions(self) -> list[Version]:
        return [version for version in (self.before, self.after) if version is not None]

    @property
    def is_symlink(self) -> bool:
        """Whether the file is a symbolic link, whose contents are the path that it points to."""
        return bool(self.versions) and self.versions[-1].is_symlink

    @property
    def git_path(self) -> bytes:
        """The path as git has it; for an image that is not a file, the name in its annotation file."""
        return self.versions[-1].path if self.versions else self.path.encode("utf-8", "backslashreplace")

    @property
    def counts(self) -> tuple[int, int, int]:
        """The numbers of annotations of the image that were added, changed and removed."""
        counts = [group.image.counts for group in self.groups]
        return sum(c[0] for c in counts), sum(c[1] for c in counts), sum(c[2] for c in counts)

    @property
    def recorded_size(self) -> tuple[int, int] | None:
        """The width and height of the image in its annotation files."""
        return next((size for group in self.groups if (size := group.image.size) is not None), None)


@dataclass(frozen=True, slots=True)
class AnnotationSource:
    """An annotation file that changed, and the changes in it."""

    path: str
    changes: CocoChanges


@dataclass(slots=True)
class Review:
    """Everything that the page shows. `unlisted` counts the entries beyond those that are listed."""

    title: str
    ends: Ends
    entries: list[ReviewEntry]
    sources: list[AnnotationSource] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unlisted: int = 0


def totals(review: Review) -> dict[str, object]:
    """Return the numbers of files, images and annotations that were added, changed and removed, and the bytes."""
    files = [entry for entry in review.entries if entry.change != "labels"]
    changed = [source.changes.annotations for source in review.sources]
    return {
        "files": _by_change(files),
        "images": _by_change([entry for entry in files if entry.kind == "image"]),
        "renamed": sum(entry.change == "renamed" for entry in files),
        "labelled": sum(entry.change == "labels" for entry in review.entries),
        "bytes": [sum(entry.before.size for entry in files if entry.before is not None),
                  sum(entry.after.size for entry in files if entry.after is not None)],
        "annotations": [sum(counts_of(changes)[column] for changes in changed) for column in range(3)],
    }  # fmt: skip


def _by_change(entries: Iterable[ReviewEntry]) -> list[int]:
    changes = [entry.change for entry in entries]
    return [changes.count("added"), changes.count("changed"), changes.count("removed")]


def counts_of(changes: ListChanges) -> list[int]:
    """Return the numbers of records that were added, changed and removed."""
    return [len(changes.added), len(changes.changed), len(changes.removed)]


def sentence(message: str, path: str) -> str:
    """Return an error message about a file as a sentence for the line of that file."""
    text = message.removeprefix(f"{path}: ")
    return f"{text[:1].upper()}{text[1:]}."

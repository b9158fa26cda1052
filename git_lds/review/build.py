"""Builds the page: finds the changes, reads the documents, draws the pictures, and writes all of it to a directory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from git_lds.data import registry
from git_lds.data.image import identify, render
from git_lds.data.image.render import Studio
from git_lds.errors import LdsError
from git_lds.files import printable
from git_lds.git import attributes
from git_lds.progress import Progress
from git_lds.repo import Repo
from git_lds.review import pictures
from git_lds.review.annotations import Categories
from git_lds.review.directory import PageWriter, check_directory
from git_lds.review.documents import DocumentReader
from git_lds.review.listing import listing
from git_lds.review.model import Review, ReviewEntry
from git_lds.snapshots import changes
from git_lds.snapshots.changes import Changed
from git_lds.snapshots.contents import Contents
from git_lds.snapshots.revisions import Ends
from git_lds.snapshots.version import Version

MAX_ENTRIES = 20_000
"""Files that the page lists; the others are counted."""


def build(repo: Repo, ends: Ends, directory: Path, *, fetch: bool, progress: Progress) -> Review:
    """Make the page of the changes between two commits in `directory`; return what it shows.

    With `fetch`, missing objects are downloaded. Raises LdsError if the directory holds other files, or Pillow is missing.
    """
    render.need_pillow()
    check_directory(directory)
    found = changes.changed(repo, ends.base, ends.head)
    declared = attributes.check(repo.git, registry.ATTRIBUTES, [change.path for change in found])
    contents = Contents(repo)
    review = Review(_title(repo), ends, [_entry(contents, change, declared[change.path]) for change in found])

    def fetch_missing(versions: Iterable[Version]) -> None:
        if fetch:
            _fetch(contents, versions, review, progress)

    reader = DocumentReader(repo, contents, review, declared)
    reader.read_changed(fetch_missing)
    reader.read_unchanged_annotations()
    _limit(review)
    images = [(number, entry) for number, entry in enumerate(review.entries) if entry.kind == "image"]
    versions = [version for _, entry in images for version in entry.versions]
    fetch_missing(version for version in versions if version.size <= render.MAX_FILE)
    directory.mkdir(parents=True, exist_ok=True)
    studio = Studio(directory, render.Reader(contents), render.share_of(versions))
    _write(review, directory, studio, images, progress)
    return review


def _title(repo: Repo) -> str:
    top = repo.work_tree or repo.common_dir
    return printable(os.fsencode(top.name.removesuffix(".git"))) or "data"


def _entry(contents: Contents, change: Changed, declared: Mapping[str, bytes]) -> ReviewEntry:
    name = "removed" if change.after is None else "added" if change.before is None else "changed"
    old_path = printable(change.old_path) if change.old_path is not None else None
    if old_path is not None:
        name = "renamed"
    kind = _kind(contents, change, declared)
    return ReviewEntry(printable(change.path), kind, name, change.before, change.after, old_path)


_KINDS = {registry.COCO: "json", registry.JSON: "json", registry.JSONL: "json"}
"""Kinds whose entries have another name until their contents are read."""


def _kind(contents: Contents, change: Changed, declared: Mapping[str, bytes]) -> str:
    """Return the kind of an entry by its path and attributes; if they say nothing, by its first bytes if they are local.

    A symbolic link is text: the path that it points to.
    """
    version = change.after or change.before
    assert version is not None
    if version.is_symlink:
        return "text"
    kind = registry.kind_of(change.path, None, declared)
    if kind is registry.BINARY and registry.by_name(change.path) is None and registry.declared(declared) is None:
        head = contents.head(version, identify.HEAD) if contents.is_here(version) else None
        kind = registry.kind_of(change.path, head, declared)
    return _KINDS.get(kind, kind.name)


def _fetch(contents: Contents, versions: Iterable[Version], review: Review, progress: Progress) -> None:
    """Download missing versions; note on the page if some could not be downloaded."""
    missing = [version for version in versions if not contents.is_here(version)]
    if not missing:
        return
    try:
        failed = contents.fetch(missing, progress)
    except LdsError as error:
        failed = [error.message]
    if failed:
        more = f"; and {len(failed) - 1} more" if len(failed) > 1 else ""
        review.notes.append(f"Some objects could not be downloaded: {failed[0]}{more}")


def _limit(review: Review) -> None:
    """Sort the entries by path, and drop those above the limit: images first, which may be very many."""
    review.unlisted = max(0, len(review.entries) - MAX_ENTRIES)
    review.entries.sort(key=lambda entry: (entry.kind == "image", entry.path))
    del review.entries[MAX_ENTRIES:]
    review.entries.sort(key=lambda entry: entry.path)


def _write(
    review: Review,
    directory: Path,
    studio: Studio,
    images: Sequence[pictures.NumberedEntry],
    progress: Progress,
) -> None:
    """Draw the pictures and write the page. The details of an entry are freed once they are written."""
    writer = PageWriter(directory, len(review.entries))
    categories = Categories()

    def add(number: int, entry: ReviewEntry) -> None:
        writer.add(number, entry.detail)
        entry.detail = {}

    for number, entry in enumerate(review.entries):
        if entry.kind != "image":
            add(number, entry)
    progress.start("draw", len(images), sum(version.size for _, entry in images for version in entry.versions))
    try:
        for number, entry in pictures.draw(studio, images, categories):
            progress.moved(sum(version.size for version in entry.versions))
            progress.done(entry.path)
            add(number, entry)
    finally:
        progress.finish()
    writer.finish(review.title, listing(review, categories), studio.made)

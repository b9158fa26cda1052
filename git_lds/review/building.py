"""Builds the page: finds what changed, reads the annotations, makes the pictures, and writes all of it into a directory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from git_lds import workers
from git_lds.data.coco import diff as coco_diff
from git_lds.data.coco import model as coco
from git_lds.data.coco.diff import CocoChanges, ListChanges
from git_lds.data.coco.find_images import ImageFinder
from git_lds.data.coco.model import Coco
from git_lds.data.image import identify, render
from git_lds.data.image.render import Pair, Picture, Studio
from git_lds.data.json import strict
from git_lds.errors import LdsError
from git_lds.files import printable
from git_lds.progress import Progress
from git_lds.repo import Repo
from git_lds.review import page
from git_lds.review.annotations import Categories, OnImage, by_image, items_of
from git_lds.review.details import describe, is_lines, kind_of
from git_lds.snapshots import changes
from git_lds.snapshots.changes import Changed
from git_lds.snapshots.contents import Contents
from git_lds.snapshots.listing import files_of
from git_lds.snapshots.revisions import Ends
from git_lds.snapshots.version import Version
from git_lds.workers import Stop

MAX_ENTRIES = 20_000
"""Files that the page lists; the rest is counted."""

MAX_DOCUMENT = 256 << 20
"""Bytes of the largest annotation file, table or text that is read."""

_UNCHANGED_DOCUMENTS = 64 << 20
"""Bytes of annotation files without a change that are read for what they say of changed images."""

_PART = 50
"""Entries in one part of the data: with a thousand annotations each, a part is some megabytes."""

_OURS = ("data", "pictures")
"""The directories of a page beside its index.html."""

_NOT_HERE = "Its contents are not on this machine."


@dataclass(slots=True)
class Entry:
    """One line of the page: a file that changed, or an image that did not and whose annotations did ("labels")."""

    path: str
    kind: str
    change: str
    before: Version | None
    after: Version | None
    old_path: str | None = None
    notes: list[str] = field(default_factory=list)
    groups: list[tuple[int, OnImage, Mapping[object, str]]] = field(default_factory=list)
    detail: dict[str, object] = field(default_factory=dict)
    source: int | None = None
    pair: Pair | None = None

    @property
    def versions(self) -> list[Version]:
        return [version for version in (self.before, self.after) if version is not None]

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many annotations of the image were added, changed and removed."""
        counted = [at.counts for _, at, _ in self.groups]
        return sum(c[0] for c in counted), sum(c[1] for c in counted), sum(c[2] for c in counted)

    @property
    def recorded(self) -> tuple[int, int] | None:
        """The size that the image has for its annotations."""
        return next((size for _, at, _ in self.groups if (size := at.size) is not None), None)


@dataclass(frozen=True, slots=True)
class Source:
    """An annotation file that changed, and what changed in it."""

    path: str
    changes: CocoChanges


@dataclass(slots=True)
class Review:
    """What the page shows, for whoever writes about it."""

    title: str
    ends: Ends
    entries: list[Entry]
    sources: list[Source]
    notes: list[str]
    unlisted: int = 0


def build(repo: Repo, ends: Ends, directory: Path, *, fetch: bool, progress: Progress) -> Review:
    """Make the page of what changed between two commits in `directory`, which is empty, new or has such a page already.

    With `fetch` what is not on this machine is downloaded. Raises LdsError where the directory holds something else, or
    Pillow is missing.
    """
    render.need_pillow()
    check_directory(directory)
    found = changes.changed(repo, ends.base, ends.head)
    review = Review(_title(repo), ends, [_entry(each) for each in found], [], [])
    with Contents(repo) as contents:
        reading = _Reading(repo, contents, review, fetch=fetch, progress=progress)
        reading.documents()
        reading.unchanged_annotations()
        review.unlisted = max(0, len(review.entries) - MAX_ENTRIES)
        # what is cut off is images, of which there may be very many
        review.entries.sort(key=lambda entry: (entry.kind == "image", entry.path))
        del review.entries[MAX_ENTRIES:]
        review.entries.sort(key=lambda entry: entry.path)
        directory.mkdir(parents=True, exist_ok=True)
        reading.draw(directory)
    return review


def check_directory(directory: Path) -> None:
    """Raise LdsError where the directory is none, or holds something else than a page of ours."""
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
        raise LdsError(f"{directory} is no directory", "name another: git lds review -o DIR")
    for name in _OURS:
        for top, directories, names in os.walk(directory / name):
            if os.path.islink(top) or any(os.path.islink(os.path.join(top, each)) for each in (*directories, *names)):
                # the directory may have come with a clone: nothing is written or deleted through a link in it
                raise LdsError(f"{directory / name} holds links, as no page of ours does", "delete the directory")
    if directory.is_dir() and any(directory.iterdir()):
        with contextlib.suppress(OSError), open(directory / "index.html", "rb") as file:
            if page.MARK in file.read(200):
                return
        if all(each.name in _OURS or each.name.startswith(".index.html.") for each in directory.iterdir()):
            return  # what a page that was not finished has left
        raise LdsError(
            f"{directory} is not empty, and no page of git lds review", "name another: git lds review -o DIR"
        )


def _title(repo: Repo) -> str:
    top = repo.work_tree or repo.common_dir
    return printable(os.fsencode(top.name.removesuffix(".git"))) or "data"


def _entry(each: Changed) -> Entry:
    versions = (each.before, each.after)
    change = "removed" if each.after is None else "added" if each.before is None else "changed"
    old_path = printable(each.old_path) if each.old_path is not None else None
    if old_path is not None:
        change = "renamed"
    last = each.after or each.before
    assert last is not None
    return Entry(printable(each.path), kind_of(each.path, last), change, *versions, old_path)


class _Reading:
    """The entries while they are filled: what of the annotation files belongs to which image, by path."""

    def __init__(self, repo: Repo, contents: Contents, review: Review, *, fetch: bool, progress: Progress) -> None:
        self._repo, self._contents, self._review = repo, contents, review
        self._fetch, self._progress = fetch, progress
        self._categories = Categories()
        self._images = {_path(entry): entry for entry in review.entries if entry.kind == "image"}
        self._before: dict[bytes, Version] | None = None
        self._after: dict[bytes, Version] | None = None
        self._places: dict[bool, ImageFinder] = {}

    # the files of the two commits

    def _files(self, *, after: bool) -> dict[bytes, Version]:
        if after:
            self._after = files_of(self._repo, self._review.ends.head) if self._after is None else self._after
            return self._after
        self._before = files_of(self._repo, self._review.ends.base) if self._before is None else self._before
        return self._before

    def _find(self, name: str, source: bytes, *, after: bool) -> bytes | None:
        if after not in self._places:
            self._places[after] = ImageFinder(self._files(after=after))
        return self._places[after].find(name, source)

    # what is read

    def documents(self) -> None:
        """Read the annotation files, tables and texts that changed."""
        listed = [entry for entry in self._review.entries if entry.kind not in ("image", "binary")]
        self._bring(version for entry in listed for version in entry.versions if version.size <= MAX_DOCUMENT)
        for entry in listed:
            self._document(entry)
        for entry in self._review.entries:
            if entry.kind == "binary":
                entry.detail["facts"] = self._facts(entry)

    def _document(self, entry: Entry) -> None:
        sides: list[bytes | None] = []
        for version in (entry.before, entry.after):
            data = None
            if version is not None:
                try:
                    if version.size > MAX_DOCUMENT:
                        raise LdsError(f"too large to be read: {version.size} bytes")
                    data = self._contents.read(version, MAX_DOCUMENT)
                except LdsError as error:
                    entry.notes.append(_sentence(error.message, entry.path))
                    return
                if data is None:
                    entry.notes.append(_NOT_HERE)
                    return
            sides.append(data)
        if entry.old_path is not None:
            entry.detail["said"] = ["The contents are as they were."]
            return
        if entry.kind == "json" and not is_lines(entry.path) and self._annotations(entry, sides):
            return
        described = describe(self._repo, entry.kind, entry.path, sides[0], sides[1])
        entry.notes += described.notes
        entry.detail.update(described.detail)

    def _facts(self, entry: Entry) -> list[list[str | None]]:
        """Return what is known of a file that is not read: what it begins like, if it is here, its size and its name in git."""
        sides = (entry.before, entry.after)
        heads = [self._contents.head(version, 8192) if version is not None else None for version in sides]
        types = [identify.described(head) if head is not None else None for head in heads]
        names = [(v.oid or (v.blob or b"").decode()) if v is not None else None for v in sides]
        sizes = [f"{version.size} bytes" if version is not None else None for version in sides]
        facts: list[list[str | None]] = [["Type", *types]] if any(types) else []
        return [*facts, ["Size", *sizes], ["Contents", *names]]

    def _annotations(self, entry: Entry, sides: Sequence[bytes | None]) -> bool:
        """Read the two sides as COCO; tell whether they are."""
        read: list[Coco | None] = []
        for data in sides:
            try:
                document = strict.loads(data, entry.path) if data is not None else None
                if document is not None and not coco.is_coco(document):
                    return False
                read.append(coco.of_document(document, entry.path) if document is not None else None)
            except LdsError as error:
                entry.notes.append(_sentence(error.message, entry.path))
                entry.detail.update(describe(self._repo, "text", entry.path, sides[0], sides[1]).detail)
                return True
        self._coco(entry, read[0], read[1])
        return True

    def _coco(self, entry: Entry, before: Coco | None, after: Coco | None) -> None:
        found = coco_diff.compare(before, after)
        number = len(self._review.sources)
        self._review.sources.append(Source(entry.path, found))
        entry.kind, entry.source = "annotations", number
        entry.detail["coco"] = number
        self._arrange(number, entry.versions[-1].path, before, after, found)

    def _arrange(self, number: int, source: bytes, before: Coco | None, after: Coco | None, found: CocoChanges) -> None:
        """Give each image of an annotation file that is on the page, or comes to it now, what the file says of it."""
        paths: dict[str, bytes | None] = {}
        for side, is_after in ((before, False), (after, True)):
            for name in side.image_names.values() if side is not None else ():
                path = self._find(name, source, after=is_after)
                if path is not None or name not in paths:
                    paths[name] = path
        also = [name for name, path in paths.items() if path in self._images]
        names = (after or before or Coco("", {})).category_names
        for name, at in by_image(before, after, found, also).items():
            path = paths.get(name)
            image = self._images.get(path) if path is not None else None
            if image is None:
                if not at.changed:
                    continue
                image = self._labelled(name, path)
            image.groups.append((number, at, names))

    def _labelled(self, name: str, path: bytes | None) -> Entry:
        """Return a new entry for an image that is as it was."""
        version = None
        if path is not None:
            version = self._files(after=True).get(path) or self._files(after=False).get(path)
        entry = Entry(printable(path) if path is not None else name[:500], "image", "labels", version, version)
        if version is None:
            entry.notes.append("There are annotations for it, and no file of this name.")
        self._images[path if path is not None else b"\0" + name.encode("utf-8", "backslashreplace")] = entry
        self._review.entries.append(entry)
        return entry

    def unchanged_annotations(self) -> None:
        """Read annotation files that did not change, where images did, if they are here and not too large."""
        images = {path for path, entry in self._images.items() if not entry.groups}
        left = _UNCHANGED_DOCUMENTS
        if not images:
            return
        changed = {_path(entry) for entry in self._review.entries}
        for path, version in self._files(after=True).items():
            is_asked = path.endswith(b".json") and path not in changed and 0 < version.size <= left
            if not is_asked or not self._contents.is_here(version):
                continue
            with contextlib.suppress(LdsError):
                document = strict.loads(self._contents.read(version, left) or b"", "")
                if coco.is_coco(document):
                    left -= version.size
                    same = coco.of_document(document, "")
                    nothing = CocoChanges(ListChanges(), ListChanges(), ListChanges(), {}, 0, ())
                    self._arrange(-1, path, same, same, nothing)

    def _bring(self, versions: Iterable[Version]) -> None:
        """Download what is missing, if that is wanted; what does not come is said on the page."""
        missing = [version for version in versions if not self._contents.is_here(version)]
        if not missing or not self._fetch:
            return
        try:
            failed = self._contents.fetch(missing, self._progress)
        except LdsError as error:
            failed = [error.message]
        if failed:
            more = f"; and {len(failed) - 1} more" if len(failed) > 1 else ""
            self._review.notes.append(f"Not everything could be downloaded: {failed[0]}{more}")

    # what is drawn

    def draw(self, directory: Path) -> None:
        """Make the pictures and write everything."""
        entries = self._review.entries
        images = [(number, entry) for number, entry in enumerate(entries) if entry.kind == "image"]
        versions = [version for _, entry in images for version in entry.versions]
        self._bring(version for version in versions if version.size <= render.MAX_FILE)
        studio = Studio(directory, render.Reader(self._contents), render.share_of(versions))
        left = [len(entries[at : at + _PART]) for at in range(0, len(entries), _PART)]
        details: dict[int, dict[int, object]] = {}

        def finish(number: int, entry: Entry) -> None:
            part = number // _PART
            details.setdefault(part, {})[number] = entry.detail
            entry.detail = {}
            left[part] -= 1
            if not left[part]:
                page.write_part(directory, part, details.pop(part))

        for number, entry in enumerate(entries):
            if entry.kind != "image":
                finish(number, entry)
        self._progress.start("draw", len(images), sum(version.size for version in versions))
        try:
            for number, entry in self._drawn(studio, images):
                self._describe_image(entry)
                self._progress.moved(sum(version.size for version in entry.versions))
                self._progress.done(entry.path)
                finish(number, entry)
        finally:
            self._progress.finish()
        page.write_index(directory, self._review.title, self._as_json())
        _sweep(directory, studio.made | {f"data/{number}.js" for number in range(len(left))})

    def _drawn(self, studio: Studio, images: Sequence[tuple[int, Entry]]) -> Iterator[tuple[int, Entry]]:
        def work(job: tuple[int, Entry], stop: Stop) -> tuple[int, Entry]:
            stop.check()
            job[1].pair = studio.pair(job[1].before, job[1].after, job[1].recorded)
            return job

        # Pillow lets go of Python's lock while it decodes, scales and encodes
        yield from workers.run(images, work, count=min(8, os.cpu_count() or 1))

    def _describe_image(self, entry: Entry) -> None:
        pair = entry.pair
        assert pair is not None
        for side in dict.fromkeys((pair.before, pair.after)):
            if isinstance(side, str):
                entry.notes.append(side)
        shown_sizes = {side.size for side in (pair.before, pair.after) if isinstance(side, Picture)}
        notes = []
        if entry.recorded is not None and shown_sizes and entry.recorded not in shown_sizes:
            notes.append(f"its annotations are for {entry.recorded[0]} by {entry.recorded[1]} pixels")
        groups = []
        for number, at, names in entry.groups:
            size = at.size or next(iter(shown_sizes), (1, 1))
            groups.append({"source": number, "size": size, **items_of(at, self._categories, names)})
        entry.detail.update(
            {
                "pictures": [_picture(pair.before), _picture(pair.after)],
                "difference": pair.difference,
                "annotations": groups,
                "notes": notes,
            }
        )

    # what the page reads first

    def _as_json(self) -> dict[str, object]:
        review = self._review
        sources = [self._source(number, source) for number, source in enumerate(review.sources)]
        listed = [self._line(number, entry) for number, entry in enumerate(review.entries)]
        notes = list(review.notes)
        if review.unlisted:
            notes.append(f"{review.unlisted} more files changed than are listed here.")
        return {
            "title": review.title,
            "base": review.ends.base_name,
            "head": review.ends.head_name,
            "how": review.ends.how,
            "notes": notes,
            "totals": totals(review),
            "sources": sources,
            "entries": listed,
            "categories": list(self._categories.names),
        }

    def _source(self, number: int, source: Source) -> dict[str, object]:
        found = source.changes
        facts = []
        if found.renumbered:
            facts.append(f"{found.renumbered} records have another id and are otherwise as they were.")
        if found.others:
            facts.append(f"Also changed: {', '.join(found.others[:20])}.")
        counts = sorted(found.counts.items(), key=lambda item: (-abs(item[1][1] - item[1][0]), -max(item[1]), item[0]))
        return {
            "id": number,
            "path": source.path,
            "images": _numbers(found.images),
            "annotations": _numbers(found.annotations),
            "names": _numbers(found.categories),
            "facts": facts,
            "categories": [[self._categories.number(name), *count] for name, count in counts[:2000]],
        }

    def _line(self, number: int, entry: Entry) -> dict[str, object]:
        line: dict[str, object] = {"p": entry.path, "k": entry.kind, "c": entry.change, "s": number // _PART}
        if entry.old_path is not None:
            line["o"] = entry.old_path
        if entry.versions:
            line["b"] = [version.size if version is not None else None for version in (entry.before, entry.after)]
        if entry.notes:
            line["n"] = " ".join(dict.fromkeys(entry.notes))
        if entry.pair is not None:
            line["t"] = [p.thumb if isinstance(p, Picture) else None for p in (entry.pair.before, entry.pair.after)]
        if entry.groups:
            line["a"] = entry.counts
            line["q"] = [source for source, at, _ in entry.groups if at.changed]
            named = {
                self._categories.number(name)
                for _, at, _ in entry.groups
                for _, change in at.changed
                for name in (change.category, change.old_category)
                if name is not None
            }
            line["g"] = sorted(named)
        return line


def totals(review: Review) -> dict[str, object]:
    """Return the numbers of the whole: files, images and annotations that were added, changed and removed, and bytes."""
    files = [entry for entry in review.entries if entry.change != "labels"]
    changed = [source.changes.annotations for source in review.sources]
    return {
        "files": _by_change(files),
        "images": _by_change([entry for entry in files if entry.kind == "image"]),
        "renamed": sum(entry.change == "renamed" for entry in files),
        "labelled": sum(entry.change == "labels" for entry in review.entries),
        "bytes": [sum(entry.before.size for entry in files if entry.before is not None),
                  sum(entry.after.size for entry in files if entry.after is not None)],
        "annotations": [sum(_numbers(each)[at] for each in changed) for at in range(3)],
    }  # fmt: skip


def _by_change(entries: Iterable[Entry]) -> list[int]:
    kinds = [entry.change for entry in entries]
    return [kinds.count("added"), kinds.count("changed"), kinds.count("removed")]


def _numbers(found: ListChanges) -> list[int]:
    return [len(found.added), len(found.changed), len(found.removed)]


def _picture(picture: Picture | str | None) -> dict[str, object] | None:
    if picture is None:
        return None
    if isinstance(picture, str):
        return {"absent": picture}
    found: dict[str, object] = {"src": picture.large, "width": picture.shown[0], "height": picture.shown[1]}
    if picture.size != picture.shown:
        found["of"] = picture.size
    return found


def _path(entry: Entry) -> bytes:
    return entry.versions[-1].path if entry.versions else entry.path.encode("utf-8", "backslashreplace")


def _sentence(message: str, path: str) -> str:
    said = message.removeprefix(f"{path}: ")
    return f"{said[:1].upper()}{said[1:]}."


def _sweep(directory: Path, made: set[str]) -> None:
    """Delete what an earlier page had in the two directories that are ours."""
    for name in _OURS:
        for top, _, names in os.walk(directory / name, topdown=False):
            for each in names:
                path = Path(top, each)
                if path.relative_to(directory).as_posix() not in made:
                    path.unlink()
            with contextlib.suppress(OSError):
                os.rmdir(top)  # which only works on empty ones

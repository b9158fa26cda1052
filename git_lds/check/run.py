"""Checks the files in the index: each annotation file, each image, and the splits of the dataset."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from git_lds import workers
from git_lds.check.drift import FileCounts, between_splits, between_versions, count_categories
from git_lds.check.findings import CheckReport
from git_lds.check.rules import Rules
from git_lds.check.splits import SplitMembers
from git_lds.data import registry
from git_lds.data.coco import checks as coco_checks
from git_lds.data.coco import model as coco
from git_lds.data.coco.checks import Finding
from git_lds.data.coco.find_images import ImageFinder
from git_lds.data.coco.model import Coco
from git_lds.data.image import render
from git_lds.data.json import strict
from git_lds.errors import LdsError
from git_lds.files import printable
from git_lds.git import attributes
from git_lds.patterns import wants
from git_lds.progress import Progress
from git_lds.repo import Repo
from git_lds.snapshots.changes import Place
from git_lds.snapshots.contents import Contents
from git_lds.snapshots.listing import files_of
from git_lds.snapshots.version import Version, has_same_contents
from git_lds.workers import Stop

MAX_DOCUMENT = 256 << 20
"""Bytes of the largest annotation file that is read."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which files to check.

    `paths` limits the files (None: all). `base` is the commit that counts as before, if any. With `only_changed`, images
    that are the same in `base` are not decoded. With `fetch`, missing objects are downloaded.
    """

    paths: frozenset[bytes] | None
    base: str | None
    only_changed: bool
    fetch: bool


def check(repo: Repo, rules: Rules, scope: Scope, progress: Progress) -> CheckReport:
    """Check the files in the index; return the mistakes. Nothing is downloaded unless `scope` allows it.

    Raises LdsError if objects are to be downloaded and no store is configured.
    """
    return _CheckRun(repo, Contents(repo), rules, scope, progress).run()


@dataclass(frozen=True, slots=True)
class _AnnotationFile:
    version: Version
    coco: Coco


class _CheckRun:
    """One run of all checks."""

    def __init__(self, repo: Repo, contents: Contents, rules: Rules, scope: Scope, progress: Progress) -> None:
        self._git, self._contents = repo.git, contents
        self._rules, self._scope, self._progress = rules, scope, progress
        self._declared: Mapping[bytes, Mapping[str, bytes]] = {}
        self._report = CheckReport()
        self._files = files_of(repo, Place.INDEX)
        self._base: dict[bytes, Version] = {}
        if scope.base is not None and (scope.only_changed or rules.runs("drift")):
            self._base = files_of(repo, scope.base)
        self._finder = ImageFinder(self._files)
        self._splits = SplitMembers(rules)
        self._recorded_sizes: dict[bytes, list[tuple[str, tuple[int, int]]]] = {}
        self._newly_annotated: set[bytes] = set()

    def run(self) -> CheckReport:
        counts = []
        for file in self._annotation_files():
            self._check_annotations(file)
            counts.append(
                FileCounts(file.coco.name, self._rules.split_of(file.version.path), count_categories(file.coco))
            )
        if self._rules.runs("drift"):
            self._add(between_splits(counts, self._rules.drift))
        self._check_images()
        if self._rules.runs("splits"):
            self._check_splits()
        self._report.findings.sort()
        return self._report

    def _add(self, findings: Iterable[Finding]) -> None:
        self._report.add(finding for finding in findings if self._rules.runs(finding.check))

    # annotation files

    def _annotation_files(self) -> Iterator[_AnnotationFile]:
        """Yield the annotation files that can be read; report the others."""
        candidates = [version for path, version in self._files.items() if self._may_be_annotations(path, version)]
        if not self._rules.annotations:
            paths = [version.path for version in candidates]
            self._declared = attributes.check(self._git, registry.ATTRIBUTES, paths, cached=True)
            candidates = [v for v in candidates if registry.may_be_coco(v.path, self._declared[v.path])]
        self._fetch(candidates)
        for version in candidates:
            path = printable(version.path)
            try:
                read = self._read_annotations(version, path)
            except LdsError as error:
                self._add([Finding(path, "format", error.message.removeprefix(f"{path}: "))])
                continue
            if read is not None:
                self._report.annotations += 1
                yield _AnnotationFile(version, read)

    def _read_annotations(self, version: Version, path: str) -> Coco | None:
        """Return a file as COCO, None if it is absent or other JSON. Raises LdsError if it cannot be read."""
        if version.size > MAX_DOCUMENT:
            raise LdsError(f"too large to be read: {version.size} bytes")
        data = self._contents.read(version, MAX_DOCUMENT)
        if data is None:
            self._report.absent.append(path)
            return None
        document = strict.loads(data, path)
        is_declared = self._rules.annotations or registry.declared(self._declared[version.path]) is not None
        return coco.of_document(document, path) if is_declared or coco.is_coco(document) else None

    def _may_be_annotations(self, path: bytes, version: Version) -> bool:
        if not self._is_selected(path):
            return False
        if self._rules.annotations:
            return wants(path, self._rules.annotations, ())
        # JSON that git keeps itself is often the configuration of a program, with comments in it
        return version.oid is not None and version.size > 0 and registry.by_name(path) is not registry.IMAGE

    def _is_selected(self, path: bytes) -> bool:
        return self._is_in_scope(path) and wants(path, (), self._rules.exclude)

    def _is_in_scope(self, path: bytes) -> bool:
        return self._scope.paths is None or path in self._scope.paths

    def _check_annotations(self, file: _AnnotationFile) -> None:
        self._add(coco_checks.of_ids(file.coco))
        self._add(coco_checks.of_references(file.coco))
        self._add(coco_checks.of_boxes(file.coco))
        self._add(self._missing_images(file))
        if self._rules.runs("drift"):
            self._check_drift(file)

    def _missing_images(self, file: _AnnotationFile) -> Iterator[Finding]:
        """Yield the images of an annotation file that are not files; note what it says about the others."""
        name = file.coco.name
        split = self._rules.split_of(file.version.path)
        is_same = _is_same(file.version, self._base.get(file.version.path))
        for record in file.coco.images:
            file_name = record.get("file_name")
            if not file_name:
                yield Finding(name, "missing", f"image {strict.shortened(record['id'])} has no file_name")
                continue
            path = self._finder.find(file_name, file.version.path)
            if path is None:
                yield Finding(name, "missing", f"{strict.shortened(file_name)} is annotated and is not a file")
                continue
            if not is_same:
                self._newly_annotated.add(path)
            width, height = record.get("width"), record.get("height")
            if width and height and max(width, height) < 1 << 31:  # 1e999 is a number in JSON
                self._recorded_sizes.setdefault(path, []).append((name, (int(width), int(height))))
            if split is not None:
                self._splits.add(path, split, name)

    def _check_drift(self, file: _AnnotationFile) -> None:
        before = self._base.get(file.version.path)
        if before is None or before.oid == file.version.oid or before.size > MAX_DOCUMENT:
            return
        name = file.coco.name
        if not self._contents.is_here(before):
            self._report.notes.append(f"{name}: drift was not checked: the version before is not on this machine")
            return
        try:
            old = coco.read(self._contents.read(before, MAX_DOCUMENT) or b"", name)
        except LdsError:
            return  # a malformed version before is not a mistake in this one
        self._add(between_versions(old, file.coco, self._rules.drift))

    # images

    def _check_images(self) -> None:
        images = [version for path, version in self._files.items() if self._is_selected(path) and self._is_image(path)]
        changed = {version.path for version in images if not _is_same(version, self._base.get(version.path))}
        if self._scope.only_changed:
            images = [version for version in images if version.path in changed | self._newly_annotated]
        decodes = self._rules.runs("decode")
        if not decodes and not self._rules.runs("size"):
            return
        try:
            render.need_pillow()
        except LdsError as error:
            self._report.notes.append(f"images were not checked: {error.message}: {error.hint}")
            return
        self._fetch(images)
        self._progress.start("check", len(images), sum(version.size for version in images))
        try:
            for version, findings in self._checked_images(images, changed):
                if findings is None:
                    self._report.absent.append(printable(version.path))
                else:
                    self._report.images += 1
                    self._add(findings)
                self._progress.moved(version.size)
                self._progress.done(printable(version.path))
        finally:
            self._progress.finish()

    def _checked_images(
        self, images: Sequence[Version], changed: set[bytes]
    ) -> Iterator[tuple[Version, list[Finding] | None]]:
        """Yield each image with its mistakes, or None if it is absent. Several are read at the same time."""
        reader = render.Reader(self._contents)
        decodes_unchanged = not self._scope.only_changed

        def work(version: Version, stop: Stop) -> tuple[Version, list[Finding] | None]:
            stop.check()
            # in an image that did not change, only the size that an annotation file now records can be wrong
            whole = self._rules.runs("decode") and (decodes_unchanged or version.path in changed)
            return version, self._image_findings(reader, version, whole=whole)

        return workers.run(images, work, count=min(8, os.cpu_count() or 1))

    def _image_findings(self, reader: render.Reader, version: Version, *, whole: bool) -> list[Finding] | None:
        """Return the mistakes in an image, which is decoded if `whole`; None if it is absent."""
        path = printable(version.path)
        if not self._contents.is_here(version):
            return None
        try:
            sizes = reader.sizes(version, whole=whole)
        except render.NotAnImage as error:
            return [Finding(path, "decode", str(error).rstrip("."))]
        width, height = sizes[0]
        return [
            Finding(path, "size", f"is {width} by {height}, and {name} says {recorded[0]} by {recorded[1]}")
            for name, recorded in self._recorded_sizes.get(version.path, ())
            if recorded not in sizes
        ]

    def _is_image(self, path: bytes) -> bool:
        if self._rules.images:
            return wants(path, self._rules.images, ())
        return registry.by_name(path) is registry.IMAGE

    def _check_splits(self) -> None:
        for path, version in sorted(self._files.items()):
            is_member = self._splits.is_annotated(path) or self._is_image(path)
            if is_member and wants(path, (), self._rules.exclude):
                findings = self._splits.leaks(version)  # files out of scope count, too: others are compared with them
                if self._is_in_scope(path):
                    self._add(findings)

    def _fetch(self, versions: Sequence[Version]) -> None:
        if not self._scope.fetch:
            return
        wanted = (version for version in versions if version.size <= MAX_DOCUMENT)
        missing = [version for version in wanted if not self._contents.is_here(version)]
        if missing:
            failed = self._contents.fetch(missing, self._progress)
            self._report.notes += [f"could not be downloaded: {message}" for message in failed[:10]]


def _is_same(version: Version, before: Version | None) -> bool:
    """Return whether a file existed before with the same contents."""
    return before is not None and version.size == before.size and has_same_contents(version, before)

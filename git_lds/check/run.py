"""Finds what is wrong with the data in the index: in each annotation file, in each image, and between them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from git_lds import workers
from git_lds.check.rules import Rules
from git_lds.data.coco import checks as coco_checks
from git_lds.data.coco import model as coco
from git_lds.data.coco.checks import Finding
from git_lds.data.coco.find_images import Places
from git_lds.data.coco.model import Coco
from git_lds.data.image import render
from git_lds.data.json import strict
from git_lds.errors import LdsError
from git_lds.files import printable
from git_lds.patterns import wants
from git_lds.progress import Progress
from git_lds.repo import Repo
from git_lds.snapshots.changes import Place, Version
from git_lds.snapshots.contents import Contents
from git_lds.snapshots.listing import files_of
from git_lds.workers import Stop

MAX_DOCUMENT = 256 << 20
_KEPT = 1_000
"""Findings of one kind in one file that are kept; the rest is counted."""

_LEAST = 20
"""Annotations that a category would have in a split, or before, for a difference to be more than chance."""


@dataclass(slots=True)
class Checked:
    """What was found. `more` counts findings that are not kept, by path and check; `absent` are files that are not on this
    machine and so were not looked into; `notes` say what else was not checked."""

    findings: list[Finding] = field(default_factory=list)
    more: dict[tuple[str, str], int] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    annotations: int = 0
    images: int = 0

    @property
    def count(self) -> int:
        """How many mistakes there are in all."""
        return len(self.findings) + sum(self.more.values())


@dataclass(frozen=True, slots=True)
class _Read:
    """An annotation file that could be read."""

    path: bytes
    version: Version
    coco: Coco


@dataclass(frozen=True, slots=True)
class Scope:
    """What to check: `paths` (None: all); the commit that counts as before, if any; only what changed since it of the images."""

    paths: frozenset[bytes] | None
    base: str | None
    only_changed: bool
    fetch: bool


def check(repo: Repo, rules: Rules, scope: Scope, progress: Progress) -> Checked:
    """Check the files of the index, and return what is wrong. Nothing is downloaded unless the scope says so."""
    with Contents(repo) as contents:
        return _Checking(repo, contents, rules, scope, progress).run()


class _Checking:
    def __init__(self, repo: Repo, contents: Contents, rules: Rules, scope: Scope, progress: Progress) -> None:
        self._repo, self._contents, self._rules, self._scope, self._progress = repo, contents, rules, scope, progress
        self._result = Checked()
        self._kept: dict[tuple[str, str], int] = {}
        self._files = files_of(repo, Place.INDEX)
        self._base: dict[bytes, Version] = {}
        if scope.base is not None and (scope.only_changed or rules.wants("drift")):
            self._base = files_of(repo, scope.base)
        self._places = Places(self._files)
        self._recorded: dict[bytes, list[tuple[str, tuple[int, int]]]] = {}
        self._splits: dict[bytes, dict[str, str]] = {}
        self._said_anew: set[bytes] = set()

    def run(self) -> Checked:
        counts: dict[bytes, tuple[str | None, dict[str, int]]] = {}
        for read in self._annotations():
            self._file(read)
            counts[read.path] = self._rules.split_of(read.path), _counts(read.coco)
            if self._rules.wants("drift"):
                self._drift_since(read)
        if self._rules.wants("drift"):
            self._drift_between(counts)
        self._images()
        if self._rules.wants("splits"):
            self._between_splits()
        self._result.findings.sort()
        return self._result

    def _found(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            if not self._rules.wants(finding.check):
                continue
            kind = finding.path, finding.check
            self._kept[kind] = self._kept.get(kind, 0) + 1
            if self._kept[kind] <= _KEPT:
                self._result.findings.append(finding)
            else:
                self._result.more[kind] = self._result.more.get(kind, 0) + 1

    # annotation files

    def _annotations(self) -> Iterator[_Read]:
        listed = [version for path, version in self._files.items() if self._is_annotation(path, version)]
        self._bring(listed)
        for version in listed:
            path = printable(version.path)
            try:
                if version.size > MAX_DOCUMENT:
                    raise LdsError(f"too large to be read: {version.size} bytes")
                data = self._contents.read(version, MAX_DOCUMENT)
                if data is None:
                    self._result.absent.append(path)
                    continue
                document = strict.loads(data, path)
                if not self._rules.annotations and not coco.is_coco(document):
                    continue
                found = coco.of_document(document, path)
            except LdsError as error:
                self._found([Finding(path, "format", error.message.removeprefix(f"{path}: "))])
                continue
            self._result.annotations += 1
            yield _Read(version.path, version, found)

    def _is_annotation(self, path: bytes, version: Version) -> bool:
        if not self._is_wanted(path):
            return False
        if self._rules.annotations:
            return wants(path, self._rules.annotations, ())
        # a .json that git keeps itself is as likely the settings of a program, with comments in it
        return path.endswith(b".json") and version.oid is not None and version.size > 0

    def _is_wanted(self, path: bytes) -> bool:
        is_named = self._scope.paths is None or path in self._scope.paths
        return is_named and wants(path, (), self._rules.exclude)

    def _file(self, read: _Read) -> None:
        self._found(coco_checks.of_ids(read.coco))
        self._found(coco_checks.of_references(read.coco))
        self._found(coco_checks.of_boxes(read.coco))
        self._found(self._named_images(read))

    def _named_images(self, read: _Read) -> Iterator[Finding]:
        """Yield the images that no file is, and note of the others what the file says of them."""
        split = self._rules.split_of(read.path)
        is_as_before = _is_as_before(read.version, self._base.get(read.path))
        for record in read.coco.images:
            name = record.get("file_name")
            if not name:
                yield Finding(read.coco.name, "missing", f"image {strict.shortened(record['id'])} has no file_name")
                continue
            path = self._places.find(name, read.path)
            if path is None:
                yield Finding(read.coco.name, "missing", f"{strict.shortened(name)} is annotated, and no file is it")
                continue
            if not is_as_before:
                self._said_anew.add(path)
            width, height = record.get("width"), record.get("height")
            if width and height and max(width, height) < 1 << 31:  # 1e999 is a number of JSON
                self._recorded.setdefault(path, []).append((read.coco.name, (int(width), int(height))))
            if split is not None:
                self._splits.setdefault(path, {}).setdefault(split, f"in {read.coco.name}")

    # drift

    def _drift_since(self, read: _Read) -> None:
        before = self._base.get(read.path)
        if before is None or before.oid == read.version.oid or before.size > MAX_DOCUMENT:
            return
        if not self._contents.is_here(before):
            self._result.notes.append(f"{read.coco.name}: drift was not checked: the version before is not here")
            return
        try:
            old = coco.read(self._contents.read(before, MAX_DOCUMENT) or b"", read.coco.name)
        except LdsError:
            return  # that it was malformed is no mistake of now
        for name, was, now in _drift(_counts(old), _counts(read.coco), self._rules.drift):
            message = f"{now} of the annotations are {strict.shortened(name)}, and {was} were before"
            self._found([Finding(read.coco.name, "drift", message)])

    def _drift_between(self, counts: Mapping[bytes, tuple[str | None, dict[str, int]]]) -> None:
        splits: dict[str, dict[str, int]] = {}
        paths: dict[str, bytes] = {}
        for path, (split, found) in counts.items():
            if split is not None:
                paths.setdefault(split, path)
                total = splits.setdefault(split, {})
                for name, count in found.items():
                    total[name] = total.get(name, 0) + count
        if len(splits) < 2:
            return
        largest = max(splits, key=lambda split: (sum(splits[split].values()), split))
        for split, found in splits.items():
            if split != largest:
                for name, was, now in _drift(splits[largest], found, self._rules.drift):
                    message = (
                        f"{now} of the annotations in {split} are {strict.shortened(name)}, and {was} in {largest}"
                    )
                    self._found([Finding(printable(paths[split]), "drift", message)])

    # images

    def _images(self) -> None:
        listed = [version for path, version in self._files.items() if self._is_image(path)]
        changed = {version.path for version in listed if not _is_as_before(version, self._base.get(version.path))}
        if self._scope.only_changed:
            listed = [version for version in listed if version.path in changed | self._said_anew]
        if not self._rules.wants("decode") and not self._rules.wants("size"):
            return
        whole = self._rules.wants("decode")
        try:
            render.need_pillow()
        except LdsError as error:
            self._result.notes.append(f"images were not looked into: {error.message}: {error.hint}")
            return
        self._bring(listed)
        self._progress.start("check", len(listed), sum(version.size for version in listed))
        reader = render.Reader(self._contents)

        def work(version: Version, stop: Stop) -> tuple[Version, list[Finding] | None]:
            stop.check()
            # of an image that is as it was, only what an annotation file now says of its size can be wrong
            looks_deep = whole and (version.path in changed or not self._scope.only_changed)
            return version, self._image(reader, version, whole=looks_deep)

        try:
            for version, found in workers.run(listed, work, count=min(8, os.cpu_count() or 1)):
                if found is None:
                    self._result.absent.append(printable(version.path))
                else:
                    self._result.images += 1
                    self._found(found)
                self._progress.moved(version.size)
                self._progress.done(printable(version.path))
        finally:
            self._progress.finish()

    def _is_image(self, path: bytes) -> bool:
        if not self._is_wanted(path):
            return False
        if self._rules.images:
            return wants(path, self._rules.images, ())
        return path.lower().endswith(render.ENDINGS)

    def _image(self, reader: render.Reader, version: Version, *, whole: bool) -> list[Finding] | None:
        """Return what is wrong with an image, None when it is not here."""
        path = printable(version.path)
        if not self._contents.is_here(version):
            return None
        try:
            sizes = reader.sizes(version, whole=whole)
        except render.NotAnImage as error:
            return [Finding(path, "decode", str(error).rstrip("."))]
        return [
            Finding(path, "size", f"is {sizes[0][0]} by {sizes[0][1]}, and {name} says {said[0]} by {said[1]}")
            for name, said in self._recorded.get(version.path, ())
            if said not in sizes
        ]

    def _between_splits(self) -> None:
        """Find images that are in more than one split, by their contents: pointers tell, wherever the contents are."""
        first: dict[str, dict[str, tuple[bytes, str]]] = {}
        for path, version in sorted(self._files.items()):
            if not wants(path, (), self._rules.exclude) or not (path in self._splits or self._is_image_name(path)):
                continue
            named = dict(self._splits.get(path, {}))
            if (split := self._rules.split_of(path)) is not None:
                named.setdefault(split, "by its path")
            key = version.oid or (version.blob or b"").decode()
            there = first.setdefault(key, {})
            others = [(other, place) for other, place in there.items() if other not in named]
            if self._scope.paths is None or path in self._scope.paths:
                self._found(_leaks(path, named, others))
            for split, why in named.items():
                there.setdefault(split, (path, why))

    def _is_image_name(self, path: bytes) -> bool:
        return wants(path, self._rules.images, ()) if self._rules.images else path.lower().endswith(render.ENDINGS)

    def _bring(self, versions: Sequence[Version]) -> None:
        if not self._scope.fetch:
            return
        wanted = (version for version in versions if version.size <= MAX_DOCUMENT)
        missing = [version for version in wanted if not self._contents.is_here(version)]
        if missing:
            failed = self._contents.fetch(missing, self._progress)
            self._result.notes += [f"could not be downloaded: {message}" for message in failed[:10]]


def _leaks(path: bytes, named: Mapping[str, str], others: Sequence[tuple[str, tuple[bytes, str]]]) -> Iterator[Finding]:
    """Yield that an image is in two splits: by itself, and as the same image that has another path."""
    if len(named) > 1:
        where = " and ".join(f"{split} ({why})" for split, why in sorted(named.items()))
        yield Finding(printable(path), "splits", f"is in split {where}")
    for split, (other, _) in others:
        if named:
            mine = " and ".join(sorted(named))
            yield Finding(
                printable(path), "splits", f"in split {mine}, is the same image as {printable(other)} in {split}"
            )


def _counts(found: Coco) -> dict[str, int]:
    counts: dict[str, int] = {}
    names: dict[object, str] = dict(found.category_names)
    for record in found.annotations:
        if (name := names.get(record.get("category_id"))) is not None:
            counts[name] = counts.get(name, 0) + 1
    return counts


def _drift(before: Mapping[str, int], after: Mapping[str, int], factor: float) -> Iterator[tuple[str, str, str]]:
    """Yield (category, its share before, its share after) where one of the two is at least `factor` times the other."""
    all_before, all_after = sum(before.values()), sum(after.values())
    if not all_before or not all_after:
        return
    for name in dict.fromkeys([*before, *after]):
        was, now = before.get(name, 0) / all_before, after.get(name, 0) / all_after
        if max(was, now) * min(all_before, all_after) < _LEAST:
            continue
        if now < was / factor or now > was * factor:
            yield name, _percent(was), _percent(now)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _is_as_before(version: Version, before: Version | None) -> bool:
    return before is not None and (version.oid, version.size) == (before.oid, before.size) and (
        version.oid is not None or version.blob == before.blob
    )  # fmt: skip

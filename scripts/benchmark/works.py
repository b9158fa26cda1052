"""What is measured: works, which are sequences of steps, and what each step must have brought about."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmark import datasets
from benchmark.datasets import MIB, Manifest, Version
from benchmark.places import Place
from benchmark.tools import COPY, DVC, GIT_LDS, GIT_LDS_DIRECTORY, GIT_LFS, NOTHING, PLAIN, PYTHON, Tool


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is timed: shell words, the working tree they run in or are to make, and as whom.

    Afterwards the directory `result` must hold `expected`; where `quiet`, nothing may have been said. The figures are those
    of the tool, or of the one that it `counts_for`.
    """

    name: str
    script: str
    tree: Path
    user: str = "owner"
    data: Path | None = None
    makes: bool = False
    result: Path | None = None
    expected: Manifest | None = None
    quiet: bool = False
    counts_for: Tool | None = None


Course = Iterator[Step | None]
"""The steps of one tool in one work, in order; None where others have one. What is not timed happens between them."""


@dataclass(frozen=True, slots=True)
class Work:
    """A dataset, what is done with it, and by which tools. `holds`: how many bytes one of them has on disk, at most."""

    name: str
    title: str
    make: Callable[[Path], Sequence[Version]]
    course: Callable[[Place, Sequence[Version]], Course]
    tools: tuple[Tool, ...]
    holds: int


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything: files, MiB of the large file, bytes of annotations and their edits, and so on."""

    files: int = 10_000
    large: int = 1024
    annotations: int = 50_000_000
    edits: int = 10
    changed: int = 100
    status: int = 100_000
    looks: int = 9
    starts: int = 20


QUICK = Sizes(files=300, large=32, annotations=2_000_000, edits=3, changed=10, status=300, looks=2, starts=2)

_STORING = (GIT_LDS, GIT_LDS_DIRECTORY, GIT_LFS, DVC, NOTHING, COPY)
_IMPORTING = (GIT_LDS, GIT_LDS_DIRECTORY, DVC)


def all_works(sizes: Sizes) -> list[Work]:
    files, tenth, large = sizes.files, max(sizes.files // 10, sizes.changed), sizes.large * MIB
    return [
        Work(
            "small",
            f"{files:,} files of 10 to 30 KB",
            partial(datasets.small_files, count=files, changes=(max(1, files // 100),)),
            files_course,
            _STORING,
            8 * files * 20_000,
        ),
        Work(
            "large",
            f"One file of {sizes.large:,} MiB",
            partial(datasets.large_file, size=large),
            files_course,
            _STORING,
            8 * large,
        ),
        Work(
            "annotations",
            f"A JSON file of {sizes.annotations / 1e6:.0f} MB, edited {sizes.edits} times",
            partial(datasets.annotations, size=sizes.annotations, edits=sizes.edits),
            annotations_course,
            _STORING,
            (2 * sizes.edits + 6) * sizes.annotations,
        ),
        Work(
            "import",
            f"A directory of {files:,} files imported, and updated after {sizes.changed} changed",
            partial(datasets.small_files, count=files, changes=(sizes.changed,)),
            import_course,
            _IMPORTING,
            8 * files * 20_000,
        ),
        Work(
            "import-tenth",
            f"The same with {tenth:,} files, and {sizes.changed} changed",
            partial(datasets.small_files, count=tenth, changes=(sizes.changed,)),
            import_course,
            (GIT_LDS,),
            8 * tenth * 20_000,
        ),
        Work(
            "status",
            f"`git status` in {sizes.status:,} files of 100 to 200 bytes",
            datasets.nothing,
            partial(status_course, files=sizes.status, looks=sizes.looks),
            (GIT_LDS, PLAIN),
            sizes.status * 10_000,  # an inode and a block for each file and each of git's objects
        ),
        Work(
            "start",
            "The start of the filter",
            datasets.greeting,
            partial(start_course, starts=sizes.starts),
            (GIT_LDS, PYTHON),
            0,
        ),
    ]


def files_course(place: Place, versions: Sequence[Version]) -> Course:
    """Add, push, clone, edit, pull: small files and large ones."""
    tool, owner, clone = place.tool, place.owner, place.root / "clone"
    first, second = versions
    if tool is COPY:
        yield _copy(place, first)
        return
    assert tool.add and tool.status and tool.push and tool.clone and tool.pull and tool.checkout
    datasets.put(first, owner / "data")
    yield Step("add", tool.add, owner)
    yield Step("status", tool.status, owner, quiet=True)
    touch(owner / "data")
    yield Step("status, touched", tool.status, owner, quiet=True)
    yield Step("push", tool.push, owner)
    yield _giving(first, "clone", tool.clone, clone, makes=True)
    yield Step("first status", tool.status, clone, "reader", quiet=True)
    yield tool.pointers and Step(
        "clone", tool.pointers, place.root / "pointers", "third", first.directory, makes=True, counts_for=COPY
    )
    datasets.put(second, owner / "data")
    yield Step("add edit", tool.add, owner)
    yield Step("push edit", tool.push, owner)
    yield _giving(second, "pull edit", tool.pull, clone)
    yield _giving(first, "checkout old", tool.checkout, clone)


def annotations_course(place: Place, versions: Sequence[Version]) -> Course:
    """Add a file and its edits, a commit each; push all; clone; go back to where the local store still has the contents."""
    tool, owner, clone = place.tool, place.owner, place.root / "clone"
    if tool is COPY:
        yield _copy(place, versions[0])
        return
    assert tool.add and tool.push and tool.clone and tool.checkout
    datasets.put(versions[0], owner / "data")
    yield Step("add", tool.add, owner)
    for version in versions[1:]:
        datasets.put(version, owner / "data")
        yield Step("add edit", tool.add, owner)
    yield Step("push", tool.push, owner)
    yield _giving(versions[-1], "clone", tool.clone, clone, makes=True)
    before = versions[-2].manifest
    yield Step("checkout old", tool.checkout, owner, result=owner / "data", expected=before)


def _copy(place: Place, version: Version) -> Step:
    copy = place.root / "copy"
    script = place.tool.add or ""
    return Step("add", script, copy, data=version.directory, makes=True, result=copy, expected=version.manifest)


def _giving(version: Version, name: str, script: str, clone: Path, *, makes: bool = False) -> Step:
    return Step(name, script, clone, "reader", makes=makes, result=clone / "data", expected=version.manifest)


def import_course(place: Place, versions: Sequence[Version]) -> Course:
    """Import a directory in another repository, and update it after a change upstream."""
    tool, consumer = place.tool, place.root / "consumer"
    before, after = versions
    _publish(place, before)
    consumer.mkdir()
    place.do(tool.consumer, consumer, user="consumer")
    yield _in_consumer(before, "import", tool.import_path, consumer)
    place.do("git add . && git commit -q -m import", consumer, user="consumer")
    _publish(place, after)
    yield _in_consumer(after, "update", tool.update, consumer)


def _publish(place: Place, version: Version) -> None:
    datasets.put(version, place.owner / "data")
    place.do(f"{place.tool.add} && {place.tool.push}", place.owner)


def _in_consumer(version: Version, name: str, script: str | None, tree: Path) -> Step:
    return Step(name, script or "", tree, "consumer", result=tree / "raw", expected=version.manifest)


def status_course(place: Place, _: Sequence[Version], files: int, looks: int) -> Course:
    """Add very many files, look once, and then as often as is timed."""
    tool, owner = place.tool, place.owner
    assert tool.add and tool.status
    datasets.tiny_files(owner / "data", files)
    yield Step("add", tool.add, owner)
    place.do(tool.status, owner)
    for _ in range(looks):
        yield Step("status", tool.status, owner, quiet=True)


def start_course(place: Place, versions: Sequence[Version], starts: int) -> Course:
    """Start what git would start, again and again."""
    for _ in range(starts):
        yield Step("start", place.tool.start or "", place.owner, data=versions[0].directory)


def touch(directory: Path) -> None:
    """Give all files another time: that of ten seconds ago, for git looks again at what is as young as its index."""
    moment = time.time() - 10
    for path in datasets.paths_in(directory):
        os.utime(path, (moment, moment))

"""What it takes to look objects up in the indexes of a store, and to make one index of several."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from git_lds.store.backends.directory import Directory
from git_lds.store.client.store import Store
from git_lds.store.format import index
from git_lds.store.format.index import Index
from git_lds.store.format.keys import index_key
from scaling.generated import STORED, Past, Span, missing_oid, pack_size, write_store
from scaling.measuring import Facts, check, in_a_process, memory, size_of, taking
from scaling.tables import Table, mb

_PARTS = (1, 16, 100)
"""Over how many indexes the objects are spread."""

_ASKED = (1, 1000, 100_000)


def tables(directory: Path, objects: list[int], most: int) -> Iterator[Table]:
    """Yield the tables for stores of `objects`; `most` objects are merged at a time."""
    asked = [count for count in _ASKED if count <= max(most, 1000)]
    found = [_spread(directory, count, parts, asked) for count in objects for parts in _PARTS]
    yield Table(
        "opening indexes",
        ["objects", "indexes", "MB on disk", "open and verify, s", "CPU s", "own memory, MB", "mapped files, MB"],
        [
            [f["objects"], f["indexes"], mb(f["size"]), f["open"], f["open cpu"], mb(f["own"]), mb(f["mapped"])]
            for f in found
        ],
    )
    yield Table(
        "looking up",
        [
            "objects",
            "indexes",
            "asked",
            "all there, s",
            "CPU s",
            "none there, s",
            "CPU s",
            "peak, MB",
            "of it mapped, MB",
        ],
        [[f["objects"], f["indexes"], *row] for f in found for row in f["finds"]],
    )
    counts = [max(times * most // 100 * 10, 10) for times in (1, 10, 50, 100)]
    merged = [(count, in_a_process(merge, directory=str(directory), count=count, parts=10)) for count in counts]
    yield Table(
        "merging",
        ["objects in 10 indexes", "MB written", "CPU s", "peak above the start, MB", "bytes an object"],
        [[n, mb(f["size"]), f["encode cpu"], mb(f["grown"]), f["grown"] / n] for n, f in merged],
    )


def _spread(directory: Path, objects: int, parts: int, asked: list[int]) -> Facts:
    """Return what look-ups take where `objects` are in as many indexes as `parts` says."""
    root, cache = directory / "store", directory / "cache"
    write_store(root, _past(objects, parts))
    try:
        in_a_process(fetch, root=str(root), cache=str(cache))
        facts = in_a_process(look_up, root=str(root), cache=str(cache), objects=objects, parts=parts, asked=asked)
        return facts | {"size": size_of(root / "index"), "objects": objects, "indexes": parts}
    finally:
        shutil.rmtree(root)
        shutil.rmtree(cache, ignore_errors=True)


def _past(objects: int, parts: int) -> Past:
    past = Past(0, objects // parts)
    past.indexes = [Span(push, push + 1, past.each) for push in range(parts)]
    past.events = [(span, 0) for span in past.indexes]
    return past


def fetch(root: str, cache: str) -> Facts:
    """Let a machine know a store."""
    store = Store(Directory(Path(root)), Path(cache))
    store.refresh()
    store.find([missing_oid(0)])
    store.close()
    return {}


def look_up(root: str, cache: str, objects: int, parts: int, asked: list[int]) -> Facts:
    """Measure look-ups on a machine that knows the store, the first one after its start apart."""
    spans = _past(objects, parts).indexes
    store = Store(Directory(Path(root)), Path(cache))
    store.refresh()
    with taking() as opening:
        check(not store.find([missing_oid(0)]), "an object was found that does not exist")
    used = memory()
    choose = random.Random(objects)
    finds = []
    for count in asked:
        there = {span.oid(choose.randrange(len(span))) for span in choose.choices(spans, k=count)}
        with taking() as hits:
            found = store.find(there)
        check(found.keys() == there, f"of {len(there)} objects {len(found)} were found")
        check(all(entry.length == STORED for entry in found.values()), "an object was found in a wrong place")
        nowhere = {missing_oid(number) for number in range(count)}
        with taking() as misses:
            check(not store.find(nowhere), "an object was found that does not exist")
        row = [count, hits.wall, hits.cpu, misses.wall, misses.cpu, mb(max(hits.peak, misses.peak))]
        finds.append([*row, mb(memory()["RssFile"])])
        del found, there, nowhere
    store.close()
    opened = {"open": opening.wall, "open cpu": opening.cpu, "own": used["RssAnon"], "mapped": used["RssFile"]}
    return {**opened, "finds": finds}


def merge(directory: str, count: int, parts: int) -> Facts:
    """Measure how one index is made of several, as a push does."""
    spans = _past(count, parts).indexes
    sizes = {pack: pack_size() for span in spans for pack in span.packs()}
    with TemporaryDirectory(dir=directory) as root:
        opened = [Index.open(Path(root, index_key(span.write(Path(root))))) for span in spans]
        before = memory()["RssAnon"]
        with taking() as took:
            data = index.encode((entry for one in opened for entry in one), sizes)
        merged = Index.of(data)
        check(len(merged) == count, "a merged index lacks objects")
        check(all(span.oid(0) in merged for span in spans), "a merged index lacks an object")
        for one in opened:
            one.close()
    grown = took.peak - before - memory()["RssFile"]
    return {"size": len(data), "encode cpu": took.cpu, "grown": grown}


def merge_table(objects: list[int]) -> Table:
    """Return what many pushes of one size do to the indexes of a store."""
    rows = []
    for total in objects:
        for each in (10, 100, 1000, 10_000, 100_000):
            if 1_000 * each >= total // 1000 and each <= total:
                past = Past(total // each, each)
                merges = len(past.events) - past.pushes
                written = 48 * (past.rewritten + total)
                rows.append(
                    [
                        total,
                        each,
                        past.pushes,
                        merges,
                        len(past.indexes),
                        past.most,
                        past.rewritten / total,
                        mb(written),
                    ]
                )
    return Table(
        "merges by pushes",
        [
            "objects",
            "in pushes of",
            "pushes",
            "merges",
            "indexes left",
            "at most",
            "times a row is rewritten",
            "MB of indexes ever written",
        ],
        rows,
    )

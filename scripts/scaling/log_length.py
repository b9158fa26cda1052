"""What it takes to learn what a store holds: by the length of its log, by its packs, and on a machine that never saw it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from git_lds.errors import LdsError
from git_lds.store.client.cache_files import write_cache
from git_lds.store.client.log_reader import CHECKPOINT_EVERY
from git_lds.store.client.store import Store
from git_lds.store.format import log
from git_lds.store.format.keys import HEAD, MAX_SIZES, KeyKind
from git_lds.store.format.log import StoreState
from scaling.counting import Counted
from scaling.generated import Past, Span, missing_oid, pack_size, packs_of, write_store
from scaling.measuring import Facts, check, in_a_process, memory, size_of, taking
from scaling.tables import Cell, Table, mb

_EACH = 10
"""Objects in each push of a long log."""

_BEHIND = (10, 100, 1000)
"""Entries of the log that came since somebody read it."""

_LINE = 100e6 / 8
"""Bytes a second of the line for which downloads are computed."""


def log_tables(directory: Path, pushes: Sequence[int]) -> Iterator[Table]:
    """Yield the tables of what logs of so many pushes take: to be read, and to be kept in the store."""
    found = [_log_of(directory, count) for count in pushes]
    head = ["pushes", "read before", "requests", "KB read", "s", "CPU s", "peak, MB"]
    yield Table("reading the log", head, [row for reads, _ in found for row in reads])
    head = ["pushes", "entries", "bytes an entry", "MB of entries", "KB of the last checkpoint"]
    yield Table("keeping the log", [*head, "MB of all checkpoints"], [sizes for _, sizes in found])


def _log_of(directory: Path, pushes: int) -> tuple[list[list[Cell]], list[Cell]]:
    """Return the rows of one log: how it is read by several machines, and what it takes in the store."""
    root, cache = directory / "store", directory / "cache"
    past = Past(pushes, _EACH)
    last = len(past.events) - 1
    tips = write_store(root, past, seen={last - behind for behind in _BEHIND if behind < last})
    reads = []
    try:
        for seq, tip in sorted(tips.items(), reverse=True):
            with contextlib.closing(Store(Counted(root), cache)) as store:
                store.parameters()
                write_cache(store.directory / "state", tip, cache)
            reads.append(_read(root, cache, last, pushes, f"{last - seq} entries ago"))
        reads.append(_read(root, cache, last, pushes, "never"))
        entries = size_of(root / "log")
        (root / HEAD).unlink()
        reads.append(_read(root, cache, last, pushes, "never, no hint"))
    finally:
        shutil.rmtree(root)
    checkpoint = len(log.encode_checkpoint(_state(pushes)))
    of_all = checkpoint * (last // CHECKPOINT_EVERY) / 2  # they grow evenly
    return reads, [pushes, last + 1, entries // (last + 1), mb(entries), checkpoint / 1e3, mb(of_all)]


def _read(root: Path, cache: Path, last: int, pushes: int, when: str) -> list[Cell]:
    try:
        f = in_a_process(refresh, root=str(root), cache=str(cache), last=last, packs=pushes)
        return [pushes, when, f["requests"], f["came"] / 1e3, f["wall"], f["spent"], mb(f["peak"])]
    finally:
        shutil.rmtree(cache)


def refresh(root: str, cache: str, last: int, packs: int) -> Facts:
    """Measure how the log of a store is read."""
    backend = Counted(Path(root))
    store = Store(backend, Path(cache))
    with taking() as took:
        state = store.refresh()
    check(state.seq == last and len(state.packs) == packs, f"the log was read up to {state.seq} and not to {last}")
    return {"requests": backend.requests, "came": backend.came, "wall": took.wall, "spent": took.cpu, "peak": took.peak}


def state_table(directory: Path, packs: Sequence[int]) -> Table:
    """Return what the state of a store takes that has so many packs."""
    rows: list[list[Cell]] = []
    for count in packs:
        path = str(directory / "state")
        written = in_a_process(write_state, packs=count, path=path)
        read = in_a_process(read_state, packs=count, path=path)
        sizes = [mb(written["size"]), written["spent"], read["spent"], mb(read["held"]), mb(read["peak"])]
        rows.append([count, count * 32 * 2**20 / 1e12, *sizes, written["fits"]])
    head = ["packs", "TB in packs of 32 MiB", "MB as JSON", "write, CPU s", "read, CPU s", "then in memory, MB"]
    return Table("states by packs", [*head, "peak, MB", "a checkpoint takes it"], rows)


def _state(packs: int) -> StoreState:
    return StoreState(packs, {packs_of(push, 1)[0]: pack_size() for push in range(packs)}, frozenset(), ())


def write_state(packs: int, path: str) -> Facts:
    """Measure how the checkpoint of a state is written, or would be."""
    state = _state(packs)
    fits = "yes"
    try:
        log.encode_checkpoint(state)
    except LdsError:
        fits = "no"
    _lift_the_limit()
    with taking() as took:
        data = log.encode_checkpoint(state)
    Path(path).write_bytes(data)
    return {"size": len(data), "spent": took.cpu, "fits": fits}


def read_state(packs: int, path: str) -> Facts:
    """Measure how a checkpoint is read."""
    _lift_the_limit()
    before = memory()["RssAnon"]
    with taking() as took:
        state = log.decode_checkpoint(Path(path).read_bytes())
    check(len(state.packs) == packs, "a state lost packs")
    return {"spent": took.cpu, "held": memory()["RssAnon"] - before, "peak": took.peak}


def _lift_the_limit() -> None:
    """Let this process take checkpoints of any size, to see what they would cost."""
    cast("dict[KeyKind, int]", MAX_SIZES)[KeyKind.CHECKPOINT] = 1 << 40


def bootstrap_table(directory: Path, objects: Sequence[int], each: int) -> Table:
    """Return what is fetched before the first object, by a machine that never saw the store and by one that did."""
    rows: list[list[Cell]] = []
    for count in objects:
        root, cache = directory / "store", directory / "cache"
        past = Past(count // each, each)
        write_store(root, past)
        try:
            for how in ("cold", "warm"):
                end = past.indexes[0].end
                f = in_a_process(first_look_up, root=str(root), cache=str(cache), end=end, each=each)
                row: list[Cell] = [count, past.pushes, len(past.indexes), how, f["requests"], mb(f["came"])]
                rows.append([*row, f["wall"], f["spent"], mb(f["peak"]), f["came"] / _LINE])
        finally:
            shutil.rmtree(root)
            shutil.rmtree(cache, ignore_errors=True)
    head = ["objects", "pushes", "indexes", "machine", "requests", "MB read", "s", "CPU s", "peak, MB"]
    return Table("before the first object", [*head, "s at 100 Mbit/s"], rows)


def first_look_up(root: str, cache: str, end: int, each: int) -> Facts:
    """Measure what it takes to know where one object is, of the oldest index, from nothing but the store's address."""
    span = Span(0, end, each)
    oid = span.oid(len(span) // 2)
    backend = Counted(Path(root))
    store = Store(backend, Path(cache))
    with taking() as took:
        store.refresh()
        found = store.find([oid, missing_oid(0)])
    check(found.keys() == {oid}, "the object was not found")
    store.close()
    return {"requests": backend.requests, "came": backend.came, "wall": took.wall, "spent": took.cpu, "peak": took.peak}

"""Recipes: they read back, and a plan assembles the object without fetching local parts."""

from __future__ import annotations

import os
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.damage import damaged, reads_or_refuses, refused_cheaply

from git_lds import hashing
from git_lds.errors import CorruptData
from git_lds.hashing import FileId, Oid
from git_lds.store.format import frames
from git_lds.store.format.packfile import ChunkAt, PackWriter
from git_lds.store.format.recipe import Copy, Fetch, FrameRun, Recipe, RunBuilder, plan, runs_of

file_ids = st.binary(min_size=32, max_size=32).map(FileId)


@st.composite
def runs(draw: st.DrawFn, packs: list[FileId]) -> FrameRun:
    chunks = draw(st.integers(1, 50))
    length = draw(st.integers(chunks, chunks * 1000))
    stored = draw(st.integers(chunks * 13, length + chunks * 12))
    return FrameRun(
        draw(st.sampled_from(packs)),
        draw(st.integers(24, 1 << 20)),
        stored,
        draw(st.integers(0, 2**31)),
        length,
        chunks,
    )


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    packs = draw(st.lists(file_ids, min_size=1, max_size=4, unique=True))
    parts = tuple(draw(st.lists(runs(packs), min_size=1, max_size=8)))
    return Recipe(Oid(draw(file_ids)), sum(run.length for run in parts), parts)


@given(recipes())
def test_recipes_read_back(recipe: Recipe) -> None:
    data = recipe.encode()
    assert Recipe.decode(data) == recipe
    packs = len({run.pack for run in recipe.runs})
    assert len(data) == 56 + 32 * packs + 24 * len(recipe.runs)
    assert data[:8] == b"LDSRCPE1" and data[8:40] == recipe.oid


@given(st.data())
def test_damage_is_corrupt_data_or_a_sound_recipe(data: st.DataObject) -> None:
    bad = data.draw(damaged(data.draw(recipes()).encode()))
    try:
        recipe = Recipe.decode(bad)
    except CorruptData:
        return
    assert recipe.size == sum(run.length for run in recipe.runs)
    assert all(24 <= run.offset <= run.offset + run.stored <= 64 << 20 for run in recipe.runs)
    assert all(0 < run.chunks <= run.length < 2**32 for run in recipe.runs)


@given(st.binary(max_size=200))
def test_made_up_bytes_are_refused(data: bytes) -> None:
    reads_or_refuses(lambda: Recipe.decode(data))
    reads_or_refuses(lambda: Recipe.decode(b"LDSRCPE1" + data))


@pytest.mark.parametrize("packs", [0, 1, 2**32 - 1])
@pytest.mark.parametrize("count", [0, 1, 2**32 - 1])
@pytest.mark.parametrize("size", [0, 1, 2**64 - 1])
def test_hostile_counts_allocate_nothing(packs: int, count: int, size: int) -> None:
    data = struct.pack("<8s32sQII", b"LDSRCPE1", bytes(32), size, packs, count) + bytes(10)
    refused_cheaply(lambda: Recipe.decode(data), 100_000)
    refused_cheaply(lambda: Recipe.decode(data[:-10]), 100_000)


@pytest.mark.parametrize(
    "change",
    [
        {"offset": 23},
        {"offset": 64 << 20},
        {"stored": 12},
        {"stored": 25},
        {"stored": 1000 + 2 * 12 + 1},
        {"stored": 2**32 - 1},
        {"logical": 2**32 - 1000},
        {"chunks": 0},
        {"chunks": 1001},
        {"length": 2 * 128 * 1024 + 1},
        {"length": 1},
    ],
)
def test_runs_that_no_pack_can_hold_are_refused(change: dict[str, int]) -> None:
    good = FrameRun(FileId(bytes(32)), 24, 500, 0, 1000, 2)
    assert Recipe.decode(Recipe(Oid(bytes(32)), 1000, (good,)).encode()).runs == (good,)
    bad = good._replace(**change)  # type: ignore[arg-type]
    with pytest.raises(CorruptData):
        Recipe.decode(Recipe(Oid(bytes(32)), bad.length, (bad,)).encode())


def test_a_recipe_that_does_not_add_up_is_refused() -> None:
    run = FrameRun(FileId(bytes(32)), 24, 500, 0, 1000, 2)
    for size in (999, 1001, 0):
        with pytest.raises(CorruptData):
            Recipe.decode(Recipe(Oid(bytes(32)), size, (run,)).encode())


def test_consecutive_chunks_make_one_run() -> None:
    a, b = FileId(b"a" * 32), FileId(b"b" * 32)
    first, second, third = (ChunkAt(Oid(bytes(32)), 24 + 100 * n, 100, 150 * n, 150) for n in range(3))
    chunks = [(a, first), (a, second), (b, second), (b, third), (a, third), (a, first)]
    joined = runs_of(chunks)
    assert joined == (
        FrameRun(a, 24, 200, 0, 300, 2),
        FrameRun(b, 124, 200, 150, 300, 2),
        FrameRun(a, 224, 100, 300, 150, 1),
        FrameRun(a, 24, 100, 0, 150, 1),
    )
    builder = RunBuilder()
    for pack, chunk in chunks:
        builder.add(pack, chunk)
    assert builder.runs() == joined
    assert runs_of([]) == ()


@dataclass(frozen=True)
class Pack:
    id: FileId
    data: bytes
    chunks: tuple[ChunkAt, ...]
    contents: tuple[bytes, ...]


def make_pack(contents: list[bytes]) -> Pack:
    with tempfile.TemporaryFile() as file:
        writer = PackWriter(file.fileno())
        for data in contents:
            writer.add(hashing.of_bytes(data), data)
        info = writer.finish()
        file.seek(0)
        return Pack(info.id, file.read(), info.chunks, tuple(contents))


PACKS = [make_pack([os.urandom(1 + (n * 37 + p) % 90) + bytes(n) for n in range(12)]) for p in range(3)]
PACK_OF = {pack.id: pack for pack in PACKS}

# an object is a list of stretches of packs, each from one chunk to another
stretches = st.tuples(st.integers(0, 2), st.integers(0, 11), st.integers(1, 12))
objects = st.lists(stretches, min_size=1, max_size=6)


def assemble(parts: list[tuple[int, int, int]]) -> tuple[Recipe, bytes]:
    chunks, contents = [], b""
    for number, start, count in parts:
        pack = PACKS[number]
        chunks += [(pack.id, chunk) for chunk in pack.chunks[start : start + count]]
        contents += b"".join(pack.contents[start : start + count])
    return Recipe(hashing.of_bytes(contents), len(contents), runs_of(chunks)), contents


def carry_out(steps: list[Copy | Fetch], have: list[bytes]) -> bytes:
    made = b""
    for step in steps:
        assert step.target == len(made)
        if isinstance(step, Copy):
            assert step.length > 0 and step.source + step.length <= len(have[step.have])
            made += have[step.have][step.source : step.source + step.length]
        else:
            run = step.run
            decoded = list(frames.read([PACK_OF[run.pack].data[run.offset : run.offset + run.stored]]))
            assert sum(map(len, decoded)) == run.length and run.chunks in (0, len(decoded))
            made += b"".join(decoded)
    return made


def covered(recipes: list[Recipe]) -> set[tuple[FileId, int]]:
    return {
        (r.pack, byte) for recipe in recipes for r in recipe.runs for byte in range(r.logical, r.logical + r.length)
    }


@given(objects, st.lists(objects, max_size=4))
@settings(max_examples=300, deadline=None)
def test_a_plan_makes_the_object_and_fetches_only_missing_frames(
    new: list[tuple[int, int, int]], have: list[list[tuple[int, int, int]]]
) -> None:
    recipe, contents = assemble(new)
    known = [assemble(parts) for parts in have]
    steps = plan(recipe, [k[0] for k in known])
    assert carry_out(steps, [k[1] for k in known]) == contents
    here = covered([k[0] for k in known])
    for step in steps:
        if isinstance(step, Fetch):
            run = step.run
            assert not any((run.pack, byte) in here for byte in range(run.logical, run.logical + run.length))


@given(objects)
def test_nothing_is_fetched_for_a_local_object(new: list[tuple[int, int, int]]) -> None:
    recipe, contents = assemble(new)
    steps = plan(recipe, [recipe])
    assert all(isinstance(step, Copy) for step in steps)
    assert carry_out(steps, [contents]) == contents


def test_without_local_objects_whole_runs_are_fetched() -> None:
    recipe, _ = assemble([(0, 0, 5), (1, 3, 2)])
    assert [step.run for step in plan(recipe, []) if isinstance(step, Fetch)] == list(recipe.runs)


def test_an_edit_in_the_middle_fetches_the_new_chunk_only() -> None:
    old, _ = assemble([(0, 0, 12)])
    new, _ = assemble([(0, 0, 5), (1, 0, 1), (0, 6, 6)])
    steps = plan(new, [old])
    assert [type(step) for step in steps] == [Copy, Fetch, Copy]


def test_copies_that_follow_on_each_other_are_one() -> None:
    old, _ = assemble([(0, 0, 3), (1, 0, 3)])
    assert plan(old, [old]) == [Copy(0, 0, 0, old.size)]


@given(recipes(), st.lists(recipes(), max_size=3), st.data())
@settings(deadline=None)
def test_recipes_that_contradict_each_other_still_give_a_plan(
    new: Recipe, have: list[Recipe], data: st.DataObject
) -> None:
    packs = [run.pack for run in new.runs]
    have = [
        recipe._replace(runs=tuple(run._replace(pack=data.draw(st.sampled_from(packs))) for run in recipe.runs))
        for recipe in have
    ]
    target = 0
    for step in plan(new, have):
        assert step.target == target
        if isinstance(step, Copy):
            assert 0 <= step.source < step.source + step.length <= have[step.have].size
            target += step.length
        else:
            assert step.run.stored >= 13 and step.run.offset >= 24
            assert any(
                r.pack == step.run.pack
                and r.offset <= step.run.offset
                and step.run.offset + step.run.stored <= r.offset + r.stored
                for r in new.runs
            )
            target += step.run.length
    assert target == new.size


def test_a_plan_over_many_runs_is_not_quadratic() -> None:
    pack = FileId(os.urandom(32))
    parts = tuple(FrameRun(pack, 24 + 200 * n, 100, 1000 * n, 500, 1) for n in range(20_000))
    new = Recipe(Oid(bytes(32)), 500 * len(parts), parts)
    every_other = Recipe(Oid(bytes(32)), 500 * len(parts[::2]), parts[::2])
    steps = plan(new, [every_other])
    assert sum(isinstance(step, Copy) for step in steps) == 10_000
    assert sum(isinstance(step, Fetch) for step in steps) == 10_000


def test_a_large_recipe_fits_a_frame(tmp_path: Path) -> None:
    recipe, _ = assemble([(0, 0, 1), (1, 0, 1)] * 5000)
    data = recipe.encode()
    assert len(data) > frames.MAX_CHUNK
    assert Recipe.decode(frames.decode(b"".join(frames.encode(data)), limit=frames.MAX_RECIPE)) == recipe

"""An enemy writes to the store whatever its formats allow. Honest pushes and downloads come out right, or say what is wrong."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
from moving import Machine, state_of
from support import random_bytes

from git_lds import hashing
from git_lds.files import Scratch
from git_lds.hashing import FileId, Oid
from git_lds.pack import frames, index, packfile
from git_lds.pack.index import Entry
from git_lds.pack.layout import index_key, log_key, pack_key
from git_lds.pack.log import LogEntry
from git_lds.pack.packfile import ChunkAt, PackWriter
from git_lds.pack.recipe import Recipe
from git_lds.remote.backend import Backend
from git_lds.remote.directory import Directory
from git_lds.remote.http import Http
from git_lds.transfer import known

MIB = 1 << 20
OLD = random_bytes(1, 6 * MIB)


def edited(data: bytes, *places: int) -> bytes:
    changed = bytearray(data)
    for place in places:
        changed[place : place + 100] = random_bytes(place, 100)
    return bytes(changed)


@pytest.fixture(params=["directory", "http"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Backend]:
    """One store, as a folder or behind a server."""
    if request.param == "directory":
        return lambda: Directory(tmp_path / "store")
    address = f"{request.getfixturevalue('server')}/{os.urandom(8).hex()}"
    return lambda: Http(address)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def writer(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "writer")


@pytest.fixture
def victim(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "victim")


def assert_arrives(place: Backend | Path, tmp_path: Path, *contents: bytes) -> None:
    """Somebody who never saw the store gets the objects from it."""
    reader = Machine(tmp_path / f"reader-{os.urandom(4).hex()}")
    done = reader.pull(place, *contents)
    assert done.missing == ()
    assert all(reader.has(data) for data in contents)


def entries_of(folder: Path, tmp_path: Path, *contents: bytes) -> list[Entry]:
    with contextlib.closing(state_of(folder, tmp_path / "looking")) as store:
        return list(store.find([hashing.of_bytes(data) for data in contents]).values())


def add_pack(folder: Path, data: bytes) -> tuple[FileId, int]:
    """Put a pack into the store, whatever is in it."""
    id = FileId(hashing.of_bytes(data))
    Directory(folder).create(pack_key(id), data)
    return id, len(data)


def commit(
    folder: Path, tmp_path: Path, packs: Iterable[tuple[FileId, int]] = (), rows: Sequence[Entry] = (), **more: object
) -> None:
    """Put an entry into the log, with an index of `rows`."""
    with contextlib.closing(state_of(folder, tmp_path / "looking")) as store:
        sizes = {**store.state.packs, **dict(packs)}
        ids: tuple[FileId, ...] = ()
        if rows:
            sizes |= {row.pack: packfile.MAX_SIZE for row in rows if row.pack not in sizes}
            data = index.encode(rows, sizes)
            ids = (FileId(hashing.of_bytes(data)),)
            Directory(folder).create(index_key(ids[0]), data)
        entry = LogEntry(os.urandom(16).hex(), 0, dict(packs), ids, **more)  # type: ignore[arg-type]
        assert Directory(folder).create(log_key(store.state.seq + 1), entry.encode())


# footers


def two_exchanged(chunks: list[ChunkAt]) -> list[ChunkAt]:
    """Each id with that of its neighbour: all of the form is right, and nothing of the contents."""
    ids = [chunk.id for chunk in chunks]
    return [chunk._replace(id=ids[number ^ 1]) for number, chunk in enumerate(chunks[: len(chunks) & ~1])] + (
        chunks[len(chunks) & ~1 :]
    )


def wrong_boundaries(chunks: list[ChunkAt]) -> list[ChunkAt]:
    """Each frame begins one byte late, and so ends."""
    first, *rest, last = chunks
    moved = [chunk._replace(offset=chunk.offset + 1, logical=chunk.logical + 1) for chunk in [*rest, last]]
    moved[-1] = moved[-1]._replace(stored=last.stored - 1, length=last.length - 1)
    return [first._replace(stored=first.stored + 1, length=first.length + 1), *moved]


@pytest.mark.parametrize("lie", [two_exchanged, wrong_boundaries])
def test_a_lying_footer_does_not_spoil_the_push_of_somebody_who_downloaded(
    folder: Path, writer: Machine, victim: Machine, tmp_path: Path, lie: Callable[[list[ChunkAt]], list[ChunkAt]]
) -> None:
    writer.push(folder, writer.add(OLD))
    rewrite_packs(folder, tmp_path, lie)
    assert victim.pull(folder, OLD).missing == (), "what is in the frames is right, and the footer is not read"
    new = edited(OLD, 2 * MIB, 4 * MIB)
    done = victim.push(folder, victim.add(new))
    assert done.bytes < MIB, "the frames that were seen to be right are built on"
    assert_arrives(folder, tmp_path, OLD, new)


def rewrite_packs(folder: Path, tmp_path: Path, lie: Callable[[list[ChunkAt]], list[ChunkAt]]) -> None:
    """Replace the store by one that has the same frames in packs with other footers."""
    (entry,) = entries_of(folder, tmp_path, OLD)
    keys = list(Directory(folder).list("pack/"))
    renamed: dict[FileId, tuple[FileId, int]] = {}
    recipe_key = pack_key(entry.pack)
    for key in keys:
        data = (folder / key).read_bytes()
        if key != recipe_key:
            start, _ = packfile.footer_range(data, len(data))
            chunks = list(packfile.decode_footer(data, len(data)))
            renamed[FileId(hashing.of_bytes(data))] = add_pack(
                folder, data[:start] + packfile.encode_footer(lie(chunks))
            )
    data = (folder / recipe_key).read_bytes()
    (chunk,) = packfile.decode_footer(data, len(data))
    recipe = Recipe.decode(frames.decode(data[chunk.offset : chunk.offset + chunk.stored], limit=frames.MAX_RECIPE))
    runs = tuple(run._replace(pack=renamed[run.pack][0]) for run in recipe.runs)
    row, pack = recipe_row(folder, recipe._replace(runs=runs))
    with contextlib.closing(state_of(folder, tmp_path / "looking")) as store:
        gone, dropped = tuple(store.state.packs), tuple(store.state.indexes)
    commit(folder, tmp_path, [*renamed.values(), pack], [row], remove_packs=gone, drop_indexes=dropped)
    for key in keys:
        (folder / key).unlink()


def recipe_row(folder: Path, recipe: Recipe) -> tuple[Entry, tuple[FileId, int]]:
    """Put a recipe into the store in a pack of its own; return its row, and that pack."""
    (folder / "tmp").mkdir(exist_ok=True)
    with Scratch(folder / "tmp") as scratch:
        made = PackWriter(scratch.fd)
        chunk = made.add(hashing.of_bytes(recipe.encode()), recipe.encode())
        info = made.finish()
        add_pack(folder, scratch.path.read_bytes())
    return Entry(recipe.oid, info.id, chunk.offset, chunk.stored, chunk.length, True), (info.id, info.size)


def test_frames_whose_places_a_recipe_lies_about_are_in_no_run_that_readers_refuse(
    folder: Path, writer: Machine, victim: Machine, tmp_path: Path
) -> None:
    """`logical` is believed of nobody: runs over frames that contradict each other in it would be unreadable."""
    writer.push(folder, writer.add(OLD))
    recipe = recipe_of(folder, tmp_path, OLD)
    high = tuple(run._replace(logical=packfile.MAX_LOGICAL - run.length) for run in recipe.runs)
    row, pack = recipe_row(folder, recipe._replace(runs=high))
    commit(folder, tmp_path, [pack], [row])
    assert victim.pull(folder, OLD).missing == ()
    new = edited(OLD, 3 * MIB)
    victim.push(folder, victim.add(new))
    assert_arrives(folder, tmp_path, new)
    reader = Machine(tmp_path / "reader")
    assert reader.pull(folder, OLD).missing == () and reader.pull(folder, new).missing == ()


def recipe_of(folder: Path, tmp_path: Path, data: bytes) -> Recipe:
    (entry,) = entries_of(folder, tmp_path, data)
    frame = (folder / pack_key(entry.pack)).read_bytes()[entry.offset : entry.offset + entry.stored]
    return Recipe.decode(frames.decode(frame, limit=frames.MAX_RECIPE))


def test_a_damaged_copy_here_says_nothing_of_the_frames_that_it_came_in(
    folder: Path, writer: Machine, victim: Machine, tmp_path: Path
) -> None:
    writer.push(folder, writer.add(OLD))
    victim.pull(folder, OLD)
    path = victim.objects.cache.path(hashing.of_bytes(OLD))
    assert path is not None
    path.chmod(0o644)
    new = edited(OLD, 3 * MIB)
    path.write_bytes(new)  # as if the frames held just what is to be pushed
    victim.push(folder, victim.add(new))
    assert_arrives(folder, tmp_path, OLD, new)


def test_what_frames_hold_is_learnt_once(
    folder: Path, writer: Machine, victim: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.push(folder, writer.add(OLD))
    victim.pull(folder, OLD)
    victim.push(folder, victim.add(edited(OLD, MIB)))
    read: list[Oid] = []
    monkeypatch.setattr(known, "_with_ids", lambda objects, oid, stretches, stop: read.append(oid) or [])
    done = victim.push(folder, victim.add(edited(OLD, 2 * MIB)))
    assert read == [] and done.bytes < 200_000

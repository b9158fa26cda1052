"""An attacker writes to the store whatever its formats allow. Honest pushes and downloads succeed, or report errors."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pytest
from kit.matrix import some_rows
from kit.stores import Counted, Machine, state_of
from kit.work import random_bytes

from git_lds import hashing
from git_lds.files import Scratch
from git_lds.hashing import FileId, Oid
from git_lds.store.backends.contract import Backend
from git_lds.store.backends.directory import Directory
from git_lds.store.backends.http import Http
from git_lds.store.format import frames, index, packfile
from git_lds.store.format.index import IndexRow
from git_lds.store.format.keys import KeyKind, index_key, log_key, pack_key
from git_lds.store.format.log import LogEntry
from git_lds.store.format.packfile import ChunkAt, PackWriter
from git_lds.store.format.recipe import Recipe
from git_lds.transfer import pack_contents, proof
from git_lds.transfer.upload import Uploaded, upload

MIB = 1 << 20
OLD = random_bytes(1, 6 * MIB)


def edited(data: bytes, *places: int) -> bytes:
    changed = bytearray(data)
    for place in places:
        changed[place : place + 100] = random_bytes(place, 100)
    return bytes(changed)


@pytest.fixture(params=["directory", "http"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Backend]:
    """One store, as a directory or behind a server."""
    if request.param == "directory":
        return lambda: Directory(tmp_path / "store")
    address = f"{request.getfixturevalue('server')}/{os.urandom(8).hex()}"
    return lambda: Http(address)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def writer(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "writer")


@pytest.fixture
def victim(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "victim")


def assert_arrives(place: Backend | Path, tmp_path: Path, *contents: bytes) -> None:
    """Assert that a new machine gets the objects from the store."""
    reader = Machine(tmp_path / f"reader-{os.urandom(4).hex()}")
    done = reader.pull(place, *contents)
    assert done.missing == ()
    assert all(reader.has(data) for data in contents)


def rows_of(directory: Path, tmp_path: Path, *contents: bytes) -> list[IndexRow]:
    with contextlib.closing(state_of(directory, tmp_path / "looking")) as store:
        return list(store.find([hashing.of_bytes(data) for data in contents]).values())


def add_pack(directory: Path, data: bytes) -> tuple[FileId, int]:
    """Put a pack into the store, whatever is in it."""
    id = FileId(hashing.of_bytes(data))
    Directory(directory).create(pack_key(id), data)
    return id, len(data)


def commit(
    directory: Path,
    tmp_path: Path,
    packs: Iterable[tuple[FileId, int]] = (),
    rows: Sequence[IndexRow] = (),
    **more: object,
) -> None:
    """Put an entry into the log, with an index of `rows`."""
    with contextlib.closing(state_of(directory, tmp_path / "looking")) as store:
        sizes = {**store.state.packs, **dict(packs)}
        ids: tuple[FileId, ...] = ()
        if rows:
            sizes |= {row.pack: packfile.MAX_SIZE for row in rows if row.pack not in sizes}
            data = index.encode(rows, sizes)
            ids = (FileId(hashing.of_bytes(data)),)
            Directory(directory).create(index_key(ids[0]), data)
        entry = LogEntry(os.urandom(16).hex(), 0, dict(packs), ids, **more)  # type: ignore[arg-type]
        assert Directory(directory).create(log_key(store.state.seq + 1), entry.encode())


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
def test_a_forged_footer_does_not_spoil_a_push_after_a_download(
    directory: Path, writer: Machine, victim: Machine, tmp_path: Path, lie: Callable[[list[ChunkAt]], list[ChunkAt]]
) -> None:
    writer.push(directory, writer.add(OLD))
    rewrite_packs(directory, tmp_path, lie)
    assert victim.pull(directory, OLD).missing == (), "what is in the frames is right, and the footer is not read"
    new = edited(OLD, 2 * MIB, 4 * MIB)
    done = victim.push(directory, victim.add(new))
    assert done.bytes < MIB, "the frames that were seen to be right are built on"
    assert_arrives(directory, tmp_path, OLD, new)


def rewrite_packs(directory: Path, tmp_path: Path, lie: Callable[[list[ChunkAt]], list[ChunkAt]]) -> None:
    """Replace the store by one that has the same frames in packs with other footers."""
    (entry,) = rows_of(directory, tmp_path, OLD)
    keys = list(Directory(directory).list("pack/"))
    renamed: dict[FileId, tuple[FileId, int]] = {}
    recipe_key = pack_key(entry.pack)
    for key in keys:
        data = (directory / key).read_bytes()
        if key != recipe_key:
            start, _ = packfile.footer_range(data, len(data))
            chunks = list(packfile.decode_footer(data, len(data)))
            renamed[FileId(hashing.of_bytes(data))] = add_pack(
                directory, data[:start] + packfile.encode_footer(lie(chunks))
            )
    data = (directory / recipe_key).read_bytes()
    (chunk,) = packfile.decode_footer(data, len(data))
    recipe = Recipe.decode(frames.decode(data[chunk.offset : chunk.offset + chunk.stored], limit=frames.MAX_RECIPE))
    runs = tuple(run._replace(pack=renamed[run.pack][0]) for run in recipe.runs)
    row, pack = recipe_row(directory, recipe._replace(runs=runs))
    with contextlib.closing(state_of(directory, tmp_path / "looking")) as store:
        gone, dropped = tuple(store.state.packs), tuple(store.state.indexes)
    commit(directory, tmp_path, [*renamed.values(), pack], [row], remove_packs=gone, drop_indexes=dropped)
    for key in keys:
        (directory / key).unlink()


def recipe_row(directory: Path, recipe: Recipe) -> tuple[IndexRow, tuple[FileId, int]]:
    """Put a recipe into the store in a pack of its own; return its row, and that pack."""
    (directory / "tmp").mkdir(exist_ok=True)
    with Scratch(directory / "tmp") as scratch:
        made = PackWriter(scratch.fd)
        chunk = made.add(hashing.of_bytes(recipe.encode()), recipe.encode())
        info = made.finish()
        add_pack(directory, scratch.path.read_bytes())
    return IndexRow(recipe.oid, info.id, chunk.offset, chunk.stored, chunk.length, True), (info.id, info.size)


def test_frames_whose_places_a_recipe_lies_about_are_in_no_run_that_readers_refuse(
    directory: Path, writer: Machine, victim: Machine, tmp_path: Path
) -> None:
    """`logical` is never trusted: runs over frames with contradicting values would be unreadable."""
    writer.push(directory, writer.add(OLD))
    recipe = recipe_of(directory, tmp_path, OLD)
    high = tuple(run._replace(logical=packfile.MAX_LOGICAL - run.length) for run in recipe.runs)
    row, pack = recipe_row(directory, recipe._replace(runs=high))
    commit(directory, tmp_path, [pack], [row])
    assert victim.pull(directory, OLD).missing == ()
    new = edited(OLD, 3 * MIB)
    victim.push(directory, victim.add(new))
    assert_arrives(directory, tmp_path, new)
    reader = Machine(tmp_path / "reader")
    assert reader.pull(directory, OLD).missing == () and reader.pull(directory, new).missing == ()


def recipe_of(directory: Path, tmp_path: Path, data: bytes) -> Recipe:
    (entry,) = rows_of(directory, tmp_path, data)
    frame = (directory / pack_key(entry.pack)).read_bytes()[entry.offset : entry.offset + entry.stored]
    return Recipe.decode(frames.decode(frame, limit=frames.MAX_RECIPE))


def test_a_damaged_local_copy_proves_nothing_of_its_frames(
    directory: Path, writer: Machine, victim: Machine, tmp_path: Path
) -> None:
    writer.push(directory, writer.add(OLD))
    victim.pull(directory, OLD)
    path = victim.objects.cache.path(hashing.of_bytes(OLD))
    assert path is not None
    path.chmod(0o644)
    new = edited(OLD, 3 * MIB)
    path.write_bytes(new)  # as if the frames had the contents to push
    victim.push(directory, victim.add(new))
    assert_arrives(directory, tmp_path, OLD, new)


def test_chunk_ids_of_frames_are_computed_once(
    directory: Path, writer: Machine, victim: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.push(directory, writer.add(OLD))
    victim.pull(directory, OLD)
    victim.push(directory, victim.add(edited(OLD, MIB)))
    read: list[Oid] = []
    monkeypatch.setattr(pack_contents, "_with_ids", lambda objects, oid, stretches, stop: read.append(oid) or [])
    done = victim.push(directory, victim.add(edited(OLD, 2 * MIB)))
    assert read == [] and done.bytes < 200_000


# rows


SMALL = [random_bytes(10 + n, 1000 + n) for n in range(6)]


def shifted(row: IndexRow, others: Sequence[IndexRow]) -> IndexRow:
    return row._replace(offset=row.offset + 1)


def of_another(row: IndexRow, others: Sequence[IndexRow]) -> IndexRow:
    other = next(one for one in others if one.recipe == row.recipe and one.oid != row.oid)
    return other._replace(oid=row.oid)


def of_the_other_kind(row: IndexRow, others: Sequence[IndexRow]) -> IndexRow:
    return row._replace(recipe=not row.recipe)


def of_no_pack(row: IndexRow, others: Sequence[IndexRow]) -> IndexRow:
    return row._replace(pack=FileId(os.urandom(32)))


Lie = Callable[[IndexRow, Sequence[IndexRow]], IndexRow]
LIES = [shifted, of_another, of_the_other_kind, of_no_pack]
CONTENTS = [*SMALL, OLD, edited(OLD, MIB)]


@pytest.mark.parametrize("lie", LIES)
def test_wrong_newer_rows_do_not_hide_right_older_ones(
    directory: Path, writer: Machine, tmp_path: Path, lie: Lie
) -> None:
    writer.push(directory, writer.add(*CONTENTS))
    rows = rows_of(directory, tmp_path, *CONTENTS)
    for _ in range(2):
        commit(directory, tmp_path, rows=[lie(row, rows) for row in rows])
    assert_arrives(directory, tmp_path, *CONTENTS)


@pytest.mark.parametrize("damage", ["gone", "short"])
def test_an_object_in_a_damaged_newer_pack_comes_from_an_older_one(
    directory: Path, writer: Machine, victim: Machine, tmp_path: Path, damage: str
) -> None:
    contents = [SMALL[0], OLD]
    writer.push(directory, writer.add(*contents))
    before = set(Directory(directory).list("pack/"))
    rows = rows_of(directory, tmp_path, *contents)
    elsewhere = tmp_path / "elsewhere"
    victim.push(elsewhere, victim.add(*contents))
    packs = []
    for key in Directory(elsewhere).list("pack/"):
        data = (elsewhere / key).read_bytes()
        packs.append(add_pack(directory, data))
    commit(directory, tmp_path, packs, rows_of(elsewhere, tmp_path, *contents))
    assert rows_of(directory, tmp_path, *contents) != rows
    for key in set(Directory(directory).list("pack/")) - before:
        path = directory / key
        data = path.read_bytes()
        path.unlink()
        if damage == "short":
            path.write_bytes(data[: len(data) // 20])
    assert_arrives(directory, tmp_path, *contents)


@pytest.mark.parametrize("lie", LIES)
def test_an_object_with_only_a_wrong_row_is_missing(
    directory: Path, writer: Machine, victim: Machine, tmp_path: Path, lie: Lie
) -> None:
    writer.push(directory, writer.add(*CONTENTS[:-1]))
    rows = rows_of(directory, tmp_path, *CONTENTS)
    absent = CONTENTS[-1]
    row = rows[0]._replace(oid=hashing.of_bytes(absent))
    commit(directory, tmp_path, rows=[lie(row, rows)])
    (missing,) = victim.pull(directory, *CONTENTS).missing
    assert missing.oid == hashing.of_bytes(absent) and str(directory) in missing.message


def test_missing_objects_are_reported_with_damaged_indexes(
    directory: Path, writer: Machine, victim: Machine, tmp_path: Path
) -> None:
    writer.push(directory, writer.add(*SMALL[:3]))
    with contextlib.closing(state_of(directory, tmp_path / "looking")) as store:
        (id,) = store.state.indexes
    writer.push(directory, writer.add(*SMALL[3:]))
    (directory / index_key(id)).unlink()
    assert victim.pull(directory, *SMALL[3:]).missing == ()
    done = victim.pull(directory, *SMALL)
    assert len(done.missing) == 3
    assert all(f"index {id.hex()[:12]} is damaged" in missing.message for missing in done.missing)


# rows for missing objects, and pushes


@pytest.mark.parametrize("lie", LIES)
def test_a_forged_row_does_not_stop_a_push_from_sending_the_object(
    directory: Path, writer: Machine, victim: Machine, tmp_path: Path, lie: Lie
) -> None:
    writer.push(directory, writer.add(*SMALL, OLD, edited(OLD, MIB)))
    rows = rows_of(directory, tmp_path, *SMALL, OLD, edited(OLD, MIB))
    mine = [b"my only copy", random_bytes(70, 40_000), random_bytes(71, 2 * MIB)]
    lies = [lie(rows[n]._replace(oid=hashing.of_bytes(data)), rows) for n, data in enumerate(mine[:2])]
    large = next(row for row in rows if row.recipe)
    lies.append(lie(large._replace(oid=hashing.of_bytes(mine[2])), rows))
    commit(directory, tmp_path, rows=lies)
    assert victim.push(directory, victim.add(*mine)).objects == 3
    assert_arrives(directory, tmp_path, *mine)


def test_a_forged_recipe_does_not_stop_a_push_from_sending_the_object(
    directory: Path, writer: Machine, victim: Machine, tmp_path: Path
) -> None:
    writer.push(directory, writer.add(OLD))
    mine = edited(OLD, 2 * MIB)
    row, pack = recipe_row(directory, recipe_of(directory, tmp_path, OLD)._replace(oid=hashing.of_bytes(mine)))
    commit(directory, tmp_path, [pack], [row])
    assert victim.push(directory, victim.add(mine)).objects == 1
    assert_arrives(directory, tmp_path, mine)


def test_a_recipe_that_was_completed_with_local_bytes_is_not_proven(
    directory: Path, writer: Machine, victim: Machine, tmp_path: Path
) -> None:
    """By its logical offsets the object is local; the file offsets are nonsense."""
    writer.push(directory, writer.add(OLD))
    victim.pull(directory, OLD)
    run = recipe_of(directory, tmp_path, OLD).runs[0]
    new = OLD[: run.length] * 2
    elsewhere = run._replace(offset=run.offset + 1, stored=run.stored - 1)
    row, pack = recipe_row(directory, Recipe(hashing.of_bytes(new), len(new), (run, elsewhere)))
    commit(directory, tmp_path, [pack], [row])
    assert victim.pull(directory, new).missing == (), "it is put together from what is here"
    assert victim.push(directory, victim.add(new)).objects == 1
    assert_arrives(directory, tmp_path, new)


def test_an_object_in_the_store_is_read_once_and_never_sent(
    place: Callable[[], Backend], writer: Machine, victim: Machine
) -> None:
    contents = [*SMALL, OLD, edited(OLD, MIB)]
    writer.push(place(), writer.add(*contents))
    wanted = victim.add(*contents)
    first, second = Counted(place()), Counted(place())
    assert victim.push(first, wanted).objects == 0 and first.streamed > len(OLD)
    assert victim.push(second, wanted).objects == 0 and second.streamed == 0
    assert not first.created(KeyKind.PACK) and not second.created(KeyKind.PACK)


def test_the_machine_that_pushed_an_object_reads_nothing_back(directory: Path, writer: Machine) -> None:
    wanted = writer.add(*SMALL, OLD, edited(OLD, MIB))
    writer.push(directory, wanted)
    again = Counted(Directory(directory))
    assert writer.push(again, wanted).objects == 0 and again.streamed == 0


def test_a_downloaded_large_object_is_not_read_back(directory: Path, writer: Machine, victim: Machine) -> None:
    writer.push(directory, writer.add(OLD))
    victim.pull(directory, OLD)
    again = Counted(Directory(directory))
    assert victim.push(again, victim.add(OLD)).objects == 0 and again.streamed == 0


def test_an_object_in_many_small_runs_is_read_back_in_few_requests(
    directory: Path, writer: Machine, victim: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "_AT_ONCE", MIB)
    new = edited(OLD, *range(200_000, len(OLD), 300_000))
    writer.push(directory, writer.add(OLD))
    writer.push(directory, writer.add(new))
    again = Counted(Directory(directory))
    assert victim.push(again, victim.add(new)).objects == 0
    assert sum(verb == "stream" for verb, _ in again.asked) < 25


# damage and its repair


def repair(machine: Machine, place: Backend | Path, wanted: Mapping[Oid, list[bytes]], *, read: bool) -> Uploaded:
    """Push those of `wanted` that the store lacks, or with `read` does not have whole."""
    with contextlib.closing(machine.store(place)) as store:
        store.refresh()
        store.check_indexes(read=read)
        found = store.find(wanted, reusable_only=True)
        checked = proof.whole(store, found) if read else proof.present(store, found)
        lacking = found.keys() - checked.whole
        rows = proof.proven_rows(store, machine.objects, wanted.keys() - lacking)
        return upload(store, machine.objects, wanted, rows, tmp=machine.directory / "tmp", avoid=checked.damaged)


def gone(path: Path) -> None:
    path.unlink()


def halved(path: Path) -> None:
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[: len(data) // 2])


def emptied(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.unlink()
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "kind", "maker"),
    some_rows(
        itertools.product([gone, halved, emptied, flipped], ["pack/", "index/"], ["who pushed it", "who has it too"]),
        (gone, "pack/", "who pushed it"),
        (halved, "pack/", "who has it too"),
        (emptied, "index/", "who pushed it"),
        (flipped, "index/", "who has it too"),
    ),
)
def test_damaged_objects_of_a_store_are_sent_again(
    directory: Path,
    writer: Machine,
    victim: Machine,
    tmp_path: Path,
    damage: Callable[[Path], None],
    kind: str,
    maker: str,
) -> None:
    contents = [*SMALL, OLD]
    writer.push(directory, writer.add(*contents))
    contents += [edited(OLD, 3 * MIB), b"another"]
    writer.push(directory, writer.add(*contents))
    machine = writer if maker == "who pushed it" else victim
    if machine is victim:
        victim.pull(directory, *contents)
        victim.add(*contents)
    machine.close()
    for number, key in enumerate(sorted(Directory(directory).list(kind))):
        copy = tmp_path / f"copy-{number}"
        shutil.copytree(directory, copy)
        shutil.copytree(machine.directory, tmp_path / f"machine-{number}")
        own = Machine(tmp_path / f"machine-{number}")
        wanted = {hashing.of_bytes(data): [b"path"] for data in contents}
        damage(copy / key)
        assert repair(own, copy, wanted, read=damage is flipped).objects > 0
        assert_arrives(copy, tmp_path, *contents)
        assert repair(own, copy, wanted, read=damage is flipped).objects == 0, "it is sent once"


def test_a_pack_that_is_damaged_is_not_built_on_and_the_others_are(directory: Path, writer: Machine) -> None:
    newer = edited(OLD, *range(0, 6 * MIB, MIB // 2))
    wanted = writer.add(OLD)
    writer.push(directory, wanted)
    before = set(Directory(directory).list("pack/"))
    wanted |= writer.add(newer)
    writer.push(directory, wanted)
    largest = max(set(Directory(directory).list("pack/")) - before, key=lambda key: (directory / key).stat().st_size)
    halved(directory / largest)
    done = repair(writer, directory, wanted, read=False)
    assert done.objects == 1 and done.bytes < 2 * MIB

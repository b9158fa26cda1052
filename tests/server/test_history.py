"""Checks of a server against the log of a store, and what they must accept: merges, maintenance, several servers, backups."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.lds_server import EMPTY_INDEX, ask, entry, id_of, index_of, pack_of, packed, serving
from kit.lds_server import PARAMETERS as LDS_TOML
from kit.stores import Machine
from kit.work import random_bytes, running_server

from git_lds import hashing
from git_lds.hashing import FileId
from git_lds.server.check_packs import FooterCache, PackFooter
from git_lds.store.backends.http import Http
from git_lds.store.format import index, packfile
from git_lds.store.format.index import IndexRow
from git_lds.store.format.keys import PARAMETERS, checkpoint_key, index_key, log_key, pack_key
from git_lds.store.format.log import StoreState, encode_checkpoint

ONE, OTHER = b"one object", b"another object"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The URL of a store at a server that allows removal."""
    with serving(tmp_path / "stores", allow_removal=True) as served:
        assert ask(served.url, "PUT", f"/ds/{PARAMETERS}", LDS_TOML).status == 201
        yield f"{served.url}/ds"


def put(url: str, key: str, body: bytes) -> int:
    return ask(url, "PUT", f"/ds/{key}", body).status


def delete(url: str, key: str) -> int:
    return ask(url, "DELETE", f"/ds/{key}").status


def add_object(url: str, seq: int, data: bytes, *, random: bytes = bytes(16), **fields: tuple[FileId, ...]) -> FileId:
    """Put a pack, an index and an entry for one object; return the pack."""
    body = packed(data, random=random)
    stored = len(body) - packfile.HEADER_SIZE - 48 - packfile.TRAILER_SIZE
    row = IndexRow(hashing.of_bytes(data), id_of(body), packfile.HEADER_SIZE, stored, len(data), recipe=False)
    rows = index.encode([row], {id_of(body): len(body)})
    assert put(url, pack_of(body), body) == 201
    assert put(url, index_of(rows), rows) == 201
    added = entry(seq, add_packs={id_of(body): len(body)}, add_indexes=(id_of(rows),), **fields)
    assert put(url, log_key(seq), added) == 201
    return id_of(body)


def state_of(url: str, directory: Path) -> StoreState:
    store = Machine(directory).store(Http(url))
    state = store.refresh()
    store.close()
    return state


# what comes in turn


def test_files_in_use_are_not_deleted_until_an_entry_removes_them(url: str, tmp_path: Path) -> None:
    pack = add_object(url, 0, ONE)
    (rows,) = state_of(url, tmp_path / "first").indexes
    assert (delete(url, pack_key(pack)), delete(url, index_key(rows))) == (409, 409)
    assert put(url, log_key(1), entry(1, condemn_packs=(pack,))) == 201
    assert delete(url, pack_key(pack)) == 409
    assert put(url, log_key(2), entry(2, remove_packs=(pack,), drop_indexes=(rows,))) == 201
    assert (delete(url, pack_key(pack)), delete(url, index_key(rows))) == (204, 204)
    assert ask(url, "GET", f"/ds/{pack_key(pack)}").status == 404
    add_object(url, 3, ONE, random=b"another pack 123")
    assert Machine(tmp_path / "second").pull(Http(url), ONE).missing == ()


def test_files_without_an_entry_are_not_deleted_before_one_removes_them(url: str) -> None:
    body = packed(ONE)
    put(url, pack_of(body), body)
    put(url, index_of(EMPTY_INDEX), EMPTY_INDEX)
    assert (delete(url, pack_of(body)), delete(url, index_of(EMPTY_INDEX))) == (409, 409)
    gone = entry(0, remove_packs=(id_of(body),), drop_indexes=(id_of(EMPTY_INDEX),))
    assert put(url, log_key(0), gone) == 201
    assert put(url, log_key(1), entry(1, add_packs={id_of(body): len(body)})) == 422
    assert put(url, log_key(1), entry(1, add_indexes=(id_of(EMPTY_INDEX),))) == 422
    assert (delete(url, pack_of(body)), delete(url, index_of(EMPTY_INDEX))) == (204, 204)


def test_only_users_who_may_remove_can_drop_objects_in_condemned_packs(url: str, tmp_path: Path) -> None:
    pack = add_object(url, 0, ONE)
    indexes = state_of(url, tmp_path / "known").indexes
    assert put(url, log_key(1), entry(1, drop_indexes=indexes)) == 422
    assert put(url, log_key(1), entry(1, condemn_packs=(pack,))) == 201
    with serving(tmp_path / "stores") as other:
        assert put(other.url, log_key(2), entry(2, drop_indexes=indexes)) == 422
        assert put(other.url, log_key(2), entry(2, remove_packs=(pack,))) == 403
        assert delete(other.url, pack_key(pack)) == 403
    assert put(url, log_key(2), entry(2, drop_indexes=indexes)) == 201


@pytest.mark.parametrize(("options", "removed", "deleted"), [([], 403, 403), (["--allow-removal"], 201, 204)])
def test_removal_needs_allow_removal(tmp_path: Path, options: list[str], removed: int, deleted: int) -> None:
    with running_server(tmp_path, *options) as url:
        pack = add_object(url, 0, ONE)
        assert put(url, log_key(1), entry(1, remove_packs=(pack,))) == removed
        assert delete(url, pack_key(pack)) == deleted
        assert (ask(url, "HEAD", f"/ds/{pack_key(pack)}").status == 200) is not bool(options)


def test_pushes_work_with_condemned_packs(url: str, tmp_path: Path) -> None:
    machine = Machine(tmp_path / "first")
    large = random_bytes(1, 600_000)
    machine.push(Http(url), machine.add(ONE, large))
    seq = state_of(url, tmp_path / "known").seq
    packs = tuple(state_of(url, tmp_path / "known").packs)
    assert put(url, log_key(seq + 1), entry(7, condemn_packs=packs)) == 201
    second = Machine(tmp_path / "second")
    for number in range(20):  # indexes are merged on the way, with rows in condemned packs
        second.push(Http(url), second.add(b"object %d" % number))
    second.push(Http(url), second.add(large[:500_000] + b"and another end"))
    assert len(state_of(url, tmp_path / "known").indexes) < 16
    wanted = [ONE, large, large[:500_000] + b"and another end", *(b"object %d" % n for n in range(20))]
    assert Machine(tmp_path / "third").pull(Http(url), *wanted).missing == ()


# several servers, and stores that change under one


def test_a_push_through_one_server_is_checked_by_another(url: str, tmp_path: Path) -> None:
    with serving(tmp_path / "stores") as other:
        first, second = Machine(tmp_path / "first"), Machine(tmp_path / "second")
        large = random_bytes(1, 600_000)
        first.push(Http(url), first.add(ONE, large))
        second.push(Http(f"{other.url}/ds"), second.add(OTHER, large[:500_000]))
        body = packed(b"third")
        row = IndexRow(hashing.of_bytes(b"third"), id_of(body), 24, len(body) - 24 - 64, 5, recipe=False)
        rows = index.encode([row], {id_of(body): len(body)})
        assert (put(url, pack_of(body), body), put(other.url, index_of(rows), rows)) == (201, 201)
        seq = state_of(url, tmp_path / "known").seq + 1
        added = entry(9, add_packs={id_of(body): len(body)}, add_indexes=(id_of(rows),))
        assert put(url, log_key(seq), added) == 201
        assert Machine(tmp_path / "third").pull(Http(url), ONE, OTHER, large, large[:500_000], b"third").missing == ()


def test_an_index_that_bypassed_the_server_is_checked_when_an_entry_adds_it(url: str, tmp_path: Path) -> None:
    pack = add_object(url, 0, ONE)
    size = state_of(url, tmp_path / "known").packs[pack]
    wrong = index.encode(
        [IndexRow(hashing.of_bytes(OTHER), pack, 24, len(ONE) + 12, len(ONE), recipe=False)], {pack: size}
    )
    path = tmp_path / "stores" / "ds" / index_of(wrong)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(wrong)
    assert put(url, log_key(1), entry(1, add_indexes=(id_of(wrong),))) == 422


def test_a_store_that_was_restored_from_a_backup_is_read_again(url: str, tmp_path: Path) -> None:
    store, backup = tmp_path / "stores" / "ds", tmp_path / "backup"
    add_object(url, 0, ONE)
    shutil.copytree(store, backup)
    pack = add_object(url, 1, OTHER)
    assert put(url, log_key(2), entry(2, remove_packs=(pack,))) == 201
    shutil.rmtree(store)
    shutil.copytree(backup, store)
    assert put(url, log_key(3), entry(3)) == 409
    assert put(url, log_key(1), entry(4, add_packs={pack: 1000})) == 422
    assert add_object(url, 1, OTHER) == pack
    assert Machine(tmp_path / "reader").pull(Http(url), ONE, OTHER).missing == ()


def test_with_a_damaged_log_nothing_is_added_and_the_error_names_the_entry(url: str, tmp_path: Path) -> None:
    assert put(url, log_key(0), entry()) == 201
    path = tmp_path / "stores" / "ds" / log_key(1)
    path.write_bytes(b"torn")
    reply = ask(url, "PUT", f"/ds/{log_key(2)}", entry(2))
    assert reply.status == 500
    assert log_key(1).encode() in reply.body and str(tmp_path).encode() not in reply.body


# checkpoints


def test_correct_checkpoints_of_any_entry_are_accepted(url: str, tmp_path: Path) -> None:
    states = []
    for seq in range(3):
        add_object(url, seq, b"%d" % seq)
        states.append(state_of(url, tmp_path / "known"))
    for state in reversed(states):
        data = encode_checkpoint(state)
        assert put(url, checkpoint_key(state.seq, id_of(data)), data) == 201
    late = encode_checkpoint(states[2]._replace(seq=3))
    assert put(url, checkpoint_key(3, id_of(late)), late) == 409


# footers in memory


def test_cached_footers_stay_below_their_memory_limit() -> None:
    body = packed(*(b"%d" % n for n in range(100)))
    footer = PackFooter(packfile.decode_footer(body, len(body)))
    backend = Http("http://127.0.0.1:9/ds")
    footers = FooterCache(limit=3 * footer.memory)
    for number in range(10):
        footers.put(backend, FileId(bytes([number]) * 32), footer)
    assert [pack[0] for _, pack in footers._cached] == [7, 8, 9]
    assert footers.get(backend, FileId(bytes([8]) * 32), len(body)) is footer

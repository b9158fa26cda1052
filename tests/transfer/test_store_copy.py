"""`git lds mirror`: a store in another place, verified, complete at each run, and never mixed with another history."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.kills import dice, files_in, kill, start, timed, wait_for_a_moment
from kit.stores import Around, Machine
from kit.work import LAUNCHER, Work, random_bytes

from git_lds import hashing
from git_lds.errors import CorruptData, LdsError, NotInStore, StoreUnreachable
from git_lds.hashing import FileId
from git_lds.store.backends import by_url
from git_lds.store.backends.contract import Backend, Body
from git_lds.store.backends.directory import Directory
from git_lds.store.format.keys import HEAD, PARAMETERS, KeyKind, Parameters, log_key, pack_key, parse
from git_lds.store.format.log import LogEntry
from git_lds.transfer.store_copy import Mirrored, mirror

CONTENTS = [b"small", b"another", random_bytes(1, 3_000_000), random_bytes(2, 200_000)]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "machine")


@pytest.fixture
def store(machine: Machine, tmp_path: Path) -> Path:
    """A store of several pushes."""
    for data in CONTENTS:
        machine.push(tmp_path / "store", machine.add(data))
    return tmp_path / "store"


def copied(source: Backend | Path, target: Backend | Path, tmp_path: Path) -> Mirrored:
    backends = [Directory(each) if isinstance(each, Path) else each for each in (source, target)]
    return mirror(backends[0], backends[1], tmp_path / "cache")


def files_of(store: Path) -> dict[str, bytes]:
    """The files of a store by their keys."""
    found = {path.relative_to(store).as_posix(): path for path in store.rglob("*") if path.is_file()}
    return {key: path.read_bytes() for key, path in found.items() if parse(key)}


def assert_readable(store: Path, tmp_path: Path, *contents: bytes) -> None:
    done = Machine(tmp_path / f"reader {len(list(tmp_path.iterdir()))}").pull(store, *contents)
    assert done.missing == () and done.objects == len(contents)


def test_a_copy_is_the_same_store(store: Path, tmp_path: Path) -> None:
    done = copied(store, tmp_path / "copy", tmp_path)
    assert files_of(tmp_path / "copy") == files_of(store)
    assert done.entries == len(CONTENTS) and done.files > 0
    assert_readable(tmp_path / "copy", tmp_path, *CONTENTS)


def test_a_copy_through_a_server_and_back_is_identical(store: Path, server: str, tmp_path: Path) -> None:
    here = Work(tmp_path)  # no repository
    here.lds("mirror", str(store), f"{server}/copy")
    here.lds("mirror", f"{server}/copy", "back")
    assert files_of(tmp_path / "back") == files_of(store)
    assert "is up to date" in here.try_lds("mirror", "store", f"{server}/copy").stderr


def test_a_copy_through_a_bucket_and_back_is_identical(store: Path, bucket: str, tmp_path: Path) -> None:
    with contextlib.closing(by_url.open_backend(bucket)) as cloud:
        copied(store, cloud, tmp_path)
        copied(cloud, tmp_path / "back", tmp_path)
    assert files_of(tmp_path / "back") == files_of(store)


def test_the_next_run_copies_only_new_files(machine: Machine, store: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copied(store, copy, tmp_path)
    assert copied(store, copy, tmp_path) == Mirrored(0, 0, 0)
    machine.push(store, machine.add(b"new"))
    assert copied(store, copy, tmp_path).entries == 1
    assert files_of(copy) == files_of(store)


def test_an_empty_store_is_copied(tmp_path: Path, machine: Machine) -> None:
    made = machine.store(tmp_path / "store")
    made.create()
    assert copied(tmp_path / "store", tmp_path / "copy", tmp_path) == Mirrored(0, 0, 0)
    assert files_of(tmp_path / "copy") == files_of(tmp_path / "store")


def test_only_what_the_log_needs_is_copied(machine: Machine, tmp_path: Path) -> None:
    store = tmp_path / "store"
    for number in range(40):  # indexes are merged, and there is a checkpoint
        machine.push(store, machine.add(b"%d" % number))
    orphan = pack_key(FileId(hashing.of_bytes(b"orphan")))
    (store / orphan).parent.mkdir(exist_ok=True)
    (store / orphan).write_bytes(b"orphan")
    copied(store, tmp_path / "copy", tmp_path)
    state = machine.store(store).refresh()
    copy = files_of(tmp_path / "copy")
    kinds = [key.kind for name in copy if (key := parse(name)) is not None]
    assert kinds.count(KeyKind.PACK) == len(state.packs) and kinds.count(KeyKind.INDEX) == len(state.indexes)
    assert kinds.count(KeyKind.LOG) == state.seq + 1 and kinds.count(KeyKind.CHECKPOINT) == 1
    assert copy[HEAD] == files_of(store)[HEAD]
    assert copy.items() <= files_of(store).items()
    assert_readable(tmp_path / "copy", tmp_path, *(b"%d" % number for number in range(40)))


def test_a_missing_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotInStore, match="there is no store at"):
        copied(tmp_path / "nothing", tmp_path / "copy", tmp_path)
    assert not (tmp_path / "copy").exists()


def test_another_store_is_left_alone(machine: Machine, store: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    machine.push(other, machine.add(b"other"))
    before = files_of(other)
    with pytest.raises(LdsError, match="is another store than"):
        copied(store, other, tmp_path)
    assert files_of(other) == before


@pytest.mark.parametrize("pushed", ["copy", "both"])
def test_a_copy_that_was_pushed_to_is_left_alone(machine: Machine, store: Path, tmp_path: Path, pushed: str) -> None:
    copy = tmp_path / "copy"
    copied(store, copy, tmp_path)
    other = Machine(tmp_path / "other machine")
    other.push(copy, other.add(b"to the copy"))
    if pushed == "both":
        machine.push(store, machine.add(b"to the store"))
    before = files_of(copy)
    with pytest.raises(LdsError, match=f"differs from that of .* from entry {len(CONTENTS)} on"):
        copied(store, copy, tmp_path)
    assert files_of(copy) == before


def test_a_store_that_was_restored_from_an_older_copy_does_not_replace_a_newer_one(
    machine: Machine, store: Path, tmp_path: Path
) -> None:
    shutil.copytree(store, tmp_path / "older")
    machine.push(store, machine.add(b"newer"))
    copied(store, tmp_path / "copy", tmp_path)
    with pytest.raises(LdsError, match="differs"):
        copied(tmp_path / "older", tmp_path / "copy", tmp_path)


def _delete(path: Path) -> None:
    path.unlink()


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


def _cut(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("harm", [_delete, _flip, _cut])
@pytest.mark.parametrize("kind", ["pack", "index"])
def test_a_damaged_source_is_reported_and_stays_invisible(
    machine: Machine, store: Path, tmp_path: Path, harm: Callable[[Path], object], kind: str
) -> None:
    copy = tmp_path / "copy"
    machine.push(copy_source := tmp_path / "source", machine.add(b"first"))
    copied(copy_source, copy, tmp_path)
    machine.push(copy_source, machine.add(b"second"))
    new = next(key for key in files_of(copy_source) if key.startswith(kind) and key not in files_of(copy))
    harm(copy_source / new)
    with pytest.raises(CorruptData, match="1 file is missing or damaged") as raised:
        copied(copy_source, copy, tmp_path)
    assert new in raised.value.message and raised.value.exit_code == 1
    assert new not in files_of(copy) and log_key(1) not in files_of(copy)
    assert_readable(copy, tmp_path, b"first")


@pytest.mark.parametrize("harm", [_delete, _cut])
def test_a_file_that_the_copy_lost_is_copied_again(store: Path, tmp_path: Path, harm: Callable[[Path], object]) -> None:
    copy = tmp_path / "copy"
    copied(store, copy, tmp_path)
    for kind in ("pack", "index"):
        harm(next(path for path in (copy / kind).rglob("*") if path.is_file()))
    assert copied(store, copy, tmp_path).files == 2
    assert files_of(copy) == files_of(store)


def test_a_broken_log_entry_is_reported(store: Path, tmp_path: Path) -> None:
    _cut(store / log_key(1))
    (store / log_key(1)).write_bytes((store / log_key(1)).read_bytes()[:-1])
    with pytest.raises(CorruptData, match=log_key(1)):
        copied(store, tmp_path / "copy", tmp_path)
    assert not (tmp_path / "copy").exists()


def test_a_wrong_checkpoint_is_not_copied(machine: Machine, tmp_path: Path) -> None:
    store = tmp_path / "store"
    for number in range(33):
        machine.push(store, machine.add(b"%d" % number))
    checkpoint = next((store / "checkpoint").iterdir())
    wrong = checkpoint.read_bytes().replace(b'"condemned":[]', b'"condemned": []')
    key = f"{checkpoint.name.split('-')[0]}-{hashing.of_bytes(wrong).hex()}"
    checkpoint.unlink()
    (store / "checkpoint" / key).write_bytes(wrong)
    head = store / HEAD
    head.write_bytes(head.read_bytes().replace(checkpoint.name.encode(), key.encode()))
    copied(store, tmp_path / "copy", tmp_path)
    assert not (tmp_path / "copy" / "checkpoint").exists()
    assert_readable(tmp_path / "copy", tmp_path, b"0", b"32")


class _Off(Around):
    """A backend that stops answering after so many files were put."""

    def __init__(self, inner: Backend, left: int) -> None:
        super().__init__(inner)
        self.left = left

    def create(self, key: str, body: Body) -> bool:
        self.left -= 1
        if self.left < 0:
            raise StoreUnreachable("gone")
        return super().create(key, body)


def test_a_copy_that_was_cut_off_shows_only_whole_states_and_is_continued(store: Path, tmp_path: Path) -> None:
    for puts in range(30):
        copy = tmp_path / f"copy {puts}"
        try:
            copied(store, _Off(Directory(copy), puts), tmp_path)
        except StoreUnreachable:
            seqs = [number for number in range(len(CONTENTS)) if (copy / log_key(number)).exists()]
            if (copy / PARAMETERS).exists():
                assert_readable(copy, tmp_path, *CONTENTS[: len(seqs)])
            copied(store, copy, tmp_path)
            assert files_of(copy) == files_of(store)
        else:
            return
    raise AssertionError("it never came to its end")


def test_two_copies_at_once_come_out_whole(store: Path, tmp_path: Path) -> None:
    here = Work(tmp_path)
    running = [start(here, LAUNCHER, "mirror", str(store), str(tmp_path / "copy")) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0], [p.communicate()[1] for p in running]
    assert files_of(tmp_path / "copy") == files_of(store)


def test_a_killed_copy_is_continued(machine: Machine, tmp_path: Path) -> None:
    store = tmp_path / "store"
    for number in range(6):
        machine.push(store, machine.add(*(random_bytes(100 * number + n, 400_000) for n in range(8))))
    here, random = Work(tmp_path), dice("mirror")
    seconds = timed(here, LAUNCHER, "mirror", str(store), str(tmp_path / "first"))
    for turn in range(4):
        copy = tmp_path / f"copy {turn}"
        process = start(here, LAUNCHER, "mirror", str(store), str(copy))
        wait_for_a_moment(random, seconds, lambda at=copy: files_in(at), process)  # type: ignore[misc]
        kill(process)
        for key, data in files_of(copy).items():
            assert data == files_of(store)[key]
        here.lds("mirror", str(store), str(copy))
        assert files_of(copy) == files_of(store)
    assert list((Path(os.environ["GIT_LDS_CACHE"]) / "mirror").iterdir()) == []


def test_a_copy_to_a_place_without_put_if_absent_is_marked(store: Path, tmp_path: Path) -> None:
    class Twice(Around):
        """Takes a second file under a name."""

        def create(self, key: str, body: Body) -> bool:
            path = Path(self.inner.url) / key
            if path.exists() and not self.looks:
                path.unlink()
            return super().create(key, body)

        looks = False

        def emulate_put_if_absent(self) -> None:
            self.looks = True

    copied(store, Twice(Directory(tmp_path / "copy")), tmp_path)
    marked = Parameters.decode((tmp_path / "copy" / PARAMETERS).read_bytes())
    assert marked.single_writer and marked.store_id == Parameters.decode((store / PARAMETERS).read_bytes()).store_id
    assert copied(store, Twice(Directory(tmp_path / "copy")), tmp_path) == Mirrored(0, 0, 0)


def test_the_command_prints_what_it_copied(store: Path, tmp_path: Path) -> None:
    here = Work(tmp_path)
    said = here.try_lds("mirror", "store", "copy").stderr
    assert f"and {len(CONTENTS)} log entries to" in said, said
    assert '"entries": 0' in here.lds("mirror", "--json", "store", "copy")
    for words in (["mirror", "store"], ["mirror", "ftp://x/y", "copy"], ["mirror", "user@host:x", "copy"]):
        assert here.try_lds(*words).returncode == 2
    done = here.try_lds("mirror", "nothing", "copy")
    assert done.returncode == 1 and "there is no store at" in done.stderr and "hint:" in done.stderr


def test_a_pushed_repository_is_cloned_from_the_copy(served: Work, tmp_path: Path) -> None:
    served.write("a.bin", b"contents")
    served.commit()
    served.git("push", "-q", "origin", "main")
    url = served.git("config", "-f", ".ldsconfig", "store.url")
    served.lds("mirror", url, str(tmp_path / "copy"))
    cache = tmp_path / "new cache"
    options = ("-c", f"lds.store={tmp_path}/copy")
    clone = served.clone("clone", *options, source=tmp_path / "origin.git", GIT_LDS_CACHE=cache)
    assert clone.read("a.bin") == b"contents"
    assert LogEntry.decode((tmp_path / "copy" / log_key(0)).read_bytes()).add_indexes

"""The contract of backends: one suite for all of them, over real directories and real sockets."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from kit.lds_server import EMPTY_INDEX, Served, entry, id_of, index_of, pack_of, packed, serving
from kit.lds_server import PARAMETERS as LDS_TOML
from kit.seaweed import Files, Seaweed, path_in_bucket
from kit.work import random_bytes

from git_lds.errors import CorruptData, LdsError, NotAllowed, NotInStore
from git_lds.store.backends.bucket import BucketBackend
from git_lds.store.backends.contract import Backend, OutOfSequence
from git_lds.store.backends.directory import Directory
from git_lds.store.backends.http import Http
from git_lds.store.format.keys import HEAD, PARAMETERS, checkpoint_key, log_key
from git_lds.store.format.log import EMPTY, LogEntry, apply, encode_checkpoint

_numbers = itertools.count()
BIG = packed(random_bytes(1, 2_998_580))
"""A pack of 3,000,000 bytes: what a server checks goes into every backend."""

SMALL = packed(b"x")
SIZE = len(SMALL)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Path]]:
    root = tmp_path_factory.mktemp("stores")
    with serving(root, allow_removal=True) as served:
        yield served, root


@pytest.fixture(scope="module")
def server_before_a_bucket(seaweed: Seaweed) -> Iterator[tuple[Served, str]]:
    url = seaweed.new_store()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in seaweed.environment().items():
            patch.setenv(name, value)
        with serving(url, allow_removal=True) as served:
            yield served, url


@dataclass(frozen=True)
class InDirectory:
    """The place that a store is in, past the backend: a directory."""

    path: Path

    def add(self, name: str) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).touch()

    def names(self) -> set[str]:
        return {str(path.relative_to(self.path)) for path in self.path.rglob("*") if path.is_file()}


@dataclass(frozen=True)
class Prefix:
    """The place that a store is in: a part of a bucket."""

    files: Files
    path: str

    def add(self, name: str) -> None:
        self.files.add(f"{self.path}/{name}")

    def names(self) -> set[str]:
        return self.files.names(self.path)


@dataclass(frozen=True)
class Place:
    """The place of a new store: opens a backend for it, and reads its files past the backend."""

    open: Callable[[], Backend]
    inside: InDirectory | Prefix
    racers: int = 16
    """How many may want one key at once: with SeaweedFS, each that has to wait looks again after a second."""


@pytest.fixture(params=["directory", "http", "cloud", "http before a cloud"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    name = f"org/store-{next(_numbers)}"
    if request.param == "directory":
        return Place(lambda: Directory(tmp_path / "store"), InDirectory(tmp_path / "store"))
    if request.param == "http":
        served, root = request.getfixturevalue("server")
        return Place(lambda: Http(f"{served.url}/{name}"), InDirectory(root / name))
    files = request.getfixturevalue("seaweed").files()
    if request.param == "http before a cloud":
        served, url = request.getfixturevalue("server_before_a_bucket")
        return Place(lambda: Http(f"{served.url}/{name}"), Prefix(files, f"{path_in_bucket(url)}/{name}"), 3)
    url = request.getfixturevalue("bucket")
    return Place(lambda: BucketBackend(url), Prefix(files, path_in_bucket(url)), 3)


@pytest.fixture
def backend(place: Place) -> Iterator[Backend]:
    backend = place.open()
    yield backend
    backend.close()


@pytest.fixture
def inside(place: Place) -> InDirectory | Prefix:
    return place.inside


def checkpoint_after_one_entry() -> tuple[str, bytes]:
    """The key and the contents of the checkpoint of a log whose entry 0 is `entry()`."""
    data = encode_checkpoint(apply(EMPTY, 0, LogEntry.decode(entry())))
    return checkpoint_key(0, id_of(data)), data


def whole(backend: Backend, key: str, start: int, length: int) -> bytes:
    with backend.stream(key, start, length) as blocks:
        return b"".join(blocks)


def test_a_created_file_is_read_back(backend: Backend) -> None:
    key = pack_of(BIG)
    assert backend.create(key, BIG) is True
    assert backend.size(key) == len(BIG)
    assert backend.read(key) == BIG
    assert whole(backend, key, 0, len(BIG)) == BIG


def test_a_body_may_come_from_a_file(backend: Backend, tmp_path: Path) -> None:
    file = tmp_path / "body"
    file.write_bytes(BIG)
    assert backend.create(pack_of(BIG), file) is True
    assert backend.read(pack_of(BIG)) == BIG
    assert file.read_bytes() == BIG


def test_a_body_may_be_empty(backend: Backend) -> None:
    if isinstance(backend, Http):  # a server refuses an invalid index, so the hint must do
        with pytest.raises(CorruptData):
            backend.create(index_of(b""), b"")
        assert backend.size(index_of(b"")) is None
    else:
        assert backend.create(index_of(b""), b"") is True
        assert backend.size(index_of(b"")) == 0
        assert backend.read(index_of(b"")) == b""
    backend.write(HEAD, b"")
    assert backend.size(HEAD) == 0
    assert backend.read(HEAD) == b""


@pytest.mark.parametrize(("start", "length"), [(0, 1), (0, 5), (17, 1_200_000), (2_999_999, 1), (1_048_575, 2)])
def test_parts_are_read(backend: Backend, start: int, length: int) -> None:
    key = pack_of(BIG)
    backend.create(key, BIG)
    assert backend.read(key, start, length) == BIG[start : start + length]
    assert whole(backend, key, start, length) == BIG[start : start + length]
    assert backend.read(key, start) == BIG[start:]


def test_nothing_is_a_part_too(backend: Backend) -> None:
    key = pack_of(BIG)
    backend.create(key, BIG)
    assert backend.read(key, 5, 0) == b""
    assert whole(backend, key, 5, 0) == b""


@pytest.mark.parametrize(("start", "length"), [(0, SIZE + 1), (5, SIZE - 4), (SIZE, 1), (4_000, 10)])
def test_a_part_beyond_the_end_is_corrupt_data(backend: Backend, start: int, length: int) -> None:
    key = pack_of(SMALL)
    backend.create(key, SMALL)
    with pytest.raises(CorruptData):
        backend.read(key, start, length)
    with pytest.raises(CorruptData), backend.stream(key, start, length):
        pass


def test_a_start_at_or_beyond_the_end_is_corrupt_data(backend: Backend) -> None:
    key = pack_of(SMALL)
    backend.create(key, SMALL)
    for start in (SIZE, SIZE + 1, 5_000):
        with pytest.raises(CorruptData):
            backend.read(key, start)


def test_no_more_is_read_than_the_limit(backend: Backend) -> None:
    key = pack_of(BIG)
    backend.create(key, BIG)
    with pytest.raises(CorruptData):
        backend.read(key, limit=len(BIG) - 1)
    with pytest.raises(CorruptData):
        backend.read(key, 0, 100, limit=99)
    assert backend.read(key, limit=len(BIG)) == BIG


def test_a_missing_key_is_not_in_store(backend: Backend) -> None:
    key = pack_of(b"nowhere")
    assert backend.size(key) is None
    with pytest.raises(NotInStore):
        backend.read(key)
    with pytest.raises(NotInStore):
        backend.read(key, 3, 4)
    with pytest.raises(NotInStore), backend.stream(key, 0, 4):
        pass


def test_create_never_overwrites(backend: Backend) -> None:
    assert backend.create(PARAMETERS, LDS_TOML) is True
    assert backend.create(PARAMETERS, LDS_TOML.replace(b"ab", b"cd")) is False
    assert backend.read(PARAMETERS) == LDS_TOML
    assert backend.create(pack_of(BIG), BIG) is True
    assert backend.create(pack_of(BIG), BIG) is False


def test_of_many_that_create_one_entry_exactly_one_wins(place: Place, backend: Backend) -> None:
    backends = [place.open() for _ in range(4)]
    with ThreadPoolExecutor(place.racers) as pool:
        for seq in range(4):
            bodies = [entry(number) for number in range(place.racers)]
            won = list(pool.map(lambda n: backends[n % 4].create(log_key(seq), bodies[n]), range(place.racers)))  # noqa: B023
            assert won.count(True) == 1
            assert backend.read(log_key(seq)) == bodies[won.index(True)]
    for other in backends:
        other.close()


def test_the_log_has_no_gaps(backend: Backend) -> None:
    with pytest.raises(OutOfSequence):
        backend.create(log_key(1), entry())
    assert backend.create(log_key(0), entry())
    with pytest.raises(OutOfSequence):
        backend.create(log_key(2), entry())
    assert backend.create(log_key(1), entry())
    assert backend.size(log_key(2)) is None


def test_the_hint_alone_is_written_over(backend: Backend) -> None:
    backend.write(HEAD, b"1")
    backend.write(HEAD, b"2")
    assert backend.read(HEAD) == b"2"
    for key in (PARAMETERS, log_key(0), pack_of(b"x")):
        with pytest.raises(NotAllowed):
            backend.write(key, b"x")
        assert backend.size(key) is None


def test_keys_are_listed_in_order(backend: Backend, inside: InDirectory | Prefix) -> None:
    checkpoint, state = checkpoint_after_one_entry()
    packs = [packed(b"%d" % n) for n in range(20)]
    keys = [PARAMETERS, log_key(0), HEAD, checkpoint, *map(pack_of, packs), index_of(EMPTY_INDEX)]
    backend.create(PARAMETERS, LDS_TOML)
    backend.create(log_key(0), entry())
    backend.write(HEAD, b"{}")
    backend.create(checkpoint, state)
    for pack in packs:
        backend.create(pack_of(pack), pack)
    backend.create(index_of(EMPTY_INDEX), EMPTY_INDEX)
    for stray in ("log/stray", "pack/zz/x", "notes.txt"):
        inside.add(stray)
    assert list(backend.list()) == sorted(keys)
    assert list(backend.list("pack/")) == sorted(key for key in keys if key.startswith("pack/"))
    some = pack_of(packs[7])[:9]
    assert list(backend.list(some)) == sorted(key for key in keys if key.startswith(some))
    assert list(backend.list("log/0")) == [log_key(0)]
    assert list(backend.list("nothing/like/this")) == []


def test_long_listings_are_whole(backend: Backend, inside: InDirectory | Prefix) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(inside.add, map(log_key, range(2345))))
    assert list(backend.list("log/")) == [log_key(seq) for seq in range(2345)]


def test_no_store_has_no_listing(backend: Backend) -> None:
    with pytest.raises(NotInStore):
        list(backend.list())


def test_packs_indexes_and_checkpoints_are_deleted(backend: Backend) -> None:
    checkpoint, state = checkpoint_after_one_entry()
    backend.create(log_key(0), entry())
    backend.create(checkpoint, state)
    backend.create(pack_of(SMALL), SMALL)
    backend.create(index_of(EMPTY_INDEX), EMPTY_INDEX)
    backend.create(log_key(1), entry(remove_packs=(id_of(SMALL),), drop_indexes=(id_of(EMPTY_INDEX),)))
    for key in (pack_of(SMALL), index_of(EMPTY_INDEX), checkpoint):
        assert backend.size(key)
        backend.delete(key)
        assert backend.size(key) is None
        backend.delete(key)


def test_history_is_never_deleted(backend: Backend) -> None:
    backend.create(PARAMETERS, LDS_TOML)
    backend.create(log_key(0), entry())
    backend.write(HEAD, b"{}")
    for key in (PARAMETERS, log_key(0), HEAD):
        with pytest.raises(NotAllowed):
            backend.delete(key)
        assert backend.size(key) is not None


@pytest.mark.parametrize(
    "key",
    ["", "/", "..", "pack", "pack/", "../lds.toml", "/etc/passwd", "lds.toml\0", "lds.toml/", "log/../lds.toml",
     "log/1", "log/head", "LDS.TOML", "tmp/x", "pack/" + "a" * 64, "pack/ab/" + "c" * 64, "log/" + "9" * 20,
     "log/%2e%2e", "pack/ab/" + "A" * 64, "x" * 100_000, "index/ab/" + "ab" * 31 + "a\n"],
)  # fmt: skip
def test_malformed_keys_are_refused_before_any_request(
    backend: Backend, inside: InDirectory | Prefix, key: str
) -> None:
    def stream() -> None:
        with backend.stream(key, 0, 1):
            pass

    for verb in (
        lambda: backend.read(key),
        stream,
        lambda: backend.size(key),
        lambda: backend.create(key, b"x"),
        lambda: backend.write(key, b"x"),
        lambda: backend.delete(key),
    ):
        with pytest.raises(CorruptData):
            verb()
    assert backend.requests == 0
    assert inside.names() == set()


def test_nothing_is_left_behind(backend: Backend, inside: InDirectory | Prefix) -> None:
    backend.create(PARAMETERS, LDS_TOML)
    backend.create(PARAMETERS, LDS_TOML)
    backend.create(pack_of(BIG), BIG)
    backend.write(HEAD, b"{}")
    with pytest.raises(LdsError):
        backend.create(log_key(9), entry())
    assert inside.names() == {PARAMETERS, pack_of(BIG), HEAD}


def test_requests_are_counted(backend: Backend) -> None:
    before = backend.requests
    backend.create(index_of(EMPTY_INDEX), EMPTY_INDEX)
    created = backend.requests
    assert created > before
    backend.read(index_of(EMPTY_INDEX))
    assert backend.requests == created + 1
    backend.read(index_of(EMPTY_INDEX), 0, 1)
    assert backend.requests == created + 2


def test_many_threads_share_one_backend(backend: Backend) -> None:
    bodies = [packed(random_bytes(n, 200_000)) for n in range(12)]

    def there_and_back(body: bytes) -> bool:
        created = backend.create(pack_of(body), body)
        return created and backend.read(pack_of(body)) == body and whole(backend, pack_of(body), 7, 9) == body[7:16]

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(there_and_back, bodies))


def test_a_stream_may_be_left_early(backend: Backend) -> None:
    key = pack_of(BIG)
    backend.create(key, BIG)
    for _ in range(40):
        with backend.stream(key, 0, len(BIG)) as blocks:
            assert next(blocks)
    assert backend.read(key, 0, 10) == BIG[:10]


def test_errors_of_the_caller_are_not_translated(backend: Backend) -> None:
    key = pack_of(BIG)
    backend.create(key, BIG)
    with pytest.raises(FileNotFoundError, match="mine"), backend.stream(key, 0, 10):
        raise FileNotFoundError("mine")

"""The server on a bucket: its answers, its checks, and several servers on one store."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kit.faulty_proxy import Fault, between, silent_before, status
from kit.lds_server import EMPTY_INDEX, Reply, Served, ask, connect, entry, index_of, pack_of, packed, serving
from kit.lds_server import PARAMETERS as LDS_TOML
from kit.seaweed import Seaweed, path_in_bucket
from kit.work import LAUNCHER, Work, random_bytes

from git_lds.server.address import is_suffix, read_bounds, read_range
from git_lds.store.backends.bucket import BucketBackend
from git_lds.store.format.keys import HEAD, PARAMETERS, log_key
from git_lds.store.format.log import LogEntry

DATA = packed(random_bytes(5, 2_998_580))
KEY = pack_of(DATA)


@pytest.fixture
def served(bucket: str) -> Iterator[Served]:
    with serving(bucket) as served:
        yield served


def put(served: Served, key: str, body: bytes, **headers: str) -> Reply:
    return ask(served.url, "PUT", f"/ds/{key}", body, **headers)


def get(served: Served, key: str, **headers: str) -> Reply:
    return ask(served.url, "GET", f"/ds/{key}", None, **headers)


def test_a_file_is_stored_in_the_bucket_under_its_key(served: Served, bucket: str, seaweed: Seaweed) -> None:
    assert put(served, KEY, DATA).status == 201
    assert put(served, KEY, DATA).status == 412
    assert seaweed.files().names(path_in_bucket(bucket)) == {f"ds/{KEY}"}
    assert BucketBackend(f"{bucket}/ds").read(KEY) == DATA
    reply = get(served, KEY)
    assert (reply.status, reply.body) == (200, DATA)
    assert reply.headers["etag"] == f'"{KEY[-64:]}"'
    head = ask(served.url, "HEAD", f"/ds/{KEY}")
    assert (head.status, head.headers["content-length"], head.body) == (200, str(len(DATA)), b"")


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [("bytes=0-0", 0, 1), ("bytes=5-9", 5, 10), ("bytes=2999999-", 2_999_999, 3_000_000), ("bytes=-5", 2_999_995, 3_000_000),
     ("bytes=-9999999", 0, 3_000_000), ("bytes=1000-9999999", 1000, 3_000_000), ("bytes=100-2000000", 100, 2_000_001)],
)  # fmt: skip
def test_one_range_is_answered(served: Served, header: str, start: int, end: int) -> None:
    put(served, KEY, DATA)
    reply = get(served, KEY, Range=header)
    assert (reply.status, reply.body) == (206, DATA[start:end])
    assert reply.headers["content-range"] == f"bytes {start}-{end - 1}/{len(DATA)}"


@pytest.mark.parametrize(
    "header", ["bytes=3000000-", "bytes=3000000-3000001", "bytes=-0", "bytes=9999999999999999999-"]
)
def test_a_range_outside_the_file_is_416(served: Served, header: str) -> None:
    put(served, KEY, DATA)
    reply = get(served, KEY, Range=header)
    assert (reply.status, reply.headers["content-range"]) == (416, "bytes */3000000")


def test_a_range_of_an_empty_file(served: Served, bucket: str, seaweed: Seaweed) -> None:
    seaweed.files().add(f"{path_in_bucket(bucket)}/ds/{pack_of(b'')}")
    assert get(served, pack_of(b"")).status == 200
    assert get(served, pack_of(b""), Range="bytes=0-").status == 416
    assert get(served, pack_of(b""), Range="bytes=5-4").status == 200


@pytest.mark.parametrize("size", [0, 1, 5, 10, 100])
@pytest.mark.parametrize(
    "header", [None, "", "bytes=", "bytes=-", "bytes=0-", "bytes=5-", "bytes=0-0", "bytes=3-7", "bytes=7-3", "bytes=0-1,2-3",
               "bytes=99-99999999999999999999", f"bytes={'9' * 19}-"]
)  # fmt: skip
def test_bounds_without_the_size_agree_with_the_range(header: str | None, size: int) -> None:
    assert not is_suffix(header)
    start, length = read_bounds(header)
    span = read_range(header, size)
    if span is None:
        assert start >= size
    else:
        assert (span.start, span.end) == (start, size if length is None else min(start + length, size))


def test_nothing_unchecked_is_visible(served: Served, bucket: str, seaweed: Seaweed) -> None:
    assert put(served, KEY, DATA[:-1] + b"x").status == 422
    assert put(served, log_key(0), b"no entry").status == 422
    assert put(served, PARAMETERS, b"no toml [").status == 422
    assert put(served, log_key(1), entry()).status == 409
    with connect(served.url) as connection:
        head = f"PUT /ds/{KEY} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(DATA)}\r\n\r\n"
        connection.sendall(head.encode() + DATA[:1_500_000])
    assert get(served, KEY).status == 404
    assert seaweed.files().names(path_in_bucket(bucket)) == set()


def test_listings_come_in_pages_and_odd_prefixes_are_empty(served: Served, bucket: str, seaweed: Seaweed) -> None:
    files = seaweed.files()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda seq: files.add(f"{path_in_bucket(bucket)}/ds/{log_key(seq)}"), range(1005)))
    first = ask(served.url, "GET", "/ds/?prefix=log/").body.decode().splitlines()
    assert first == [log_key(seq) for seq in range(1000)]
    rest = ask(served.url, "GET", f"/ds/?prefix=log/&after={first[-1]}").body.decode().splitlines()
    assert rest == [log_key(seq) for seq in range(1000, 1005)]
    assert ask(served.url, "GET", "/ds/?prefix=../other&after=%2F%2F").body == b""
    assert ask(served.url, "GET", "/nowhere/").status == 404


def test_a_silent_bucket_is_503_without_its_url(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with between(os.environ["AWS_ENDPOINT_URL"]) as line:
        monkeypatch.setenv("AWS_ENDPOINT_URL", line.url)
        with serving(bucket) as served:
            line.faults.append(Fault("GET", None, status(500), 99))
            reply = get(served, HEAD)
            assert (reply.status, reply.body) == (503, b"the bucket of the server does not answer\n")


@pytest.mark.slow
def test_the_server_ends_although_the_bucket_is_silent(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with between(os.environ["AWS_ENDPOINT_URL"]) as line:
        monkeypatch.setenv("AWS_ENDPOINT_URL", line.url)
        with serving(bucket) as served:
            line.faults.append(Fault("PUT", None, silent_before, 99))
            with connect(served.url) as connection:
                body = packed(b"body")
                head = f"PUT /ds/{pack_of(body)} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
                connection.sendall(head.encode() + body)
                while len(line.of("PUT")) < 3:  # two of them when it started
                    pass
                served.process.terminate()
                assert served.process.wait(30) == 0


# starting


def start(root: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LAUNCHER, "serve", "--root", root, "--port", "0"], env={**os.environ, **environment}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("root", "environment", "message", "status"),
    [("s3://nowhere-at-all/x", {}, "there is no bucket", 1), ("{bucket}", {"AWS_SECRET_ACCESS_KEY": "hush"}, "refused access", 1),
     ("{bucket}", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "could not be reached", 1),
     ("ftp://x/y", {}, "is not the URL of a store", 2), ("s3://a:hush@test/x", {}, "must not contain a user", 2),
     ("{bucket}", {"AWS_CONDITIONAL_PUT": "disabled"}, "put-if-absent", 1),
     ("http://127.0.0.1:9/x", {}, "cannot serve stores from", 2)],
)  # fmt: skip
def test_an_unusable_bucket_is_an_error_at_the_start(
    bucket: str, root: str, environment: dict[str, str], message: str, status: int
) -> None:
    done = start(root.format(bucket=bucket), **environment)
    assert done.returncode == status
    assert message in done.stderr and "hint: " in done.stderr and "Traceback" not in done.stderr
    assert "hush" not in done.stderr + done.stdout


def test_the_start_leaves_no_files_in_the_bucket(bucket: str, seaweed: Seaweed) -> None:
    with serving(bucket):
        assert seaweed.files().names(path_in_bucket(bucket)) == set()


# several


@pytest.fixture
def two(bucket: str) -> Iterator[tuple[Served, Served]]:
    with serving(bucket) as one, serving(bucket) as other:
        yield one, other


def test_one_of_two_concurrent_entries_through_two_servers_wins(two: tuple[Served, Served]) -> None:
    with ThreadPoolExecutor(4) as pool:
        for seq in range(2):
            replies = list(pool.map(lambda n: put(two[n % 2], log_key(seq), entry(n)).status, range(4)))  # noqa: B023
            assert sorted(replies) == [201, 412, 412, 412]
            assert get(two[0], log_key(seq)).body == get(two[1], log_key(seq)).body


def test_concurrent_pushes_through_two_servers_lose_nothing(
    two: tuple[Served, Served], bucket: str, new_work: Callable[..., Work], tmp_path: Path
) -> None:
    bare = tmp_path / "origin.git"
    Work(tmp_path).git("init", "-q", "--bare", bare)
    people = []
    for n in range(3):
        work = new_work(f"person{n}")
        work.git("checkout", "-qb", f"branch{n}")
        work.git("remote", "add", "origin", bare)
        work.lds("init", "--store", f"{two[n % 2].url}/ds")
        people.append(work)

    def work_on(n: int) -> None:
        for push in range(2):
            people[n].write(f"images/{n}-{push}.bin", random_bytes(100 * n + push, 300_000))
            people[n].write(f"images/small-{n}-{push}.bin", random_bytes(100 * n + push + 50, 3_000))
            people[n].commit(f"{n}, {push}")
            people[n].git("push", "-q", "origin", "HEAD")

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work_on, range(3)))
    cloud = BucketBackend(f"{bucket}/ds")
    keys = [key for key in cloud.list("log/") if key != HEAD]
    assert keys == [log_key(seq) for seq in range(len(keys))]
    pushes = [LogEntry.decode(cloud.read(key)) for key in keys]
    assert len({push.push for push in pushes}) == len(keys)
    assert sum(bool(push.add_packs) for push in pushes) == 6
    for n in range(3):
        reader = Work(tmp_path / f"reader{n}", tmp_path / f"cache{n}")
        address = f"{two[(n + 1) % 2].url}/ds"  # by the other server
        Work(tmp_path, reader.cache).git(
            "clone", "-q", "--branch", f"branch{n}", bare, reader.path, GIT_LDS_STORE=address
        )
        for push in range(2):
            assert reader.read(f"images/{n}-{push}.bin") == random_bytes(100 * n + push, 300_000)
            assert reader.read(f"images/small-{n}-{push}.bin") == random_bytes(100 * n + push + 50, 3_000)


def test_a_killed_server_loses_nothing(two: tuple[Served, Served]) -> None:
    assert put(two[0], PARAMETERS, LDS_TOML).status == 201
    assert put(two[0], log_key(0), entry()).status == 201
    two[0].process.kill()
    assert get(two[1], log_key(0)).body == entry()
    assert put(two[1], log_key(1), entry(2)).status == 201
    assert put(two[1], index_of(EMPTY_INDEX), EMPTY_INDEX).status == 201

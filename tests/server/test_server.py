"""The server as a process on a real socket: what clients need, and attempts of hostile clients."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kit.lds_server import PARAMETERS as LDS_TOML
from kit.lds_server import Reply, Served, ask, connect, entry, index_of, pack_of, packed, read_reply, serving
from kit.work import random_bytes

from git_lds.errors import UsageError
from git_lds.hashing import FileId
from git_lds.server.address import read_address, read_range
from git_lds.server.users import Users, read_users, scrypt_of
from git_lds.store.format.keys import HEAD, MAX_SIZES, PARAMETERS, KeyKind, checkpoint_key, log_key

DATA = packed(random_bytes(5, 2_998_580))
"""A pack of 3,000,000 bytes."""

SMALL = packed(b"small")
KEY = pack_of(DATA)
ID = FileId(bytes.fromhex(KEY[-64:]))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Path]]:
    root = tmp_path_factory.mktemp("around") / "stores"  # tests look at all that is beside it, too
    root.mkdir()
    with serving(root) as served:
        yield served, root


@pytest.fixture
def url(shared: tuple[Served, Path]) -> str:
    return shared[0].url


@pytest.fixture
def root(shared: tuple[Served, Path]) -> Path:
    """The directory with the stores; empty."""
    for store in shared[1].iterdir():
        shutil.rmtree(store)
    return shared[1]


def put(url: str, key: str, body: bytes, **headers: str) -> Reply:
    return ask(url, "PUT", f"/ds/{key}", body, **headers)


def get(url: str, key: str, **headers: str) -> Reply:
    return ask(url, "GET", f"/ds/{key}", None, **headers)


def basic(login: str) -> str:
    return "Basic " + base64.b64encode(login.encode()).decode()


# reading


def test_a_file_is_served_with_its_name_as_tag(url: str, root: Path) -> None:
    assert put(url, KEY, DATA).status == 201
    reply = get(url, KEY)
    assert (reply.status, reply.body) == (200, DATA)
    assert reply.headers["content-length"] == str(len(DATA))
    assert reply.headers["accept-ranges"] == "bytes"
    assert reply.headers["etag"] == f'"{KEY[-64:]}"'
    assert "immutable" in reply.headers["cache-control"]
    assert get(url, KEY, If_None_Match=reply.headers["etag"]).status == 304


def test_head_has_the_same_headers_and_no_body(url: str, root: Path) -> None:
    put(url, KEY, DATA)
    reply = ask(url, "HEAD", f"/ds/{KEY}")
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["content-length"] == str(len(DATA))
    assert ask(url, "HEAD", f"/ds/{pack_of(b'none')}").status == 404


def test_caches_must_revalidate_the_log(url: str, root: Path) -> None:
    missing = get(url, log_key(0))
    assert (missing.status, missing.headers["cache-control"]) == (404, "no-store")
    put(url, log_key(0), entry())
    assert get(url, log_key(0)).headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [("bytes=0-0", 0, 1), ("bytes=5-9", 5, 10), ("bytes=2999999-", 2_999_999, 3_000_000),
     ("bytes=-5", 2_999_995, 3_000_000), ("bytes=-9999999", 0, 3_000_000), ("bytes=1000-9999999", 1000, 3_000_000),
     ("bytes=100-2000000", 100, 2_000_001), ("bytes= 1 - 2 ", 1, 3)],
)  # fmt: skip
def test_one_range_is_answered(url: str, root: Path, header: str, start: int, end: int) -> None:
    put(url, KEY, DATA)
    reply = get(url, KEY, Range=header)
    assert (reply.status, reply.body) == (206, DATA[start:end])
    assert reply.headers["content-range"] == f"bytes {start}-{end - 1}/{len(DATA)}"


@pytest.mark.parametrize(
    "header", ["bytes=3000000-", "bytes=3000000-3000001", "bytes=-0", "bytes=9999999999999999999-"]
)
def test_a_range_outside_the_file_is_416(url: str, root: Path, header: str) -> None:
    put(url, KEY, DATA)
    reply = get(url, KEY, Range=header)
    assert (reply.status, reply.headers["content-range"]) == (416, "bytes */3000000")


@pytest.mark.parametrize(
    "header", ["bytes=0-1,5-6", "lines=1-2", "bytes=", "bytes=-", "bytes=5-4", "bytes=a-b", "bytes=" + "9" * 99 + "-"]
)
def test_anything_but_a_single_range_is_ignored(url: str, root: Path, header: str) -> None:
    put(url, pack_of(SMALL), SMALL)
    assert (get(url, pack_of(SMALL), Range=header).status) == 200


def test_a_range_of_an_empty_file(url: str, root: Path) -> None:
    (root / "ds" / pack_of(b"")).parent.mkdir(parents=True)
    (root / "ds" / pack_of(b"")).touch()
    assert get(url, pack_of(b"")).status == 200
    assert get(url, pack_of(b""), Range="bytes=0-").status == 416
    assert read_range("bytes=-5", 0) is None


def test_if_range_holds_only_for_the_same_file(url: str, root: Path) -> None:
    put(url, KEY, DATA)
    assert get(url, KEY, Range="bytes=0-4", If_Range=f'"{KEY[-64:]}"').status == 206
    assert get(url, KEY, Range="bytes=0-4", If_Range='"other"').status == 200


def test_listings_come_in_pages(url: str, root: Path) -> None:
    (root / "ds" / "log").mkdir(parents=True)
    for seq in range(1500):
        (root / "ds" / log_key(seq)).touch()
    first = ask(url, "GET", "/ds/?prefix=log/")
    assert first.headers["content-type"].startswith("text/plain")
    keys = first.body.decode().splitlines()
    assert keys == [log_key(seq) for seq in range(1000)]
    rest = ask(url, "GET", f"/ds/?prefix=log/&after={keys[-1]}").body.decode().splitlines()
    assert rest == [log_key(seq) for seq in range(1000, 1500)]
    assert ask(url, "GET", f"/ds/?after={rest[-1]}").body == b""


def test_only_stores_are_listed(url: str, root: Path) -> None:
    put(url, KEY, DATA)
    assert ask(url, "GET", "/").status == 404
    assert ask(url, "GET", "/none/?prefix=").status == 404
    assert ask(url, "GET", "/ds").status == 404
    assert ask(url, "GET", "/ds/?prefix=../").body == b""
    assert ask(url, "GET", "/ds/?prefix=" + "x" * 5000).status == 414
    assert ask(url, "DELETE", "/ds/").status == 405


# writing


def test_a_body_that_does_not_match_its_name_is_refused_and_never_visible(url: str, root: Path) -> None:
    wrong = DATA[:-1] + b"x"
    for key in (KEY, index_of(DATA), checkpoint_key(0, ID)):
        reply = put(url, key, wrong)
        assert (reply.status, b"BLAKE3" in reply.body) == (422, True)
        assert get(url, key).status == 404
    assert list((root / "ds" / "tmp").iterdir()) == []


def test_a_file_is_not_visible_before_its_body_is_complete(url: str, root: Path) -> None:
    with connect(url) as connection:
        connection.sendall(f"PUT /ds/{KEY} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(DATA)}\r\n\r\n".encode())
        connection.sendall(DATA[:-1])
        deadline = time.monotonic() + 10
        while not (root / "ds" / "tmp").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert get(url, KEY).status == 404
        assert not (root / "ds" / KEY).exists()
    deadline = time.monotonic() + 10
    while list((root / "ds" / "tmp").iterdir()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert list((root / "ds" / "tmp").iterdir()) == []
    assert get(url, KEY).status == 404


def test_existing_files_are_not_replaced(url: str, root: Path) -> None:
    assert put(url, PARAMETERS, LDS_TOML).status == 201
    assert put(url, PARAMETERS, LDS_TOML.replace(b"ab", b"cd")).status == 412
    assert put(url, PARAMETERS, LDS_TOML, If_None_Match="*").status == 412
    assert get(url, PARAMETERS).body == LDS_TOML
    put(url, HEAD, b"1")
    assert put(url, HEAD, b"2", If_None_Match="*").status == 412
    assert put(url, HEAD, b"3").status == 204
    assert get(url, HEAD).body == b"3"


def test_412_for_an_existing_file_is_sent_before_the_body(url: str, root: Path) -> None:
    put(url, KEY, DATA)
    with connect(url) as connection:
        connection.sendall(
            f"PUT /ds/{KEY} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(DATA)}\r\n"
            "Expect: 100-continue\r\nConnection: close\r\n\r\n".encode()
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 412 ")


def test_a_refused_body_leaves_the_connection_usable(url: str, root: Path) -> None:
    put(url, KEY, DATA)
    with connect(url) as connection:
        head = f"PUT /ds/{KEY} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(DATA)}\r\n\r\n"
        connection.sendall(head.encode() + DATA)
        refused = b""
        while not refused.endswith(b"it is there\n"):
            refused += connection.recv(1000)
        connection.sendall(f"GET /ds/{KEY} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert read_reply(connection).body == DATA


def test_entries_of_the_log_are_created_once_and_in_turn(url: str, root: Path) -> None:
    assert put(url, log_key(1), entry()).status == 409
    assert put(url, log_key(0), entry(0)).status == 201
    assert put(url, log_key(0), entry(1)).status == 412
    assert put(url, log_key(2), entry(2)).status == 409
    assert put(url, log_key(1), entry(1)).status == 201
    assert get(url, log_key(0)).body == entry(0)
    assert get(url, log_key(2)).status == 404


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[" * 100_000, b"nonsense", entry()[:-2], b'{"version": 2}', b"\xff" * 99]
)
def test_a_malformed_log_entry_is_refused(url: str, root: Path, body: bytes) -> None:
    assert put(url, log_key(0), body).status == 422
    assert get(url, log_key(0)).status == 404


def test_malformed_parameters_are_refused(url: str, root: Path) -> None:
    assert put(url, PARAMETERS, b"nonsense").status == 422


def test_exactly_one_of_many_requests_creates_a_log_entry(url: str, root: Path) -> None:
    with ThreadPoolExecutor(20) as pool:
        for seq in range(5):
            replies = list(pool.map(lambda n: put(url, log_key(seq), entry(n)).status, range(20)))  # noqa: B023
            assert sorted(replies) == [201] + [412] * 19
            assert get(url, log_key(seq)).body == entry(replies.index(201))


def test_exactly_one_of_many_requests_creates_a_pack(url: str, root: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: put(url, KEY, DATA).status, range(8)))
    assert sorted(replies) == [201] + [412] * 7
    assert get(url, KEY).body == DATA


def test_maintenance_deletes_files_and_the_log_stays(tmp_path: Path) -> None:
    with serving(tmp_path, allow_removal=True) as served:
        url = served.url
        put(url, KEY, DATA)
        put(url, PARAMETERS, LDS_TOML)
        put(url, log_key(0), entry(remove_packs=(ID,)))
        put(url, HEAD, b"{}")
        assert ask(url, "DELETE", f"/ds/{KEY}").status == 204
        assert ask(url, "DELETE", f"/ds/{KEY}").status == 204
        assert get(url, KEY).status == 404
        for key in (PARAMETERS, log_key(0), HEAD):
            assert ask(url, "DELETE", f"/ds/{key}").status == 405
            assert get(url, key).status == 200


# limits


@pytest.mark.parametrize("kind", list(KeyKind))
def test_each_kind_of_file_has_a_size_limit(url: str, root: Path, kind: KeyKind) -> None:
    keys = {KeyKind.PARAMETERS: PARAMETERS, KeyKind.HEAD: HEAD, KeyKind.LOG: log_key(0), KeyKind.PACK: KEY,
            KeyKind.INDEX: index_of(DATA), KeyKind.CHECKPOINT: checkpoint_key(0, ID)}  # fmt: skip
    for size in (str(MAX_SIZES[kind] + 1), "9" * 15, "9" * 20):
        assert ask(url, "PUT", f"/ds/{keys[kind]}", Content_Length=size).status == 413
    assert ask(url, "PUT", f"/ds/{keys[kind]}", Content_Length="9" * 40).status in (400, 413)


def test_a_body_needs_a_content_length(url: str, root: Path) -> None:
    assert ask(url, "PUT", f"/ds/{KEY}", Transfer_Encoding="chunked").status == 411
    assert ask(url, "PUT", f"/ds/{KEY}").status == 411
    assert ask(url, "PUT", f"/ds/{KEY}", Content_Length="-1").status in (400, 411)
    assert ask(url, "PUT", f"/ds/{KEY}", Content_Length="x").status in (400, 411)


def test_unknown_conditions_are_refused_not_ignored(url: str, root: Path) -> None:
    assert put(url, KEY, DATA, If_None_Match='"x"').status == 400
    assert put(url, HEAD, b"{}", If_Match="*").status == 400


@pytest.mark.parametrize("method", ["POST", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "X"])
def test_other_methods_are_refused(url: str, root: Path, method: str) -> None:
    assert ask(url, method, f"/ds/{KEY}", b"").status == 405


HOSTILE = [
    "/ds/../ds/lds.toml", "/../lds.toml", "/ds/%2e%2e/lds.toml", "/%2e%2e/%2e%2e/etc/passwd", "/ds/..%2flds.toml",
    "/ds%2flds.toml", "/ds/log%2fHEAD", "/ds//lds.toml", "//lds.toml", "//etc/passwd", "/ds/lds.toml/", "/ds/./lds.toml",
    "/ds/lds.toml%00", "/%00/lds.toml", "/ds/lds%2etoml", "/ds/tmp/x", "/.git/lds.toml", "/.hidden/lds.toml",
    "/a/b/c/d/e/lds.toml", "/ds/pack/lds.toml", "/log/lds.toml", "/LOG/lds.toml", "/tmp/lds.toml", "/ds/lds.toml\\",
    "/ds\\..\\lds.toml", "/C:/lds.toml", "/ds:stream/lds.toml", "/ds./lds.toml", "/" + "a" * 101 + "/lds.toml",
    "/" + "a" * 9000 + "/lds.toml", "/ds/" + "x" * 9000, "/ds/pack/ab/" + "A" * 64, "/ds/pack/ab/" + "cd" * 32,
    "/ds/log/-0000000000000000001", "/ds/log/" + "9" * 20, "/ds/log/1", "/ds/lds.toml;x", "/ds/pack", "/~root/lds.toml",
    "/ds/log/HEAD/../../lds.toml", "http://other.example.org/ds/lds.toml/..", "/d s/lds.toml", "*", "ds/lds.toml",
]  # fmt: skip


@pytest.mark.parametrize("target", HOSTILE)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_hostile_paths_are_404(url: str, root: Path, method: str, target: str) -> None:
    (root.parent / "lds.toml").write_bytes(b"not a store's")
    put(url, PARAMETERS, LDS_TOML)
    before = sorted(root.parent.rglob("*"))
    reply = ask(url, method, target, LDS_TOML if method == "PUT" else None)
    assert reply.status in (400, 404), reply
    assert b"not a store's" not in reply.body
    assert sorted(root.parent.rglob("*")) == before


@pytest.mark.parametrize("byte", [b"\0", b"\xff", b"\x01", b"\x7f"])
def test_paths_with_other_bytes_are_refused(url: str, root: Path, byte: bytes) -> None:
    with connect(url) as connection:
        connection.sendall(b"GET /ds/lds.toml" + byte + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert read_reply(connection).status in (400, 404)


def test_a_path_has_one_meaning() -> None:
    assert read_address(b"/a/b/lds.toml") is not None
    assert read_address(b"/a/pack/lds.toml") is None
    address = read_address(b"/org/data.git/log/HEAD")
    assert address is not None
    assert (address.store, address.key) == ("org/data.git", "log/HEAD")


def test_errors_do_not_contain_paths_of_the_server(url: str, root: Path) -> None:
    (root / "ds").mkdir()
    (root / "ds" / "pack").write_bytes(b"")
    reply = put(url, KEY, DATA)
    assert reply.status == 500
    assert str(root).encode() not in reply.body


def test_many_slow_uploads_do_not_block_other_requests(url: str, root: Path) -> None:
    put(url, PARAMETERS, LDS_TOML)
    waiting = [connect(url) for _ in range(60)]
    for n, connection in enumerate(waiting):
        connection.sendall(
            f"PUT /ds/{pack_of(b'%d' % n)} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n".encode()
        )
    started = time.monotonic()
    assert get(url, PARAMETERS).body == LDS_TOML
    assert put(url, KEY, DATA).status == 201
    assert time.monotonic() - started < 10
    for connection in waiting:
        connection.close()


def test_memory_stays_bounded(tmp_path: Path) -> None:
    chunks = random_bytes(6, 48 << 20)
    with serving(tmp_path) as served, ThreadPoolExecutor(4) as pool:
        bodies = [packed(chunks, random=bytes([n] * 16)) for n in range(4)]
        assert list(pool.map(lambda b: put(served.url, pack_of(b), b).status, bodies)) == [201] * 4
        assert all(pool.map(lambda b: get(served.url, pack_of(b)).body == b, bodies))
        status = Path(f"/proc/{served.process.pid}/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0])
    assert peak < 100 << 10, f"{peak >> 10} MiB"


# starting, stopping, and who may come in


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_in_order(tmp_path: Path, number: signal.Signals) -> None:
    with serving(tmp_path) as served:
        put(served.url, KEY, DATA)
        with connect(served.url) as idle:
            idle.sendall(b"GET /ds/lds.toml HTTP/1.1\r\nHost: localhost\r\n\r\n")
            idle.recv(1000)
            started = time.monotonic()
            served.process.send_signal(number)
            assert served.process.wait(20) == 0
            assert time.monotonic() - started < 5


def test_a_pending_upload_may_end(tmp_path: Path) -> None:
    with serving(tmp_path) as served, connect(served.url) as connection:
        head = f"PUT /ds/{KEY} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(DATA)}\r\n\r\n"
        connection.sendall(head.encode() + DATA[:1_500_000])
        time.sleep(0.3)
        served.process.terminate()
        time.sleep(0.3)
        connection.sendall(DATA[1_500_000:])
        assert read_reply(connection).status == 201
        assert served.process.wait(20) == 0
    assert (tmp_path / "ds" / KEY).read_bytes() == DATA


def test_a_killed_server_leaves_no_partial_files(tmp_path: Path) -> None:
    with serving(tmp_path) as served, connect(served.url) as connection:
        head = f"PUT /ds/{KEY} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(DATA)}\r\n\r\n"
        connection.sendall(head.encode() + DATA[:2_500_000])
        deadline = time.monotonic() + 10
        while not (tmp_path / "ds" / "tmp").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        served.process.kill()
        served.process.wait()
    with serving(tmp_path) as served:
        assert get(served.url, KEY).status == 404
        assert put(served.url, KEY, DATA).status == 201
        assert list((tmp_path / "ds" / "tmp").iterdir()) == []


def run_serve(tmp_path: Path, options: str) -> subprocess.CompletedProcess[str]:
    code = f"""
from pathlib import Path
from git_lds.errors import LdsError
from git_lds.server import serve
try:
    serve(Path({str(tmp_path)!r}), {options})
except LdsError as error:
    print(type(error).__name__, error.hint)
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_public_address_needs_users_or_allow_anonymous(tmp_path: Path, host: str) -> None:
    if host == "::" and not socket.has_ipv6:
        pytest.skip("no IPv6")
    done = run_serve(tmp_path, f"host={host!r}, port=0")
    assert done.stdout.startswith("UsageError")
    assert "--allow-anonymous" in done.stdout


def test_a_public_address_is_allowed_with_users_or_allow_anonymous(tmp_path: Path) -> None:
    with serving(tmp_path, host="0.0.0.0", allow_anonymous=True) as served:
        assert put(served.url.replace("0.0.0.0", "127.0.0.1"), PARAMETERS, LDS_TOML).status == 201
    with serving(tmp_path, host="0.0.0.0", users={"ada": "x"}) as served:
        assert get(served.url.replace("0.0.0.0", "127.0.0.1"), PARAMETERS).status == 401


def test_a_port_that_is_taken_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run_serve(tmp_path, f"port={taken.getsockname()[1]}")
    assert done.stdout == "LdsError choose another port\n"


def test_users_need_their_password(tmp_path: Path) -> None:
    users = {"ada": "s3cret:x", "grace": scrypt_of("hopper")}
    with serving(tmp_path, users=users) as served:
        reply = get(served.url, PARAMETERS)
        assert reply.status == 401
        assert reply.headers["www-authenticate"].startswith("Basic ")
        for login in ("ada:wrong", "ada:", "ada", "unknown:s3cret:x", ":", "grace:wrong", f"grace:{users['grace']}"):
            assert put(served.url, PARAMETERS, LDS_TOML, Authorization=basic(login)).status == 401
        for header in ("Basic", "Basic !!!", "Bearer x", "Basic " + "A" * 5000, "Basic /w=="):
            assert put(served.url, PARAMETERS, LDS_TOML, Authorization=header).status == 401
        assert not (tmp_path / "ds").exists()
        assert put(served.url, PARAMETERS, LDS_TOML, Authorization=basic("ada:s3cret:x")).status == 201
        for _ in range(2):
            assert get(served.url, PARAMETERS, Authorization=basic("grace:hopper")).body == LDS_TOML


def test_anonymous_users_may_read_if_allowed(tmp_path: Path) -> None:
    with serving(tmp_path, users={"ada": "x"}, allow_anonymous=True) as served:
        assert put(served.url, PARAMETERS, LDS_TOML).status == 401
        assert put(served.url, PARAMETERS, LDS_TOML, Authorization=basic("ada:x")).status == 201
        assert get(served.url, PARAMETERS).body == LDS_TOML
        assert ask(served.url, "DELETE", f"/ds/{KEY}").status == 401


def test_an_open_server_answers_only_to_names_of_this_machine(url: str, root: Path) -> None:
    put(url, PARAMETERS, LDS_TOML)
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1:99", "[::1]:1"):
        assert get(url, PARAMETERS, Host=host).status == 200
    for host in ("evil.example.org", "127.0.0.1.evil.example.org", "[", "localhost.evil.org:80"):
        assert get(url, PARAMETERS, Host=host).status in (400, 421), host


def test_users_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "users"
    hashed = scrypt_of("y")
    file.write_text(f"# who may come in\nada:x:1\n\ngrace:{hashed}\n")
    assert read_users(file) == {"ada": "x:1", "grace": hashed}
    users = Users(read_users(file))
    assert users.has_verified(basic("ada:x:1"))
    assert not users.has_verified(basic("grace:y"))
    assert users.verify(basic("grace:y"))
    assert users.has_verified(basic("grace:y"))
    assert not users.verify(basic("grace:x:1"))
    assert not users.verify(basic("unknown:y"))
    for text in ("", "ada\n", "ada:\n", ":x\n", "ada:x\nada:y\n"):
        file.write_text(text)
        with pytest.raises(UsageError):
            read_users(file)
    with pytest.raises(UsageError):
        read_users(tmp_path / "none")


def test_git_lds_serve_is_not_stopped_by_a_broken_stdout(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        assert served.process.stdout is not None
        served.process.stdout.close()
        assert put(served.url, PARAMETERS, LDS_TOML).status == 201
        served.process.stdout = open(os.devnull)

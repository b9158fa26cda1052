"""Stores in buckets beyond the contract: what goes wrong, and how it is said. Real SeaweedFS, and a bad line before it."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kit.faulty_proxy import (
    Action,
    Answered,
    Between,
    Exchange,
    Fault,
    between,
    cut_after,
    cut_before,
    cut_in_answer,
    cut_in_request,
    silent_after,
    silent_before,
    status,
)
from kit.lds_server import PARAMETERS as LDS_TOML
from kit.lds_server import entry, pack_of
from kit.scripted_server import Asked, Pieces, Scripted, answer
from kit.seaweed import Seaweed
from kit.work import random_bytes

from git_lds import hashing
from git_lds.errors import LdsError, NotAllowed, NotInStore, StoreUnreachable, UsageError
from git_lds.store.backends.bucket import BucketBackend
from git_lds.store.backends.by_url import open_backend
from git_lds.store.backends.contract import NoPutIfAbsent
from git_lds.store.backends.http import Http
from git_lds.store.client.store import Store
from git_lds.store.format.keys import HEAD, PARAMETERS, log_key
from git_lds.transfer.store_lookup import look_up_in

BIG = random_bytes(3, 5_000_000)
SECRET = "do-not-show-this-secret"


def opened(url: str, silence: float = 0.5) -> BucketBackend:
    return BucketBackend(url, silence=silence, pause=0.001)


@pytest.fixture
def line(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Between]:
    """A scriptable proxy between the client and the bucket."""
    with between(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


@pytest.fixture
def cloud(line: Between, bucket: str) -> Iterator[BucketBackend]:
    backend = opened(bucket)
    yield backend
    backend.close()


def refusing(code: int, name: str) -> Action:
    """An error as S3 says it."""

    def act(exchange: Exchange) -> None:
        exchange.take()
        body = f"<Error><Code>{name}</Code><Message>because of {SECRET}</Message></Error>".encode()
        exchange.reply(Answered(code, {"content-type": "application/xml"}, body))

    return act


def said(error: LdsError) -> str:
    return f"{error.message}\n{error.hint}"


# credentials


def test_wrong_credentials_are_one_line_that_does_not_quote_them(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    backend = opened(bucket)
    for verb in (lambda: backend.read(PARAMETERS), lambda: backend.size(PARAMETERS), lambda: backend.create(PARAMETERS, b"x"),
                 lambda: list(backend.list())):  # fmt: skip
        with pytest.raises(NotAllowed) as caught:
            verb()
        assert "\n" not in caught.value.message and SECRET not in said(caught.value)
        assert "AWS_SECRET_ACCESS_KEY" in (caught.value.hint or "")
        assert caught.value.__cause__ is None
    assert backend.requests == 4
    backend.close()


def test_an_unknown_key_is_refused(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "unknown")
    with pytest.raises(NotAllowed, match="InvalidAccessKeyId"):
        opened(bucket).read(PARAMETERS)


def test_read_only_credentials_can_read(seaweed: Seaweed, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = opened(bucket)
    owner.create(PARAMETERS, LDS_TOML)
    for name, value in seaweed.environment("reader").items():
        monkeypatch.setenv(name, value)
    reader = opened(bucket)
    assert reader.read(PARAMETERS) == LDS_TOML
    for write in (lambda: reader.create(log_key(0), entry()), lambda: reader.write(HEAD, b"{}")):
        with pytest.raises(NotAllowed):
            write()
    assert owner.size(log_key(0)) is None


def test_no_credentials_at_all(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """obstore then asks the metadata service of the cloud, which is a closed port here."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(NotAllowed, match="no credentials"):
        opened(bucket).read(PARAMETERS)


def test_half_of_the_credentials(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises((UsageError, NotAllowed), match="incomplete"):
        opened(bucket).read(PARAMETERS)


def test_a_missing_bucket_is_not_an_empty_store(bucket: str) -> None:
    with pytest.raises(NotAllowed, match="there is no bucket s3://nowhere"):
        opened("s3://nowhere/x").read(PARAMETERS)


def test_a_missing_store_is_not_in_store(bucket: str) -> None:
    with pytest.raises(NotInStore):
        opened(bucket).read(PARAMETERS)


def test_plain_http_is_only_for_this_machine_unless_allowed(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://ada:{SECRET}@store.example.org:8333")
    with pytest.raises(UsageError, match=r"plain http") as caught:
        open_backend(bucket)
    assert SECRET not in said(caught.value)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    open_backend(bucket).close()


def test_without_obstore_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['obstore'] = sys.modules['obstore.store'] = sys.modules['obstore.exceptions'] = None\n"
        "from git_lds.store.backends.by_url import open_backend\n"
        "from git_lds.errors import LdsError\n"
        "try: open_backend('s3://bucket/x')\n"
        "except LdsError as error: print(error.message, error.hint)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "a store at s3://bucket needs obstore pip install 'git-lds[cloud]'\n"


# the line


def test_an_endpoint_without_a_server_is_unreachable(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    backend = opened(bucket)
    with pytest.raises(StoreUnreachable, match=r"could not be reached") as caught:
        backend.read(PARAMETERS)
    assert "127.0.0.1:9" in caught.value.message and caught.value.hint
    assert backend.requests == 5


@pytest.mark.parametrize(
    "bad", [status(500), status(503), status(429), refusing(503, "SlowDown"), refusing(400, "RequestTimeout"), cut_before,
            cut_in_answer]
)  # fmt: skip
@pytest.mark.parametrize("times", [1, 4])
def test_reading_is_tried_again(cloud: BucketBackend, line: Between, bad: Action, times: int) -> None:
    cloud.create(pack_of(BIG), BIG)
    line.forget()
    line.faults.append(Fault("GET", None, bad, times))
    before = cloud.requests
    with cloud.stream(pack_of(BIG), 1000, 4_000_000) as blocks:
        assert b"".join(blocks) == BIG[1000:4_001_000]
    assert cloud.requests - before == len(line.asked) == times + 1


def test_after_a_break_at_most_one_block_is_requested_again(cloud: BucketBackend, line: Between) -> None:
    cloud.create(pack_of(BIG), BIG)
    line.forget()
    line.faults.append(Fault("GET", None, cut_in_answer))
    assert cloud.read(pack_of(BIG), 0, len(BIG)) == BIG
    _, again = line.asked
    assert int(again.headers["range"].removeprefix("bytes=").split("-")[0]) >= 1_000_000


@pytest.mark.parametrize(
    "bad", [status(500), status(503), cut_before, cut_in_request, cut_after, refusing(409, "ConditionalRequestConflict"),
            refusing(409, "OperationAborted")]
)  # fmt: skip
def test_writing_is_tried_again(cloud: BucketBackend, line: Between, bad: Action) -> None:
    line.faults.append(Fault("PUT", None, bad))
    created = cloud.create(pack_of(BIG), BIG)
    assert created is (bad is not cut_after)  # as the contract has it: False may be our own, which arrived after all
    assert cloud.read(pack_of(BIG)) == BIG


@pytest.mark.parametrize("bad", [silent_before, silent_after])
def test_a_silent_store_is_given_up_after_a_while(cloud: BucketBackend, line: Between, bad: Action) -> None:
    line.faults.append(Fault("PUT", None, bad, 99))
    line.faults.append(Fault("HEAD", None, silent_before, 99))
    begin = time.monotonic()
    with pytest.raises(StoreUnreachable, match="did not answer in time"):
        cloud.create(log_key(0), entry())
    with pytest.raises(StoreUnreachable):
        cloud.size(log_key(0))
    assert time.monotonic() - begin < 10


def test_it_is_given_up_in_the_end(cloud: BucketBackend, line: Between) -> None:
    line.faults.append(Fault("GET", None, refusing(503, "SlowDown"), 99))
    with pytest.raises(StoreUnreachable, match="503, SlowDown") as caught:
        cloud.read(PARAMETERS)
    assert SECRET not in said(caught.value)
    assert cloud.requests == len(line.asked) == 5


@pytest.mark.parametrize(
    ("bad", "error", "match"),
    [(refusing(403, "AccessDenied"), NotAllowed, "AccessDenied"), (refusing(401, "Unauthorized"), NotAllowed, "401"),
     (refusing(400, "InvalidArgument"), NotAllowed, "InvalidArgument"),
     (refusing(400, "AuthorizationHeaderMalformed"), NotAllowed, "region"),
     (refusing(301, "PermanentRedirect"), NotAllowed, "region"), (refusing(404, "NoSuchBucket"), NotAllowed, "no bucket"),
     (status(404), NotAllowed, "no bucket"),
     (refusing(501, "NotImplemented"), NoPutIfAbsent, "put-if-absent")],
)  # fmt: skip
def test_a_refusal_is_final(
    cloud: BucketBackend, line: Between, bad: Action, error: type[LdsError], match: str
) -> None:
    line.faults.append(Fault("PUT", None, bad, 99))
    with pytest.raises(error, match=match) as caught:
        cloud.create(PARAMETERS, b"x")
    assert SECRET not in said(caught.value) and "\n" not in caught.value.message
    assert len(line.asked) == 1


WHOLE = b"bytes 0-999999/1000000"


def head_of(size: int) -> bytes:
    """The head of an answer of S3 for an object of that size."""
    lines = ("HTTP/1.1 200 OK", f"Content-Length: {size}", 'ETag: "x"', "Last-Modified: Fri, 31 Dec 1999 23:59:59 GMT")
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


@pytest.fixture
def dripping(script: Callable[..., Scripted], monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], Scripted]:
    """Have an endpoint that begins with some bytes, and then sends one every 0.02 s."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "unknown")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "here")

    def start(first: bytes) -> Scripted:
        def drip(asked: Asked) -> Pieces:
            head = first.replace(b"200 OK", b"206 OK\r\nContent-Range: " + WHOLE) if "range" in asked.headers else first
            return Pieces(itertools.chain([head], itertools.repeat(b"x")), 0.02)

        server = script(drip)
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        return server

    return start


@pytest.mark.parametrize(
    ("first", "verb"),
    [
        (head_of(1_000_000), lambda backend: backend.read(log_key(0))),
        (b"HTTP/1.1 200 OK\r\nX: ", lambda backend: backend.read(log_key(0))),
        (b"HTTP/1.1 200 OK\r\nX: ", lambda backend: backend.write(HEAD, b"{}")),
        (head_of(1_000_000), lambda backend: list(backend.list())),
        (b"HTTP/1.1 403 No\r\nContent-Length: 1000000\r\n\r\n", lambda backend: backend.read(log_key(0))),
    ],
    ids=["a body", "a head", "an answer to a write", "a listing", "a refusal"],
)
def test_an_endpoint_that_drips_is_given_up(
    dripping: Callable[[bytes], Scripted], first: bytes, verb: Callable[[BucketBackend], object]
) -> None:
    server = dripping(first)
    backend = opened("s3://bucket/store", silence=0.2)
    with contextlib.closing(backend), pytest.raises(StoreUnreachable, match="did not answer in time"):
        verb(backend)
    assert len(server.asked) == 2


def test_a_dead_endpoint_holds_no_other_store_up(
    dripping: Callable[[bytes], Scripted], script: Callable[..., Scripted], tmp_path: Path
) -> None:
    dripping(head_of(1_000_000))
    dead = Store(opened("s3://bucket/store", silence=60), tmp_path / "known")
    other = Store(Http(script(answer(404)).url), tmp_path / "known")
    began = time.monotonic()
    answers = look_up_in([dead, other], [hashing.of_bytes(b"x")], seconds=0.5)
    assert time.monotonic() - began < 20
    assert "did not answer in 0.5 seconds" in str(answers[0].error)
    assert isinstance(answers[1].error, NotInStore)


def test_closing_aborts_waiting_requests(cloud: BucketBackend, line: Between) -> None:
    backend = opened(cloud.url, silence=60)
    line.faults.append(Fault("GET", None, silent_before, 99))
    threading.Timer(0.2, backend.close).start()
    begin = time.monotonic()
    with pytest.raises(StoreUnreachable, match="aborted"):
        backend.read(PARAMETERS)
    assert time.monotonic() - begin < 10
    with pytest.raises(StoreUnreachable):
        backend.size(PARAMETERS)


# put-if-absent


@pytest.mark.parametrize("size", [0, 10, 6_000_000, 40_000_000])
def test_a_body_of_any_size_is_one_request_with_the_condition(
    cloud: BucketBackend, line: Between, tmp_path: Path, size: int
) -> None:
    data = random_bytes(size, size)
    body = tmp_path / "body"
    body.write_bytes(data)
    key = pack_of(data)
    backend = opened(cloud.url, silence=60)
    assert backend.create(key, body) is True
    assert backend.create(key, body) is False
    assert [(asked.method, asked.headers.get("if-none-match")) for asked in line.asked] == [("PUT", "*")] * 2
    assert backend.size(key) == size
    backend.close()


def test_a_store_that_refuses_the_condition_is_written_to_after_a_look(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONDITIONAL_PUT", "disabled")
    backend = opened(bucket)
    with pytest.raises(NoPutIfAbsent):
        backend.create(PARAMETERS, b"1")
    backend.emulate_put_if_absent()
    assert backend.create(PARAMETERS, b"1") is True
    assert backend.create(PARAMETERS, b"2") is False
    assert backend.read(PARAMETERS) == b"1"


# listings


def test_an_interrupted_listing_continues(cloud: BucketBackend, line: Between, seaweed: Seaweed) -> None:
    files = seaweed.files()
    keys = [log_key(seq) for seq in range(1100)]
    start = cloud.url.removeprefix("s3://").partition("/")[2]
    threads = [
        threading.Thread(target=lambda n=n: [files.add(f"{start}/{key}") for key in keys[n::8]]) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    line.faults.append(Fault("GET", None, status(503), skip=1))
    before = cloud.requests
    assert list(cloud.list("log/")) == keys
    assert cloud.requests - before == len(line.asked) == 3


@pytest.mark.parametrize("prefix", ["../", "log/../", "//", "é/x", "%2e%2e/", "log//x", "x" * 2000, "pack/zz/"])
def test_a_prefix_out_of_form_lists_nothing(bucket: str, prefix: str) -> None:
    backend = opened(bucket)
    backend.create(PARAMETERS, LDS_TOML)
    assert list(backend.list(prefix)) == []
    assert list(backend.list("", after="../é//")) == [PARAMETERS]
    assert list(backend.list("", after=PARAMETERS)) == []


def test_stores_side_by_side_do_not_see_each_other(bucket: str) -> None:
    one, other = opened(bucket), opened(f"{bucket}2")
    one.create(PARAMETERS, LDS_TOML)
    with pytest.raises(NotInStore):
        list(other.list())
    other.create(log_key(0), entry())
    assert (list(one.list()), list(other.list())) == ([PARAMETERS], [log_key(0)])
    assert one.within("below").url == f"{bucket}/below"
    assert one.within("below").size(PARAMETERS) is None


# profiles of the AWS tools

Write = Callable[[str, str], None]


@pytest.fixture
def in_files(seaweed: Seaweed, bucket: str, world: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write ~/.aws/credentials and ~/.aws/config, the environment saying nothing; `{key}` and the like are filled in."""
    reached = seaweed.environment()
    for name in reached:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    fields = {
        "key": reached["AWS_ACCESS_KEY_ID"],
        "secret": reached["AWS_SECRET_ACCESS_KEY"],
        "url": reached["AWS_ENDPOINT_URL"],
    }

    def write(credentials: str, config: str) -> None:
        (world / ".aws").mkdir()
        (world / ".aws" / "credentials").write_text(credentials.format(**fields))
        (world / ".aws" / "config").write_text(config.format(**fields))

    return write


KEYS = "aws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
PLACE = "region = us-east-1\nendpoint_url = {url}\n"


@pytest.mark.parametrize(
    ("profile", "credentials", "config"),
    [("", f"[default]\n{KEYS}", f"[default]\n{PLACE}"), ("lab", f"[default]\n[lab]\n{KEYS}", f"[profile lab]\n{PLACE}"),
     ("lab", "", f"[default]\nregion=x\n[profile lab]\n{KEYS}{PLACE}")],
)  # fmt: skip
def test_the_files_of_the_aws_tools_are_read(
    in_files: Write, bucket: str, monkeypatch: pytest.MonkeyPatch, profile: str, credentials: str, config: str
) -> None:
    in_files(credentials, config)
    monkeypatch.setenv("AWS_PROFILE", profile)
    backend = opened(bucket, silence=30)
    assert backend.create(PARAMETERS, LDS_TOML)
    backend.close()


@pytest.mark.parametrize(
    ("credentials", "config", "match"),
    [(f"[default]\n{KEYS}", "", "no profile lab"), ("", "[profile lab]\nsso_session = x\n", "no keys of its own"),
     ("aws_secret_access_key = {secret}\n", "", "not a valid file")],
)  # fmt: skip
def test_an_unusable_profile_is_a_usage_error(
    in_files: Write, bucket: str, monkeypatch: pytest.MonkeyPatch, credentials: str, config: str, match: str
) -> None:
    in_files(credentials, config)
    monkeypatch.setenv("AWS_PROFILE", "lab")
    with pytest.raises(UsageError, match=match) as caught:
        opened(bucket)
    assert "aws_secret" not in said(caught.value)


def test_the_environment_counts_before_the_files(
    in_files: Write, seaweed: Seaweed, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_files(
        "[default]\naws_access_key_id = x\naws_secret_access_key = y\n",
        "[default]\nendpoint_url = http://127.0.0.1:9\n",
    )
    for name, value in seaweed.environment().items():
        monkeypatch.setenv(name, value)
    assert opened(bucket, silence=30).create(PARAMETERS, LDS_TOML)

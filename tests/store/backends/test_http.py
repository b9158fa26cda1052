"""How the client bears what servers and networks do, against a small server that does as a script says."""

from __future__ import annotations

import itertools
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kit.lds_server import pack_of
from kit.scripted_server import Answer, Asked, DrippingHandshake, Pieces, Scripted, Trickle, answer, part
from kit.work import random_bytes

from git_lds.errors import CorruptData, LdsError, NotAllowed, NotInStore, StoreUnreachable
from git_lds.hosts import is_private
from git_lds.store.backends import http_client, login, retry
from git_lds.store.backends.contract import OutOfSequence
from git_lds.store.backends.http import Http
from git_lds.store.format.keys import HEAD, PARAMETERS, log_key

KEY = pack_of(b"anything")


@dataclass
class Someone:
    """A credential source for tests, which records its calls."""

    answers: list[tuple[str, str] | None]
    told: list[tuple[str, ...]] = field(default_factory=list)

    def get(self, url: str) -> tuple[str, str] | None:
        self.told.append(("get", url))
        return self.answers.pop(0)

    def approve(self, url: str, user: str, password: str) -> None:
        self.told.append(("approve", url, user, password))

    def reject(self, url: str, user: str, password: str) -> None:
        self.told.append(("reject", url, user, password))


def store(url: str, authorise: Someone | None = None, *, silence: float = 5) -> Http:
    return Http(url, authorise, silence=silence, pause=0.01)


def only(password: str, data: bytes = b"data") -> Answer:
    """An answer for ada with that password, and 401 for everybody else."""
    right = login.basic(("ada", password))
    return lambda asked: (
        answer(201 if asked.method == "PUT" else 200, data)
        if asked.headers.get("authorization") == right
        else answer(401, WWW_Authenticate="Basic realm=x")
    )


# what passes


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_transient_failures_are_retried(script: Callable[..., Scripted], status: int) -> None:
    server = script(answer(status), answer(status), answer(200, b"data"))
    backend = store(server.url)
    assert backend.read(KEY) == b"data"
    assert backend.requests == len(server.asked) == 3


def test_a_body_is_sent_again_whole(script: Callable[..., Scripted], tmp_path: Path) -> None:
    body = random_bytes(1, 1_000_000)
    file = tmp_path / "body"
    file.write_bytes(body)
    server = script(answer(503), answer(201))
    for source in (body, file):
        assert store(server.url).create(log_key(0), source) is True
    assert [asked.body for asked in server.asked] == [body] * 3
    assert {asked.headers["if-none-match"] for asked in server.asked} == {"*"}


def test_five_tries_are_enough(script: Callable[..., Scripted]) -> None:
    server = script(answer(503, b"down for repair\n", Content_Type="text/plain"))
    with pytest.raises(StoreUnreachable, match="503: down for repair"):
        store(server.url).read(KEY)
    assert len(server.asked) == 5


def test_retry_after_is_honoured(script: Callable[..., Scripted]) -> None:
    server = script(answer(429, Retry_After="1"), answer(200, b"data"))
    started = time.monotonic()
    assert store(server.url).read(KEY) == b"data"
    assert 1 <= time.monotonic() - started < 3


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("7", 7), ("3600", 60), ("9" * 400, 60), ("-1", None), ("soon", None), ("", None), ("1e9", None),
     ("Fri, 31 Dec 1999 23:59:59 GMT", 0), ("Fri, 31 Dec 2199 23:59:59 GMT", 60)],
)  # fmt: skip
def test_retry_after_has_a_bound(said: str, seconds: float | None) -> None:
    import httpx

    assert http_client._retry_after(httpx.Response(503, headers={"Retry-After": said})) == seconds


def test_a_closed_port_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closing:
        port = closing.getsockname()[1]
    backend = store(f"http://127.0.0.1:{port}/x")
    with pytest.raises(StoreUnreachable, match="refused"):
        backend.read(KEY)
    assert backend.requests == 5


def test_silence_has_an_end(script: Callable[..., Scripted]) -> None:
    server = script(None)
    started = time.monotonic()
    with pytest.raises(StoreUnreachable, match="sent nothing for"):
        store(server.url, silence=0.2).read(KEY)
    assert time.monotonic() - started < 5
    assert len(server.asked) == 2, "two silences of a minute each are enough"


def test_a_hang_up_is_tried_again(script: Callable[..., Scripted]) -> None:
    server = script(b"", b"HTTP/1.1 200", answer(200, b"data"))
    assert store(server.url).read(KEY) == b"data"


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"SSH" + b"x" * 90_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"\x1b[2J" * 9_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"z" * 9_000 + b"\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://x/" + b"x" * 70_000 + b"\r\n\r\n",
    ],
    ids=[
        "another protocol",
        "a long line",
        "rubbish in the head",
        "a number without end",
        "rubbish in a body",
        "a long address",
    ],
)
def test_a_response_that_is_not_http_is_unreachable_in_a_short_line(
    script: Callable[..., Scripted], said: bytes
) -> None:
    with pytest.raises(StoreUnreachable) as caught:
        store(script(said).url).read(KEY)
    assert caught.value.message.isprintable() and len(caught.value.message) < 400


# bodies


def test_a_body_that_breaks_off_is_read_again(script: Callable[..., Scripted]) -> None:
    server = script(answer(200, b"half", Content_Length="8"), answer(200, b"complete"))
    assert store(server.url).read(KEY) == b"complete"


def test_a_stream_that_breaks_off_is_resumed(script: Callable[..., Scripted]) -> None:
    data = random_bytes(2, 300_000)
    broken = answer(206, data[1000:100_000], Content_Length="199000", Content_Range="bytes 1000-199999/300000")
    server = script(broken, part(data))
    with store(server.url).stream(KEY, 1000, 199_000) as blocks:
        assert b"".join(blocks) == data[1000:200_000]
    assert [asked.headers["range"] for asked in server.asked] == ["bytes=1000-199999", "bytes=100000-199999"]


def test_a_stream_that_never_ends_well_is_unreachable(script: Callable[..., Scripted]) -> None:
    server = script(answer(200, b"x" * 10, Content_Length="100"))
    with pytest.raises(StoreUnreachable), store(server.url).stream(KEY, 0, 100) as blocks:
        list(blocks)
    assert len(server.asked) == 5


def test_a_body_without_length_that_ends_early_is_noticed(script: Callable[..., Scripted]) -> None:
    server = script(answer(206, b"12345", Content_Length="", Content_Range="bytes 0-9/20"), part(b"0123456789" * 2))
    with store(server.url).stream(KEY, 0, 10) as blocks:
        assert b"".join(blocks) == b"1234556789"


def test_a_server_without_ranges_is_read_all_the_same(script: Callable[..., Scripted]) -> None:
    data = random_bytes(3, 500_000)
    backend = store(script(answer(200, data)).url)
    assert backend.read(KEY, 70_000, 200_000) == data[70_000:270_000]
    assert backend.read(KEY, 70_000) == data[70_000:]
    with backend.stream(KEY, 400_000, 100_000) as blocks:
        assert b"".join(blocks) == data[400_000:]
    with pytest.raises(CorruptData):
        backend.read(KEY, 400_000, 100_001)


@pytest.mark.parametrize(
    "span", ["", "bytes 0-9/100", "bytes 10-9/100", "bytes 10-x/100", "bytes */100", "lines 10-19/100"]
)
def test_another_range_than_requested_is_refused(script: Callable[..., Scripted], span: str) -> None:
    server = script(answer(206, b"0123456789", Content_Range=span))
    with pytest.raises(StoreUnreachable):
        store(server.url).read(KEY, 10, 10)


def test_a_range_that_ends_early_is_corrupt_data(script: Callable[..., Scripted]) -> None:
    with pytest.raises(CorruptData):
        store(script(part(b"0123456789")).url).read(KEY, 5, 10)


def test_more_than_the_range_is_cut(script: Callable[..., Scripted]) -> None:
    server = script(answer(206, b"0123456789", Content_Range="bytes 10-14/100"))
    assert store(server.url).read(KEY, 10, 5) == b"01234"


def test_endless_bodies_are_cut_at_the_limit(script: Callable[..., Scripted]) -> None:
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with pytest.raises(CorruptData):
        store(script(head + chunk * 500).url).read(KEY, limit=1_000_000)


def test_a_body_that_says_it_is_over_the_limit_is_not_read(script: Callable[..., Scripted]) -> None:
    server = script(answer(200, Content_Length=str(1 << 30)))
    with pytest.raises(CorruptData):
        store(server.url).read(KEY, limit=1_000_000)
    assert len(server.asked) == 1


def test_a_body_that_trickles_counts_as_silent(script: Callable[..., Scripted]) -> None:
    """Some bytes now and then would keep every time-out away for ever."""
    server = script(Trickle(answer(200, bytes(100_000)), 0.02))
    with pytest.raises(StoreUnreachable, match="bytes in"):
        store(server.url, silence=0.3).read(KEY)
    assert len(server.asked) == 2


def test_a_body_that_breaks_off_again_and_again_but_gets_on_is_read(script: Callable[..., Scripted]) -> None:
    data = random_bytes(2, 20 * retry.PROGRESS)

    def some(asked: Asked) -> bytes:
        start = int(asked.headers["range"].removeprefix("bytes=").split("-")[0])
        span = f"bytes {start}-{len(data) - 1}/{len(data)}"
        here = data[start : start + 2 * retry.PROGRESS]
        return answer(206, here, Content_Length=str(len(data) - start), Content_Range=span)

    server = script(some)
    with store(server.url).stream(KEY, 0, len(data)) as blocks:
        assert b"".join(blocks) == data
    assert len(server.asked) == 10


# what drips, and what never ends


HEAD_OF_200 = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
CHUNKED = HEAD_OF_200 + b"Transfer-Encoding: chunked\r\n\r\n"


def dripping(start: bytes, piece: bytes) -> Pieces:
    """A response that begins at once and then trickles, a piece every 0.02 s."""
    return Pieces(itertools.chain([start], itertools.repeat(piece)), 0.02)


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"HTTP/1.1 200 ", b"O"),
        (HEAD_OF_200 + b"X: ", b"x"),
        (HEAD_OF_200, b"X: x\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (CHUNKED + b"1;x=", b"x"),
        (CHUNKED + b"1\r\nx\r\n0\r\nX: ", b"x"),
    ],
    ids=["status", "header", "headers", "informational answers", "size of a chunk", "trailers"],
)
def test_a_trickling_response_counts_as_silent(script: Callable[..., Scripted], start: bytes, piece: bytes) -> None:
    """Each byte is in time, and the whole would never be."""
    server = script(lambda _: dripping(start, piece))
    with pytest.raises(StoreUnreachable, match=r"0\.5 seconds"):
        store(server.url, silence=0.5).read(KEY)
    assert len(server.asked) == 2


def test_an_endless_refusal_delays_nothing(script: Callable[..., Scripted]) -> None:
    head = b"HTTP/1.1 403 No\r\nContent-Type: text/plain\r\nContent-Length: 1000000000\r\n\r\n"
    for said in (dripping(head, b"x"), Pieces(itertools.chain([head], itertools.repeat(bytes(1 << 16))))):
        with pytest.raises(NotAllowed, match="403"):
            store(script(said).url, silence=0.5).read(KEY)
        assert said.sent < 50_000_000


def test_a_head_that_drips_does_so_behind_a_proxy_too(
    script: Callable[..., Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    for scheme, method in (("http", "GET"), ("https", "CONNECT")):
        proxy = script(lambda _: dripping(HEAD_OF_200, b"X: x\r\n"))
        monkeypatch.setenv(f"{scheme}_proxy", proxy.url)
        with pytest.raises(StoreUnreachable, match=r"0\.5 seconds"):
            store(f"{scheme}://store.example.org", silence=0.5).read(KEY)
        assert [asked.method for asked in proxy.asked] == [method] * 2


def test_a_handshake_that_drips_has_an_end(script: Callable[..., Scripted]) -> None:
    backend = store(script(context=DrippingHandshake()).url, silence=0.2)
    with pytest.raises(StoreUnreachable, match="no connection in time"):
        backend.read(KEY)
    assert backend.requests == 5


def test_the_time_for_an_answer_begins_when_the_body_was_sent(
    script: Callable[..., Scripted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large pack on a thin line takes longer than a store may be silent."""
    monkeypatch.setattr(http_client, "SEND_BLOCK", 1 << 10)

    def slowly(body: bytes | Path, size: int) -> Iterator[bytes]:
        for block in sent(body, size):
            time.sleep(0.15)
            yield block

    sent = http_client._content
    monkeypatch.setattr(http_client, "_content", slowly)
    server = script(answer(201))
    assert store(server.url, silence=2).create(log_key(0), bytes(20 << 10)) is True
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "head",
    [HEAD_OF_200 + b"X: " + b"x" * 200_000, HEAD_OF_200 + b"X: x\r\n" * 100_000],
    ids=["a long line", "many lines"],
)
def test_a_head_without_end_is_not_taken_in(script: Callable[..., Scripted], head: bytes) -> None:
    with pytest.raises(StoreUnreachable):
        store(script(head + b"\r\n\r\n").url).read(KEY)


def test_another_protocol_is_not_switched_to(script: Callable[..., Scripted]) -> None:
    server = script(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello")
    with pytest.raises(StoreUnreachable):
        store(server.url).read(KEY)


def test_only_the_requested_bytes_of_a_body_are_read(script: Callable[..., Scripted]) -> None:
    """A server that knows no ranges sends all it has."""
    size = 10 << 30
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
    answers = [Pieces(itertools.chain([head], itertools.repeat(b"x" * (1 << 16)))) for _ in range(2)]
    backend = store(script(*answers).url)
    assert backend.read(KEY, 5, 10) == b"x" * 10
    with backend.stream(KEY, 100_000, 50_000) as blocks:
        assert b"".join(blocks) == b"x" * 50_000
    assert all(each.sent < 50_000_000 for each in answers)


# a store that is down


def test_a_crowd_gives_up_with_the_first_of_it(script: Callable[..., Scripted]) -> None:
    """Once one thread has used up its tries, the others, and those that come later, do not use up theirs."""
    server = script(answer(503))
    backend = Http(server.url, pause=0.05)
    started = threading.Barrier(8)

    def read(number: int) -> None:
        started.wait(10)
        time.sleep(0.02 * number)
        with pytest.raises(StoreUnreachable, match="503"):
            backend.read(KEY)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, range(8)))
    assert len(server.asked) < 5 * 8
    before = len(server.asked)
    for _ in range(10):
        with pytest.raises(StoreUnreachable):
            backend.read(KEY)
    assert len(server.asked) - before == 10, "one try each"
    server.answers = [answer(200, b"data"), answer(503), answer(200, b"back")]
    server.asked.clear()
    assert backend.read(KEY) == b"data"
    assert backend.read(KEY) == b"back", "tries as before, now that the store answers again"


def test_one_file_that_cannot_be_had_does_not_break_the_others_off(script: Callable[..., Scripted]) -> None:
    sick = pack_of(b"sick")
    tried: dict[str, int] = {}

    def flaky(asked: Asked) -> bytes:
        tried[asked.target] = tried.get(asked.target, 0) + 1
        return answer(503) if sick in asked.target or tried[asked.target] < 4 else answer(200, b"data")

    backend = store(script(flaky).url)

    def read(number: int) -> bytes:
        if number:
            return backend.read(pack_of(b"%d" % number))
        with pytest.raises(StoreUnreachable):
            backend.read(sick)
        return b"data"

    for _ in range(3):
        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(read, range(4))) == {b"data"}


def test_an_encoded_body_is_refused(script: Callable[..., Scripted]) -> None:
    server = script(answer(200, b"\x1f\x8b", Content_Encoding="gzip"))
    with pytest.raises(StoreUnreachable):
        store(server.url).read(KEY)
    assert server.asked[0].headers["accept-encoding"] == "identity"


def test_a_response_without_size_is_unreachable(script: Callable[..., Scripted]) -> None:
    with pytest.raises(StoreUnreachable):
        store(script(answer(200, Content_Length="", Transfer_Encoding="chunked")).url).size(KEY)


def test_a_file_that_shrinks_while_it_is_sent_is_an_error(script: Callable[..., Scripted], tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(bytes(100))
    content = http_client._content(body, 200)
    with pytest.raises(LdsError, match="shrank"):
        list(content)


# refusals


@pytest.mark.parametrize("status", [400, 403, 404, 405, 413, 414, 431, 451, 501])
def test_refusals_are_not_retried(script: Callable[..., Scripted], status: int) -> None:
    server = script(answer(status, b"because\n", Content_Type="text/plain"))
    with pytest.raises(NotAllowed, match=f"{status}.*because"):
        store(server.url).create(log_key(0), b"x")
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("status", "error", "tries"), [(409, OutOfSequence, 1), (422, CorruptData, 2), (507, StoreUnreachable, 1)]
)
def test_other_refusals_have_their_names(
    script: Callable[..., Scripted], status: int, error: type[LdsError], tries: int
) -> None:
    server = script(answer(status))
    with pytest.raises(error):
        store(server.url).create(log_key(0), b"x")
    assert len(server.asked) == tries


def test_a_body_that_was_damaged_on_its_way_is_sent_once_more(script: Callable[..., Scripted]) -> None:
    server = script(answer(422), answer(201))
    assert store(server.url).create(KEY, b"x") is True
    assert [asked.body for asked in server.asked] == [b"x", b"x"]


def test_messages_of_a_server_cannot_control_the_terminal(script: Callable[..., Scripted]) -> None:
    said = b"\x1b[2Jgone \xff\x07" + b"x" * 5000 + b"\nsecond line"
    with pytest.raises(NotAllowed) as caught:
        store(script(answer(403, said, Content_Type="text/plain")).url).read(KEY)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 600


def test_create_returns_false_for_an_existing_key(script: Callable[..., Scripted]) -> None:
    assert store(script(answer(412)).url).create(log_key(0), b"x") is False
    assert store(script(answer(412), answer(200, Content_Length="1")).url).create(KEY, b"x") is False


@pytest.mark.parametrize("then", [answer(404), answer(200, Content_Length="5")])
def test_a_false_claim_that_a_key_exists_is_noticed(script: Callable[..., Scripted], then: bytes) -> None:
    with pytest.raises(StoreUnreachable, match="it does not"):
        store(script(answer(412), then).url).create(KEY, b"x")


def test_the_login_page_of_a_network_is_not_a_store_that_took_something(script: Callable[..., Scripted]) -> None:
    server = script(answer(200, b"<html>Please log in", Content_Type="text/html"))
    for key in (KEY, log_key(0)):
        with pytest.raises(StoreUnreachable, match="unexpected response"):
            store(server.url).create(key, b"x")
    with pytest.raises(StoreUnreachable, match="unexpected response"):
        store(server.url).write(HEAD, b"x")


def test_a_large_body_is_sent_without_a_question_before(script: Callable[..., Scripted]) -> None:
    """The name of a pack has random bytes in it: to ask for it is a round trip for nothing."""
    body = bytes(2 << 20)
    server = script(answer(201))
    assert store(server.url).create(pack_of(body), body) is True
    assert [asked.method for asked in server.asked] == ["PUT"]


def test_files_that_change_are_requested_past_caches(script: Callable[..., Scripted]) -> None:
    server = script(answer(200, b"x"))
    backend = store(server.url)
    for key in (PARAMETERS, HEAD, log_key(3), KEY):
        backend.read(key)
    assert [asked.headers.get("cache-control") for asked in server.asked] == ["no-cache"] * 3 + [None]


@pytest.mark.parametrize(
    "said", [b"<html>\n", b"../x\n", b"pack/x\n", f"{log_key(1)}\n{log_key(0)}\n".encode(), b"\xff\n"]
)
def test_an_invalid_listing_is_corrupt_data(script: Callable[..., Scripted], said: bytes) -> None:
    with pytest.raises(CorruptData):
        list(store(script(answer(200, said)).url).list())


def test_a_listing_without_end_is_not_taken_in(script: Callable[..., Scripted]) -> None:
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    page = Pieces(itertools.chain([head], (f"{log_key(number)}\n".encode() * 100 for number in itertools.count())))
    with pytest.raises(CorruptData, match="larger than allowed"):
        list(store(script(page).url).list())
    assert page.sent < 50_000_000


def test_a_listing_that_goes_in_circles_ends(script: Callable[..., Scripted]) -> None:
    server = script(answer(200, f"{log_key(0)}\n".encode()))
    with pytest.raises(CorruptData):
        list(store(server.url).list())
    assert [asked.target for asked in server.asked] == ["/?prefix=&after=", f"/?prefix=&after=log%2F{0:020d}"]


# redirects


def test_redirects_are_followed_for_reading(script: Callable[..., Scripted]) -> None:
    server = script(answer(302, Location="/elsewhere?sig=x"), part(b"0123456789"))
    assert store(f"{server.url}/store").read(KEY, 2, 3) == b"234"
    assert [asked.target for asked in server.asked] == [f"/store/{KEY}", "/elsewhere?sig=x"]


def test_credentials_stay_at_their_origin(script: Callable[..., Scripted]) -> None:
    other = script(part(b"0123456789"))
    server = script(only("secret"), answer(307, Location=f"{other.url}/there"))
    assert store(server.url, Someone([("ada", "secret")])).read(KEY, 0, 4) == b"0123"
    assert "authorization" in server.asked[1].headers
    assert "authorization" not in other.asked[0].headers
    assert other.asked[0].headers["range"] == "bytes=0-3"
    assert other.asked[0].target == "/there"


def test_other_origins_get_no_credentials(script: Callable[..., Scripted]) -> None:
    other = script(only("secret"))
    someone = Someone([("ada", "secret")])
    with pytest.raises(NotAllowed, match="401"):
        store(script(answer(302, Location=other.url)).url, someone).read(KEY)
    assert someone.told == []
    assert len(other.asked) == 1


def test_credentials_go_along_within_the_origin(script: Callable[..., Scripted]) -> None:
    server = script(only("secret"), answer(301, Location="/moved"), only("secret"))
    assert store(server.url, Someone([("ada", "secret")])).read(KEY) == b"data"


def test_a_way_back_to_the_origin_is_the_origin(script: Callable[..., Scripted]) -> None:
    server = script(only("secret"), only("secret"))
    other = script(answer(302, Location=f"{server.url}/back"))
    server.answers = [only("secret"), answer(302, Location=other.url), only("secret")]
    assert store(server.url, Someone([("ada", "secret")])).read(KEY) == b"data"
    assert "authorization" not in other.asked[0].headers


@pytest.fixture
def public(script: Callable[..., Scripted], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Scripted, Http]]:
    """Stand in for a public store, which a proxy is asked for; what is said to be without it is connected to from here."""

    def start(*answers: Answer, without: str = "127.0.0.1") -> tuple[Scripted, Http]:
        server = script(*answers)
        monkeypatch.setenv("http_proxy", server.url)
        monkeypatch.setenv("no_proxy", without)
        return server, store("http://store.example.org/x")

    return start


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "2130706433", "localhost", "LOCALHOST.", "a.localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0",
     "10.1.2.3", "192.168.0.1", "169.254.169.254", "[fe80::1]", "[fd00::1]"],
)  # fmt: skip
def test_a_public_store_does_not_lead_to_a_private_place(
    script: Callable[..., Scripted], public: Callable[..., tuple[Scripted, Http]], host: str
) -> None:
    inside = script(answer(200, b"secret"))
    for first in (f"http://{host}:{inside.port}/", "http://other.example.org/"):
        server, backend = public(
            answer(302, Location=first), answer(302, Location=f"http://{host}:{inside.port}/"), answer(200, b"secret")
        )
        with pytest.raises(StoreUnreachable, match="private network") as caught:
            backend.read(KEY)
        assert caught.value.hint and "\n" not in caught.value.message
        assert inside.asked == []
        assert len(server.asked) == (1 if host in first else 2), "tried again, or asked for the private place"


def resolving(monkeypatch: pytest.MonkeyPatch, name: str, *addresses: str) -> None:
    """Have `name` lead to the first of the addresses, when it is looked up again to the second, and so on; the last again."""
    left = list(addresses)
    look_up = socket.getaddrinfo

    def found(host: str, *args: Any, **options: Any) -> Any:
        if host == name and not options.get("flags"):
            host = left.pop(0) if len(left) > 1 else left[0]
        return look_up(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", found)


def test_a_public_store_does_not_lead_to_a_private_place_by_a_name(
    script: Callable[..., Scripted], public: Callable[..., tuple[Scripted, Http]], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, "inside.example.org", "127.0.0.1")
    inside = script(answer(200, b"secret"))
    server, backend = public(
        answer(302, Location=f"http://inside.example.org:{inside.port}/"), without="inside.example.org"
    )
    with pytest.raises(StoreUnreachable, match=r"leads to inside\.example\.org.*private network"):
        backend.read(KEY)
    assert (len(server.asked), inside.asked) == (1, [])


def test_a_name_that_was_public_does_not_become_private(
    script: Callable[..., Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that resolves to a public address when it is checked cannot lead elsewhere when it is used."""
    inside = script(answer(200, b"secret"))
    resolving(monkeypatch, "rebinding.example.org", "8.8.8.8", "127.0.0.1")
    assert not is_private("rebinding.example.org")
    with pytest.raises(StoreUnreachable, match="private network"):
        store(f"http://rebinding.example.org:{inside.port}").read(KEY)
    assert inside.asked == []


def test_a_store_in_a_private_network_leads_to_others_there(
    script: Callable[..., Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, "intranet.example.org", "127.0.0.1")
    inside = script(answer(200, b"data"))
    server = script(answer(302, Location=f"http://localhost:{inside.port}/"))
    assert store(f"http://intranet.example.org:{server.port}").read(KEY) == b"data"


def test_redirects_have_an_end(script: Callable[..., Scripted]) -> None:
    server = script(answer(302, Location="/again"))
    with pytest.raises(StoreUnreachable, match="redirected"):
        store(server.url).read(KEY)
    assert len(server.asked) == 6


@pytest.mark.parametrize("location", ["", "file:///etc/passwd", "ftp://x/", "http://a:b@127.0.0.1/"])
def test_strange_redirects_are_not_followed(script: Callable[..., Scripted], location: str) -> None:
    server = script(answer(302, Location=location))
    with pytest.raises(StoreUnreachable):
        store(server.url).read(KEY)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "location",
    [
        "http://[",
        "//",
        "http://x:y/",
        "\\\\",
        "http:///",
        "//\xff/",
        f"http://{'a' * 70}.org/",
        "http://127.0.0.1:99999/",
    ],
)
def test_redirects_to_nowhere_end(script: Callable[..., Scripted], location: str) -> None:
    with pytest.raises(StoreUnreachable):
        store(script(answer(302, Location=location)).url).read(KEY)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_writes_are_not_redirected(script: Callable[..., Scripted], status: int) -> None:
    other = script(answer(201))
    server = script(answer(status, Location=other.url))
    with pytest.raises(StoreUnreachable):
        store(server.url).create(log_key(0), b"x")
    assert (len(server.asked), len(other.asked)) == (1, 0)


# credentials


def test_credentials_are_requested_only_when_the_store_asks(script: Callable[..., Scripted]) -> None:
    someone = Someone([])
    server = script(answer(200, b"x"))
    store(server.url, someone).read(KEY)
    assert someone.told == []
    assert "authorization" not in server.asked[0].headers


def test_a_challenge_is_answered_once_and_remembered(script: Callable[..., Scripted]) -> None:
    server = script(only("pässword:1"))
    someone = Someone([("ada", "pässword:1")])
    backend = store(f"{server.url}/org/data", someone)
    for _ in range(3):
        assert backend.read(KEY) == b"data"
    url = f"{server.url}/org/data"
    assert someone.told == [("get", url), ("approve", url, "ada", "pässword:1")]
    assert len(server.asked) == 4


def test_a_put_is_repeated_with_its_body_after_a_challenge(script: Callable[..., Scripted]) -> None:
    server = script(only("secret"))
    assert store(server.url, Someone([("ada", "secret")])).create(log_key(0), b"body") is True
    assert [asked.body for asked in server.asked] == [b"body", b"body"]


def test_wrong_credentials_are_rejected_and_not_repeated(script: Callable[..., Scripted]) -> None:
    server = script(only("secret"))
    someone = Someone([("ada", "wrong"), ("ada", "secret")])
    backend = store(server.url, someone)
    for _ in range(2):
        with pytest.raises(NotAllowed, match="refused the user and password") as caught:
            backend.read(KEY)
    assert "wrong" not in str(caught.value)
    assert someone.told == [("get", server.url), ("reject", server.url, "ada", "wrong")]
    assert len(server.asked) == 3


def test_expired_credentials_are_requested_again(script: Callable[..., Scripted]) -> None:
    server = script(only("old"), only("old"), only("new"))
    someone = Someone([("ada", "old"), ("ada", "new")])
    backend = store(server.url, someone)
    assert backend.read(KEY) == backend.read(KEY) == b"data"
    assert [told[0] for told in someone.told] == ["get", "approve", "reject", "get", "approve"]


def test_no_credentials_is_not_allowed_with_a_hint(script: Callable[..., Scripted]) -> None:
    server = script(only("secret"))
    for someone in (None, Someone([None])):
        with pytest.raises(NotAllowed) as caught:
            store(server.url, someone).read(KEY)
        assert caught.value.hint is not None
        assert "credential helper" in caught.value.hint


def test_one_question_for_many_threads(script: Callable[..., Scripted]) -> None:
    server = script(only("secret"))
    someone = Someone([("ada", "secret")])
    backend = store(server.url, someone)
    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(lambda _: backend.read(KEY), range(40))) == {b"data"}
    assert [told[0] for told in someone.told] == ["get", "approve"]


def test_one_question_for_many_threads_when_the_answer_is_wrong(script: Callable[..., Scripted]) -> None:
    server = script(only("secret"))
    someone = Someone([("ada", "wrong")])
    backend = store(server.url, someone)

    def read(_: int) -> type[Exception]:
        with pytest.raises(NotAllowed) as caught:
            backend.read(KEY)
        return caught.type

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(read, range(24)))
    assert [told[0] for told in someone.told] == ["get", "reject"]


def test_a_login_of_an_unknown_kind_is_not_answered(script: Callable[..., Scripted]) -> None:
    someone = Someone([("ada", "secret")])
    with pytest.raises(NotAllowed, match="kind of login"):
        store(script(answer(401, WWW_Authenticate="Negotiate")).url, someone).read(KEY)
    assert someone.told == []


def test_no_secret_over_plain_http_to_another_machine(
    script: Callable[..., Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    # as a proxy, our server stands in for a machine that is not this one
    server = script(answer(401, WWW_Authenticate="Basic realm=x"))
    monkeypatch.setenv("http_proxy", server.url)
    someone = Someone([("ada", "secret")])
    with pytest.raises(NotAllowed, match="plain http") as caught:
        store("http://store.example.org/x", someone).read(KEY)
    assert "https" in str(caught.value.hint)
    assert someone.told == []
    assert [asked.target for asked in server.asked] == [f"http://store.example.org/x/{KEY}"]
    assert "authorization" not in server.asked[0].headers


def test_a_proxy_does_not_see_requests_to_this_machine(
    script: Callable[..., Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, server = script(answer(502)), script(answer(200, b"data"))
    for name in ("http_proxy", "all_proxy", "https_proxy"):
        monkeypatch.setenv(name, proxy.url)
    assert store(server.url).read(KEY) == b"data"
    assert proxy.asked == []


def test_cookies_are_not_kept(script: Callable[..., Scripted]) -> None:
    server = script(answer(200, b"x", Set_Cookie="session=1; Path=/"))
    backend = store(server.url)
    backend.read(KEY)
    backend.read(KEY)
    assert "cookie" not in server.asked[1].headers


@pytest.mark.skipif(shutil.which("openssl") is None, reason="a certificate is made with openssl")
def test_an_untrusted_certificate_is_final(script: Callable[..., Scripted], tmp_path: Path) -> None:
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-days", "2",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = script(answer(302, Location="http://127.0.0.1:1/"), context=context)
    backend = store(server.url)
    with pytest.raises(StoreUnreachable, match="certificate"):
        backend.read(KEY)
    assert backend.requests == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(certificate))
        with pytest.raises(StoreUnreachable, match="from https to plain http"):
            store(server.url).read(KEY)


def test_a_missing_key_is_reported_with_its_url(script: Callable[..., Scripted]) -> None:
    server = script(answer(404))
    with pytest.raises(NotInStore, match=KEY):
        store(server.url).read(KEY)
    assert len(server.asked) == 1

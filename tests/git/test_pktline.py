"""git's pkt-line: what is read is what was written, and anything else is recognized."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from git_lds.git.pktline import FLUSH, MAX_DATA, PktLineError, PktReader, PktWriter, line, packets


@contextmanager
def reading(data: bytes, *, step: int = 1 << 16) -> Iterator[PktReader]:
    """A reader of a pipe into which `data` is written bit by bit, and which is then closed."""
    out, into = os.pipe()

    def write() -> None:
        try:
            for at in range(0, len(data), step):
                os.write(into, data[at : at + step])
        except BrokenPipeError:
            pass
        finally:
            os.close(into)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield PktReader(out)
    finally:
        os.close(out)
        thread.join()


def everything(data: bytes, step: int = 1 << 16) -> list[bytes | None]:
    found = []
    with reading(data, step=step) as reader:
        while True:
            try:
                found.append(reader.read())
            except EOFError:
                return found


@given(st.lists(st.one_of(st.none(), st.binary(max_size=300)), max_size=20), st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_packets_come_out_as_they_went_in_however_the_pipe_cuts_them(said: list[bytes | None], step: int) -> None:
    data = b"".join(FLUSH if part is None else b"%04x" % (len(part) + 4) + part for part in said)
    assert everything(data, step) == said


@pytest.mark.parametrize("size", [0, 1, MAX_DATA - 1, MAX_DATA, MAX_DATA + 1, 3 * MAX_DATA, 1 << 20])
def test_data_of_any_size_is_cut_into_packets_that_git_takes(size: int) -> None:
    data = os.urandom(size)
    sent = b"".join(packets(data)) + FLUSH
    with reading(sent) as reader:
        parts = list(reader.contents())
        with pytest.raises(EOFError):
            reader.read()
    assert b"".join(parts) == data and all(0 < len(part) <= MAX_DATA for part in parts)


def test_lines_lose_one_newline_and_no_more() -> None:
    with reading(line(b"a") + line(b"b\n") + b"0005c" + line(b"") + FLUSH) as reader:
        assert reader.lines() == [b"a", b"b\n", b"c", b""]


def test_a_pipe_that_closes_between_packets_is_an_end_and_inside_one_an_error() -> None:
    whole = line(b"hello")
    assert everything(whole) == [b"hello\n"]
    for cut in range(1, len(whole)):
        with reading(whole[:cut]) as reader, pytest.raises(PktLineError):
            reader.read()


@pytest.mark.parametrize(
    "bad",
    [
        b"zzzz",
        b"0x1f",
        b"+01f",
        b"-001",
        b" 01f",
        b"1_0f",
        b"0001",
        b"0002",
        b"0003",
        b"fff5",
        b"ffff",
        b"\n\n\n\n",
        b"\xff" * 4,
    ],
)
def test_an_impossible_length_is_an_error(bad: bytes) -> None:
    with reading(bad + b"x" * 70_000) as reader, pytest.raises(PktLineError):
        reader.read()


def test_an_empty_packet_is_not_a_flush() -> None:
    assert everything(b"0004" + FLUSH + b"0004") == [b"", None, b""]


def test_lengths_may_be_in_either_case() -> None:
    assert everything(b"000Aabcdef" + b"000aabcdef") == [b"abcdef", b"abcdef"]


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_input_is_packets_an_error_or_an_end(data: bytes) -> None:
    try:
        everything(data)
    except PktLineError:
        pass


def test_the_reader_keeps_little_in_memory() -> None:
    with reading(b"".join(packets(bytes(20 << 20))) + FLUSH) as reader:
        for part in reader.contents():
            assert len(part) <= MAX_DATA
            assert len(reader._buffer) <= 1 << 20


def test_the_writer_writes_lines_and_a_flush() -> None:
    out, into = os.pipe()
    PktWriter(into).lines(b"one", b"two")
    PktWriter(into).send(b"as it is")
    os.close(into)
    with os.fdopen(out, "rb") as pipe:
        assert pipe.read() == b"0008one\n0008two\n0000as it is"

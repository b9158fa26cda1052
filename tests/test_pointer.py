"""The pointer's one form, and that everything else is content."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_lds import hashing, pointer
from git_lds.hashing import Oid
from git_lds.pointer import Pointer

POINTERS = st.builds(
    Pointer, st.binary(min_size=32, max_size=32).map(Oid), st.integers(min_value=1, max_value=pointer.MAX_SIZE)
)


@given(POINTERS)
def test_a_pointer_is_read_as_it_was_written(made: Pointer) -> None:
    assert pointer.parse(made.encode()) == made
    assert len(made.encode()) <= pointer.MAX_LENGTH


@given(st.binary(max_size=200))
def test_any_bytes_are_a_pointer_in_its_one_form_or_content(blob: bytes) -> None:
    found = pointer.parse(blob)
    assert found is None or found.encode() == blob


@given(POINTERS, st.integers(min_value=0, max_value=130), st.integers(min_value=1, max_value=255))
def test_a_changed_byte_makes_another_pointer_or_content(made: Pointer, at: int, flip: int) -> None:
    text = bytearray(made.encode())
    text[at % len(text)] ^= flip
    found = pointer.parse(bytes(text))
    assert found is None or (found != made and found.encode() == text)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + b"\n",
        lambda text: text + b"more\n",
        lambda text: text[:-1],
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.upper(),
        lambda text: b"\n" + text,
        lambda text: text.replace(b"size ", b"size 0"),
        lambda text: text.replace(b"size ", b"size +"),
        lambda text: text.replace(b"size 7", b"size 0"),
        lambda text: text.replace(b"size 7", b"size -7"),
        lambda text: text.replace(b"size 7", b"size 9223372036854775808"),
        lambda text: text.replace(b"git-lds/v1", b"git-lds/v2"),
        lambda text: text.replace(b"size 7", "size \u0667".encode()),
    ],
)
def test_text_similar_to_a_pointer_is_content(change: object) -> None:
    text = Pointer(hashing.of_bytes(b"content"), 7).encode()
    assert pointer.parse(text) is not None
    assert pointer.parse(change(text)) is None  # type: ignore[operator]


def test_the_oid_equals_the_output_of_b3sum() -> None:
    # the test vector for an input of one byte, of BLAKE3's own test_vectors.json
    assert hashing.of_bytes(b"\0").hex() == "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"

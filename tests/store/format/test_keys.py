"""The keys of a store and its parameters."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.damage import damaged, reads_or_refuses, refused_cheaply

from git_lds.errors import CorruptData
from git_lds.hashing import FileId
from git_lds.store.format import keys, packfile
from git_lds.store.format.keys import Key, KeyKind, Parameters

ids = st.binary(min_size=32, max_size=32).map(FileId)
seqs = st.integers(0, keys.MAX_SEQ)
ID = FileId(bytes(range(32)))
HEX = ID.hex()


@given(ids, seqs)
def test_keys_read_back(id: FileId, seq: int) -> None:
    assert keys.parse(keys.log_key(seq)) == Key(KeyKind.LOG, seq=seq)
    assert keys.parse(keys.checkpoint_key(seq, id)) == Key(KeyKind.CHECKPOINT, seq=seq, id=id)
    assert keys.parse(keys.index_key(id)) == Key(KeyKind.INDEX, id=id)
    assert keys.parse(keys.pack_key(id)) == Key(KeyKind.PACK, id=id)
    assert keys.parse(keys.PARAMETERS) == Key(KeyKind.PARAMETERS)
    assert keys.parse(keys.HEAD) == Key(KeyKind.HEAD)


def test_keys_are_spelled_so() -> None:
    assert keys.log_key(7) == "log/00000000000000000007"
    assert keys.checkpoint_key(7, ID) == f"checkpoint/00000000000000000007-{HEX}"
    assert keys.index_key(ID) == f"index/00/{HEX}"
    assert keys.pack_key(ID) == f"pack/00/{HEX}"
    assert (keys.PARAMETERS, keys.HEAD) == ("lds.toml", "log/HEAD")


def test_log_keys_sort_as_their_numbers_do() -> None:
    seqs = [0, 9, 10, 99, 2**31, keys.MAX_SEQ]
    assert sorted(map(keys.log_key, seqs)) == list(map(keys.log_key, seqs))


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        ".",
        "..",
        "lds.toml/",
        "/lds.toml",
        "lds.toml\n",
        "LDS.TOML",
        "ldsXtoml",
        "log",
        "log/",
        "log/head",
        "log/HEAD\n",
        "log//HEAD",
        "log/1",
        "log/0000000000000000000",
        "log/000000000000000000000",
        "log/-0000000000000000001",
        "log/99999999999999999999",
        "log/" + "\u0660" * 20,
        "log/0000000000000000_001",
        f"checkpoint/0-{HEX}",
        f"checkpoint/99999999999999999999-{HEX}",
        f"pack/{HEX}",
        f"pack/01/{HEX}",
        f"pack/00/{HEX}0",
        f"pack/00/{HEX[:-1]}",
        f"pack/00/{HEX.upper()}",
        f"pack/00/{HEX}\n",
        f"pack/00/{HEX}/",
        f"pack/00//{HEX}",
        f"pack/../00/{HEX}",
        f"packs/00/{HEX}",
        f"./pack/00/{HEX}",
        f"pack\\00\\{HEX}",
        f"pack/00/{HEX}?x",
        f"pack/%30%30/{HEX}",
        f"recipe/00/{HEX}",
        "tmp/x",
    ],
)
def test_malformed_keys_are_not_parsed(key: str) -> None:
    assert keys.parse(key) is None


@given(st.text(max_size=100))
def test_any_text_parses_as_a_key_or_not_at_all(text: str) -> None:
    key = keys.parse(text)
    assert key is None or text in ("lds.toml", "log/HEAD") or key.seq is not None or key.id is not None


@given(ids, st.data())
def test_a_changed_key_is_another_key_or_malformed(id: FileId, data: st.DataObject) -> None:
    text = keys.checkpoint_key(5, id)
    at = data.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + data.draw(st.characters()) + text[at + 1 :]
    key = keys.parse(changed)
    assert key is None or keys.checkpoint_key(key.seq, key.id) == changed  # type: ignore[arg-type]


def test_every_kind_has_a_limit() -> None:
    assert set(keys.MAX_SIZES) == set(KeyKind)
    assert keys.MAX_SIZES[KeyKind.PACK] == packfile.MAX_SIZE == 64 << 20


def test_text_of_the_parameters() -> None:
    assert Parameters("0123456789abcdef" * 2).encode().decode() == (
        "[format]\n"
        "version = 1\n"
        "\n"
        "[store]\n"
        'id = "0123456789abcdef0123456789abcdef"\n'
        "\n"
        "[chunker]\n"
        'algorithm = "fastcdc-2020"\n'
        "minimum = 8192\n"
        "average = 32768\n"
        "maximum = 131072\n"
        "normalisation = 1\n"
    )


@given(st.binary(min_size=16, max_size=16))
def test_parameters_read_back(id: bytes) -> None:
    parameters = Parameters(id.hex())
    assert Parameters.decode(parameters.encode()) == parameters


GOOD = Parameters("0123456789abcdef" * 2).encode()


def test_a_comment_does_no_harm() -> None:
    assert Parameters.decode(b"# our store\n" + GOOD) == Parameters.decode(GOOD)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b"version = 1", b"version = 2", "format 2"),
        (b"version = 1", b'version = "1"', "version"),
        (b"version = 1", b"version = true", "version"),
        (b"version = 1", b"", "version"),
        (b"[format]", b"[other]", "version"),
        (b"[format]\nversion = 1\n", b"format = 1\n", "version"),
        (b"fastcdc-2020", b"rabin", "chunks"),
        (b"= 8192", b"= 4096", "chunks"),
        (b"normalisation = 1\n", b"normalisation = 1\nseed = 5\n", "chunks"),
        (b"normalisation = 1\n", b"", "chunks"),
        (b'"0123', b'"123', "id"),
        (b'"0123', b'"G123', "id"),
        (b'"0123456789abcdef0123456789abcdef"', b"5", "id"),
        (b"[store]", b"[[store]]", "id"),
        (b"version", b"version = ", "TOML"),
    ],
)
def test_other_parameters_are_refused(old: bytes, new: bytes, says: str) -> None:
    assert old in GOOD
    with pytest.raises(CorruptData, match=says):
        Parameters.decode(GOOD.replace(old, new, 1))


def test_newer_formats_and_other_chunkers_are_refused_with_a_hint() -> None:
    for old, new in ((b"version = 1", b"version = 9\nnews = 1"), (b"= 32768", b"= 65536")):
        with pytest.raises(CorruptData) as caught:
            Parameters.decode(GOOD.replace(old, new))
        assert caught.value.hint


@given(damaged(GOOD))
def test_damaged_parameters_are_refused_or_others(bad: bytes) -> None:
    reads_or_refuses(lambda: Parameters.decode(bad))


@given(st.binary(max_size=200))
def test_made_up_bytes_are_refused(data: bytes) -> None:
    reads_or_refuses(lambda: Parameters.decode(data))


@pytest.mark.parametrize(
    "bad",
    [b"a=" + b"[" * 60_000, b"a=" + b"{a=" * 20_000, b"\xff", b"", b"a=" + b"9" * 60_000, b"#" * (1 << 20)],
    ids=lambda data: repr(data[:6]),
)
def test_hostile_parameters_are_refused(bad: bytes) -> None:
    refused_cheaply(lambda: Parameters.decode(bad), 30 << 20)


def test_the_text_is_toml_of_three_sections() -> None:
    assert set(tomllib.loads(GOOD.decode())) == {"format", "store", "chunker"}


def test_importing_the_module_loads_no_writer_of_toml() -> None:
    code = "import sys, git_lds.store.format.keys; sys.exit('tomli_w' in sys.modules or 'pyfastcdc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_store_without_put_if_absent_is_marked() -> None:
    plain, marked = Parameters("ab" * 16), Parameters("ab" * 16, single_writer=True)
    assert b"single_writer" not in plain.encode()
    assert marked.encode() == plain.encode().replace(b'"\n\n[chunker]', b'"\nsingle_writer = true\n\n[chunker]')
    assert (Parameters.decode(plain.encode()), Parameters.decode(marked.encode())) == (plain, marked)
    said_no = marked.encode().replace(b"= true", b"= false")
    assert Parameters.decode(said_no) == plain
    for nonsense in (b'= "true"', b"= 1", b"= []"):
        with pytest.raises(CorruptData, match="single_writer"):
            Parameters.decode(marked.encode().replace(b"= true", nonsense))
